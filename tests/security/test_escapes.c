/* Escapes that others had to mend, tried against our launcher and shim. Each test
 * is named after the published one; each fails if the hole is there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "launch/seccomp_profile.h"
#include "shim/shim_fixture.h"
#include "tabique/error.h"

#define CAP(n) (1ull << (n))
#define SYS_PTRACE CAP(19)
#define SYS_ADMIN CAP(21)

static struct result r;
static struct error err;
static struct shim_started started;

static void run_plan(struct plan *plan)
{
    fixture_run(plan, NULL, &r);
    plan_free(plan);
}

#define HAS(text)                                                              \
    do {                                                                       \
        if (!strstr(r.out, text))                                              \
            fail_msg("no \"%s\" in: %s (%d, %s)", text, r.out, r.code, r.error); \
    } while (0)
#define HAS_NOT(text)                               \
    do {                                            \
        if (strstr(r.out, text))                    \
            fail_msg("\"%s\" in: %s", text, r.out); \
    } while (0)

/* A layer of its own on top of the base one, for images that mean harm. */
static struct plan *plan_with_image(const char *name, const char *script, int *ret_dir)
{
    CLEANUP_FREE char *dir = mem_printf("%s/%s", f.layers, name);
    struct plan *plan = plan_of(script);

    path_mkdirs(dir, 0755);
    strv_free(plan->rootfs.lower);
    plan->rootfs.lower = NULL;
    strv_push(&plan->rootfs.lower, name);
    strv_push(&plan->rootfs.lower, "base");
    *ret_dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(*ret_dir >= 0);
    return plan;
}

static uint64_t hash_of(const char *path)
{
    CLEANUP_FREE char *data = NULL;
    uint64_t hash = 1469598103934665603u;
    size_t length = 0;

    assert_int_equal(file_read(AT_FDCWD, path, 64u << 20, &data, &length), 0);
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (uint8_t)data[i]) * 1099511628211u;
    return hash;
}

/* CVE-2019-5736: a program of the container's opens /proc/PID/exe of whatever of
 * the host's shows up beside it, for writing: execs on their way in and --init's
 * pid 1 (round 0, where it must not even see them); execs of /proc/self/exe,
 * which then *are* the host's program, as processes of the container's (round 1);
 * all with CAP_SYS_PTRACE, which sees through "undumpable" (round 2). */
static void own_program_is_not_writable(void **state)
{
    uint64_t before = hash_of(SHIM_PROGRAM);

    for (int round = 0; round < 3; round++) {
        const char *argv[] = {"probe", "hunt", "2000", NULL};
        struct shim_case *c = shim_case_new(false);
        struct plan *plan = fixture_plan(argv);
        CLEANUP_FREE char *log = NULL;

        plan->init = true;
        if (round == 2)
            plan->process.caps.bounding = plan->process.caps.permitted |= SYS_PTRACE;
        assert_int_equal(shim_start(c->shim, plan, &started, &err), 0);
        for (int i = 0; i < 60; i++) {
            struct plan_process process = {.no_stdin = true, .caps = plan->process.caps};
            char id[16];

            snprintf(id, sizeof(id), "e%d", i);
            strv_push(&process.argv, round > 0 && i % 2 ? "/proc/self/exe" : "true");
            (void)shim_exec(c->shim, id, &process, NULL, &started, &err);
            plan_process_clear(&process);
        }
        assert_true(shim_case_wait_exit(c));
        log = shim_case_log(c);
        if (!strstr(log, round == 0 ? "hunt: writable 0 readable 0 memory 0" : "hunt: writable 0"))
            fail_msg("%d %s", round, log);
        plan_free(plan);
        shim_case_free(c);
    }
    assert_true(hash_of(SHIM_PROGRAM) == before);
}

/* The same by the entry point: argv[0] is /proc/self/exe, or the image's shell is
 * a script with that as its interpreter. */
static void entry_point_is_our_own_program(void **state)
{
    struct shim_case *c = shim_case_new(false);
    uint64_t before = hash_of(SHIM_PROGRAM);
    struct plan *plan;

    fixture_file("/bin/trick", "#!/proc/self/exe\n", 0755);
    plan = plan_of("x");
    strv_free(plan->process.argv);
    plan->process.argv = NULL;
    strv_push(&plan->process.argv, "/bin/trick");
    (void)shim_start(c->shim, plan, &started, &err);
    plan_free(plan);
    shim_case_free(c);
    assert_true(hash_of(SHIM_PROGRAM) == before);
}

