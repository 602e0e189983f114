/* networks.c - connecting a container that is already there. Owner: container. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "container/internal.h"
#include "container/schema.h"
#include "container/validate.h"

static int check_mode(const struct spec *spec, const char *network, bool disconnect, struct error *err)
{
    const char *mode = json_string(spec->host_config, "NetworkMode", "");

    if (str_starts(mode, "container:"))
        return error_set(err, EINVAL, "container sharing network namespace with another container or host cannot be "
                                      "connected to any other network");
    if (strcmp(mode, "host") == 0)
        return disconnect ? error_set(err, EINVAL, "cannot disconnect container from host network - container was "
                                                   "created in host network mode")
                          : error_set(err, EINVAL, "container sharing network namespace with another container or "
                                                   "host cannot be connected to any other network");
    if (strcmp(network, "host") == 0 && !disconnect)
        return error_set(err, EINVAL, "cannot connect container to host network - container must be created in "
                                      "host network mode");
    if ((strcmp(mode, "none") == 0 || strcmp(network, "none") == 0) && !disconnect)
        return error_set(err, EINVAL, "container cannot be connected to multiple networks with one of the networks "
                                      "in private (none) mode");
    return 0;
}

/* A changed copy of the networks asked for takes the old one's place. */
static int replace_networks(struct container *container, const struct spec *spec, cJSON *networks, struct error *err)
{
    cJSON *host = cJSON_Duplicate(spec->host_config, true);

    return container__replace_spec(
        container, spec_new(spec->wall, cJSON_Duplicate(spec->config, true), host, networks), err);
}

static bool runs(struct container *container)
{
    enum container_state state = container__state(container);
    return state == CONTAINER_RUNNING || state == CONTAINER_PAUSED;
}

/* A kernel of its own has to be told. */
static int tell_machine(struct container *container, const struct spec *spec, struct error *err)
{
    CLEANUP_BOX struct shim_box *box = NULL;

    if (!(spec->wall->capabilities & ISOLATION_OWN_KERNEL) || container__running_box(container, &box, NULL) < 0)
        return 0;
    return shim_network(box->shim, err);
}

static void set_networks(cJSON *networks, const char *key, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(networks, key);
    json_add(networks, key, value);
}

static int connect_locked(struct container *container, const struct network *network, const cJSON *config,
                          struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    const char *mode = json_string(spec->host_config, "NetworkMode", "");
    cJSON *settings = NULL;

    int r = check_mode(spec, network->name, false, err);
    if (r == 0)
        r = schema_complete(&schema_endpoint, config, "EndpointConfig", &settings, err);
    if (r == 0)
        r = validate_endpoint(network_is_user_defined(network->name), settings, err);
    CLEANUP_JSON cJSON *networks = cJSON_Duplicate(spec->networks, true);
    if (r == 0 && (cJSON_HasObjectItem(networks, network->name) || strcmp(mode, network->name) == 0) && runs(container)) {
        CLEANUP_FREE char *name = container__name(container);
        pthread_mutex_lock(&container->lock);
        bool there = false;
        for (size_t i = 0; i < container->endpoint_count; i++)
            there = there || strcmp(container->endpoints[i].network_id, network->id) == 0;
        pthread_mutex_unlock(&container->lock);
        if (there)
            r = error_set(err, EPERM, "endpoint with name %s already exists in network %s", name, network->name);
    }
    if (r < 0) {
        cJSON_Delete(settings);
        return r;
    }

    struct network_endpoint wanted, endpoint = {0};
    bool live = runs(container);
    if (live && (r = sandbox_check_network(spec, network, err)) == 0) {
        sandbox_wanted(container, settings, &wanted);
        r = network_attach(container->engine->networks, container->id, network->id, &wanted, &endpoint, err);
        network_endpoint_clear(&wanted);
    }
    if (r == 0 && live && (r = tell_machine(container, spec, err)) < 0) {
        (void)network_detach(container->engine->networks, container->id, network->id, NULL);
        (void)tell_machine(container, spec, NULL);
        network_endpoint_clear(&endpoint);
    }
    if (r < 0) {
        cJSON_Delete(settings);
        return r;
    }
    set_networks(networks, network->name, settings);
    /* The mode's own network must not vanish from the list by being implied. */
    if (!cJSON_HasObjectItem(networks, mode)) {
        cJSON *implied = NULL;
        schema_complete(&schema_endpoint, NULL, "", &implied, NULL);
        json_add(networks, mode, implied);
    }
    r = replace_networks(container, spec, TAKE_PTR(networks), err);
    if (live) {
        struct network_endpoint shown;
        endpoint_copy(&shown, &endpoint);
        pthread_mutex_lock(&container->lock);
        container->endpoints = mem_grow(container->endpoints, container->endpoint_count + 1, sizeof(endpoint));
        container->endpoints[container->endpoint_count++] = endpoint;
        pthread_mutex_unlock(&container->lock);
        record_save_state(container, NULL);
        CLEANUP_SPEC struct spec *now = container__spec(container);
        sandbox_refresh(container, now);
        (void)tell_machine(container, now, NULL); /* of its hosts and name server */
        publish_network(container, &shown, "connect");
        network_endpoint_clear(&shown);
    }
    return r;
}

