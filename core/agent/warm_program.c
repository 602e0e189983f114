/* warm_program.c - what a pool machine runs once: what the first instructions of most
 * programs make their kernel do, and an end. Nothing of it is anybody's container. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    size_t size = 256 << 10;
    char *memory = malloc(size);
    struct timespec now;
    struct stat st;
    pid_t pid;
    int pipe_fds[2];

    if (!memory || clock_gettime(CLOCK_REALTIME, &now) < 0 || pipe(pipe_fds) < 0)
        return 1;
    if (stat("/etc/hosts", &st) < 0)
        st.st_size = 0;
    memset(memory, (int)now.tv_nsec, size);
    pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid < 0 || waitpid(pid, NULL, 0) < 0)
        return 1;
    (void)printf("%d %ld\n", (int)getpid(), (long)st.st_size);
    (void)fflush(stdout);
    free(memory);
    return 0;
}
