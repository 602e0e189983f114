/* owner.h - "user[:group]" of --chown: numbers, or names from the root's own files. */
#pragma once

#include <stdint.h>

struct error;

int owner_find(int root_fd, const char *text, uint32_t *ret_uid, uint32_t *ret_gid, struct error *err);
