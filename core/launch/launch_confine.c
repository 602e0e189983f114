/* launch_confine.c - names, sysctls, working directory, ids, capabilities and
 * the seccomp filter. Owner: launch.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/launch_private.h"

int launch__names(struct launch_child *c, struct error *err)
{
    const struct plan *plan = c->plan;

    if (!LAUNCH_NEW(plan, PLAN_NS_UTS))
        return 0;
    if (plan->hostname && sethostname(plan->hostname, strlen(plan->hostname)) < 0)
        return error_errno(err, errno, "cannot set the host name to \"%s\"", plan->hostname);
    if (plan->domainname && setdomainname(plan->domainname, strlen(plan->domainname)) < 0)
        return error_errno(err, errno, "cannot set the domain name to \"%s\"", plan->domainname);
    return 0;
}

/* --- sysctls ---------------------------------------------------------------------- */
/* Only those that a namespace of the container's own holds; anything else would
 * change the host. */
static bool sysctl_is_own(const struct plan *plan, const char *name)
{
    static const char *const ipc[] = {"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
                                      "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};
    bool own_ipc = plan->namespaces[PLAN_NS_IPC].mode != PLAN_NS_HOST;

    for (size_t i = 0; i < ARRAY_SIZE(ipc); i++)
        if (str_equal(name, ipc[i]))
            return own_ipc;
    if (str_starts(name, "fs.mqueue."))
        return own_ipc;
    if (str_starts(name, "net."))
        return plan->namespaces[PLAN_NS_NET].mode != PLAN_NS_HOST;
    if (str_equal(name, "kernel.domainname") || str_equal(name, "kernel.hostname"))
        return plan->namespaces[PLAN_NS_UTS].mode != PLAN_NS_HOST;
    return false;
}

/* A network namespace that was there before the container's user namespace belongs to the
 * host's, and only the host's root may write to it. */
static bool sysctl_is_launchers(const struct plan *plan, const char *name)
{
    return LAUNCH_NEW(plan, PLAN_NS_USER) && plan->namespaces[PLAN_NS_NET].mode == PLAN_NS_JOIN && str_starts(name, "net.");
}

static int write_sysctls(const struct plan *plan, int proc_fd, bool launchers, struct error *err)
{
    for (size_t i = 0; i < plan->sysctl_count; i++) {
        const struct plan_pair *sysctl = &plan->sysctls[i];
        CLEANUP_FREE char *path = NULL;
        CLEANUP_CLOSE int fd = -EBADF;
        const char *value = sysctl->value ? sysctl->value : "";

        if (!sysctl->name)
            return error_set(err, EINVAL, "a sysctl has no name");
        if (sysctl_is_launchers(plan, sysctl->name) != launchers)
            continue;
        path = mem_printf("sys/%s", sysctl->name);
        for (char *at = path; *at; at++)
            if (*at == '.')
                *at = '/';
            else if (*at == '/' && at != path + 3)
                *at = '.'; /* sysctl(8): "net/ipv4/conf/eth0.1" and back */
        if (!sysctl_is_own(plan, sysctl->name))
            return error_set(err, EINVAL, "sysctl \"%s\" is not in a separate kernel namespace", sysctl->name);
        /* Through the procfs we made, not through what the image has at /proc. */
        fd = launch__openat2(proc_fd, path, O_WRONLY, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
        if (fd < 0)
            return error_errno(err, fd == -ENOENT ? EINVAL : -fd, "cannot open sysctl \"%s\"", sysctl->name);
        if (write(fd, value, strlen(value)) < 0)
            return error_errno(err, errno, "cannot set sysctl \"%s\" to \"%s\"", sysctl->name, value);
    }
    return 0;
}

int launch__sysctls(struct launch_child *c, struct error *err)
{
    return write_sysctls(c->plan, c->proc_fd, false, err);
}

int launch__network_sysctls(const struct plan *plan, struct error *err)
{
    if (!LAUNCH_NEW(plan, PLAN_NS_USER))
        return 0;
    CLEANUP_CLOSE int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);

    return proc < 0 ? error_errno(err, errno, "cannot open /proc") : write_sysctls(plan, proc, true, err);
}

/* --- working directory ----------------------------------------------------------------- */
int launch__working_directory(struct launch_child *c, struct error *err)
{
    const char *cwd = c->process->cwd && *c->process->cwd ? c->process->cwd : "/";
    CLEANUP_CLOSE int dir = -EBADF;
    char check[4096];

    if (*cwd != '/')
        return error_set(err, EINVAL, "the working directory '%s' is invalid, it needs to be an absolute path", cwd);
    /* Magic links (/proc/self/fd/N) are refused: that is how a leaked fd of the
     * host's became a working directory in CVE-2024-21626. */
    dir = path_open_in(c->root_fd, cwd, O_PATH | O_DIRECTORY, 0);
    if (dir == -ENOENT && !c->exec)
        dir = path_mkdir_in(c->root_fd, cwd, 0755);
    if (dir < 0)
        return dir == -ENOENT || dir == -ENOTDIR
                   ? error_set(err, EINVAL, "chdir to cwd (\"%s\") set in config.json failed: %s", cwd,
                               dir == -ENOENT ? "no such file or directory" : "not a directory")
                   : error_errno(err, -dir, "chdir to cwd (\"%s\") set in config.json failed", cwd);
    if (fchdir(dir) < 0)
        return error_errno(err, errno, "chdir to cwd (\"%s\") set in config.json failed", cwd);
    /* The system call tells "(unreachable)" where libc would invent a path. */
    if (syscall(SYS_getcwd, check, sizeof(check)) < 0 || check[0] != '/')
        return error_set(err, EPERM, "current working directory is outside of the container's root");
    return 0;
}

/* Neither signals of the launcher's session nor keys of its keyring are the container's. */
int launch__session(struct error *err)
{
    if (setsid() < 0 && errno != EPERM)
        return error_errno(err, errno, "cannot make a session");
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS && errno != EPERM)
        return error_errno(err, errno, "cannot make a session keyring");
    return 0;
}

