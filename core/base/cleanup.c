/* cleanup.c - destructors that leave errno alone. Owner: base. */
#include "base/cleanup.h"

#include <string.h>

/* Takes void * so that one function serves every pointer type; memcpy, since
 * reading a `char *` through a `void **` would be an aliasing violation. */
void cleanup_free(void *pointer_to_pointer)
{
    int saved = errno;
    void *p;

    memcpy(&p, pointer_to_pointer, sizeof(p));
    free(p);
    errno = saved;
}

void cleanup_close(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    *fd = -EBADF;
    errno = saved;
}

void cleanup_fclose(FILE **file)
{
    int saved = errno;

    if (*file)
        fclose(*file);
    *file = NULL;
    errno = saved;
}
