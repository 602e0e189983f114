/* shim.h - inside tabique-shim, between its files.
 *
 * main.c      arguments, the process's own setup
 * server.c    connections, requests, replies
 * process.c   stdio of the container's process and its execs, and who is attached
 * log.c       the json-file log
 * log_sink.c  lines sent on to the journal or a syslog
 * log_gzip.c  the log's older files, compressed
 * record.c    the exit record
 * warm.c      a machine ahead of its container
 *
 * One thread, one loop, nothing that blocks but the log and the exit record.
 * The server on the other end may vanish at any moment; what the container's
 * processes write is hostile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/str.h"
#include "isolation/isolation.h"
#include "rpc/rpc.h"

struct loop;
struct loop_source;
struct shim;

#define SHIM_QUEUE_LIMIT (256u << 10)  /* to one attached client: then reading pauses */
#define SHIM_STDIN_LIMIT (64u << 10)   /* towards the process: then the clients wait */
#define SHIM_PEERS_MAX 256
#define SHIM_PROCESSES_MAX 512         /* execs remembered, running and ended */
#define SHIM_NOTE_MAX (8u << 10)       /* of each: all of them fit a frame */
#define SHIM_KEPT_MAX (64u << 10)      /* of an exec's terminal, for whoever comes back to it */

#define FD_MACHINE_MEMORY 6 /* the template's, where options.machine_memory */

struct shim_options {
    const char *id, *dir, *state_dir, *isolation, *log_path, *machines_dir, *files_program;
    const char *log_attributes, *log_to, *log_format, *log_tag, *log_fields;
    const char *warm_cgroup; /* made ahead; where its machine waits */
    const char *stage_cgroup; /* it makes a staged template and ends; where its machine runs */
    int64_t log_max_size;
    int log_max_files, log_facility;
    bool log_compress, open_stdin, stdin_once, machine_memory, staged;
};

/* --- main.c ------------------------------------------------------------------------- */
bool shim_parse_options(char *const *arguments, struct shim_options *options);

/* --- warm.c ------------------------------------------------------------------------- */
/* Makes a machine, waits to be adopted, and is then as one that was spawned with the
 * options it has been given. Negative: it is not needed any more. */
int shim_warm(struct shim *shim, int first, int *ret_listening);
/* Its machine into the container's control group. It takes some milliseconds, in
 * which the server makes the network: to be called after the first word. */
void shim_warm_move(struct shim *shim);
/* Makes a staged template in the files it has inherited. */
int shim_stage(struct shim *shim);

/* --- log_sink.c --------------------------------------------------------------------- */
#define SINK_HELPER "helper:"
struct shim_pieces { /* of a line that is longer than one message */
    char id[ID_LENGTH + 1];
    unsigned count;
};
struct shim_sink {
    int fd;
    const struct shim_options *options; /* log_to: "unixgram:PATH", "unix:PATH", "udp:ADDRESS:PORT", "tcp:ADDRESS:PORT",
                                         * SINK_HELPER and a program's path and words, one a line;
                                         * log_format: journald, unix, rfc3164, rfc5424, rfc5424micro */
    char host[65];
    bool stream, counted;
    int helper; /* pidfd; -EBADF */
    char epoch[ID_LENGTH + 1]; /* the journal's: of this sink, and of its lines */
    uint64_t ordinal;
    struct shim_pieces pieces[2];
    struct str pending; /* a stream's lines; `sent` bytes of the first are with the receiver */
    size_t sent;
    int64_t retry_ns;
    struct loop *loop;
    struct loop_source *source;
};
/* loop NULL: what a stream has no room for goes with a later line. */
void shim_sink_open(struct shim_sink *sink, const struct shim_options *options, struct loop *loop);
/* At the end: a stream's last lines, for a moment. */
void shim_sink_drain(struct shim_sink *sink);
/* With its newline; without one it is a piece of a longer line. */
void shim_sink_line(struct shim_sink *sink, int stream, const char *text, size_t length);

/* --- log.c ------------------------------------------------------------------------ */
struct shim_log {
    int fd; /* -EBADF: none */
    char *path;
    int64_t size, max_size;
    int max_files;
    bool compress;
    int compressing; /* pidfd of who does it, or did; -EBADF */
    struct str partial[2]; /* of stdout, stderr: up to a newline or 16 KiB */
    struct str lines;      /* encoded, not written yet */
    const char *attributes; /* a JSON object for each line; NULL none */
    struct shim_sink sink;
};
int shim_log_open(struct shim_log *log, const struct shim_options *options, struct loop *loop);
void shim_log_write(struct shim_log *log, int stream, const void *data, size_t length); /* 0 out, 1 err */
/* log_gzip.c: begins with .1; waits for the end of what was begun */
void shim_log_compress(struct shim_log *log);
void shim_log_compressed(struct shim_log *log);
void shim_log_flush(struct shim_log *log); /* unfinished lines too: the streams have ended */

