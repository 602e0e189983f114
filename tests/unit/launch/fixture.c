/* fixture.c - see fixture.h. */
#include "launch/fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/cgroup.h"
#include "tabique/error.h"

#define DEFAULT_CAPS 0xa80425fbull /* Docker's fourteen */

struct fixture f;

static const char *const applets[] = {"sh",   "cat",   "echo", "ls",    "id",     "ps",    "sleep", "true",  "false",
                                      "ping", "mount", "umount", "stat", "readlink", "touch", "mkdir", "rm", "dd",
                                      "hostname", "pwd", "env", "kill", "grep", "head", "wc", "test", "tty", "stty",
                                      "yes", "seq", "trap", "mknod", "chroot", "ln", "nc", "tail", "sync", "cp", "chmod", "find", "printf", "usleep", "setsid", "nsenter", "unshare", "awk", "sed"};

void fixture_file(const char *path, const char *text, unsigned mode)
{
    CLEANUP_FREE char *full = mem_printf("%s/base%s", f.layers, path);
    CLEANUP_FREE char *dir = path_dir(full);
    int fd;

    path_mkdirs(text ? dir : full, 0755);
    if (!text) {
        chmod(full, mode);
        return;
    }
    unlink(full);
    fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0)
        abort();
    close(fd);
}

static int install(const char *from, const char *name)
{
    CLEANUP_FREE char *target = mem_printf("%s/base/bin/%s", f.layers, name);
    CLEANUP_FREE char *program = NULL;
    CLEANUP_CLOSE int fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    size_t length = 0;

    if (fd < 0 || file_read(AT_FDCWD, from, 16u << 20, &program, &length) < 0)
        return -1;
    return fd_write_all(fd, program, length);
}

int fixture_up(void **state)
{
    snprintf(f.dir, sizeof(f.dir), "/tmp/tabique-test-XXXXXX");
    if (geteuid() != 0 || !mkdtemp(f.dir))
        return -1;
    chmod(f.dir, 0711);
    snprintf(f.cgroup, sizeof(f.cgroup), "tabique-test-%d", (int)getpid());
    f.layers = mem_printf("%s/layers", f.dir);
    fixture_file("/etc/passwd",
                 "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbob:x:1001:1000:::/bin/sh\n", 0644);
    fixture_file("/etc/group", "root:x:0:\nusers:x:1000:\nwheel:x:10:root,alice\naudio:x:29:alice\ntty:x:5:\n", 0644);
    fixture_file("/bin", NULL, 0755);
    fixture_file("/proc", NULL, 0755);
    fixture_file("/sys", NULL, 0755);
    fixture_file("/dev", NULL, 0755);
    fixture_file("/tmp", NULL, 01777);
    fixture_file("/root", NULL, 0700);
    fixture_file("/etc/not-a-program", "data\n", 0644);
    fixture_file("/bin/garbage", "\x01\x02 no program\n", 0755);
    fixture_file("/bin/no-interpreter", "#!/no/such\n", 0755);
    if (install("/bin/busybox", "busybox") < 0 || install(PROBE_PROGRAM, "probe") < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(applets); i++) {
        CLEANUP_FREE char *link = mem_printf("%s/base/bin/%s", f.layers, applets[i]);

        if (symlink("busybox", link) < 0 && errno != EEXIST)
            return -1;
    }
    return 0;
}

int fixture_down(void **state)
{
    path_remove_tree(AT_FDCWD, f.dir);
    cgroup_remove(f.cgroup);
    free(f.layers);
    return 0;
}

struct plan_mount *fixture_mount(struct plan *plan, const char *type, const char *source, const char *target,
                                 unsigned long flags, const char *data)
{
    plan->mounts = mem_grow(plan->mounts, plan->mount_count + 1, sizeof(*plan->mounts));
    plan->mounts[plan->mount_count] = (struct plan_mount){.type = mem_strdup(type),
                                                          .source = mem_strdup(source),
                                                          .target = mem_strdup(target),
                                                          .flags = flags,
                                                          .data = mem_strdup(data)};
    return &plan->mounts[plan->mount_count++];
}

static void rule(struct plan_limits *l, bool allow, char type, int64_t major, int64_t minor, const char *access)
{
    l->device_rules = mem_grow(l->device_rules, l->device_rule_count + 1, sizeof(*l->device_rules));
    l->device_rules[l->device_rule_count] = (struct plan_device_rule){.allow = allow, .type = type, .major = major, .minor = minor};
    snprintf(l->device_rules[l->device_rule_count++].access, 4, "%s", access);
}

struct plan *fixture_plan(const char *const *argv)
{
    static const char *const masked[] = {"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                         "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                                         "/sys/firmware", "/sys/devices/virtual/powercap", "/proc/interrupts"};
    static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
    unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    struct plan *plan = plan_new();
    int n = f.next++;

