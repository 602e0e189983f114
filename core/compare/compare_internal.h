/* compare_internal.h - shared between compare.c and explain.c. */
#pragma once

#include "tabique/compare.h"

/* Fills explanation and explanation_key from all the rest. */
void compare__explain(struct comparison *comparison, const char *container_id,
                      const struct compare_boundary *boundary, bool whole_host);
