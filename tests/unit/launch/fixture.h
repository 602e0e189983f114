/* fixture.h - a root file system of busybox's and plans as the engine makes
 * them, for tests that start real containers. Needs root.
 *
 * Everything lies below one mkdtemp() directory; fixture_down() removes it and
 * the cgroups.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "launch/launch.h"
#include "launch/plan.h"

struct fixture {
    char dir[64];     /* mkdtemp */
    char *layers;     /* with "base" in it */
    char cgroup[64];  /* parent of all, e.g. "tabique-test-123" */
    int next;
};

/* A test program's own, from the first of its group to the last (cmocka's set-up and teardown). */
extern struct fixture f;
int fixture_up(void **state);
int fixture_down(void **state);
/* "/path" in the base layer, written as text; NULL text: a directory. */
void fixture_file(const char *path, const char *text, unsigned mode);

/* A plan as for `docker run -i IMAGE argv...`: all namespaces new, Docker's
 * mounts, masks, capabilities and device rules. */
struct plan *fixture_plan(const char *const *argv);
struct plan *plan_of(const char *script); /* of sh -c */
struct plan_mount *fixture_mount(struct plan *plan, const char *type, const char *source, const char *target,
                                 unsigned long flags, const char *data);
void fixture_map_users(struct plan *plan); /* a user namespace, 0..65535 at 200000 */
void fixture_user(struct plan *plan, const char *user);

struct result {
    int code;          /* exit code, 128+signal; or launch_* failure (negative) */
    bool exec_failed;
    char out[65536];   /* stdout, then stderr; or the terminal's output */
    char error[1024];
};

/* Starts, feeds input (may be NULL), reads to the end, waits, removes the cgroup. */
void fixture_run(const struct plan *plan, const char *input, struct result *ret);
/* The same in pieces. */
int fixture_start(const struct plan *plan, struct launched *l, struct result *ret);
void fixture_finish(const struct plan *plan, struct launched *l, const char *input, struct result *ret);
/* Shell script in a fresh container; plan may be NULL for the default one. */
void fixture_sh(struct plan *plan, const char *script, struct result *ret);
