/* seccomp_profile.c - the default filter, equal in effect to Docker's. Owner: launch.
 *
 * Source of the facts: moby/profiles, seccomp/default.json (2026): which calls a
 * container needs, which capability opens which, what clone() and socket() may
 * be asked for. One thing is stricter: the kernel takes 32 bits of socket()'s
 * first argument, so only those are compared; by the upper half one could reach
 * AF_ALG under a comparison of all 64.
 * socketcall(2) of 32-bit programs stays allowed, as with Docker: they cannot do
 * without, and its arguments cannot be seen by a filter.
 */
#include "launch/seccomp_profile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "launch/seccomp_private.h"

static const char always[] =
    "accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32 "
    "clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 "
    "clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 "
    "dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait "
    "epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 "
    "fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat "
    "fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 "
    "fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 "
    "futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32 "
    "geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp "
    "getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit "
    "get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid "
    "getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1 inotify_rm_watch "
    "io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set "
    "io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self "
    "lchown lchown32 lgetxattr link linkat listen listmount listxattr listxattrat llistxattr _llseek "
    "lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack membarrier memfd_create "
    "memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect "
    "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend "
    "mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall "
    "munmap name_to_handle_at nanosleep newfstatat _newselect open openat openat2 pause pidfd_open "
    "pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl "
    "pread64 preadv preadv2 prlimit64 process_mrelease pselect6 pselect6_time64 pwrite64 pwritev "
    "pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg "
    "remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe "
    "rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend "
    "rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_getaffinity sched_getattr "
    "sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler "
    "sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam "
    "sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 "
    "send sendfile sendfile64 sendmmsg sendmsg sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid "
    "setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid "
    "setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit set_robust_list setsid setsockopt "
    "set_thread_area set_tid_address setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget "
    "shutdown sigaltstack signalfd signalfd4 sigprocmask sigreturn socketcall socketpair splice stat "
    "stat64 statfs statfs64 statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee "
    "tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime "
    "timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 "
    "times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat "
    "utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev";
/* Of always: process_vm_readv, process_vm_writev and ptrace are safe since Linux
 * 4.8, which is older than what the launcher needs. */
static const char since_4_8[] = "process_vm_readv process_vm_writev ptrace";

static const struct {
    int cap;
    const char *names;
} by_capability[] = {
    {CAP_DAC_READ_SEARCH, "open_by_handle_at"},
    {CAP_SYS_ADMIN, "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
                    "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open "
                    "quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare"},
    {CAP_SYS_BOOT, "reboot"},
    {CAP_SYS_CHROOT, "chroot"},
    {CAP_SYS_MODULE, "delete_module init_module finit_module"},
    {CAP_SYS_PACCT, "acct"},
    {CAP_SYS_PTRACE, "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"},
    {CAP_SYS_RAWIO, "iopl ioperm"},
    {CAP_SYS_TIME, "settimeofday stime clock_settime clock_settime64"},
    {CAP_SYS_TTY_CONFIG, "vhangup"},
    {CAP_SYS_NICE, "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"},
    {CAP_SYSLOG, "syslog"},
    {CAP_BPF, "bpf"},
    {CAP_PERFMON, "perf_event_open"},
};

#if defined(__x86_64__)
static const char of_architecture[] = "arch_prctl modify_ldt";
static const uint32_t other_architectures[] = {SCMP_ARCH_X86, SCMP_ARCH_X32};
#elif defined(__aarch64__)
static const char of_architecture[] = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";
static const uint32_t other_architectures[] = {SCMP_ARCH_ARM};
#else
#error "no seccomp profile for this architecture"
#endif

static const struct {
    const char *name;
    uint32_t number;
    bool x86_64_only;
} late_calls[] = {
    {"uretprobe", 335, true},      {"cachestat", 451},         {"fchmodat2", 452},         {"map_shadow_stack", 453},
    {"futex_wake", 454},           {"futex_wait", 455},        {"futex_requeue", 456},     {"statmount", 457},
    {"listmount", 458},            {"lsm_get_self_attr", 459}, {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461},
    {"mseal", 462},                {"setxattrat", 463},        {"getxattrat", 464},        {"listxattrat", 465},
    {"removexattrat", 466},        {"open_tree_attr", 467},    {"file_getattr", 468},      {"file_setattr", 469},
};

