#include "host_test.h"

#include <sched.h>

#include "../../../core/host/reader.h"

static int open_proc(void)
{
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void lists(void **state)
{
    struct process_list *list = process_list_new(0);
    static const pid_t pids[] = {30, 10, 20};

    for (size_t i = 0; i < ARRAY_SIZE(pids); i++)
        process_list_add(list)->pid = pids[i];
    process_list_sort(list);
    assert_int_equal(list->items[0].pid, 10);
    assert_int_equal(process_list_find(list, 20)->pid, 20);
    assert_null(process_list_find(list, 25));
    assert_null(process_list_find(NULL, 25));
    struct process_list *same = process_list_ref(list);
    process_list_unrefp(&list);
    assert_null(list);
    assert_int_equal(same->count, 3);
    process_list_unref(same);
}

static void odd_name(void)
{
    prctl(PR_SET_NAME, "a) R 1\n\x1b(");
}

static void self_and_others(void **state)
{
    CLEANUP_CLOSE int proc = open_proc();
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    pid_t child = start_child(odd_name);
    int64_t now = clock_real_ns();

    assert_int_equal(process_read(proc, NULL, 0, &list, NULL), 0);
    end_child(child);
    const struct process *self = process_list_find(list, getpid());
    assert_non_null(self);
    assert_int_equal(self->ppid, getppid());
    assert_int_equal(self->inner_ppid, getppid());
    assert_int_equal(self->inner_pid, getpid());
    assert_int_equal(self->uid, geteuid());
    assert_string_equal(self->user, "root");
    assert_string_equal(self->name, "test_host_reade");
    assert_non_null(strstr(self->command, "test_host_reader"));
    assert_true(self->memory_bytes > 4096);
    assert_true(self->pid_namespace != 0);
    assert_true(self->started_ns > now - 600 * NS_PER_SEC && self->started_ns <= now + NS_PER_SEC);
    assert_non_null(self->cgroup);
    const struct process *odd = process_list_find(list, child);
    assert_non_null(odd);
    assert_string_equal(odd->name, "a) R 1?"
                                   "?(");
    assert_int_equal(odd->state, 'S');
    for (size_t i = 1; i < list->count; i++)
        assert_true(list->items[i - 1].pid < list->items[i].pid);
    for (size_t i = 0; i < list->count; i++) {
        assert_non_null(list->items[i].user);
        assert_non_null(list->items[i].command);
    }
}

static void some_pids(void **state)
{
    CLEANUP_CLOSE int proc = open_proc();
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    pid_t child = start_child(NULL);
    const pid_t pids[] = {child, 2000000000, -5, 0, getpid()};

    assert_int_equal(process_read(proc, pids, ARRAY_SIZE(pids), &list, NULL), 0);
    assert_int_equal(list->count, 2);
    assert_non_null(process_list_find(list, child));
    end_child(child);
    process_list_unrefp(&list);
    assert_int_equal(process_read(proc, &child, 1, &list, NULL), 0);
    assert_int_equal(list->count, 0);
}

static void zombie_keeps_its_command(void **state)
{
    CLEANUP_CLOSE int proc = open_proc();
    struct process_reader *reader =
        process_reader_new(proc, &(struct process_reader_options){.refresh = 1});
    struct process_list *list = NULL;
    pid_t child = start_child(NULL);

    assert_int_equal(process_reader_read(reader, &child, 1, &list, NULL), 0);
    assert_int_equal(list->count, 1);
    CLEANUP_FREE char *command = strdup(list->items[0].command);
    process_list_unrefp(&list);
    kill(child, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_int_equal(process_reader_read(reader, &child, 1, &list, NULL), 0);
    assert_int_equal(list->items[0].state, 'Z');
    assert_string_equal(list->items[0].command, command);
    process_list_unref(list);
    end_child(child);
    assert_int_equal(process_reader_read(reader, &child, 1, &list, NULL), 0);
    assert_int_equal(list->count, 0);
    process_list_unref(list);
    process_reader_free(reader);
}

/* What is remembered must not outlive an exec: told by the name alone, or, with
 * the same name, by process_reader_forget(). */
static void exec_is_noticed(void **state)
{
    CLEANUP_CLOSE int proc = open_proc();
    struct process_reader *reader =
        process_reader_new(proc, &(struct process_reader_options){.refresh = 1000000});
    struct process_list *list = NULL;
    int go[2], went[2];
    char byte;

    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(went, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (read(go[0], &byte, 1) == 1)
            execl("/bin/sleep", "other-argv0", "1000", NULL);
        _exit(1);
    }
    close(went[1]);
    assert_int_equal(process_reader_read(reader, &child, 1, &list, NULL), 0);
    assert_non_null(strstr(list->items[0].command, "test_host_reader"));
    process_list_unrefp(&list);
    assert_int_equal(write(go[1], "g", 1), 1);
    assert_int_equal(read(went[0], &byte, 1), 0); /* close-on-exec: it has happened */
    assert_int_equal(process_reader_read(reader, &child, 1, &list, NULL), 0);
    assert_string_equal(list->items[0].name, "sleep");
    assert_string_equal(list->items[0].command, "other-argv0 1000");
    process_list_unrefp(&list);
    end_child(child);
    close(go[0]);
    close(go[1]);
    close(went[0]);
    process_reader_free(reader);
}

static void forgetting(void **state)
{
    CLEANUP_CLOSE int proc = open_proc();
    struct process_reader *reader =
        process_reader_new(proc, &(struct process_reader_options){.refresh = 1000000});
    struct process_list *list = NULL;
    int go[2], went[2];
    char byte;

    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(went, O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (write(went[1], "1", 1) == 1 && read(go[0], &byte, 1) == 1 && setuid(12345) == 0 &&
            write(went[1], "2", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(went[0], &byte, 1), 1);
    assert_int_equal(process_reader_read(reader, &child, 1, &list, NULL), 0);
    assert_int_equal(list->items[0].uid, 0);
    process_list_unrefp(&list);
    assert_int_equal(write(go[1], "g", 1), 1);
    assert_int_equal(read(went[0], &byte, 1), 1);
    process_reader_forget(reader, &child, 1);
    assert_int_equal(process_reader_read(reader, &child, 1, &list, NULL), 0);
    assert_int_equal(list->items[0].uid, 12345);
    assert_string_equal(list->items[0].user, "12345");
    process_list_unrefp(&list);
    end_child(child);
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(went[i]);
    }
    process_reader_free(reader);
}

static void inner_numbers(void **state)
{
    CLEANUP_CLOSE int proc = open_proc();
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    int pids[2];
    pid_t found[2];

    assert_int_equal(pipe2(pids, O_CLOEXEC), 0);
    pid_t parent = fork();
    assert_true(parent >= 0);
    if (parent == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWPID) < 0)
            _exit(1);
        pid_t init = fork();
        if (init == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            pid_t second = fork();
            if (second == 0) {
                for (;;)
                    pause();
            }
            for (;;)
                pause();
        }
        if (write(pids[1], &init, sizeof(init)) != sizeof(init))
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pids[0], &found[0], sizeof(pid_t)), sizeof(pid_t));
    found[1] = 0;
    while (found[1] == 0) {
        assert_int_equal(process_read(proc, NULL, 0, &list, NULL), 0);
        for (size_t i = 0; i < list->count; i++) {
            if (list->items[i].ppid == found[0])
                found[1] = list->items[i].pid;
        }
        if (found[1] == 0)
            process_list_unrefp(&list);
    }
    const struct process *init = process_list_find(list, found[0]);
    const struct process *second = process_list_find(list, found[1]);
    kill(found[0], SIGKILL);
    end_child(parent);
    close(pids[0]);
    close(pids[1]);
    assert_int_equal(init->inner_pid, 1);
    assert_int_equal(init->inner_ppid, 0);
    assert_int_equal(init->ppid, parent);
    assert_true(second->inner_pid > 1); /* 2, but for a sanitizer with a thread of its own */
    assert_int_equal(second->inner_ppid, 1);
    assert_int_equal(second->pid_namespace, init->pid_namespace);
    assert_int_not_equal(init->pid_namespace, process_list_find(list, parent)->pid_namespace);
}

