/* agent.h - inside the guest's pid 1, between its files.
 *
 * tabique-agent is the only program in a machine's initramfs. It brings the
 * kernel up (boot.c), tells a restored machine who it is (machine.c), and starts
 * and watches the container's processes with core/launch (process.c), on orders
 * that come over one virtio port (agent.c; rpc/rpc.h, rpc/mux.h).
 *
 * It believes the host in what it orders and bounds what it is sent; the host
 * believes it nothing. Single-threaded. When it cannot go on it says why on the
 * console and powers the machine off: the shim reports the last lines.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "launch/launch.h"
#include "launch/plan.h"
#include "rpc/mux.h"
#include "tabique/error.h"

#define AGENT_CGROUP "container"
#define AGENT_PORT "tabique.agent"

struct agent_job;

struct agent_process {
    struct agent_process *next;
    char *exec_id; /* "" for the container's own */
    struct launched launched;
    uint64_t stream_base;
    int tty_fd; /* for resize; the mux has its own copies */
};

struct agent {
    struct loop *loop;
    struct mux *mux;
    struct plan *plan;
    struct agent_process *processes;
    char **files; /* FILES_DIR/0, 1 ...: their paths on the host */
    uint64_t oom_kills;
    bool mounted;
    struct launched ahead; /* waits, its surroundings made, for what it is; pid -1: nobody does */
    struct plan *ahead_plan;
    int root_fd; /* of a machine raised for its files alone (RPC_MOUNT); else -EBADF */
    struct agent_job *jobs;
};

/* What a handler returns when its reply comes later, or never. */
#define AGENT_LATER INT32_MAX

/* boot.c */
void agent_boot(void); /* file systems and modules; dies on failure */
int agent_open_port(const char *name);
void agent_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
void agent_power_off(void) __attribute__((noreturn));

/* machine.c: RPC_MACHINE */
int machine_change(const struct rpc_frame *frame, struct error *err); /* RPC_NETWORK's interfaces */
/* Once, at boot: what every start would do alike, which its clones need not do again. */
int machine_settle(struct error *err);
bool machine_is_usual(const struct plan_pair *sysctl); /* it was set so then */
int machine_set_sysctl(const char *name, const char *value); /* -errno */
int machine_configure(const struct rpc_frame *frame, struct error *err);
int machine_mount_disks(struct error *err);
void machine_read_ahead(const char *program);
/* Lets go of disks and interfaces. -EBUSY while something still holds a disk. */
int machine_reset(struct error *err);

/* files.c: the host's shared directories appear as FILES_SHARES/0, /1, ... */
#define FILES_SHARES "/run/shares"
int files_mount(struct error *err);

/* archive.c */
int archive_order(struct agent *agent, const struct rpc_frame *frame, struct str *reply, bool *ret_exec_failed,
                  struct error *err);
int archive_cancel(struct agent *agent, const struct rpc_frame *frame, struct str *reply, bool *ret_exec_failed,
                   struct error *err);
int archive_mount(struct agent *agent, const struct rpc_frame *frame, struct str *reply, bool *ret_exec_failed,
                  struct error *err);

/* dns.c: 127.0.0.11 */
int dns_open(struct agent *agent, struct error *err);
void dns_answer(struct agent *agent, const struct rpc_frame *frame);

/* process.c */
int process_start(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                  bool *ret_exec_failed, struct error *err);
int process_exec(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                 bool *ret_exec_failed, struct error *err);
/* Its disks ahead of it, and its surroundings. */
int process_disks(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                  bool *ret_exec_failed, struct error *err);
/* Forgets a container that has ended: the machine may have another. */
int process_reset(struct agent *agent, const struct rpc_frame *frame, struct str *reply,
                  bool *ret_exec_failed, struct error *err);
/* What waits on the disks' mounts is not wanted. */
int process_drop_ahead(struct agent *agent, struct error *err);
int process_signal(struct agent *agent, const struct rpc_frame *frame, struct error *err);
int process_resize(struct agent *agent, const struct rpc_frame *frame, struct error *err);
int process_list_all(struct agent *agent, struct str *reply, struct error *err);
/* The small files of the container again, in place: they are mounted. */
int process_refresh_files(struct agent *agent, const struct rpc_frame *frame, struct error *err);
void process_reap(struct agent *agent);
