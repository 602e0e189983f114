/* machine_pool.h - machines kept warm, each with a shim that waits for its container.
 *
 * Made in the background, one after the other and behind everything else, once the
 * machines are prepared; made again as they are taken or die. Nothing of it is on
 * disk and nothing outlives the server: the shims end with their connections.
 *
 * When all that are to wait do, a template is staged for the image that is expected
 * (isolation/hyperv/staged.h): what starts without a machine of the pool starts from it.
 *
 * Threads: any. */
#pragma once

#include <stdint.h>

struct error;
struct loop;
struct machine_pool;
struct machines;
struct shim;
struct shim_events;
struct shim_spec;

struct plan;

struct machine_pool_options {
    struct machines *machines; /* must outlive the pool */
    const char *shim_program;
    const char *cgroup_parent;
    const char *state_dir;     /* where containers' directories are */
    int size;                  /* 0: none waits */
};

struct machine_pool_info {
    int wanted, ready;
    uint64_t memory_bytes; /* what the ready ones use and share with nobody */
    uint64_t staged_bytes; /* of the staged template; 0: there is none */
};

struct machine_pool *machine_pool_new(const struct machine_pool_options *options);
void machine_pool_free(struct machine_pool *pool); /* and all that wait */
/* The next container will be like this one, whose plan it is: machines that wait get
 * its image mounted, and rehearse its start. */
void machine_pool_expect(struct machine_pool *pool, const struct plan *plan);
void machine_pool_info(struct machine_pool *pool, struct machine_pool_info *ret);
/* A shim as shim_spawn() gives one, with a warm machine if there is one, else with a
 * staged template to start from, if there is one of its image. cgroup: the container's. */
int machine_pool_spawn(struct machine_pool *pool, const struct shim_spec *spec, const char *cgroup, struct loop *loop,
                       const struct shim_events *events, void *user, struct shim **ret, struct error *err);