/* --- record.c ---------------------------------------------------------------------- */
/* lost: why the wall fell, or NULL. */
int shim_record_write(const char *state_dir, int status, bool oom, int64_t time_ns, const char *lost);
void shim_record_sync(const char *state_dir);

/* --- process.c ----------------------------------------------------------------------- */
struct shim_process;

struct shim_output {
    struct shim_process *process;
    int stream; /* 1 stdout (or terminal), 2 stderr */
    int fd;
    struct loop_source *source;
};

struct shim_process {
    struct shim_process *next;
    struct shim *shim;
    char *exec_id; /* "": the container's own */
    struct str note; /* what the server wants to know of it again */
    struct str kept; /* the last of an exec's terminal: up to twice SHIM_KEPT_MAX */
    uint64_t said;   /* all that its terminal has written, in bytes */
    bool started, exited, announced, tty, oom, paused;
    int status;
    int64_t time_ns;
    pid_t pid, guest_pid;
    uint64_t start_ticks;
    struct shim_output output[2];
    int input;
    struct loop_source *input_source;
    struct str input_queue;
    size_t input_sent;
    bool input_end; /* close it when the queue is empty */
    struct loop_source *linger;
};

struct shim_process *shim_process_find(struct shim *shim, const char *exec_id);
struct shim_process *shim_process_add(struct shim *shim, const char *exec_id);
void shim_process_free(struct shim_process *process); /* also from the shim's list */
/* Takes the fds of what has been started. */
void shim_process_started(struct shim_process *process, const struct isolation_process *started, bool tty);
void shim_process_failed(struct shim_process *process); /* never was: its clients go */
void shim_process_exited(struct shim_process *process, int status, bool oom);
bool shim_process_input(struct shim_process *process, const void *data, size_t length);
bool shim_process_input_full(const struct shim_process *process);
void shim_process_input_end(struct shim_process *process);
void shim_process_pace(struct shim_process *process); /* pause or go on reading, by the clients' queues */
bool shim_process_streams_ended(const struct shim_process *process);
/* What is kept of its terminal from byte `seen` on, or from the first that still is: *ret_from. */
void shim_process_kept(const struct shim_process *process, uint64_t seen, uint64_t *ret_from, const char **ret, size_t *ret_length);

/* --- server.c --------------------------------------------------------------------------- */
struct shim_peer {
    struct shim_peer *next;
    struct shim *shim;
    int fd;
    struct loop_source *source;
    struct rpc_decoder decoder;
    struct str out;
    size_t out_sent;
    bool greeted, closing, waiting; /* waiting: its input is not read, stdin is full */
    bool resumed;                   /* no more: frames decoded before it waited may be here */
    struct shim_process *attached;
    unsigned streams; /* 1 stdin, 2 stdout, 4 stderr */
    uint64_t job, job_request; /* an archive order under way behind the wall; 0 none */
    uint16_t job_type;
};

struct shim {
    struct shim_options options;
    struct loop *loop;
    struct isolation_instance *instance;
    const struct isolation *wall;
    struct shim_peer *peers;
    size_t peer_count;
    struct shim_process *processes; /* newest first */
    size_t process_count;
    struct shim_log log;
    int listening;
    struct loop_source *listening_source;
    char *cgroup; /* warm.c: where its machine is to go */
    bool shutting_down;
    char *lost;        /* why the wall fell; NULL: it stands */
    bool mounted;      /* a machine for the files of a container that does not run */
    bool quit_posted;
    bool record_unsynced;
    struct loop_source *sync_timer; /* of the record */
};

int shim_server_open(struct shim *shim, int listening, int first);
void shim_server_tell_exit(struct shim *shim, const struct shim_process *process);
/* Output to those attached. */
void shim_server_output(struct shim_process *process, int stream, const void *data, size_t length);
void shim_server_stream_end(struct shim_process *process, int stream);
void shim_server_detach_all(struct shim_process *process); /* after what is queued has gone out */
void shim_server_resume_input(struct shim_process *process);
void shim_server_orphan(struct shim_process *process); /* it is about to be freed */
size_t shim_server_longest_queue(const struct shim_process *process);
void shim_server_quit_if_done(struct shim *shim);
extern const struct isolation_events shim_events;
