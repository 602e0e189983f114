/* bare_start.c - what the kernel alone needs to start a confined process: clone
 * with the namespaces a container has, an overlay, pivot_root, /proc, exec of
 * `true`, to its exit. Prints milliseconds. No cgroup, no seccomp, no network
 * set-up: the floor that no engine can go below. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *root;

static int child(void *unused)
{
    char options[512];

    if (chdir(root) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return 1;
    snprintf(options, sizeof(options), "lowerdir=lower,upperdir=upper,workdir=work");
    if (mount("overlay", "merged", "overlay", 0, options) < 0 || chdir("merged") < 0)
        return 2;
    if (mount("proc", "proc", "proc", 0, NULL) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
        umount2(".", MNT_DETACH) < 0)
        return 3;
    execl("/bin/true", "true", (char *)NULL);
    return 4;
}

static void make(const char *path)
{
    if (mkdir(path, 0755) < 0)
        perror(path);
}

int main(int argc, char **argv)
{
    static char stack[1 << 16];
    struct timespec start, end;
    char command[1024];
    int status;

    if (argc != 2)
        return 2;
    root = argv[1];
    if (access(root, F_OK) < 0) {
        make(root);
        if (chdir(root) < 0)
            return 2;
        make("lower"), make("lower/bin"), make("lower/proc"), make("upper"), make("work"), make("merged");
        snprintf(command, sizeof(command), "%s/lower/bin/true", root);
        int in = open("/bin/busybox", O_RDONLY | O_CLOEXEC);
        int out = open(command, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
        char buffer[65536];
        for (ssize_t n; (n = read(in, buffer, sizeof(buffer))) > 0;)
            if (write(out, buffer, (size_t)n) != n)
                return 2;
        close(in), close(out);
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    pid_t pid = clone(child, stack + sizeof(stack),
                      CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP | SIGCHLD,
                      NULL);
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "bare_start: status %d\n", pid < 0 ? -1 : status);
        return 1;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("%.3f\n", (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6);
    return 0;
}
