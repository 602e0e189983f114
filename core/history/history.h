/* history.h - the recorder: what the engine sees becomes history.
 *
 * Takes from the event bus (as its sink: an event is remembered before anybody
 * sees it), from the sampler (births and deaths on the host) and, once an
 * interval, from the containers (samples; for those with a kernel of their own
 * also their processes, whose births and deaths are found by comparing lists),
 * and gives to the store.
 *
 * It knows no containers: the engine says what runs through struct
 * history_source, so that this room stands below container. Two threads of its
 * own: one for the host and all that shares its kernel, one for guests, so that
 * a guest that stalls delays no other sample than guests'. A guest that answers
 * late or wrongly is asked less often.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tabique/host.h"

struct error;
struct event_bus;
struct history;
struct store;

/* Counters as they stand now; the recorder makes the rates. */
struct history_reading {
    int64_t sampled_ns;
    uint64_t cpu_total_ns;
    uint64_t memory_bytes;
    uint64_t net_rx_bytes, net_tx_bytes; /* over all interfaces */
    uint64_t block_read_bytes, block_write_bytes;
    uint32_t pids;
    bool rested; /* nothing can have happened since the last one: its processes are the same */
};

/* Return non-zero to end. */
typedef int history_container_fn(void *user, const char *id, bool own_kernel);

/* Called from the recorder's threads; `user` and all it leads to must live until
 * history_stop() has returned. Results below 0: no answer this time. */
struct history_source {
    void *user;
    /* Calls fn for each running container. Must not wait for a shim or guest. */
    int (*containers)(void *user, history_container_fn *fn, void *fn_user);
    int (*reading)(void *user, const char *id, struct history_reading *ret);
    /* Of a container with a kernel of its own, as it sees itself. */
    int (*processes)(void *user, const char *id, struct process_list **ret);
};

struct history_options {
    struct store *store;
    struct sampler *sampler; /* NULL: no host processes */
    struct event_bus *bus;   /* NULL: no events */
    struct history_source source;
    int64_t interval_ns;       /* 0: 1 s */
    int64_t guest_interval_ns; /* 0: as interval_ns */
};

/* First closes what ended while nobody looked (store_process_resync), then
 * records. Everything in options stays the caller's and outlives the recorder. */
int history_start(const struct history_options *options, struct history **ret, struct error *err);
void history_stop(struct history *history);

/* Playback. The processes of a container at a moment: with a kernel of its own
 * the list of its side, else those of the host's list that belonged to it. */
int history_container_at(struct store *store, const char *container_id, bool own_kernel,
                         int64_t at_ns, struct process_list **ret, struct error *err);
