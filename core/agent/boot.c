/* boot.c - from the kernel's first exec to a machine the agent can work in. */
#include "agent/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"

void agent_power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    /* Without ACPI's help the kernel may only halt: a triple fault then ends the
     * worker, which runs with -no-reboot. */
    reboot(RB_AUTOBOOT);
    for (;;)
        pause();
}

void agent_die(const char *format, ...)
{
    char line[512];
    va_list args;
    int fd;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        fd = 2;
    dprintf(fd, "<0>tabique-agent: %s\n", line);
    agent_power_off();
}

static const struct {
    const char *type, *target;
    unsigned long flags;
    const char *data;
} file_systems[] = {
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
    {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
};

static void load_module(const char *name)
{
    char path[300];
    int fd;

    snprintf(path, sizeof(path), "/modules/%s", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        agent_die("module %s: %s", name, strerror(errno));
    if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
        agent_die("module %s: %s", name, strerror(errno));
    close(fd);
}

static void load_modules(void)
{
    char *order = NULL;
    char *name, *rest;
    int r = file_read(AT_FDCWD, "/modules/order", 64 << 10, &order, NULL);

    if (r < 0)
        agent_die("/modules/order: %s", strerror(-r));
    for (name = order; *name; name = rest) {
        rest = name + strcspn(name, "\n");
        if (*rest)
            *rest++ = '\0';
        if (*name)
            load_module(name);
    }
    free(order);
}

static void mount_all(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++) {
        mkdir(file_systems[i].target, 0755);
        if (mount(file_systems[i].type, file_systems[i].target, file_systems[i].type,
                  file_systems[i].flags, file_systems[i].data) < 0)
            agent_die("mount %s: %s", file_systems[i].target, strerror(errno));
    }
}

/* The kernel's initramfs is the one root that pivot_root(2) refuses to leave, and
 * the launcher pivots: a tmpfs takes its place, and what the initramfs held has
 * done its work and gives its memory back. */
static void leave_initramfs(void)
{
    if (path_remove_tree(AT_FDCWD, "/modules") < 0 || unlink("/init") < 0)
        agent_die("cannot empty the initramfs");
    mkdir("/new", 0755);
    if (mount("tmpfs", "/new", "tmpfs", MS_NODEV, "mode=0755") < 0 || chdir("/new") < 0 ||
        mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        agent_die("cannot leave the initramfs: %s", strerror(errno));
}

void agent_boot(void)
{
    /* Until /dev is there messages go nowhere: mount it first, and again for good. */
    mkdir("/dev", 0755);
    (void)mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, NULL);
    load_modules();
    leave_initramfs();
    mount_all();
}

/* Ports appear a moment after their driver: look again for a while. */
int agent_open_port(const char *wanted)
{
    int64_t deadline = clock_mono_ns() + 30 * NS_PER_SEC;

    do {
        DIR *dir = opendir("/sys/class/virtio-ports");
        struct dirent *entry;

        while (dir && (entry = readdir(dir))) {
            char path[320];
            char *name = NULL;

            snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
            if (entry->d_name[0] == '.' || file_read(AT_FDCWD, path, 256, &name, NULL) < 0)
                continue;
            name[strcspn(name, "\n")] = '\0';
            if (strcmp(name, wanted) == 0) {
                int fd;
                snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
                fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
                if (fd >= 0) {
                    free(name);
                    closedir(dir);
                    return fd;
                }
            }
            free(name);
        }
        if (dir)
            closedir(dir);
        usleep(1000);
    } while (clock_mono_ns() < deadline);
    return -ENODEV;
}
