/* rpc.h - frames and numbered messages: server <-> shim and shim <-> agent.
 *
 * A frame is a 16-byte little-endian header and a body of wire fields
 * (base/wire.h):
 *
 *     u32 length   of the body, at most RPC_BODY_MAX
 *     u16 type     enum rpc_type
 *     u16 flags    RPC_REPLY, RPC_ERROR
 *     u64 id       of the request, echoed in its reply; 0 in notifications;
 *                  for RPC_STREAM: the stream number
 *
 * The numbers of types and tags are append-only. RPC_HELLO comes first on every
 * connection, both ways, with the protocol version; a peer of another major
 * version is refused with a clear error.
 *
 * Either end treats the other as hostile: a frame over the limit, an unknown
 * flag or a reply to a question not asked ends the connection (-EBADMSG).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/wire.h"

struct error;

#define RPC_VERSION 1
#define RPC_HEADER_SIZE 16
#define RPC_BODY_MAX (8u << 20)
#define RPC_STREAM_CHUNK (32u << 10) /* largest RPC_STREAM body we send */

enum rpc_flags { RPC_REPLY = 1, RPC_ERROR = 2 };

enum rpc_type {
    RPC_HELLO = 1,
    RPC_START = 2,      /* plan; reply RPC_TAG_PID, RPC_TAG_START_TICKS */
    RPC_EXEC = 3,       /* exec id, process, note; reply as START */
    RPC_SIGNAL = 4,     /* exec id (absent: the container's own process), signal; or pid + ticks */
    RPC_RESIZE = 5,
    RPC_PROCESSES = 6,
    RPC_STATS = 7,
    RPC_FREEZE = 8,     /* bool */
    RPC_UPDATE = 9,     /* limits */
    RPC_ATTACH = 10,    /* turns this connection into a stream of RPC_STREAM frames */
    RPC_STREAM = 11,    /* id: 0 stdin, 1 stdout, 2 stderr; empty body: end of it */
    RPC_EXITED = 12,    /* notification: exec id, status, time, oom */
    RPC_OOM = 13,       /* notification */
    RPC_ROOT = 14,      /* reply carries an O_PATH fd of the root (SCM_RIGHTS) */
    RPC_SHUTDOWN = 15,  /* everything has ended and is recorded: the shim may go */
    RPC_STATUS = 16,    /* reply: what runs, what ended: for a server that comes back;
                           with RPC_TAG_EXECS its execs, too */
    RPC_ARCHIVE_GET = 17, /* guest file system, behind a thick wall */
    RPC_ARCHIVE_PUT = 18,
    RPC_ARCHIVE_STAT = 19,
    RPC_CHANGES = 20,
    RPC_PING = 21,
    RPC_MACHINE = 22,    /* what a restored machine must be told before anything runs */
    RPC_CREDIT = 23,     /* id: stream; RPC_TAG_CREDIT bytes may be sent again (mux.h) */
    RPC_FILES = 24,      /* one FUSE message of a shared directory, either way */
    RPC_CANCEL = 25,     /* id: that of an archive order under way, whose reply nobody waits for any more */
    RPC_MOUNT = 26,      /* plan; the machine with its disks, but no process: for its files */
    RPC_RESOLVE = 27,    /* guest: a byte, 0 UDP or 1 TCP, and a DNS query for 127.0.0.11; reply: the answer, raw */
    RPC_ARCHIVE_LIST = 28, /* one directory of it */
    RPC_WARM = 29,       /* shim to server: a pool machine waits for its container; RPC_TAG_PID the worker's */
    RPC_ADOPT = 30,      /* server to such a shim, with the listening socket (SCM_RIGHTS): whose it is now */
    RPC_RESET = 31,      /* guest: as if nothing had been started: the disks are let go of */
    RPC_NETWORK = 32,    /* shim: the container's networks have changed, look; guest: what to change, RPC_TAG_INTERFACE
                          * (bare: it is gone), RPC_TAG_FILE (again), RPC_TAG_RESOLVER */
    RPC_REHEARSE = 33,   /* server to a shim that waits: what the next container will probably be like: RPC_TAG_PLAN
                          * (absent: not known), RPC_TAG_PATH: where state directories are; RPC_WARM when it is ready */
    RPC_DISKS = 34,      /* guest: mounts its disks, ahead of the start; the plan's program will probably run;
                          * RPC_TAG_PLAN, RPC_TAG_FILE: and makes what surrounds a container like this */
};

