/* seccomp_private.h - the builder that the default and JSON profiles share. */
#pragma once

#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tabique/error.h"

#define SECCOMP_LATE_MAX 64

/* libseccomp knows the system calls of its own time. Newer ones, which have the
 * same number everywhere, are tested by a few instructions put before its program. */
struct seccomp_late {
    uint32_t number;
    uint32_t action; /* SECCOMP_RET_* */
    bool x86_64_only;
};

struct seccomp_builder {
    scmp_filter_ctx context;
    uint32_t default_action; /* SCMP_ACT_* */
    struct seccomp_late late[SECCOMP_LATE_MAX];
    size_t late_count;
};

int seccomp__begin(struct seccomp_builder *b, uint32_t default_action, struct error *err);
/* One name; unknown ones are skipped, as Docker does. */
int seccomp__rule(struct seccomp_builder *b, const char *name, uint32_t action, const struct scmp_arg_cmp *args,
                  unsigned arg_count, struct error *err);
int seccomp__finish(struct seccomp_builder *b, uint8_t **ret, size_t *ret_size, struct error *err);
void seccomp__drop(struct seccomp_builder *b);
