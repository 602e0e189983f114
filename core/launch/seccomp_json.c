/* seccomp_json.c - profiles in Docker's JSON format. Owner: launch.
 *
 * Format: docs.docker.com/engine/security/seccomp and moby's profiles/seccomp.
 * Rules are for Docker's architecture names; includes and excludes are judged
 * here, so that what is left is a plain list.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <math.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "launch/seccomp_private.h"
#include "launch/seccomp_profile.h"

#define PROFILE_MAX (1u << 20)
#define RULES_MAX 8192

static const char *const capability_names[] = {
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
};

static bool has_capability(uint64_t caps, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(capability_names); i++)
        if (str_starts(name, "CAP_") && str_equal(name + 4, capability_names[i]))
            return caps >> i & 1;
    return false;
}

static bool is_our_architecture(const char *name)
{
#if defined(__x86_64__)
    return str_equal(name, "amd64") || str_equal(name, "x86_64");
#else
    return str_equal(name, "arm64") || str_equal(name, "aarch64");
#endif
}

static bool kernel_at_least(const char *version)
{
    struct utsname name;
    unsigned want[2] = {0}, have[2] = {0};

    if (sscanf(version, "%u.%u", &want[0], &want[1]) != 2 || uname(&name) < 0 ||
        sscanf(name.release, "%u.%u", &have[0], &have[1]) != 2)
        return false;
    return have[0] != want[0] ? have[0] > want[0] : have[1] >= want[1];
}

/* Docker's rules: all of the included capabilities, one of the included
 * architectures; none of the excluded ones. */
static bool applies(const cJSON *rule, uint64_t caps)
{
    const cJSON *includes = json_get(rule, "includes"), *excludes = json_get(rule, "excludes");
    const char *kernel = json_string(includes, "minKernel", NULL);
    const char *not_kernel = json_string(excludes, "minKernel", NULL);
    CLEANUP_STRV char **in_caps = json_strv(includes, "caps");
    CLEANUP_STRV char **in_arches = json_strv(includes, "arches");
    CLEANUP_STRV char **out_caps = json_strv(excludes, "caps");
    CLEANUP_STRV char **out_arches = json_strv(excludes, "arches");
    bool arch = strv_length(in_arches) == 0;

    for (char **name = in_arches; name && *name; name++)
        arch |= is_our_architecture(*name);
    if (!arch || (kernel && !kernel_at_least(kernel)) || (not_kernel && kernel_at_least(not_kernel)))
        return false;
    for (char **name = in_caps; name && *name; name++)
        if (!has_capability(caps, *name))
            return false;
    for (char **name = out_caps; name && *name; name++)
        if (has_capability(caps, *name))
            return false;
    for (char **name = out_arches; name && *name; name++)
        if (is_our_architecture(*name))
            return false;
    return true;
}

