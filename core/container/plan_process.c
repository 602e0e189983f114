/* plan_process.c - what a container's process, or an exec in it, runs with:
 * arguments, environment, user, rights. Owner: container. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/validate.h"
#include "launch/plan.h"
#include "launch/seccomp_profile.h"

bool plan_error_of_user(const char *message)
{
    return str_starts(message, "unable to find user ") || str_starts(message, "unable to find group ") ||
           str_starts(message, "Unable to find group ") || str_starts(message, "uids and gids must be in range ");
}

/* --- environment ------------------------------------------------------------------- */

static size_t name_length(const char *variable)
{
    return strcspn(variable, "=");
}

/* "NAME=value" replaces, "NAME" alone takes the variable away. */
static void put_env(char ***env, const char *variable)
{
    size_t length = name_length(variable);

    for (char **at = *env; at && *at; at++) {
        if (name_length(*at) != length || strncmp(*at, variable, length) != 0)
            continue;
        free(*at);
        if (variable[length]) {
            *at = mem_strdup(variable);
        } else {
            for (; (*at = at[1]); at++)
                ;
        }
        return;
    }
    if (variable[length])
        strv_push(env, variable);
}

char **plan_build_env(struct container *container, const struct spec *spec, bool tty, const cJSON *more)
{
    const cJSON *lists[] = {json_get(spec->config, "Env"), more}, *item;
    char **env = NULL;

    strv_push(&env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    strv_take(&env, mem_printf("HOSTNAME=%s", json_string(spec->config, "Hostname", "")));
    if (tty)
        strv_push(&env, "TERM=xterm");
    CLEANUP_STRV char **links = links_env(container, spec);
    for (char **variable = links; variable && *variable; variable++)
        put_env(&env, *variable);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        cJSON_ArrayForEach(item, lists[i])
            if (cJSON_IsString(item))
                put_env(&env, item->valuestring);
    return env;
}

/* --- rights ------------------------------------------------------------------------------ */

static const char *security_option(const struct spec *spec, const char *key)
{
    size_t length = strlen(key);
    const char *value = NULL;
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(spec->host_config, "SecurityOpt")) {
        const char *text = item->valuestring;

        if (strncmp(text, key, length) != 0)
            continue;
        if (text[length] == '=' || text[length] == ':')
            value = text + length + 1;
        else if (text[length] == '\0')
            value = "true";
    }
    return value;
}

static int set_security(const struct spec *spec, bool privileged, struct plan_process *process, struct error *err)
{
    const char *seccomp = security_option(spec, "seccomp");
    const char *no_new = security_option(spec, "no-new-privileges");
    uint64_t caps;

    int r = capability_set(json_get(spec->host_config, "CapAdd"), json_get(spec->host_config, "CapDrop"), privileged, &caps, err);
    if (r < 0)
        return r;
    /* Nothing inheritable or ambient: CVE-2022-24769. */
    process->caps = (struct plan_caps){.bounding = caps, .permitted = caps};
    process->privileged = privileged;
    process->no_new_privileges = no_new && strchr("1tT", no_new[0]) != NULL;
    if (privileged || (seccomp && strcmp(seccomp, "unconfined") == 0))
        return 0;
    if (seccomp && *seccomp && strcmp(seccomp, "builtin") != 0)
        return seccomp_from_json(seccomp, strlen(seccomp), caps, &process->seccomp, &process->seccomp_size, err);
    return seccomp_default(caps, &process->seccomp, &process->seccomp_size, err);
}

static void set_rlimits(const struct spec *spec, struct plan_process *process)
{
    const cJSON *list = json_get(spec->host_config, "Ulimits"), *item;

    process->rlimits = mem_array((size_t)cJSON_GetArraySize(list) + 1, sizeof(*process->rlimits));
    cJSON_ArrayForEach(item, list) {
        int resource = rlimit_parse(json_string(item, "Name", ""));
        int64_t soft = json_int(item, "Soft", 0), hard = json_int(item, "Hard", 0);

        if (resource >= 0)
            process->rlimits[process->rlimit_count++] = (struct plan_rlimit){
                resource, soft < 0 ? RLIM_INFINITY : (uint64_t)soft, hard < 0 ? RLIM_INFINITY : (uint64_t)hard};
    }
}

static int build(const struct spec *spec, bool privileged, struct plan_process *process, struct error *err)
{
    process->groups = json_strv(spec->host_config, "GroupAdd");
    process->oom_score_adj = (int32_t)json_int(spec->host_config, "OomScoreAdj", 0);
    set_rlimits(spec, process);
    return set_security(spec, privileged, process, err);
}

/* --- the two kinds ------------------------------------------------------------------------- */

int plan_build_process(struct container *container, const struct spec *spec, struct plan_process *ret,
                       struct error *err)
{
    const char *cwd = json_string(spec->config, "WorkingDir", "");
    const cJSON *size = json_get(spec->host_config, "ConsoleSize");

    strv_push(&ret->argv, container->path);
    for (char **arg = container->args; arg && *arg; arg++)
        strv_push(&ret->argv, *arg);
    ret->tty = json_bool(spec->config, "Tty", false);
    ret->no_stdin = !ret->tty && !json_bool(spec->config, "OpenStdin", false);
    ret->env = plan_build_env(container, spec, ret->tty, NULL);
    ret->cwd = mem_strdup(*cwd ? cwd : "/");
    ret->user = mem_strdup(json_string(spec->config, "User", ""));
    if (cJSON_GetArraySize(size) == 2) {
        ret->rows = (uint16_t)cJSON_GetArrayItem(size, 0)->valuedouble;
        ret->cols = (uint16_t)cJSON_GetArrayItem(size, 1)->valuedouble;
    }
    return build(spec, json_bool(spec->host_config, "Privileged", false), ret, err);
}

int plan_build_exec(struct container *container, const struct spec *spec, char *const *argv, const cJSON *env, const char *user, const char *cwd,
                    bool tty, bool privileged, struct plan_process *ret, struct error *err)
{
    const char *own_cwd = json_string(spec->config, "WorkingDir", "");

    ret->argv = strv_dup(argv);
    ret->tty = tty;
    ret->env = plan_build_env(container, spec, tty, env);
    ret->cwd = mem_strdup(cwd && *cwd ? cwd : *own_cwd ? own_cwd : "/");
    ret->user = mem_strdup(user && *user ? user : json_string(spec->config, "User", ""));
    return build(spec, privileged || json_bool(spec->host_config, "Privileged", false), ret, err);
}