/* CVE-2024-21626, first half: no fd of ours is left open in the container. */
static void no_leaked_fds(void **state)
{
    struct shim_case *c = shim_case_new(true);
    const char *argv[] = {"probe", "fds", NULL};
    struct plan *plan = fixture_plan(argv);
    struct plan_process process = {.argv = plan->process.argv};
    CLEANUP_FREE char *log = NULL;
    CLEANUP_FREE char *out = NULL;
    int sleeper_fd = -EBADF, fd = -EBADF;

    assert_int_equal(shim_attach(c->shim, NULL, 7, &fd, &err), 0);
    assert_int_equal(shim_start(c->shim, plan, &started, &err), 0);
    assert_true(shim_case_wait_exit(c));
    log = shim_case_log(c);
    assert_non_null(strstr(log, "fds: 0"));
    close(fd);
    shim_case_free(c);
    c = shim_case_new(true);
    {
        struct plan *sleeper = plan_of("sleep 1000");

        assert_int_equal(shim_start(c->shim, sleeper, &started, &err), 0);
        plan_free(sleeper);
    }
    assert_int_equal(shim_attach(c->shim, "e", 6, &sleeper_fd, &err), 0);
    assert_int_equal(shim_exec(c->shim, "e", &process, NULL, &started, &err), 0);
    out = shim_case_drain(sleeper_fd, NULL);
    close(sleeper_fd);
    assert_string_equal(out, "fds: 0\n");
    plan_free(plan);
    shim_case_free(c);
}

/* Second half: a working directory by way of an fd. */
static void working_directory_through_an_fd(void **state)
{
    int kept = open("/", O_PATH | O_DIRECTORY); /* without O_CLOEXEC, on purpose */

    assert_true(kept >= 0);
    for (int fd = 3; fd < 32; fd++) {
        for (int variant = 0; variant < 3; variant++) {
            struct plan *plan = plan_of("pwd; ls -d ../../../../tmp/tabique-test-* 2>/dev/null; ls ../../../../boot ../../../boot; probe fds");

            plan->process.cwd = mem_printf(variant == 0   ? "/proc/self/fd/%d"
                                           : variant == 1 ? "/proc/self/fd/%d/../../.."
                                                          : "/proc/thread-self/fd/%d/tmp", fd);
            run_plan(plan);
            if (r.code >= 0) {
                HAS_NOT("tabique-test-");
                HAS_NOT("vmlinuz");
                HAS("fds: 0");
            }
        }
    }
    close(kept);
}

static struct launched running;
static struct plan *running_plan;

/* ... and the same in exec, where the container prepares the way by a link. */
static void exec_working_directory(void **state)
{
    struct plan_process process = {.no_stdin = true, .cwd = mem_strdup("/trap")};
    struct result main_result;

    running_plan = plan_of("for i in 3 4 5 6 7 8 9 10 11 12; do ln -sfn /proc/self/fd/$i /trap; done; ln -sfn /proc/self/fd/7/../../.. /trap; echo ready; read x");
    assert_int_equal(fixture_start(running_plan, &running, &main_result), 0);
    {
        char c[8];

        assert_int_equal(read(running.stdio[1], c, 6), 6);
    }
    {
        struct launched e = LAUNCHED_INIT;
        struct plan view;

        strv_push(&process.argv, "sh");
        strv_push(&process.argv, "-c");
        strv_push(&process.argv, "ls /; ls ../../..");
        err = ERROR_INIT;
        if (launch_exec(running_plan, &running, &process, &e, &err) == 0) {
            view = (struct plan){.process = process};
            fixture_finish(&view, &e, NULL, &r);
            HAS_NOT("boot");
            fail_msg("a magic link was followed");
        }
    }
    plan_process_clear(&process);
    fixture_finish(running_plan, &running, "\n", &main_result);
    plan_free(running_plan);
}

/* CVE-2025-31133: what masks is the host's null device, whatever the image has at
 * /dev/null. (Our /dev is a fresh tmpfs; here one without.) */
