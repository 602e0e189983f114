/* The plan's codec: everything there and back, and nothing an outsider sends
 * gets through half-read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/wire.h"
#include "launch/cgroup.h"
#include "launch/plan.h"

static struct plan *full_plan(void)
{
    struct plan *plan = plan_new();

    plan->id = mem_strdup("abc");
    plan->namespaces[PLAN_NS_NET] = (struct plan_namespace){PLAN_NS_JOIN, mem_strdup("/run/netns/x")};
    plan->namespaces[PLAN_NS_PID].mode = PLAN_NS_NEW;
    plan->rootfs.layers_dir = mem_strdup("/layers");
    for (int i = 0; i < 100; i++)
        strv_take(&plan->rootfs.lower, mem_printf("l%d", i));
    plan->rootfs.readonly = true;
    plan->mounts = mem_array(2, sizeof(*plan->mounts));
    plan->mount_count = 2;
    plan->mounts[0] = (struct plan_mount){.type = mem_strdup("proc"), .target = mem_strdup("/proc"), .flags = UINT64_MAX};
    plan->mounts[1] = (struct plan_mount){.type = mem_strdup("tmpfs"), .target = mem_strdup("/t"), .copy_up = true, .data = mem_strdup("")};
    plan->sysctls = mem_array(1, sizeof(*plan->sysctls));
    plan->sysctl_count = 1;
    plan->sysctls[0] = (struct plan_pair){mem_strdup("a"), mem_strdup("b")};
    plan->limits.memory = -5;
    plan->limits.device_rules = mem_array(1, sizeof(*plan->limits.device_rules));
    plan->limits.device_rule_count = 1;
    plan->limits.device_rules[0] = (struct plan_device_rule){.allow = true, .type = 'c', .major = -1, .minor = 7, .access = "rw"};
    strv_push(&plan->process.argv, "sh");
    strv_push(&plan->process.argv, "");
    plan->process.rows = 65535;
    plan->process.oom_score_adj = -1000;
    plan->process.caps.bounding = 0xfedcba9876543210u;
    plan->process.seccomp = mem_dup("12345678", 8);
    plan->process.seccomp_size = 8;
    plan->process.rlimits = mem_array(1, sizeof(*plan->process.rlimits));
    plan->process.rlimit_count = 1;
    plan->process.rlimits[0] = (struct plan_rlimit){7, UINT64_MAX, 1};
    plan->init = true;
    return plan;
}

static void there_and_back(void **state)
{
    CLEANUP(plan_freep) struct plan *plan = full_plan();
    CLEANUP(plan_freep) struct plan *back = NULL;
    CLEANUP_STR struct str first = STR_INIT, second = STR_INIT;

    plan_encode(plan, &first);
    assert_int_equal(plan_decode(first.data, first.length, &back), 0);
    plan_encode(back, &second);
    assert_int_equal(first.length, second.length);
    assert_memory_equal(first.data, second.data, first.length);
    assert_int_equal(strv_length(back->rootfs.lower), 100);
    assert_string_equal(back->rootfs.lower[99], "l99");
    assert_string_equal(back->namespaces[PLAN_NS_NET].path, "/run/netns/x");
    assert_int_equal(back->mounts[0].flags, UINT64_MAX);
    assert_true(back->mounts[1].copy_up);
    assert_int_equal(back->limits.memory, -5);
    assert_int_equal(back->limits.memory_swappiness, -1);
    assert_int_equal(back->limits.device_rules[0].major, -1);
    assert_string_equal(back->limits.device_rules[0].access, "rw");
    assert_string_equal(back->process.argv[1], "");
    assert_int_equal(back->process.oom_score_adj, -1000);
    assert_int_equal(back->process.rows, 65535);
    assert_null(back->hostname);
}

/* Cut anywhere, it is refused or leaves whole fields out; never half of one. */
static void every_prefix(void **state)
{
    CLEANUP(plan_freep) struct plan *plan = full_plan();
    CLEANUP_STR struct str text = STR_INIT;

    plan_encode(plan, &text);
    for (size_t n = 0; n < text.length; n++) {
        CLEANUP_FREE char *exact = mem_dup(text.data, n ? n : 1);
        struct plan *back = NULL;
        int r = plan_decode(exact, n, &back);

        assert_true(r == 0 || r == -EBADMSG);
        plan_free(back);
    }
}

static void mutations(void **state)
{
    CLEANUP(plan_freep) struct plan *plan = full_plan();
    CLEANUP_STR struct str text = STR_INIT;
    unsigned seed = 1;

    plan_encode(plan, &text);
    for (int round = 0; round < 20000; round++) {
        CLEANUP_FREE char *copy = mem_dup(text.data, text.length);
        struct plan *back = NULL;

        for (int k = 0; k < 3; k++) {
            seed = seed * 1103515245 + 12345;
            copy[(seed >> 8) % text.length] = (char)(seed >> 24);
        }
        (void)plan_decode(copy, text.length, &back);
        plan_free(back);
    }
}

static void refused(void **state)
{
    CLEANUP_STR struct str twice = STR_INIT, many = STR_INIT, wide = STR_INIT, nul = STR_INIT;
    struct plan *plan = NULL;
    struct plan_process process;
    size_t mark;

    for (int i = 0; i < 2; i++) { /* the process, twice */
        mark = wire_begin(&twice, 16);
        wire_put_string(&twice, 1, "sh");
        wire_end(&twice, mark);
    }
    assert_int_equal(plan_decode(twice.data, twice.length, &plan), -EBADMSG);
    for (int i = 0; i <= PLAN_MAX_ITEMS; i++)
        wire_put_string(&many, 1, "x");
    assert_int_equal(plan_process_decode(many.data, many.length, &process), -EBADMSG);
    wire_put_u64(&wide, 7, 65536); /* rows are 16 bits */
    assert_int_equal(plan_process_decode(wide.data, wide.length, &process), -EBADMSG);
    wire_put_bytes(&nul, 1, "a\0b", 3);
    assert_int_equal(plan_process_decode(nul.data, nul.length, &process), -EBADMSG);
}

static void unknown_tags_are_skipped(void **state)
{
    CLEANUP_STR struct str text = STR_INIT;
    struct plan_process process;

    wire_put_string(&text, 1, "sh");
    wire_put_string(&text, 999, "from the future");
    assert_int_equal(plan_process_decode(text.data, text.length, &process), 0);
    assert_string_equal(process.argv[0], "sh");
    plan_process_clear(&process);
}

static void stats_there_and_back(void **state)
{
    struct cgroup_stats stats = {.sampled_ns = 1, .memory_limit = UINT64_MAX, .block_write_ops = 7}, back;
    CLEANUP_STR struct str text = STR_INIT;

    cgroup_stats_encode(&stats, &text);
    assert_int_equal(cgroup_stats_decode(text.data, text.length, &back), 0);
    assert_memory_equal(&stats, &back, sizeof(stats));
    assert_int_equal(cgroup_stats_decode(text.data, text.length - 1, &back), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back), cmocka_unit_test(every_prefix), cmocka_unit_test(mutations),
        cmocka_unit_test(refused), cmocka_unit_test(unknown_tags_are_skipped), cmocka_unit_test(stats_there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
