/* plan.c - making and letting go of plans. Owner: launch. */
#include "launch/plan.h"

#include <stdlib.h>

#include "base/mem.h"
#include "launch/plan_shape.h"

struct plan *plan_new(void)
{
    struct plan *plan = mem_new(struct plan);

    plan->limits.memory_swappiness = -1;
    return plan;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    plan__shape_clear(&plan__shape, plan);
    free(plan);
}

void plan_freep(struct plan **plan)
{
    plan_free(*plan);
    *plan = NULL;
}

void plan_process_clear(struct plan_process *process)
{
    plan__shape_clear(&plan__process_shape, process);
}

void plan_limits_clear(struct plan_limits *limits)
{
    plan__shape_clear(&plan__limits_shape, limits);
    limits->memory_swappiness = -1;
}
