/* restart_policy.c - whether an ended container is started again, and how soon.
 * Owner: container. Docker's rule: 100 ms, doubled each time up to a minute, begun
 * anew after a run of ten seconds. */
#include <string.h>

#include "base/clock.h"
#include "container/internal.h"

#define FIRST_DELAY_NS (100 * NS_PER_MS)
#define LONGEST_DELAY_NS (60 * NS_PER_SEC)
#define GOOD_RUN_NS (10 * NS_PER_SEC)

bool restart_wanted(struct container *container, const struct spec *spec, int exit_code, bool at_boot)
{
    const cJSON *policy = json_get(spec->host_config, "RestartPolicy");
    const char *name = json_string(policy, "Name", "no");
    int64_t most = json_int(policy, "MaximumRetryCount", 0);
    const struct run_state *run = &container->run;

    if (container->removal_begun || (run->restart_cancelled && !at_boot))
        return false;
    if (strcmp(name, "always") == 0)
        return true;
    if (strcmp(name, "unless-stopped") == 0)
        return !run->manually_stopped;
    if (strcmp(name, "on-failure") == 0)
        return exit_code != 0 && !run->manually_stopped && (most == 0 || run->restart_count < most);
    return false;
}

int64_t restart_backoff(int64_t delay_ns, int64_t ran_ns)
{
    if (delay_ns <= 0 || ran_ns >= GOOD_RUN_NS)
        return FIRST_DELAY_NS;
    return delay_ns * 2 < LONGEST_DELAY_NS ? delay_ns * 2 : LONGEST_DELAY_NS;
}
