/* private.h - the volume room's other half: mounting what options ask for. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tabique/volume.h"

struct error;

/* "type", "o", "device", "size" and their combinations; -EINVAL with Docker's texts. */
int volume__options_check(const struct volume_pair *options, size_t count, struct error *err);
bool volume__options_mount(const struct volume_pair *options, size_t count); /* is there anything to mount? */
int volume__mount(const struct volume_pair *options, size_t count, const char *target, struct error *err);
bool volume__mounted(const char *path); /* a mount point of its own? */