int container_connect(struct container *container, const char *network, const cJSON *endpoint_config,
                      struct error *err)
{
    struct network *found = NULL;

    int r = network_get(container->engine->networks, network, &found, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&container->operation);
    r = connect_locked(container, found, endpoint_config, err);
    pthread_mutex_unlock(&container->operation);
    network_free(found);
    return r;
}

static int disconnect_locked(struct container *container, const char *name, const char *id, struct error *err)
{
    CLEANUP_SPEC struct spec *spec = container__spec(container);
    const char *mode = json_string(spec->host_config, "NetworkMode", "");
    struct network_endpoint gone = {0};
    bool live = false;

    int r = check_mode(spec, name, true, err);
    if (r < 0)
        return r;
    pthread_mutex_lock(&container->lock);
    for (size_t i = 0; i < container->endpoint_count && !live; i++) {
        if (strcmp(container->endpoints[i].network_id, id) != 0)
            continue;
        gone = container->endpoints[i];
        container->endpoints[i] = container->endpoints[--container->endpoint_count];
        live = true;
    }
    pthread_mutex_unlock(&container->lock);
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(spec->networks, name);
    bool asked = settings ? !cJSON_IsNull(settings) : strcmp(mode, name) == 0;
    if (!live && (!asked || runs(container)))
        return error_set(err, EIO, "container %s is not connected to network %s", container->id, name);
    if (live)
        r = network_detach(container->engine->networks, container->id, id, err);

    cJSON *networks = cJSON_Duplicate(spec->networks, true);
    cJSON_DeleteItemFromObjectCaseSensitive(networks, name);
    /* The mode stays, as with Docker; a null says that its network was left. */
    if (strcmp(mode, name) == 0)
        json_add_null(networks, name);
    int saved = replace_networks(container, spec, networks, r < 0 ? NULL : err);
    if (live) {
        record_save_state(container, NULL);
        CLEANUP_SPEC struct spec *now = container__spec(container);
        sandbox_refresh(container, now);
        if (tell_machine(container, now, saved < 0 || r < 0 ? NULL : err) < 0 && saved == 0)
            saved = -EIO;
        publish_network(container, &gone, "disconnect");
        network_endpoint_clear(&gone);
    }
    return r < 0 ? r : saved;
}

int container_disconnect(struct container *container, const char *network, bool force, struct error *err)
{
    struct network *found = NULL;
    struct error unknown = ERROR_INIT;
    int r = network_get(container->engine->networks, network, &found, &unknown);

    if (r < 0 && !force) {
        if (err)
            *err = unknown;
        return r;
    }
    pthread_mutex_lock(&container->operation);
    r = disconnect_locked(container, found ? found->name : network, found ? found->id : network, err);
    pthread_mutex_unlock(&container->operation);
    if (found)
        network_free(found);
    return r;
}
