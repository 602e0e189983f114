/* netkit.h - what the network tests share: a manager on its own directories,
 * and small conversations held from inside a namespace. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tabique/error.h"
#include "tabique/network.h"

/* A namespace that stands for another machine on the host's network: host side
 * 198.18.N.1, the machine 198.18.N.2 with a default route to the host. */
struct machine {
    char name[16], path[64], link[16];
    char host_address[32], address[32];
    char host_address6[48], address6[48];
};
struct kit {
    char root[64];
    struct network_manager *manager;
    char bridge[16];
    struct machine machine; /* if opened */
};

/* One manager; `pools` NULL: the built-in ones. */
void kit_open(struct kit *kit);
void kit_reopen(struct kit *kit); /* as a restarted server, without restore */
void kit_close(struct kit *kit);  /* every kernel object, echo and directory goes */

int kit_setup(void **state);
int kit_teardown(void **state);

/* A sandbox on `network`; its address into ip (48 bytes). Asserts. */
char *kit_container(struct kit *kit, const char *id, const char *network, char *ip);

/* "ip WORDS", from the host, "@0".."@9" standing for values. Returns the exit status. */
int ip_run(const char *words, const char *const *values);

/* `path` NULL: the host. All wait 4 s at most, and return -errno. */
#define KIT_TCP 6
#define KIT_UDP 17
struct echo_run;
struct echo {
    int protocol;
    const char *path;
    const char *address; /* to listen on */
    uint16_t port;
    const char *peer;    /* who asked last; until echo_stop() */
    struct echo_run *run; /* private */
};
int echo_start(struct echo *echo); /* answers until stopped; port 0 is filled in */
void echo_stop(struct echo *echo);
/* Sends "ping", expects "ping" back: 0, -ECONNREFUSED, -ETIMEDOUT, -EHOSTUNREACH ... */
int ask(int protocol, const char *path, const char *address, uint16_t port);
/* Any UDP exchange; returns the length of the answer. */
int exchange(const char *path, const char *address, uint16_t port, const void *query, size_t length, void *answer,
             size_t size);
/* Runs fn(user) in a thread that stands in the namespace. */
int in_namespace(const char *path, int (*fn)(void *user), void *user);
void machine_open(struct machine *machine);