#define NAMESPACE_FLAGS                                                                                        \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* --- the builder -------------------------------------------------------------------- */
int seccomp__begin(struct seccomp_builder *b, uint32_t default_action, struct error *err)
{
    *b = (struct seccomp_builder){.default_action = default_action};
    b->context = seccomp_init(default_action);
    if (!b->context)
        return error_set(err, EINVAL, "invalid default action of a seccomp profile");
    for (size_t i = 0; i < ARRAY_SIZE(other_architectures); i++) {
        int r = seccomp_arch_add(b->context, other_architectures[i]);

        if (r < 0 && r != -EEXIST)
            return error_errno(err, -r, "cannot add an architecture to a seccomp filter");
    }
    (void)seccomp_attr_set(b->context, SCMP_FLTATR_CTL_NNP, 0);
    (void)seccomp_attr_set(b->context, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* search tree */
    return 0;
}

void seccomp__drop(struct seccomp_builder *b)
{
    if (b->context)
        seccomp_release(b->context);
    b->context = NULL;
}

static int late_rule(struct seccomp_builder *b, const char *name, uint32_t action, unsigned arg_count)
{
    for (size_t i = 0; i < ARRAY_SIZE(late_calls); i++) {
        if (!str_equal(name, late_calls[i].name))
            continue;
        /* Arguments of calls this new are not looked at: then rather not allowed. */
        if (arg_count > 0 || b->late_count == SECCOMP_LATE_MAX)
            return 0;
        b->late[b->late_count++] = (struct seccomp_late){late_calls[i].number, action, late_calls[i].x86_64_only};
        return 0;
    }
    return 0;
}

int seccomp__rule(struct seccomp_builder *b, const char *name, uint32_t action, const struct scmp_arg_cmp *args,
                  unsigned arg_count, struct error *err)
{
    int number = seccomp_syscall_resolve_name(name);
    int r;

    if (action == b->default_action)
        return 0;
    if (number == __NR_SCMP_ERROR)
        return late_rule(b, name, action, arg_count);
    r = seccomp_rule_add_array(b->context, action, number, arg_count, args);
    /* EDOM, EOPNOTSUPP: of another architecture. EEXIST: twice in the profile. */
    if (r < 0 && r != -EDOM && r != -EOPNOTSUPP && r != -EEXIST)
        return error_errno(err, r == -EACCES ? EINVAL : -r, "cannot add a seccomp rule for %s", name);
    return 0;
}

static int rules(struct seccomp_builder *b, const char *names, struct error *err)
{
    CLEANUP_STRV char **list = strv_split(names, ' ');

    for (char **name = list; name && *name; name++) {
        int r = **name ? seccomp__rule(b, *name, SCMP_ACT_ALLOW, NULL, 0, err) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

static int export(struct seccomp_builder *b, struct sock_filter **ret, size_t *ret_count, struct error *err)
{
    CLEANUP_CLOSE int fd = memfd_create("seccomp", MFD_CLOEXEC);
    off_t size;
    int r = fd < 0 ? -errno : seccomp_export_bpf(b->context, fd);

    if (r < 0)
        return error_errno(err, -r, "cannot make the seccomp filter");
    size = lseek(fd, 0, SEEK_END);
    if (size <= 0 || size % (off_t)sizeof(struct sock_filter) != 0 || lseek(fd, 0, SEEK_SET) < 0)
        return error_set(err, EIO, "cannot make the seccomp filter");
    *ret = mem_alloc((size_t)size);
    if (fd_read_full(fd, *ret, (size_t)size) != size) {
        free(*ret);
        return error_set(err, EIO, "cannot read the seccomp filter");
    }
    *ret_count = (size_t)size / sizeof(struct sock_filter);
    return 0;
}

/* The late calls first: 5 and 2 instructions, then 2 for each. */
static size_t write_late(const struct seccomp_builder *b, struct sock_filter *out)
{
    size_t n = 0;

    for (size_t i = 0; i < b->late_count; i++) {
        const struct seccomp_late *late = &b->late[i];

        if (late->x86_64_only) {
            out[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
            out[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3);
            out[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        } else if (i == 0 || b->late[i - 1].x86_64_only) {
            out[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        }
        out[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, late->number, 0, 1);
        out[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, late->action);
    }
    return n;
}

int seccomp__finish(struct seccomp_builder *b, uint8_t **ret, size_t *ret_size, struct error *err)
{
    struct sock_filter *program = NULL, *whole;
    size_t count = 0, late;
    int r = export(b, &program, &count, err);

    if (r < 0)
        return r;
    whole = mem_array(count + 5 * b->late_count, sizeof(*whole));
    late = write_late(b, whole);
    memcpy(whole + late, program, count * sizeof(*whole));
    free(program);
    if (late + count > BPF_MAXINSNS) {
        free(whole);
        return error_set(err, EINVAL, "the seccomp profile is too large");
    }
    *ret = (uint8_t *)whole;
    *ret_size = (late + count) * sizeof(*whole);
    return 0;
}

/* --- the default ------------------------------------------------------------------------- */
static bool has(uint64_t caps, int cap)
{
    return caps >> cap & 1;
}

/* Every family below 46 but AF_ALG (38) and AF_VSOCK (40), as few aligned groups:
 * the kernel translates the filter anew at each start, and one comparison for each
 * family would be a third of it. */
static int add_socket(struct seccomp_builder *b, struct error *err)
{
    static const struct {
        uint32_t mask, value;
    } families[] = {
        {~31U, 0}, {~3U, 32}, {~1U, 36}, {~0U, 39}, {~0U, 41}, {~1U, 42}, {~1U, 44},
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++) {
        struct scmp_arg_cmp arg = SCMP_A0(SCMP_CMP_MASKED_EQ, families[i].mask, families[i].value);

        r = seccomp__rule(b, "socket", SCMP_ACT_ALLOW, &arg, 1, err);
    }
    return r;
}

static int add_personality(struct seccomp_builder *b, struct error *err)
{
    static const uint32_t harmless[] = {PER_LINUX, PER_LINUX32, UNAME26, PER_LINUX32 | UNAME26, 0xffffffff};
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(harmless); i++) {
        struct scmp_arg_cmp arg = SCMP_A0(SCMP_CMP_EQ, harmless[i]);

        r = seccomp__rule(b, "personality", SCMP_ACT_ALLOW, &arg, 1, err);
    }
    return r;
}

static int build_default(uint64_t caps, uint8_t **ret, size_t *ret_size, struct error *err)
{
    struct seccomp_builder b;
    int r = seccomp__begin(&b, SCMP_ACT_ERRNO(EPERM), err);

    if (r == 0)
        r = rules(&b, always, err);
    if (r == 0)
        r = rules(&b, since_4_8, err);
    if (r == 0)
        r = rules(&b, of_architecture, err);
    if (r == 0)
        r = add_socket(&b, err);
    if (r == 0)
        r = add_personality(&b, err);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(by_capability); i++)
        if (has(caps, by_capability[i].cap))
            r = rules(&b, by_capability[i].names, err);
    if (r == 0 && !has(caps, CAP_SYS_ADMIN)) {
        struct scmp_arg_cmp arg = SCMP_A0(SCMP_CMP_MASKED_EQ, NAMESPACE_FLAGS, 0);

        r = seccomp__rule(&b, "clone", SCMP_ACT_ALLOW, &arg, 1, err);
        /* Its flags are behind a pointer. ENOSYS makes libc use clone() instead. */
        if (r == 0)
            r = seccomp__rule(&b, "clone3", SCMP_ACT_ERRNO(ENOSYS), NULL, 0, err);
    }
    if (r == 0)
        r = seccomp__finish(&b, ret, ret_size, err);
    seccomp__drop(&b);
    return r;
}

/* A handful of capability sets are ever used; building takes some milliseconds. */
#define CACHE_SIZE 16
static struct {
    uint64_t caps;
    uint8_t *filter;
    size_t size;
} cache[CACHE_SIZE];
static size_t cache_next;
static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;

int seccomp_default(uint64_t caps, uint8_t **ret, size_t *ret_size, struct error *err)
{
    uint8_t *filter = NULL;
    size_t size = 0;
    int r = 0;

    pthread_mutex_lock(&cache_lock);
    for (size_t i = 0; i < CACHE_SIZE && !filter; i++) {
        if (cache[i].filter && cache[i].caps == caps) {
            size = cache[i].size;
            filter = mem_dup(cache[i].filter, size);
        }
    }
    if (!filter) {
        r = build_default(caps, &filter, &size, err);
        if (r == 0) {
            size_t slot = cache_next++ % CACHE_SIZE;

            free(cache[slot].filter);
            cache[slot].caps = caps;
            cache[slot].size = size;
            cache[slot].filter = mem_dup(filter, size);
        }
    }
    pthread_mutex_unlock(&cache_lock);
    if (r == 0) {
        *ret = filter;
        *ret_size = size;
    }
    return r;
}
