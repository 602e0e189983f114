/* isolation.c - the table of walls. Owner: isolation. */
#include "isolation/isolation.h"

#include "base/str.h"

static const struct isolation *const walls[] = {
    &isolation_process_ops,
#ifdef TABIQUE_HAVE_HYPERV
    &isolation_hyperv_ops,
#endif
};

const struct isolation *isolation_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(walls); i++)
        if (str_equal_nocase(walls[i]->name, name))
            return walls[i];
    return NULL;
}
