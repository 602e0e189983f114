/* names.c - small grammars: names, capabilities, ports, limits. Owner: container.
 * Sources: capabilities(7), getrlimit(2). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "base/json.h"
#include "base/random.h"
#include "base/str.h"
#include "container/validate.h"
#include "tabique/error.h"

static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int name_check(const char *name, struct error *err)
{
    const char *at = name[0] == '/' ? name + 1 : name;
    size_t length = strlen(at);
    bool good = length >= 2 && length <= 255 && is_alphanumeric(*at);

    for (const char *c = at; good && *c; c++)
        good = is_alphanumeric(*c) || *c == '_' || *c == '.' || *c == '-';
    return good ? 0
                : error_set(err, EINVAL,
                            "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
                            name);
}

static const char *const moods[] = {
    "airy",    "ample",   "bold",    "brave",  "bright", "calm",   "clear",   "cosy",
    "crisp",   "deft",    "eager",   "early",  "even",   "fair",   "fine",    "firm",
    "fresh",   "gentle",  "glad",    "golden", "grand",  "happy",  "honest",  "humble",
    "keen",    "kind",    "light",   "lively", "loyal",  "lucid",  "mellow",  "merry",
    "mild",    "modest",  "neat",    "nimble", "noble",  "open",   "patient", "plain",
    "polite",  "proud",   "quick",   "quiet",  "ready",  "serene", "sharp",   "shy",
    "simple",  "sleepy",  "smooth",  "snug",   "sober",  "solid",  "steady",  "still",
    "sunny",   "swift",   "tidy",    "tiny",   "trusty", "upbeat", "warm",    "wise",
};

static const char *const parts[] = {
    "adobe",   "alcove",  "arcade",  "arch",    "attic",   "awning",  "balcony", "balustrade",
    "bastion", "bay",     "beam",    "belfry",  "brick",   "bridge",  "buttress", "canopy",
    "cellar",  "cloister", "column", "cornice", "corridor", "court",  "cupola",  "dome",
    "door",    "dormer",  "eave",    "fountain", "frieze", "gable",   "gallery", "garret",
    "gate",    "girder",  "hall",    "hearth",  "joist",   "keystone", "lantern", "lattice",
    "lintel",  "loft",    "mantel",  "mosaic",  "niche",   "oriel",   "parapet", "patio",
    "pergola", "pillar",  "plinth",  "porch",   "portico", "rafter",  "rotunda", "stair",
    "tabique", "terrace", "tile",    "tower",   "truss",   "vault",   "veranda", "zaguan",
};

void name_make_up(char out[64], int attempt)
{
    uint8_t dice[3];

    random_bytes(dice, sizeof(dice));
    int length = snprintf(out, 64, "%s_%s", moods[dice[0] % ARRAY_SIZE(moods)],
                          parts[dice[1] % ARRAY_SIZE(parts)]);
    if (attempt > 0)
        snprintf(out + length, 64 - (size_t)length, "%u", dice[2] % 10u + (attempt > 3 ? (unsigned)attempt * 10u : 0u));
}

/* By number. */
static const char *const capabilities[] = {
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
    "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG",
    "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
};
#define CAPABILITIES_ALL ((UINT64_C(1) << ARRAY_SIZE(capabilities)) - 1)

int capability_parse(const char *name)
{
    char upper[64];
    size_t length = strlen(name);

    if (length >= sizeof(upper))
        return -EINVAL;
    for (size_t i = 0; i <= length; i++)
        upper[i] = name[i] >= 'a' && name[i] <= 'z' ? (char)(name[i] - 'a' + 'A') : name[i];
    const char *bare = str_starts(upper, "CAP_") ? upper + 4 : upper;
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
        if (strcmp(capabilities[i], bare) == 0)
            return (int)i;
    return -EINVAL;
}