static void masks_with_a_false_null(void **state)
{
    int dir;
    struct plan *plan = plan_with_image("false-null", "ls -l /proc/keys /proc/timer_list; cat /proc/keys; ls -l /host-secret; cat /host-secret; echo end", &dir);

    assert_int_equal(mkdirat(dir, "dev", 0755), 0);
    assert_int_equal(symlinkat("/proc/sys/kernel/core_pattern", dir, "dev/null"), 0);
    close(openat(dir, "host-secret", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    for (size_t i = 0; i < plan->mount_count; i++) { /* no tmpfs over the image's /dev */
        if (str_equal(plan->mounts[i].target, "/dev")) {
            free(plan->mounts[i].target);
            plan->mounts[i].target = mem_strdup("/elsewhere");
        }
    }
    strv_push(&plan->masked_paths, "/host-secret");
    run_plan(plan);
    close(dir);
    if (r.code >= 0) {
        HAS("1,   3");
        HAS_NOT("core");
        HAS("end");
    }
}

/* CVE-2025-52565: /dev/console is bound from the terminal we opened, not from a
 * name that may have become something else; and onto a file we made. */
static void console_is_the_terminal(void **state)
{
    int dir;
    struct plan *plan = plan_with_image("false-console", "ls -l /dev/console /dev/pts/0; cat /etc/target; echo end", &dir);

    assert_int_equal(mkdirat(dir, "dev", 0755), 0);
    assert_int_equal(mkdirat(dir, "etc", 0755), 0);
    close(openat(dir, "etc/target", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    assert_int_equal(symlinkat("/etc/target", dir, "dev/console"), 0);
    plan->process.tty = true;
    run_plan(plan);
    HAS("136,   0");
    HAS_NOT("-> ");
    HAS("end");
    /* without a tmpfs at /dev the link is there: then no container */
    plan = plan_with_image("false-console", "ls -l /etc/target; echo end", &dir);
    for (size_t i = 0; i < plan->mount_count; i++) {
        if (str_equal(plan->mounts[i].target, "/dev")) {
            free(plan->mounts[i].target);
            plan->mounts[i].target = mem_strdup("/elsewhere");
        }
    }
    plan->process.tty = true;
    run_plan(plan);
    assert_true(r.code < 0);
    assert_non_null(strstr(r.error, "symbolic link"));
    close(dir);
}

/* CVE-2025-52881: writes meant for procfs cannot be led elsewhere: neither by
 * mounts over it nor by links in the image. */
static void procfs_writes(void **state)
{
    CLEANUP_FREE char *volume = mem_printf("%s/sysvol", f.dir);
    CLEANUP_FREE char *caught = mem_printf("%s/sysvol/ip_forward", f.dir);
    CLEANUP_FREE char *text = NULL;
    struct plan *plan = plan_of("cat /proc/sys/net/ipv4/ip_forward");
    int fd;

    path_mkdirs(volume, 0755);
    fd = open(caught, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(fd_write_all(fd, "untouched", 9), 0);
    close(fd);
    fixture_mount(plan, "bind", volume, "/proc/sys/net/ipv4", 0, NULL);
    plan->sysctls = mem_array(1, sizeof(*plan->sysctls));
    plan->sysctl_count = 1;
    plan->sysctls[0] = (struct plan_pair){mem_strdup("net.ipv4.ip_forward"), mem_strdup("1")};
    run_plan(plan);
    assert_int_equal(file_read(AT_FDCWD, caught, 100, &text, NULL), 0);
    assert_string_equal(text, "untouched");
}

static void proc_as_a_link(void **state)
{
    static const char *const names[] = {"proc", "sys", "dev"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP_FREE char *image = mem_printf("link-%s", names[i]);
        struct plan *plan;
        struct stat st;
        int dir;

        /* runc CVE-2026-41579, crun CVE-2026-47766 for /dev */
        plan = plan_with_image(image, "true", &dir);
        assert_int_equal(mkdirat(dir, "target", 0755), 0);
        assert_int_equal(symlinkat("/target", dir, names[i]), 0);
        run_plan(plan);
        assert_true(r.code < 0);
        if (!strstr(r.error, "symbolic link"))
            fail_msg("%s: %s", names[i], r.error);
        assert_int_equal(fstatat(dir, "target", &st, 0), 0);
        close(dir);
    }
}

/* CVE-2021-30465 and its kin: targets of mounts lead out of the root by links of
 * the image or of a volume. They stay inside. */
static void mount_targets(void **state)
{
    CLEANUP_FREE char *outside = mem_printf("%s/outside", f.dir);
    CLEANUP_FREE char *volume = mem_printf("%s/hostile-volume", f.dir);
    CLEANUP_FREE char *up_link = mem_printf("../../../../../../../../../../..%s", outside);
    CLEANUP_FREE char *in_volume = mem_printf("%s/link", volume);
    CLEANUP_FREE char *new_dir = mem_printf("%s/made", outside);
    struct plan *plan;
    struct stat st;
    int dir;

    path_mkdirs(outside, 0755);
    path_mkdirs(volume, 0755);
    assert_int_equal(symlink(outside, in_volume), 0);
    plan = plan_with_image("hostile-links", "mount | grep -c marker; ls /absolute/ /relative/ /vol/link/", &dir);
    assert_int_equal(symlinkat(outside, dir, "absolute"), 0);
    assert_int_equal(symlinkat(up_link, dir, "relative"), 0);
    fixture_mount(plan, "tmpfs", "marker", "/absolute", 0, NULL);
    fixture_mount(plan, "tmpfs", "marker", "/relative/made", 0, NULL);
    fixture_mount(plan, "bind", volume, "/vol", MS_REC, NULL);
    fixture_mount(plan, "tmpfs", "marker", "/vol/link/made", 0, NULL);
    fixture_mount(plan, "tmpfs", "marker", "/../../../../escape", 0, NULL);
    run_plan(plan);
    close(dir);
    assert_int_equal(stat(new_dir, &st), -1);
    assert_int_equal(access("/escape", F_OK), -1);
    if (r.code >= 0)
        HAS("4");
}

/* crun CVE-2026-30892: only whole numbers are numbers. */
static void half_a_number_as_user(void **state)
{
    static const char *const users[] = {"1000x", "0x0", "+0", "-0", " 0", "1e3", "4294967296", "0\n"};

    for (size_t i = 0; i < ARRAY_SIZE(users); i++) {
        struct plan *plan = plan_of("id -u");

        fixture_user(plan, users[i]);
        run_plan(plan);
        assert_true(r.code < 0);
    }
}

/* CVE-2022-0492: no way to a release_agent: the file is read-only or absent, a
 * mount of one's own takes CAP_SYS_ADMIN, and a user namespace to get that in is
 * closed by seccomp. */
static void release_agent(void **state)
{
    struct plan *plan = plan_of("exec 2>/dev/null; mkdir /tmp/cg; mount -t cgroup -o memory cgroup /tmp/cg; mount -t cgroup2 cgroup2 /tmp/cg; "
                                "for f in $(find /sys/fs/cgroup /tmp/cg -name release_agent -o -name notify_on_release -o -name cgroup.procs -o -name devices.allow); do "
                                "if echo 1 2>/dev/null > $f; then echo wrote $f; fi; done; "
                                "probe unshare 0x10000000; probe unshare 0x12020000; probe clone 0x10000000; probe mount cgroup cgroup; echo end");

    assert_int_equal(seccomp_default(plan->process.caps.bounding, &plan->process.seccomp, &plan->process.seccomp_size, &err), 0);
    run_plan(plan);
    HAS_NOT("wrote");
    HAS_NOT(": ok");
    HAS("unshare: EPERM\nunshare: EPERM\nclone: EPERM\nmount: EPERM\nend");
}

/* Device nodes may be made (Docker allows it) but not used. */
static void host_devices(void **state)
{
    struct plan *plan;
    struct stat root;
    CLEANUP_FREE char *script = NULL;

    assert_int_equal(stat("/", &root), 0);
    script = mem_printf("probe device b %u %u; probe device c 1 1; probe device c 1 2; probe device c 10 232; probe device c 4 64; probe device c 1 11; probe device c 1 3",
                        major(root.st_dev), minor(root.st_dev));
    plan = plan_of(script);
    run_plan(plan);
    assert_string_equal(r.out, "device: EPERM\ndevice: EPERM\ndevice: EPERM\ndevice: EPERM\ndevice: EPERM\ndevice: EPERM\ndevice: ok\n");
}

/* Nothing of the host is in the mount table or can be walked to. */
static void old_root_is_gone(void **state)
{
    struct plan *plan = plan_of("cat /proc/self/mountinfo; ls /; cd /; cd ../../..; pwd; ls /proc/1/root/; ls /proc/1/cwd/; chroot /tmp /bin/true; echo end");

    run_plan(plan);
    HAS_NOT("ext4");
    HAS_NOT("boot");
    HAS_NOT("lost+found");
    HAS("end");
}

/* pid 1 of --init is ours and runs inside: nobody inside gets at its memory. */
static void init_is_closed(void **state)
{
    struct plan *plan = plan_of("probe write /proc/1/mem; probe read /proc/1/environ; probe readlink /proc/1/exe; probe ptrace 1; probe write /proc/1/exe; ls /proc/1/fd; ls /proc/1/root; echo end");

    plan->init = true;
    run_plan(plan);
    HAS("write: EACCES\n");
    HAS("readlink: EACCES\n");
    HAS("ptrace: EPERM\n");
    HAS_NOT("ok\n");
    HAS("end");
}

/* The host's keys are not the container's, also where no filter is set. */
static void session_keyring(void **state)
{
    struct plan *plan = plan_of("cat /proc/keys; echo end");

    strv_free(plan->masked_paths);
    plan->masked_paths = NULL;
    strv_push(&plan->masked_paths, "/proc/kcore");
    run_plan(plan);
    HAS("end");
    HAS("_ses");
}

/* A terminal is opened in a real devpts or not at all; and nothing blocks on what
 * an image has put there. */
static void hostile_devpts(void **state)
{
    int dir;
    struct plan *plan = plan_with_image("false-pts", "true", &dir);

    assert_int_equal(mkdirat(dir, "dev", 0755), 0);
    assert_int_equal(mkdirat(dir, "dev/pts", 0755), 0);
    assert_int_equal(mkfifoat(dir, "dev/pts/ptmx", 0666), 0);
    for (size_t i = 0; i < plan->mount_count; i++) {
        if (str_starts(plan->mounts[i].target, "/dev")) {
            CLEANUP_FREE char *moved = mem_printf("/moved%s", plan->mounts[i].target);

            free(plan->mounts[i].target);
            plan->mounts[i].target = mem_strdup(moved);
        }
    }
    plan->process.tty = true;
    run_plan(plan);
    close(dir);
    assert_true(r.code < 0);
    assert_non_null(strstr(r.error, "devpts"));
}

/* Setuid programs gain nothing under no_new_privileges. */
static void no_new_privileges(void **state)
{
    CLEANUP_FREE char *probe = mem_printf("%s/base/bin/probe", f.layers);

    assert_int_equal(chmod(probe, 04755), 0);
    for (int nnp = 0; nnp < 2; nnp++) {
        const char *argv[] = {"probe", "euid", NULL};
        struct plan *plan = fixture_plan(argv);

        plan->process.no_new_privileges = nnp;
        fixture_user(plan, "alice");
        run_plan(plan);
        HAS(nnp ? "euid 1000" : "euid 0");
    }
    assert_int_equal(chmod(probe, 0755), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_program_is_not_writable),
        cmocka_unit_test(entry_point_is_our_own_program),
        cmocka_unit_test(no_leaked_fds),
        cmocka_unit_test(working_directory_through_an_fd),
        cmocka_unit_test(exec_working_directory),
        cmocka_unit_test(masks_with_a_false_null),
        cmocka_unit_test(console_is_the_terminal),
        cmocka_unit_test(procfs_writes),
        cmocka_unit_test(proc_as_a_link),
        cmocka_unit_test(mount_targets),
        cmocka_unit_test(half_a_number_as_user),
        cmocka_unit_test(release_agent),
        cmocka_unit_test(host_devices),
        cmocka_unit_test(old_root_is_gone),
        cmocka_unit_test(init_is_closed),
        cmocka_unit_test(session_keyring),
        cmocka_unit_test(hostile_devpts),
        cmocka_unit_test(no_new_privileges),
    };

    return cmocka_run_group_tests(tests, fixture_up, fixture_down);
}
