/* calls.c - see calls.h. */
#include "base/calls.h"

#include <errno.h>
#include <seccomp.h>

int calls_keep(const char *const *names, size_t count)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

    if (!filter)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number != __NR_SCMP_ERROR)
            (void)seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
    }
    int r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}
