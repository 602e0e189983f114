/* engine.h - the engine as a whole: what the server opens, and its parts.
 *
 * engine_open() builds the rooms on their directories, reattaches to the shims
 * that still run, catches up on what ended meanwhile (exit codes, events,
 * restart policies) and starts the recorder. engine_close() leaves every
 * container running.
 *
 * One engine owns its data_dir (flock on <data>/lock; -EBUSY if another server
 * has it). Threads: any, after open.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct error;
struct event_bus;
struct image_store;
struct network_manager;
struct notify;
struct sampler;
struct store;
struct volume_store;

struct engine_options {
    const char *data_dir;       /* /var/lib/tabique */
    const char *run_dir;        /* /run/tabique */
    const char *libexec_dir;    /* tabique-shim, tabique-agent, kernel */
    const char *machines_dir;   /* the machines' template; NULL: DATA-DIR/machines. Servers may share one */
    const char *default_isolation; /* "process" or "hyperv"; NULL: process */
    const char *userns_remap;   /* USER[:GROUP] or "default": whose subordinate ids (subuid(5)) containers get; NULL, "": none */
    const char *cgroup_parent;  /* NULL: "tabique", made unique by data_dir where another uses it */
    const char *bridge, *bip;   /* network.h */
    const char *const *address_pools;
    const struct registry_options *registry; /* read at open; NULL: its defaults */
    const char *const *dns;     /* name servers of containers that name none; NULL: the host's */
    int64_t image_max_bytes, image_max_ratio; /* image.h's limits; 0: theirs */
    const char *accelerator;    /* NULL: probe; or forced "kvm", "mshv", "tcg" */
    int machine_pool;           /* machines kept warm; 0: none */
    int64_t machine_disk_bytes; /* how much a container behind the thick wall can write; 0: 10 GiB */
    int64_t history_retain_ns, audit_retain_ns, history_max_bytes; /* store.h; 0 default */
    int64_t sample_interval_ns; /* recorder; 0: 1 s */
};

int engine_open(const struct engine_options *options, struct engine **ret, struct error *err);
void engine_close(struct engine *engine);
/* Before engine_close() when the machine goes down: stops all containers as docker stop
 * would. Those with a restart policy start again with the machine. */
void engine_machine_stops(struct engine *engine);

const struct engine_options *engine_get_options(const struct engine *engine);
const char *engine_id(const struct engine *engine); /* UUID, made once per data_dir */
struct image_store *engine_images(struct engine *engine);
struct registry *engine_registry(struct engine *engine);
struct network_manager *engine_networks(struct engine *engine);
struct volume_store *engine_volumes(struct engine *engine);
struct event_bus *engine_events(struct engine *engine);
struct sampler *engine_sampler(struct engine *engine);
struct store *engine_store(struct engine *engine);
struct notify *engine_notify(struct engine *engine);

/* What stands here: for /info, /api/v1/info and the console. */
struct engine_info {
    int cgroup_version;          /* 1 (also hybrid) or 2 */
    unsigned cgroup_controllers; /* launch/cgroup.h's set */
    const char *accelerator;     /* NULL: no thick wall here */
    const char *accelerator_reason; /* why this one, or why none */
    bool security_boundary;      /* of the thick wall */
    bool hyperv_available;
    const char *default_isolation;
    int containers, running, paused, stopped;
};
void engine_info(struct engine *engine, struct engine_info *ret);

/* Machines kept warm for the next containers. Reads their memory: not for every request. */
struct engine_pool {
    int wanted, ready;
    uint64_t memory_bytes; /* of the ready ones, shared with nobody */
    uint64_t staged_bytes; /* of the template that is staged for the image started last; 0: none */
};
void engine_pool(struct engine *engine, struct engine_pool *ret);
