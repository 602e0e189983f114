/* validate.h - Docker's rules for a container's configuration, in Docker's words.
 *
 * All work on complete objects (schema.h) and may put in what Docker puts in
 * (memory+swap, shm size, modes in their usual spelling). Errors are -EINVAL.
 * Warnings are appended. Pure but for looking at bind sources.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

struct error;
struct wall;

struct host_facts {
    unsigned controllers;  /* enum cgroup_controller */
    int cgroup_version;    /* 1 or 2 */
    int cpus;
    int memory_nodes;
    const char *default_isolation;
    bool hyperv_available;
    const char *hyperv_reason; /* why not; NULL: nobody has looked */
};

/* Before the image is known: Config and HostConfig as they came, and the networks
 * asked for (name -> EndpointSettings). */
int validate_create(const struct host_facts *facts, cJSON *config, cJSON *host_config, cJSON *networks,
                    const struct wall **ret_wall, char ***warnings, struct error *err);
/* Limits only; also for update (complete by schema_update). */
int validate_resources(const struct host_facts *facts, cJSON *resources, bool update, char ***warnings,
                       struct error *err);
int validate_restart_policy(const cJSON *policy, struct error *err);
int validate_endpoint(bool user_defined, const cJSON *endpoint, struct error *err);
/* The image's Config into what the request left open; refuses when nothing is left to run. */
int validate_merge_image(cJSON *config, const cJSON *image_config, struct error *err);
/* As merge, without the refusal: commit. */
void validate_merge(cJSON *config, const cJSON *image_config);

/* [a-zA-Z0-9][a-zA-Z0-9_.-]+, a leading slash allowed. */
int name_check(const char *name, struct error *err);
/* "quiet_arch": for a container nobody named; attempt > 0 adds a digit. */
void name_make_up(char out[64], int attempt);

/* "CAP_NET_ADMIN", "net_admin": its number, or -EINVAL. */
int capability_parse(const char *name);
/* Docker's rules for CapAdd, CapDrop (ALL included) over the default set. */
int capability_set(const cJSON *add, const cJSON *drop, bool privileged, uint64_t *ret, struct error *err);
#define CAPABILITIES_DEFAULT UINT64_C(0xa80425fb)
/* "80/tcp", "80-90/udp", "80": */
int port_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last, char ret_protocol[5]);
/* Host ports "", "80", "8000-8010". */
int port_range_parse(const char *text, uint16_t *ret_first, uint16_t *ret_last);
bool network_is_user_defined(const char *mode);
int rlimit_parse(const char *name); /* "nofile": RLIMIT_NOFILE; -EINVAL */
