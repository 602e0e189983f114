/* engine_internal.h - what other files of this room ask of engine.c. */
#pragma once

#include "container/internal.h"
#include "container/validate.h"

void engine_facts(struct engine *engine, struct host_facts *ret);
