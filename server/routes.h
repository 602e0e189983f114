/* routes.h - what the routes_*.c share: short ways to an answer.
 *
 * A handler finds its objects, calls core once, and answers with one of
 * route_fail/route_done/route_json. Long answers go through route_detach(), so
 * that a slow client holds a thread of its own and not one of the workers.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "http.h"
#include "tabique/container.h"
#include "tabique/error.h"

#define CLEANUP_CONTAINER CLEANUP(container_putp)
#define CLEANUP_CONTAINER_INFO CLEANUP(container_info_freep)

/* r is what core returned (< 0), err what it said. */
int route_fail(struct request *request, int r, struct error *err);
/* r < 0: route_fail(); else an empty answer. */
int route_done(struct request *request, int r, struct error *err, int status);
/* r < 0: route_fail() (and json is freed); else json. */
int route_json(struct request *request, int r, struct error *err, int status, cJSON *json);
/* fn runs in a thread of its own, from argument checks on. */
int route_detach(struct request *request, detached_fn *fn);

/* The container of {id}; with its info. */
int route_container(struct request *request, struct container **ret, struct error *err);
int route_container_info(struct request *request, struct container **ret,
                         struct container_info **ret_info, struct error *err);

/* Our own lists: JSON, or CSV for "Accept: text/csv" or format=csv. Takes json;
 * rows is in it (or json itself). */
bool route_wants_csv(struct request *request);
int route_list(struct request *request, cJSON *json, const cJSON *rows, const char *const *columns);
/* limit and offset of a list; limit 0: none given. */
int route_paging(struct request *request, size_t limit_max, size_t *ret_limit, size_t *ret_offset,
                 struct error *err);
/* A time in the query (RFC 3339, Unix seconds, duration ago); absent: fallback. */
int route_time(struct request *request, const char *name, int64_t fallback, int64_t *ret, struct error *err);
/* Docker's whole-number query values: "strconv.Atoi: parsing ..." for others. */
int route_atoi(struct request *request, const char *name, int64_t fallback, int64_t *ret, struct error *err);

/* strconv.ParseBool, as Docker reads some query values; name: for the message. */
int route_parse_bool(const char *name, const char *text, bool *ret, struct error *err);

/* All values of a repeated query key, as a list to free. */
char **route_query_strv(struct request *request, const char *name);

/* --- filters, after request_filters() ------------------------------------------------- */
const cJSON *filter_values(const cJSON *filters, const char *key); /* array or NULL */
const char *filter_first(const cJSON *filters, const char *key);   /* NULL: absent */
/* "true", "1", "false", "0" once; else -EINVAL in Docker's words. */
int filter_bool(const cJSON *filters, const char *key, bool fallback, bool *ret, struct error *err);
/* Regular expressions (POSIX extended, bounded), as `ps --filter name=`. */
bool filter_match_regex(const cJSON *filters, const char *key, const char *text);
/* Of a prune: until as a time before which (0: none), and labels as "k", "k=v", and
 * "!k", "!k=v" for label!=. */
int filter_prune(const cJSON *filters, int64_t *ret_until, char ***ret_labels, struct error *err);

/* --- parts of one file that others call ------------------------------------------------ */
/* Docker's multiplexed frame header. */
void route_frame_header(uint8_t out[8], int stream, size_t length);
#define CONTENT_RAW "application/vnd.docker.raw-stream"
#define CONTENT_MULTIPLEXED "application/vnd.docker.multiplexed-stream"
/* Empty, or keys as "ctrl-p,ctrl-q" and "a,b". */
int route_check_detach_keys(const char *keys, struct error *err);

/* Publishes for what core's rooms below the engine cannot: images, networks, volumes. */
void route_publish(struct request *request, const char *type, const char *action, const char *id,
                   const char *name);

/* What /info and /api/v1/info both say of this machine. */
struct machine {
    char kernel[128], os[192], os_version[64], architecture[72], name[128];
    int cpus;
    uint64_t memory;
};
void route_machine(struct machine *ret);
struct engine;
struct store_sample;
/* The recorder's last sample of a container, or of the host (""). False: none that is young enough to be "now". */
bool route_last_sample(struct engine *engine, const char *subject, struct store_sample *ret);
uint64_t route_memory_total(void);

/* Filters of an events request, Docker's and ours. */
struct event;
bool event_passes(const struct event *event, const cJSON *filters);
