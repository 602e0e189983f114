/* machine_fixture.h - a prepared template and an image with busybox, for all tests of
 * real machines. One root below /var/tmp; fixture_tear_down() removes it. */
#pragma once

#include <stdbool.h>

#include "isolation/hyperv/setup.h"

struct plan;

extern char fixture_root[];
extern char *fixture_machines, *fixture_image;
extern struct machine_setup fixture_setup;
extern int fixture_memory_fd;

int fixture_set_up(void **state);
int fixture_tear_down(void **state);
void fixture_tool(const char *path, const char *const *argv); /* must succeed */
/* A container's plan; dir: its state directory. */
struct plan *fixture_plan(const char *id, const char *dir, const char *const *argv, bool tty);