static void users_of_a_root(void **state)
{
    char root[] = "/tmp/tabique-users-XXXXXX";
    char etc[64], file[96];
    struct process_list *list = process_list_new(2);

    assert_non_null(mkdtemp(root));
    snprintf(etc, sizeof(etc), "%s/etc", root);
    snprintf(file, sizeof(file), "%s/passwd", etc);
    assert_int_equal(mkdir(etc, 0755), 0);
    process_list_add(list)->uid = 0;
    process_list_add(list)->uid = 1000;
    int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    process_list_users(list, fd); /* no file */
    assert_string_equal(list->items[0].user, "0");
    int out = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_true(write(out, "boss:x:0:0\napp:x:1000:1\n", 24) == 24);
    close(out);
    process_list_users(list, fd);
    assert_string_equal(list->items[0].user, "boss");
    assert_string_equal(list->items[1].user, "app");
    /* a way out of the root, and something that would block */
    assert_int_equal(unlink(file), 0);
    assert_int_equal(symlink("../../../../../../etc/passwd", file), 0);
    process_list_users(list, fd);
    assert_string_equal(list->items[0].user, "0");
    assert_int_equal(unlink(file), 0);
    assert_int_equal(mkfifo(file, 0644), 0);
    process_list_users(list, fd);
    assert_string_equal(list->items[0].user, "0");
    unlink(file);
    rmdir(etc);
    rmdir(root);
    close(fd);
    process_list_unref(list);
}

