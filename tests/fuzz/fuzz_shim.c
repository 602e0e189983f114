/* fuzz_shim.c - what crosses the sockets between server, shim and agent.
 *
 * The first byte chooses the reader. Whatever decodes must encode again, and
 * decode to the same once more.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "host/process_wire.h"
#include "launch/cgroup.h"
#include "launch/plan.h"
#include "rpc/rpc.h"
#include "tabique/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_plan(const uint8_t *data, size_t size)
{
    CLEANUP_STR struct str once = STR_INIT, twice = STR_INIT;
    struct plan *plan = NULL, *again = NULL;

    if (plan_decode(data, size, &plan) < 0)
        return;
    plan_encode(plan, &once);
    if (once.length <= PLAN_MAX_SIZE) {
        if (plan_decode(once.data, once.length, &again) < 0)
            abort();
        plan_encode(again, &twice);
        if (once.length != twice.length || memcmp(once.data, twice.data, once.length) != 0)
            abort();
        plan_free(again);
    }
    plan_free(plan);
}

static void fuzz_process(const uint8_t *data, size_t size)
{
    struct plan_process process;

    if (plan_process_decode(data, size, &process) == 0)
        plan_process_clear(&process);
}

static void fuzz_limits(const uint8_t *data, size_t size)
{
    struct plan_limits limits;

    if (plan_limits_decode(data, size, &limits) == 0)
        plan_limits_clear(&limits);
}

static void fuzz_processes(const uint8_t *data, size_t size)
{
    struct process_list *list = NULL;

    if (process_wire_get_list(data, size, RPC_TAG_PROCESS_ENTRY, &list) < 0)
        return;
    for (size_t i = 0; i < list->count; i++) {
        const struct process *p = &list->items[i];

        if (p->pid <= 0 || !p->user || !p->command || !memchr(p->name, 0, sizeof(p->name)) ||
            !str_is_utf8(p->command, strlen(p->command)) || !memchr(p->container_id, 0, sizeof(p->container_id)))
            abort();
    }
    process_list_unref(list);
}

static void fuzz_frames(const uint8_t *data, size_t size)
{
    struct rpc_decoder decoder = {0};
    struct rpc_frame frame;
    size_t step = size > 0 ? 1 + data[0] : 1;

    for (size_t at = 0; at < size; at += step) {
        size_t n = size - at < step ? size - at : step;

        if (rpc_decoder_feed(&decoder, data + at, n) < 0)
            break;
        while (rpc_decoder_next(&decoder, &frame) > 0) {
            struct error err = ERROR_INIT;
            bool exec_failed;

            if (frame.length > RPC_BODY_MAX)
                abort();
            if (rpc_decode_error(&frame, &err, &exec_failed) >= 0)
                abort(); /* it always gives an error */
        }
    }
    rpc_decoder_free(&decoder);
}

static void fuzz_stats(const uint8_t *data, size_t size)
{
    struct cgroup_stats stats;

    (void)cgroup_stats_decode(data, size, &stats);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const readers[])(const uint8_t *, size_t) = {fuzz_plan,      fuzz_process, fuzz_limits,
                                                               fuzz_processes, fuzz_frames,  fuzz_stats};

    if (size > 0)
        readers[data[0] % ARRAY_SIZE(readers)](data + 1, size - 1);
    return 0;
}