    plan->id = mem_printf("test%d", n);
    for (size_t i = 0; i < PLAN_NS_COUNT; i++)
        plan->namespaces[i].mode = i == PLAN_NS_USER ? PLAN_NS_HOST : PLAN_NS_NEW;
    plan->rootfs.layers_dir = mem_strdup(f.layers);
    strv_push(&plan->rootfs.lower, "base");
    plan->rootfs.upper = mem_printf("%s/c%d/upper", f.dir, n);
    plan->rootfs.work = mem_printf("%s/c%d/work", f.dir, n);
    path_mkdirs(plan->rootfs.upper, 0755);
    path_mkdirs(plan->rootfs.work, 0755);
    fixture_mount(plan, "proc", "proc", "/proc", safe, NULL);
    fixture_mount(plan, "tmpfs", "tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    fixture_mount(plan, "devpts", "devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    fixture_mount(plan, "sysfs", "sysfs", "/sys", safe | MS_RDONLY, NULL);
    fixture_mount(plan, "cgroup", "cgroup", "/sys/fs/cgroup", safe | MS_RDONLY, NULL);
    fixture_mount(plan, "mqueue", "mqueue", "/dev/mqueue", safe, NULL);
    fixture_mount(plan, "tmpfs", "shm", "/dev/shm", safe, "mode=1777,size=67108864");
    for (size_t i = 0; i < ARRAY_SIZE(masked); i++)
        strv_push(&plan->masked_paths, masked[i]);
    for (size_t i = 0; i < ARRAY_SIZE(readonly); i++)
        strv_push(&plan->readonly_paths, readonly[i]);
    plan->hostname = mem_printf("host%d", n);
    plan->cgroup = mem_printf("%s/c%d", f.cgroup, n);
    rule(&plan->limits, false, 'a', -1, -1, "rwm");
    rule(&plan->limits, true, 'c', -1, -1, "m");
    rule(&plan->limits, true, 'b', -1, -1, "m");
    for (int minor = 3; minor <= 9; minor++)
        if (minor != 4 && minor != 6)
            rule(&plan->limits, true, 'c', 1, minor, "rwm");
    rule(&plan->limits, true, 'c', 5, 0, "rwm");
    rule(&plan->limits, true, 'c', 5, 1, "rwm");
    rule(&plan->limits, true, 'c', 5, 2, "rwm");
    rule(&plan->limits, true, 'c', 136, -1, "rwm");
    for (; *argv; argv++)
        strv_push(&plan->process.argv, *argv);
    strv_push(&plan->process.env, "A=1");
    plan->process.caps = (struct plan_caps){.bounding = DEFAULT_CAPS, .permitted = DEFAULT_CAPS};
    return plan;
}

struct plan *plan_of(const char *script)
{
    const char *argv[] = {"sh", "-c", script, NULL};

    return fixture_plan(argv);
}

void fixture_map_users(struct plan *plan)
{
    plan->namespaces[PLAN_NS_USER].mode = PLAN_NS_NEW;
    plan->ids.uids = mem_new(struct id_range);
    plan->ids.gids = mem_new(struct id_range);
    *plan->ids.uids = *plan->ids.gids = (struct id_range){.inside = 0, .outside = 200000, .count = 65536};
    plan->ids.uid_count = plan->ids.gid_count = 1;
}

void fixture_user(struct plan *plan, const char *user)
{
    free(plan->process.user);
    plan->process.user = mem_strdup(user);
}

int fixture_start(const struct plan *plan, struct launched *l, struct result *ret)
{
    struct error err = ERROR_INIT;
    int r;

    memset(ret, 0, sizeof(*ret));
    *l = LAUNCHED_INIT;
    r = launch_prepare(plan, l, &err);
    if (r == 0)
        r = launch_go(l, &err);
    if (r < 0) {
        ret->code = r;
        ret->exec_failed = l->exec_failed;
        snprintf(ret->error, sizeof(ret->error), "%s", err.message);
        if (plan->cgroup)
            cgroup_remove(plan->cgroup);
    }
    return r;
}

void fixture_finish(const struct plan *plan, struct launched *l, const char *input, struct result *ret)
{
    struct pollfd p[2] = {{.fd = plan->process.tty ? l->pty_fd : l->stdio[1], .events = POLLIN},
                          {.fd = plan->process.tty ? -1 : l->stdio[2], .events = POLLIN}};
    size_t used = 0;
    siginfo_t info = {0};

    if (input && fd_write_all(plan->process.tty ? l->pty_fd : l->stdio[0], input, strlen(input)) < 0)
        snprintf(ret->error, sizeof(ret->error), "write failed");
    if (l->stdio[0] >= 0)
        close(TAKE_FD(l->stdio[0]));
    while (p[0].fd >= 0 || p[1].fd >= 0) {
        if (poll(p, 2, 30000) <= 0) {
            snprintf(ret->error, sizeof(ret->error), "time-out; killed");
            syscall(SYS_pidfd_send_signal, l->pidfd, SIGKILL, NULL, 0);
            break;
        }
        for (int i = 0; i < 2; i++) {
            if (p[i].fd >= 0 && p[i].revents) {
                ssize_t n = read(p[i].fd, ret->out + used, sizeof(ret->out) - 1 - used);

                if (n <= 0)
                    p[i].fd = -1;
                else
                    used += (size_t)n;
            }
        }
    }
    ret->out[used] = '\0';
    if (waitid(P_PIDFD, (id_t)l->pidfd, &info, WEXITED) < 0)
        ret->code = -errno;
    else
        ret->code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    launched_close(l);
    if (plan->cgroup && cgroup_remove(plan->cgroup) < 0)
        snprintf(ret->error, sizeof(ret->error), "cgroup left behind");
}

void fixture_run(const struct plan *plan, const char *input, struct result *ret)
{
    struct launched l;

    if (fixture_start(plan, &l, ret) == 0)
        fixture_finish(plan, &l, input, ret);
}

void fixture_sh(struct plan *plan, const char *script, struct result *ret)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct plan *own = plan ? plan : fixture_plan(argv);

    if (plan) {
        strv_free(plan->process.argv);
        plan->process.argv = strv_dup((char *const *)(const void *)argv);
    }
    fixture_run(own, NULL, ret);
    plan_free(own);
}