static int read_set(const cJSON *list, const char *field, uint64_t *ret, bool *ret_all, struct error *err)
{
    const cJSON *item;

    *ret = 0;
    *ret_all = false;
    cJSON_ArrayForEach(item, list) {
        if (str_equal_nocase(item->valuestring, "ALL") || str_equal_nocase(item->valuestring, "CAP_ALL")) {
            *ret_all = true;
            continue;
        }
        int number = capability_parse(item->valuestring);
        if (number < 0)
            return error_set(err, EINVAL, "invalid %s: unknown capability: \"%s%s\"", field,
                             str_starts(item->valuestring, "CAP_") ? "" : "CAP_", item->valuestring);
        *ret |= UINT64_C(1) << number;
    }
    return 0;
}

int capability_set(const cJSON *add, const cJSON *drop, bool privileged, uint64_t *ret, struct error *err)
{
    uint64_t added, dropped;
    bool add_all, drop_all;

    int r = read_set(add, "CapAdd", &added, &add_all, err);
    if (r == 0)
        r = read_set(drop, "CapDrop", &dropped, &drop_all, err);
    if (r < 0)
        return r;
    if (privileged)
        *ret = CAPABILITIES_ALL;
    else if (add_all)
        *ret = CAPABILITIES_ALL & ~dropped;
    else if (drop_all)
        *ret = added;
    else
        *ret = (CAPABILITIES_DEFAULT & ~dropped) | added;
    return 0;
}

int port_range_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last)
{
    char first[8];
    const char *dash = strchr(text, '-');
    int low, high;

    if (*text == '\0') {
        *ret_first = *ret_last = 0;
        return 0;
    }
    size_t length = dash ? (size_t)(dash - text) : strlen(text);
    if (length >= sizeof(first))
        return -EINVAL;
    memcpy(first, text, length);
    first[length] = '\0';
    if (str_to_int(first, 0, 65535, &low) < 0)
        return -EINVAL;
    high = low;
    if (dash && str_to_int(dash + 1, low, 65535, &high) < 0)
        return -EINVAL;
    *ret_first = (uint16_t)low;
    *ret_last = (uint16_t)high;
    return 0;
}

int port_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last, char ret_protocol[5])
{
    char ports[16];
    const char *slash = strchr(text, '/');
    const char *protocol = slash ? slash + 1 : "tcp";
    size_t length = slash ? (size_t)(slash - text) : strlen(text);

    if (length == 0 || length >= sizeof(ports))
        return -EINVAL;
    memcpy(ports, text, length);
    ports[length] = '\0';
    if (!str_equal_nocase(protocol, "tcp") && !str_equal_nocase(protocol, "udp") &&
        !str_equal_nocase(protocol, "sctp"))
        return -EINVAL;
    int r = port_range_parse(ports, ret_first, ret_last);
    if (r < 0)
        return r;
    for (size_t i = 0; i < 5; i++) {
        ret_protocol[i] = protocol[i] >= 'A' && protocol[i] <= 'Z' ? (char)(protocol[i] + 32) : protocol[i];
        if (protocol[i] == '\0')
            break;
    }
    return 0;
}

bool network_is_user_defined(const char *mode)
{
    return *mode && strcmp(mode, "default") != 0 && strcmp(mode, "bridge") != 0 &&
           strcmp(mode, "host") != 0 && strcmp(mode, "none") != 0 && !str_starts(mode, "container:");
}

static const struct {
    const char *name;
    int resource;
} rlimits[] = {
    {"core", RLIMIT_CORE},         {"cpu", RLIMIT_CPU},           {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},       {"locks", RLIMIT_LOCKS},       {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},         {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},       {"rss", RLIMIT_RSS},           {"rtprio", RLIMIT_RTPRIO},
    {"rttime", RLIMIT_RTTIME},     {"sigpending", RLIMIT_SIGPENDING}, {"stack", RLIMIT_STACK},
};

int rlimit_parse(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(rlimits); i++)
        if (strcmp(rlimits[i].name, name) == 0)
            return rlimits[i].resource;
    return -EINVAL;
}
