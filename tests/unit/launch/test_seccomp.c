/* Filters, tried by what they let through in a real container. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "launch/fixture.h"
#include "launch/seccomp_profile.h"
#include "tabique/error.h"

#define DOCKER_CAPS 0xa80425fbull
#define SYS_ADMIN (1ull << 21)

static struct result r;

/* "probe ARGS" under the default filter of these capabilities. */
static const char *probe(uint64_t caps, bool nnp, const char *user, const char *a, const char *b, const char *c)
{
    const char *argv[] = {"probe", a, b, c, NULL};
    struct plan *plan = fixture_plan(argv);
    struct error err = ERROR_INIT;

    plan->process.caps.bounding = plan->process.caps.permitted = caps;
    plan->process.no_new_privileges = nnp;
    fixture_user(plan, user);
    if (seccomp_default(caps, &plan->process.seccomp, &plan->process.seccomp_size, &err) < 0)
        fail_msg("%s", err.message);
    fixture_run(plan, NULL, &r);
    plan_free(plan);
    if (r.code != 0)
        fail_msg("%d %s %s", r.code, r.error, r.out);
    return r.out;
}

static void the_default(void **state)
{
    for (int i = 0; i < 3; i++) {
        bool nnp = i == 1;
        const char *user = i == 2 ? "alice" : "";

        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "socket", "38", NULL), "socket: EPERM\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "socket", "40", NULL), "socket: EPERM\n");
        /* the kernel would take this for 38 */
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "socket", "0x100000026", NULL), "socket: EPERM\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "socket", "1", NULL), "socket: ok\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "clone3", NULL, NULL), "clone3: ENOSYS\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "clone", "0", NULL), "clone: ok\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "clone", "0x10000000", NULL), "clone: EPERM\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "unshare", "0x10000000", NULL), "unshare: EPERM\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "keyctl", NULL, NULL), "keyctl: EPERM\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "personality", "0", NULL), "personality: ok\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "personality", "0x0040000", NULL), "personality: EPERM\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "mount", "tmpfs", "tmpfs"), "mount: EPERM\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "number", "425", NULL), "number: EPERM\n"); /* io_uring_setup */
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "number", "321", NULL), "number: EPERM\n"); /* bpf */
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "number", "246", NULL), "number: EPERM\n"); /* kexec_load */
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "number", "9999", NULL), "number: EPERM\n");
        /* newer than libseccomp, and allowed: fchmodat2 of fd -1 */
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "number", "452", NULL), "number: EFAULT\n");
        assert_string_equal(probe(DOCKER_CAPS, nnp, user, "number", "460", NULL), "number: EPERM\n");
    }
}

static void with_sys_admin(void **state)
{
    uint64_t caps = DOCKER_CAPS | SYS_ADMIN;

    assert_string_equal(probe(caps, false, "", "clone3", NULL, NULL), "clone3: ok\n");
    assert_string_equal(probe(caps, false, "", "unshare", "0x4000000", NULL), "unshare: ok\n");
    assert_string_equal(probe(caps, false, "", "clone", "0x20000000", NULL), "clone: ok\n");
    assert_string_equal(probe(caps, false, "", "number", "246", NULL), "number: EPERM\n");
}

static void cached(void **state)
{
    uint8_t *first = NULL, *second = NULL;
    size_t first_size, second_size;

    assert_int_equal(seccomp_default(DOCKER_CAPS, &first, &first_size, NULL), 0);
    assert_int_equal(seccomp_default(DOCKER_CAPS, &second, &second_size, NULL), 0);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    assert_ptr_not_equal(first, second);
    free(first);
    free(second);
    for (uint64_t caps = 0; caps < 40; caps++) { /* more than the cache holds */
        assert_int_equal(seccomp_default(caps << 20, &first, &first_size, NULL), 0);
        free(first);
    }
}

static int from(const char *text, struct plan *plan, uint64_t caps, struct error *err)
{
    return seccomp_from_json(text, strlen(text), caps, &plan->process.seccomp, &plan->process.seccomp_size, err);
}