static void pss(void **state)
{
    CLEANUP_CLOSE int proc = open_proc();
    CLEANUP(process_list_unrefp) struct process_list *list = NULL;
    pid_t self = getpid();
    uint64_t bytes = 0;

    assert_int_equal(process_read(proc, &self, 1, &list, NULL), 0);
    assert_int_equal(process_pss(proc, self, list->items[0].start_ticks, &bytes), 0);
    assert_true(bytes > 0);
    assert_int_equal(process_pss(proc, self, list->items[0].start_ticks + 1, &bytes), -ESRCH);
    assert_int_equal(process_pss(proc, 2000000000, 1, &bytes), -ESRCH);
}

/* A real cgroup, where there is a writable hierarchy. */
static void containers(void **state)
{
    static const char id[] = "aaaabbbbccccddddeeeeffff0000111122223333444455556666777788889999";
    static const char *const mounts[] = {"/sys/fs/cgroup/pids", "/sys/fs/cgroup"};
    CLEANUP_CLOSE int proc = open_proc();
    char parent[128], path[256], procs[300], text[32], prefix[64];
    bool made = false;

    snprintf(prefix, sizeof(prefix), "tabique-test-%d/", getpid());
    for (size_t i = 0; i < ARRAY_SIZE(mounts) && !made; i++) {
        snprintf(parent, sizeof(parent), "%s/tabique-test-%d", mounts[i], getpid());
        snprintf(path, sizeof(path), "%s/%s", parent, id);
        snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
        made = mkdir(parent, 0755) == 0 && mkdir(path, 0755) == 0 && access(procs, W_OK) == 0;
        if (!made) {
            rmdir(path);
            rmdir(parent);
        }
    }
    if (!made)
        skip();
    pid_t child = start_child(NULL);
    FILE *out = fopen(procs, "we");
    snprintf(text, sizeof(text), "%d\n", child);
    fputs(text, out);
    fclose(out);
    struct process_reader *reader =
        process_reader_new(proc, &(struct process_reader_options){.cgroup_prefix = prefix});
    struct process_list *list = NULL;
    int r = process_reader_read(reader, NULL, 0, &list, NULL);
    end_child(child);
    rmdir(path);
    rmdir(parent);
    assert_int_equal(r, 0);
    assert_string_equal(process_list_find(list, child)->container_id, id);
    assert_string_equal(process_list_find(list, getpid())->container_id, "");
    process_list_unref(list);
    process_reader_free(reader);
}

static void busy(void)
{
    static volatile int sink;

    if (fork() == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            sink++;
    }
}

static void cpu_share(void **state)
{
    CLEANUP_CLOSE int proc = open_proc();
    struct process_reader *reader = process_reader_new(proc, &(struct process_reader_options){0});
    struct process_list *list = NULL;
    pid_t child = start_child(busy);
    pid_t burner = 0;
    double share = 0;

    /* Until it shows: no matter how loaded the machine is. */
    for (int i = 0; i < 600 && share <= 0; i++) {
        assert_int_equal(process_reader_read(reader, NULL, 0, &list, NULL), 0);
        for (size_t k = 0; k < list->count; k++) {
            if (list->items[k].ppid == child) {
                burner = list->items[k].pid;
                share = list->items[k].cpu_percent;
                if (i == 0)
                    assert_true(share == 0);
            }
        }
        process_list_unrefp(&list);
        usleep(100000);
    }
    if (burner)
        kill(burner, SIGKILL);
    end_child(child);
    process_reader_free(reader);
    assert_true(share > 0 && share < 150);
}

static void host(void **state)
{
    struct host_stats a, b;

    assert_int_equal(host_stats(&a), 0);
    assert_int_equal(host_stats(&b), 0);
    assert_int_equal(a.cpus, sysconf(_SC_NPROCESSORS_ONLN));
    assert_true(a.cpu_total_ns > a.cpu_idle_ns && a.cpu_idle_ns > 0);
    assert_true(b.cpu_total_ns >= a.cpu_total_ns);
    assert_true(a.memory_total > a.memory_available && a.memory_available > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists),
        cmocka_unit_test(self_and_others),
        cmocka_unit_test(some_pids),
        cmocka_unit_test(zombie_keeps_its_command),
        cmocka_unit_test(exec_is_noticed),
        cmocka_unit_test(forgetting),
        cmocka_unit_test(inner_numbers),
        cmocka_unit_test(users_of_a_root),
        cmocka_unit_test(pss),
        cmocka_unit_test(containers),
        cmocka_unit_test(cpu_share),
        cmocka_unit_test(host),
    };

    return cmocka_run_group_tests_name("host_reader", tests, NULL, NULL);
}
