/* update.c - new limits, another restart policy. Owner: container. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "container/engine_internal.h"
#include "container/internal.h"
#include "container/schema.h"
#include "container/validate.h"
#include "launch/plan.h"

#define CONFLICT(text) error_set(err, EBUSY, "Conflicting options: " text)

/* The numbers and texts that update replaces where they are set at all. */
static const char *const numbers[] = {"BlkioWeight", "CpuShares", "NanoCpus", "CpuPeriod", "CpuQuota", "Memory",
                                      "MemorySwap", "MemoryReservation", "KernelMemory", "CpuRealtimePeriod",
                                      "CpuRealtimeRuntime"};
static const char *const texts[] = {"CpusetCpus", "CpusetMems"};

static int check_conflicts(const cJSON *old, const cJSON *wanted, struct error *err)
{
    int64_t memory = json_int(wanted, "Memory", 0);

    if (json_int(wanted, "NanoCpus", 0) > 0 && json_int(old, "CpuPeriod", 0) > 0)
        return CONFLICT("Nano CPUs cannot be updated as CPU Period has already been set");
    if (json_int(wanted, "NanoCpus", 0) > 0 && json_int(old, "CpuQuota", 0) > 0)
        return CONFLICT("Nano CPUs cannot be updated as CPU Quota has already been set");
    if (json_int(wanted, "CpuPeriod", 0) > 0 && json_int(old, "NanoCpus", 0) > 0)
        return CONFLICT("CPU Period cannot be updated as NanoCPUs has already been set");
    if (json_int(wanted, "CpuQuota", 0) > 0 && json_int(old, "NanoCpus", 0) > 0)
        return CONFLICT("CPU Quota cannot be updated as NanoCPUs has already been set");
    if (memory != 0 && json_int(wanted, "MemorySwap", 0) == 0 && memory > json_int(old, "MemorySwap", 0) &&
        json_int(old, "MemorySwap", 0) != -1)
        return error_set(err, EBUSY, "Memory limit should be smaller than already set memoryswap limit, update the "
                                     "memoryswap at the same time");
    if (*json_string(json_get(wanted, "RestartPolicy"), "Name", "") && json_bool(old, "AutoRemove", false) &&
        strcmp(json_string(json_get(wanted, "RestartPolicy"), "Name", ""), "no") != 0)
        return error_set(err, EBUSY, "Restart policy cannot be updated because AutoRemove is enabled for the container");
    return 0;
}

static void set(cJSON *object, const char *key, const cJSON *value)
{
    cJSON *copy = cJSON_Duplicate(value, true);

    if (cJSON_HasObjectItem(object, key))
        cJSON_ReplaceItemInObjectCaseSensitive(object, key, copy);
    else
        json_add(object, key, copy);
}

static cJSON *merged(const cJSON *old, const cJSON *wanted)
{
    cJSON *host = cJSON_Duplicate(old, true);

    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (json_int(wanted, numbers[i], 0) != 0)
            set(host, numbers[i], json_get(wanted, numbers[i]));
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (*json_string(wanted, texts[i], ""))
            set(host, texts[i], json_get(wanted, texts[i]));
    if (cJSON_IsNumber(json_get(wanted, "PidsLimit")))
        set(host, "PidsLimit", json_get(wanted, "PidsLimit"));
    if (*json_string(json_get(wanted, "RestartPolicy"), "Name", ""))
        set(host, "RestartPolicy", json_get(wanted, "RestartPolicy"));
    return host;
}

int container__replace_spec(struct container *container, struct spec *changed, struct error *err)
{
    pthread_mutex_lock(&container->lock);
    struct spec *old = container->spec;
    container->spec = changed;
    pthread_mutex_unlock(&container->lock);
    int r = record_save_config(container, err);
    if (r < 0) {
        pthread_mutex_lock(&container->lock);
        container->spec = old;
        pthread_mutex_unlock(&container->lock);
        old = changed;
    }
    spec_unref(old);
    return r;
}

static int apply_limits(struct container *container, const struct spec *spec, struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;
    struct plan_limits limits = {0};

    if (container__running_box(container, &box, NULL) < 0)
        return 0; /* at the next start */
    int r = plan_build_limits(spec->host_config, &limits, err);
    if (r == 0)
        r = shim_update(box->shim, &limits, err);
    plan_limits_clear(&limits);
    return r;
}

static int update_locked(struct container *container, const cJSON *wanted, struct error *err)
{
    CLEANUP_SPEC struct spec *old = container__spec(container);

    pthread_mutex_lock(&container->lock);
    bool going = container->removal_begun || container->run.state == CONTAINER_DEAD;
    pthread_mutex_unlock(&container->lock);
    if (going)
        return error_set(err, EBUSY, "container is marked for removal and cannot be \"update\"");
    int r = check_conflicts(old->host_config, wanted, err);
    if (r < 0)
        return r;
    struct spec *changed = spec_new(old->wall, cJSON_Duplicate(old->config, true), merged(old->host_config, wanted),
                                    cJSON_Duplicate(old->networks, true));
    spec_ref(changed);
    r = container__replace_spec(container, changed, err);
    if (r == 0) {
        r = apply_limits(container, changed, err);
        if (r < 0)
            container__replace_spec(container, spec_ref(old), NULL);
    }
    spec_unref(changed);
    return r;
}

int container_update(struct container *container, const cJSON *body, char ***ret_warnings, struct error *err)
{
    CLEANUP_JSON cJSON *wanted = NULL;
    char **warnings = NULL;
    struct host_facts facts;

    engine_facts(container->engine, &facts);
    int r = schema_complete(&schema_update, body, "", &wanted, err);
    if (r == 0)
        r = validate_restart_policy(json_get(wanted, "RestartPolicy"), err);
    if (r == 0)
        r = validate_resources(&facts, wanted, true, &warnings, err);
    if (r == 0) {
        pthread_mutex_lock(&container->operation);
        r = update_locked(container, wanted, err);
        pthread_mutex_unlock(&container->operation);
        if (r < 0)
            error_prefix(err, "Cannot update container %s", container->id);
    }
    if (r == 0)
        publish_container(container, "update", NULL);
    if (r < 0 || !ret_warnings)
        strv_free(warnings);
    else
        *ret_warnings = warnings;
    return r;
}
