/* probe.c - runs inside test containers and tries what it should not be able to.
 *
 * Static. Prints one line, "WHAT: ok" or "WHAT: NAME-OF-ERRNO"; never changes
 * anything outside its container if it does get through.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int say(const char *what, long result)
{
    printf("%s: %s\n", what, result >= 0 ? "ok" : strerrorname_np(errno));
    fflush(stdout);
    return 0;
}

/* Every fd but 0 to 2 is a leak. */
static int list_fds(void)
{
    int leaks = 0;

    for (int fd = 3; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0) {
            char link[64], target[256];
            ssize_t n;

            snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
            n = readlink(link, target, sizeof(target) - 1);
            printf("leak %d %.*s\n", fd, (int)(n < 0 ? 0 : n), target);
            leaks++;
        }
    printf("fds: %d\n", leaks);
    return 0;
}

/* CVE-2019-5736: for a while, tries to open every other process's program for
 * writing (and its memory and root). */
static int hunt(int milliseconds)
{
    struct timespec now, until;
    struct stat own;
    int writable = 0, readable = 0, memory = 0, rounds = 0;

    if (stat("/proc/self/exe", &own) < 0)
        return 1;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += milliseconds / 1000;
    printf("hunting\n");
    fflush(stdout);
    do {
        DIR *d = opendir("/proc");

        for (struct dirent *e; d && (e = readdir(d));) {
            char path[300];
            struct stat st;
            int fd;

            if (atoi(e->d_name) <= 0 || atoi(e->d_name) == getpid())
                continue;
            snprintf(path, sizeof(path), "/proc/%s/exe", e->d_name);
            fd = open(path, O_PATH | O_CLOEXEC);
            if (fd >= 0 && fstat(fd, &st) == 0 && st.st_dev != own.st_dev) {
                char again[64];
                struct statvfs fs;
                int w;

                readable++;
                snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
                /* O_TRUNC is what an attack would do; not asked for here. */
                w = open(again, O_WRONLY | O_CLOEXEC);
                /* While it runs ETXTBSY saves it; the attack waits until it does
                 * not. So what counts is whether the mount is writable. */
                if (w < 0 && errno == ETXTBSY && fstatvfs(fd, &fs) == 0 && !(fs.f_flag & ST_RDONLY))
                    writable++;
                if (w >= 0) {
                    char name[256] = "";

                    if (writable++ == 0 && readlink(path, name, sizeof(name) - 1) > 0)
                        printf("writable: %s is %s\n", path, name);
                    close(w);
                }
            }
            if (fd >= 0)
                close(fd);
            snprintf(path, sizeof(path), "/proc/%s/mem", e->d_name);
            fd = open(path, O_RDWR | O_CLOEXEC);
            if (fd >= 0) {
                snprintf(path, sizeof(path), "/proc/%s/exe", e->d_name);
                if (stat(path, &st) == 0 && st.st_dev != own.st_dev)
                    memory++;
                close(fd);
            }
        }
        if (d)
            closedir(d);
        rounds++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec < until.tv_sec || (now.tv_sec == until.tv_sec && now.tv_nsec < until.tv_nsec));
    printf("hunt: writable %d readable %d memory %d rounds %d\n", writable, readable, memory, rounds > 0);
    fflush(stdout);
    return 0;
}

static long clone3_plain(void)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof(args));

    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return pid;
}

static long clone_flags(unsigned long flags)
{
    long pid = syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, 0);

    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid((pid_t)pid, NULL, 0);
    return pid;
}

/* Makes a device node and tries to use it. */
static long use_device(char type, unsigned major_number, unsigned minor_number)
{
    long fd;

    unlink("/tmp/device");
    if (mknod("/tmp/device", (type == 'b' ? S_IFBLK : S_IFCHR) | 0600, makedev(major_number, minor_number)) < 0)
        return -1;
    fd = open("/tmp/device", O_RDWR);
    if (fd < 0 && errno == EROFS)
        fd = open("/tmp/device", O_RDONLY);
    return fd;
}

static int eat_memory(size_t megabytes)
{
    for (size_t i = 0; i < megabytes; i++) {
        char *p = malloc(1 << 20);

        if (!p)
            return 1;
        for (size_t k = 0; k < 1 << 20; k += 4096)
            ((volatile char *)p)[k] = 1;
    }
    printf("ate\n");
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    const char *arg = argc > 2 ? argv[2] : "";
    const char *arg2 = argc > 3 ? argv[3] : "";

    if (!strcmp(what, "fds"))
        return list_fds();
    if (!strcmp(what, "hunt"))
        return hunt(atoi(arg));
    if (!strcmp(what, "eat"))
        return eat_memory((size_t)atoi(arg));
    if (!strcmp(what, "socket"))
        return say(what, syscall(SYS_socket, strtoul(arg, NULL, 0), SOCK_SEQPACKET, 0));
    if (!strcmp(what, "clone3"))
        return say(what, clone3_plain());
    if (!strcmp(what, "clone"))
        return say(what, clone_flags(strtoul(arg, NULL, 0)));
    if (!strcmp(what, "unshare"))
        return say(what, unshare((int)strtoul(arg, NULL, 0)));
    if (!strcmp(what, "personality"))
        return say(what, personality(strtoul(arg, NULL, 0)));
    if (!strcmp(what, "keyctl"))
        return say(what, syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
    if (!strcmp(what, "mount"))
        return say(what, mount(arg2, "/mnt", arg, 0, NULL));
    if (!strcmp(what, "number"))
        return say(what, syscall(strtol(arg, NULL, 0), -1, 0, 0, 0, 0, 0));
    if (!strcmp(what, "device"))
        return say(what, use_device(arg[0], (unsigned)atoi(arg2), (unsigned)atoi(argc > 4 ? argv[4] : "0")));
    if (!strcmp(what, "write"))
        return say(what, open(arg, O_WRONLY));
    if (!strcmp(what, "read"))
        return say(what, open(arg, O_RDONLY));
    if (!strcmp(what, "ptrace"))
        return say(what, ptrace(PTRACE_ATTACH, atoi(arg), NULL, NULL));
    if (!strcmp(what, "euid")) {
        printf("euid %u\n", geteuid());
        return 0;
    }
    if (!strcmp(what, "readlink")) {
        char target[4096];
        ssize_t n = readlink(arg, target, sizeof(target) - 1);

        if (n < 0)
            return say(what, -1);
        printf("readlink: %.*s\n", (int)n, target);
        return 0;
    }
    fprintf(stderr, "probe: what?\n");
    return 2;
}