static const char *under(const char *profile, uint64_t caps, const char *a, const char *b)
{
    const char *argv[] = {"probe", a, b, NULL};
    struct plan *plan = fixture_plan(argv);
    struct error err = ERROR_INIT;

    plan->process.caps.bounding = plan->process.caps.permitted = caps;
    if (from(profile, plan, caps, &err) < 0)
        fail_msg("%s", err.message);
    fixture_run(plan, NULL, &r);
    plan_free(plan);
    return r.out;
}

static void profiles(void **state)
{
    static const char block[] =
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":["
        "{\"names\":[\"keyctl\",\"no_such_call\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":95},"
        "{\"name\":\"fchmodat2\",\"action\":\"SCMP_ACT_ERRNO\"},"
        "{\"name\":\"personality\",\"action\":\"SCMP_ACT_ERRNO\",\"args\":[{\"index\":0,\"value\":8,\"op\":\"SCMP_CMP_EQ\"},{\"index\":0,\"value\":4294967295,\"op\":\"SCMP_CMP_EQ\"}]},"
        "{\"name\":\"unshare\",\"action\":\"SCMP_ACT_ERRNO\",\"excludes\":{\"caps\":[\"CAP_SYS_ADMIN\"]}},"
        "{\"name\":\"mount\",\"action\":\"SCMP_ACT_ERRNO\",\"includes\":{\"arches\":[\"s390\"]}},"
        "{\"name\":\"clone3\",\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38,\"includes\":{\"minKernel\":\"99.0\"}}]}";

    assert_string_equal(under(block, DOCKER_CAPS, "keyctl", NULL), "keyctl: EOPNOTSUPP\n");
    assert_string_equal(under(block, DOCKER_CAPS, "number", "452"), "number: EPERM\n");
    assert_string_equal(under(block, DOCKER_CAPS, "personality", "8"), "personality: EPERM\n");
    assert_string_equal(under(block, DOCKER_CAPS, "personality", "0xffffffff"), "personality: EPERM\n");
    assert_string_equal(under(block, DOCKER_CAPS, "personality", "0"), "personality: ok\n");
    assert_string_equal(under(block, DOCKER_CAPS, "unshare", "0x10000000"), "unshare: EPERM\n");
    assert_string_equal(under(block, DOCKER_CAPS | SYS_ADMIN, "unshare", "0x10000000"), "unshare: ok\n");
    assert_string_equal(under(block, DOCKER_CAPS, "clone3", NULL), "clone3: ok\n");
    (void)under("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":\"keyctl\",\"action\":\"SCMP_ACT_KILL_PROCESS\"}]}",
                DOCKER_CAPS, "keyctl", NULL);
    assert_int_equal(r.code, 128 + 31);
}

static void malformed_profiles(void **state)
{
    static const char *const bad[] = {
        "", "[]", "{", "{}", "{\"defaultAction\":\"SCMP_ACT_SING\"}", "{\"defaultAction\":7}",
        "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":5000}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":\"read\"}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":\"read\",\"names\":[\"x\"],\"action\":\"SCMP_ACT_KILL\"}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":\"read\",\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":6,\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":\"read\",\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"value\":-1,\"op\":\"SCMP_CMP_EQ\"}]}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":\"read\",\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"value\":1,\"op\":\"~\"}]}]}",
        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":\"read\",\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"value\":1e300,\"op\":\"SCMP_CMP_EQ\"}]}]}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error err = ERROR_INIT;
        struct plan *plan = plan_new();

        if (from(bad[i], plan, 0, &err) != -EINVAL)
            fail_msg("accepted or wrong class (%s): %s", err.message, bad[i]);
        assert_null(plan->process.seccomp);
        assert_true(err.message[0] != '\0');
        plan_free(plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default), cmocka_unit_test(with_sys_admin), cmocka_unit_test(cached),
        cmocka_unit_test(profiles),    cmocka_unit_test(malformed_profiles),
    };

    return cmocka_run_group_tests(tests, fixture_up, fixture_down);
}
