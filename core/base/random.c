/* random.c - getrandom(2). Owner: base. */
#include "base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/str.h"

void random_bytes(void *out, size_t length)
{
    unsigned char *at = out;

    while (length > 0) {
        ssize_t n = getrandom(at, length, 0);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            /* Only a kernel before 3.17 or a broken seccomp filter; going on
             * with guessable ids would be worse than ending. */
            static const char text[] = "getrandom: not available\n";
            ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
            (void)ignored;
            abort();
        }
        at += n;
        length -= (size_t)n;
    }
}

void random_id(char out[ID_LENGTH + 1])
{
    unsigned char bytes[ID_LENGTH / 2];

    random_bytes(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), out);
}