static int parse_action(const char *name, int64_t errno_value, uint32_t *ret, struct error *err)
{
    static const struct {
        const char *name;
        uint32_t action;
    } actions[] = {
        {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},       {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
        {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD}, {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
        {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},            {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    };

    if (errno_value < 0 || errno_value > 4095)
        return error_set(err, EINVAL, "invalid errnoRet %lld in a seccomp profile", (long long)errno_value);
    if (str_equal(name, "SCMP_ACT_ERRNO")) {
        *ret = SCMP_ACT_ERRNO((uint32_t)errno_value);
        return 0;
    }
    if (str_equal(name, "SCMP_ACT_TRACE")) {
        *ret = SCMP_ACT_TRACE((uint32_t)errno_value);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
        if (str_equal(name, actions[i].name)) {
            *ret = actions[i].action;
            return 0;
        }
    }
    return error_set(err, EINVAL, "unknown action \"%s\" in a seccomp profile", name);
}

static int parse_number(const cJSON *arg, const char *key, uint64_t *ret, struct error *err)
{
    double value = json_number(arg, key, 0);

    if (!(value >= 0 && value < 18446744073709551616.0) || value != floor(value))
        return error_set(err, EINVAL, "invalid \"%s\" in a seccomp profile", key);
    *ret = (uint64_t)value;
    return 0;
}

static int parse_arg(const cJSON *arg, struct scmp_arg_cmp *ret, struct error *err)
{
    static const struct {
        const char *name;
        enum scmp_compare op;
    } ops[] = {
        {"SCMP_CMP_NE", SCMP_CMP_NE}, {"SCMP_CMP_LT", SCMP_CMP_LT}, {"SCMP_CMP_LE", SCMP_CMP_LE},
        {"SCMP_CMP_EQ", SCMP_CMP_EQ}, {"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT},
        {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    };
    const char *op = json_string(arg, "op", "");
    int64_t index = json_int(arg, "index", -1);
    uint64_t value, value_two;
    int r = parse_number(arg, "value", &value, err);

    if (r == 0)
        r = parse_number(arg, "valueTwo", &value_two, err);
    if (r < 0)
        return r;
    if (index < 0 || index > 5)
        return error_set(err, EINVAL, "invalid argument index in a seccomp profile");
    for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
        if (str_equal(op, ops[i].name)) {
            *ret = (struct scmp_arg_cmp){.arg = (unsigned)index, .op = ops[i].op, .datum_a = value, .datum_b = value_two};
            return 0;
        }
    }
    return error_set(err, EINVAL, "unknown operator \"%s\" in a seccomp profile", op);
}

static int add_names(struct seccomp_builder *b, char *const *names, uint32_t action, const struct scmp_arg_cmp *args,
                     unsigned count, size_t *budget, struct error *err)
{
    for (; names && *names; names++) {
        int r;

        if ((*budget)-- == 0)
            return error_set(err, EINVAL, "the seccomp profile has too many rules");
        r = seccomp__rule(b, *names, action, args, count, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_rule(struct seccomp_builder *b, const cJSON *rule, int64_t default_errno, size_t *budget, struct error *err)
{
    const cJSON *list = json_get(rule, "args"), *item;
    CLEANUP_STRV char **names = json_strv(rule, "names");
    const char *name = json_string(rule, "name", NULL);
    struct scmp_arg_cmp args[16];
    unsigned count = 0, seen = 0;
    bool repeated = false;
    uint32_t action;
    int r = parse_action(json_string(rule, "action", ""), json_int(rule, "errnoRet", default_errno), &action, err);

    if (r < 0)
        return r;
    if (name && names)
        return error_set(err, EINVAL, "use either 'name' or 'names' in a seccomp profile");
    if (name)
        strv_push(&names, name);
    cJSON_ArrayForEach(item, list)
    {
        if (count == ARRAY_SIZE(args))
            return error_set(err, EINVAL, "too many arguments in a rule of a seccomp profile");
        r = parse_arg(item, &args[count], err);
        if (r < 0)
            return r;
        repeated |= seen >> args[count].arg & 1;
        seen |= 1u << args[count].arg;
        count++;
    }
    /* One argument tested twice means "either": a rule each (as runc does). */
    if (!repeated)
        return add_names(b, names, action, args, count, budget, err);
    for (unsigned i = 0; r == 0 && i < count; i++)
        r = add_names(b, names, action, &args[i], 1, budget, err);
    return r;
}

int seccomp_from_json(const char *text, size_t length, uint64_t caps, uint8_t **ret, size_t *ret_size,
                      struct error *err)
{
    CLEANUP_JSON cJSON *profile = NULL;
    struct seccomp_builder b = {0};
    const cJSON *rule;
    int64_t default_errno;
    size_t budget = RULES_MAX;
    uint32_t action;
    int r;

    if (length > PROFILE_MAX)
        return error_set(err, EINVAL, "the seccomp profile is too large");
    r = json_parse(text, length, &profile, err);
    if (r < 0)
        return error_prefix(err, "seccomp profile");
    if (!cJSON_IsObject(profile))
        return error_set(err, EINVAL, "the seccomp profile is not a JSON object");
    default_errno = json_int(profile, "defaultErrnoRet", EPERM);
    r = parse_action(json_string(profile, "defaultAction", ""), default_errno, &action, err);
    if (r == 0)
        r = seccomp__begin(&b, action, err);
    cJSON_ArrayForEach(rule, json_get(profile, "syscalls"))
    {
        if (r == 0 && applies(rule, caps))
            r = add_rule(&b, rule, EPERM, &budget, err);
    }
    if (r == 0)
        r = seccomp__finish(&b, ret, ret_size, err);
    seccomp__drop(&b);
    return r;
}
