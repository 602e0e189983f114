/* guest_fixture.h - containers behind the wall by way of real shims, as the engine has
 * them: for tests of what lies between engine and machine. On top of machine_fixture.h;
 * one loop for all, in a thread. */
#pragma once

#include <stdbool.h>

#include "base/random.h"
#include "shim/client.h"
#include "tabique/error.h"

/* `err` is the failure's; a test's own has another name. */
#define GOOD(call)                                  \
    do {                                            \
        struct error err = ERROR_INIT;              \
        if ((call) < 0)                             \
            fail_msg("%s: %s", #call, err.message); \
    } while (0)

struct guest {
    struct shim *shim;
    struct shim_started started;
    char id[ID_LENGTH + 1];
    char *dir, *run; /* the container's; the shim's */
    int output;      /* of its attached streams; -EBADF */
    bool exited;
    int status;
};

extern struct loop *guest_loop;
extern const struct shim_events guest_events; /* user: the guest */

int guests_set_up(void **state);
int guests_tear_down(void **state);

void guest_new(struct guest *guest); /* an id and its directories */
struct shim_spec guest_spec(const char *id, const char *dir);
void guest_wait(struct guest *guest); /* for the container's end */
void guest_end(struct guest *guest);  /* of its shim and machine; the directories stay */
void guest_free(struct guest *guest);
void guest_close(struct guest *guest); /* both */
void assert_gone(pid_t pid);