/* --- capabilities ------------------------------------------------------------------------- */
static int set_caps(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    for (unsigned i = 0; i < 2; i++) {
        data[i].effective = (uint32_t)(effective >> (32 * i));
        data[i].permitted = (uint32_t)(permitted >> (32 * i));
        data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static uint64_t own_caps(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};

    (void)syscall(SYS_capget, &header, data);
    return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static int drop_bounding(uint64_t keep, struct error *err)
{
    for (unsigned cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return error_errno(err, errno, "cannot drop capability %u", cap);
    return 0;
}

static int become_user(struct launch_child *c, struct error *err)
{
    const struct launch_user *user = &c->user;

    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return error_errno(err, errno, "cannot keep capabilities");
    if (setgroups(user->group_count, user->groups) < 0)
        return error_errno(err, errno, "cannot set the groups");
    if (setresgid(user->gid, user->gid, user->gid) < 0)
        return error_errno(err, errno, "cannot become group %u", user->gid);
    if (setresuid(user->uid, user->uid, user->uid) < 0)
        return error_errno(err, errno, "cannot become user %u", user->uid);
    /* Changing ids forgets it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    return 0;
}

static int set_seccomp(const struct plan_process *process, struct error *err)
{
    struct sock_fprog program = {.len = (unsigned short)(process->seccomp_size / sizeof(struct sock_filter)),
                                 .filter = (struct sock_filter *)(void *)process->seccomp};

    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0)
        return error_errno(err, errno, "cannot set the seccomp filter");
    return 0;
}

/* In this order: the bounding set needs CAP_SETPCAP; ids change while all
 * capabilities are kept; the program is looked for with the container's own
 * capabilities; without no_new_privs the filter needs CAP_SYS_ADMIN, so it comes
 * before the last capset(), which a filter must therefore allow, as with runc. */
int launch__confine(struct launch_child *c, struct error *err)
{
    const struct plan_process *process = c->process;
    const struct plan_caps *caps = &process->caps;
    uint64_t all = own_caps();
    /* What the launcher lacks nobody gets. */
    uint64_t permitted = caps->permitted & caps->bounding & all;
    uint64_t ambient = caps->ambient & permitted & caps->inheritable;
    int r = drop_bounding(caps->bounding, err);

    if (c->user.uid != 0)
        permitted = ambient;
    if (r == 0)
        r = become_user(c, err);
    if (r < 0)
        return r;
    if (process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_errno(err, errno, "cannot set no_new_privs");
    if (process->seccomp) {
        r = set_caps(all, all, caps->inheritable & all);
        if (r == 0)
            r = set_seccomp(process, err);
        if (r < 0)
            return r;
    }
    r = set_caps(permitted, permitted, caps->inheritable & caps->bounding & all);
    if (r < 0)
        return error_errno(err, r, "cannot set the capabilities");
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned cap = 0; cap < 64; cap++)
        if (ambient >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
            return error_errno(err, errno, "cannot set ambient capability %u", cap);
    return 0;
}

/* --- limits, by the parent --------------------------------------------------------------------- */
static bool may_raise(void)
{
    return own_caps() >> CAP_SYS_RESOURCE & 1;
}

int launch__prlimits(pid_t pid, const struct plan_process *process, const struct plan_process *ahead, struct error *err)
{
    for (size_t i = 0; i < process->rlimit_count; i++) {
        struct rlimit limit = {process->rlimits[i].soft, process->rlimits[i].hard};
        struct rlimit old;

        if (prlimit(pid, (__rlimit_resource_t)process->rlimits[i].resource, &limit, NULL) == 0)
            continue;
        if (errno != EPERM || may_raise())
            return error_errno(err, errno, "error setting rlimit type %d", process->rlimits[i].resource);
        /* A launcher without CAP_SYS_RESOURCE (itself in some sandbox) gives as
         * much as it may. */
        if (prlimit(pid, (__rlimit_resource_t)process->rlimits[i].resource, NULL, &old) < 0)
            continue;
        limit.rlim_max = limit.rlim_max < old.rlim_max ? limit.rlim_max : old.rlim_max;
        limit.rlim_cur = limit.rlim_cur < limit.rlim_max ? limit.rlim_cur : limit.rlim_max;
        (void)prlimit(pid, (__rlimit_resource_t)process->rlimits[i].resource, &limit, NULL);
    }
    if (ahead && ahead->oom_score_adj == process->oom_score_adj)
        return 0;
    CLEANUP_FREE char *path = mem_printf("/proc/%d/oom_score_adj", (int)pid);
    CLEANUP_FREE char *score = mem_printf("%d", process->oom_score_adj);
    /* Lowering it needs CAP_SYS_RESOURCE, too; a hint to the kernel, not a promise. */
    (void)file_write_text(AT_FDCWD, path, score);
    return 0;
}