enum rpc_tag {
    RPC_TAG_VERSION = 1,
    RPC_TAG_ERRNO = 2,
    RPC_TAG_MESSAGE = 3,
    RPC_TAG_PLAN = 4,
    RPC_TAG_PROCESS = 5,
    RPC_TAG_LIMITS = 6,
    RPC_TAG_EXEC_ID = 7,
    RPC_TAG_PID = 8,
    RPC_TAG_START_TICKS = 9,
    RPC_TAG_SIGNAL = 10,
    RPC_TAG_ROWS = 11,
    RPC_TAG_COLS = 12,
    RPC_TAG_STATUS = 13,     /* exit code 0..255 as Docker's (128+n for signals) */
    RPC_TAG_TIME = 14,
    RPC_TAG_OOM = 15,
    RPC_TAG_FROZEN = 16,
    RPC_TAG_STREAMS = 17,    /* bit 0 stdin, 1 stdout, 2 stderr */
    RPC_TAG_EXEC_FAILED = 18,
    RPC_TAG_STATS = 19,
    RPC_TAG_PROCESS_ENTRY = 20,
    RPC_TAG_EXITED = 21,     /* nested: one ended exec or the container itself */
    RPC_TAG_PATH = 22,
    RPC_TAG_NAME = 23,
    RPC_TAG_PROGRAM = 24,    /* "tabique-shim 0.1.0" */
    RPC_TAG_CREDIT = 25,
    RPC_TAG_STREAM_BASE = 26,/* guest: stdin, stdout, stderr are streams base, base+1, base+2 */
    RPC_TAG_ENTROPY = 27,
    RPC_TAG_HOSTNAME = 28,
    RPC_TAG_MACHINE_ID = 29,
    RPC_TAG_INTERFACE = 30,  /* nested; RPC_TAG_NAME, MAC, MTU, ADDRESS..., ROUTE... */
    RPC_TAG_MAC = 31,
    RPC_TAG_MTU = 32,
    RPC_TAG_ADDRESS = 33,    /* "172.31.0.2/16" */
    RPC_TAG_GATEWAY = 34,
    RPC_TAG_FILE = 35,       /* nested: RPC_TAG_PATH, RPC_TAG_DATA: a small file given by content */
    RPC_TAG_DATA = 36,
    RPC_TAG_SHARE = 37,      /* nested: RPC_TAG_PATH (plan's source), index */
    RPC_TAG_INDEX = 38,
    RPC_TAG_GUEST_PID = 39,
    RPC_TAG_MEMORY = 40,
    RPC_TAG_FLAGS = 41,      /* archive/archive.h's */
    RPC_TAG_SIZE = 42,
    RPC_TAG_MODE = 43,
    RPC_TAG_LINK = 44,
    RPC_TAG_ROOT = 45,       /* enum rpc_root */
    RPC_TAG_RESOLVER = 46,   /* bool: the machine answers on 127.0.0.11 */
    RPC_TAG_ARGUMENT = 47,   /* one of the shim's own arguments */
    RPC_TAG_CGROUP = 48,
    RPC_TAG_NOTE = 49,       /* the server's own words about an exec, kept by the shim */
    RPC_TAG_EXECS = 50,      /* bool: RPC_STATUS shall list them */
    RPC_TAG_EXEC = 51,       /* nested: exec id, note, pids; one that was started, ended or not */
    RPC_TAG_SEEN = 52,       /* bytes of a terminal's output that a client has; in the reply: where its stream goes on, and RPC_TAG_SIZE: how many there are */
    RPC_TAG_AHEAD = 53,      /* bool, before the files: RPC_START's surroundings are those made ahead, its files as many */
};

/* Which tree an archive order is about. Its data (GET: a tar; PUT: a tar without
 * compression; CHANGES: for each a digit, enum archive_change, then the path and a
 * NUL; LIST: archive_entry_put()'s records) is the stream RPC_TAG_STREAM_BASE; its
 * reply comes when all is done. */
enum rpc_root {
    RPC_ROOT_CONTAINER = 0, /* as its processes see it, with what is mounted */
    RPC_ROOT_WHOLE = 1,     /* image and changes, without mounts; read only */
    RPC_ROOT_CHANGES = 2,   /* the writable layer alone */
};

struct rpc_frame {
    uint16_t type;
    uint16_t flags;
    uint64_t id;
    const uint8_t *body; /* inside the decoder's buffer until the next call */
    size_t length;
};

/* Incremental decoder for non-blocking peers. feed() bytes as they come, then
 * next() until it gives 0. */
struct rpc_decoder {
    struct str buffer;
    size_t consumed;
    bool bad;
};
void rpc_decoder_free(struct rpc_decoder *decoder);
int rpc_decoder_feed(struct rpc_decoder *decoder, const void *data, size_t length); /* 0, -EBADMSG */
int rpc_decoder_next(struct rpc_decoder *decoder, struct rpc_frame *ret); /* 1, 0, -EBADMSG */

void rpc_encode(struct str *out, uint16_t type, uint16_t flags, uint64_t id, const void *body,
                size_t length);
/* An error reply, and its body alone: errno, message, exec_failed. */
void rpc_put_error(struct str *body, const struct error *error, bool exec_failed);
void rpc_encode_error(struct str *out, uint16_t type, uint64_t id, const struct error *error,
                      bool exec_failed);
/* The other way round: fills err and returns its -code. ret_exec_failed may be NULL. */
int rpc_decode_error(const struct rpc_frame *frame, struct error *err, bool *ret_exec_failed);

/* Blocking, for plain callers. Return 0 or -errno (-EPIPE at the end). receive
 * never reads past the frame it returns, so that the socket can be handed on. */
int rpc_send(int fd, uint16_t type, uint16_t flags, uint64_t id, const void *body, size_t length);
int rpc_receive(int fd, struct rpc_decoder *decoder, struct rpc_frame *ret, int timeout_ms);
