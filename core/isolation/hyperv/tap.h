/* tap.h - a machine's way into its container's network namespace.
 *
 * The namespace is made and wired by core/network as for a process: eth0 and so
 * on with MAC, addresses and routes. Here eth0's identity is handed to the guest: its
 * addresses are read and taken off, it gets another MAC, and a bridge inside the
 * namespace joins it to a tap, whose fd is the worker's. The guest then is what
 * eth0 was; published ports, isolation and names work without knowing.
 *
 * ioctls only (netdevice(7)): the shim has no netlink library. Single-threaded
 * callers: setns() for a moment.
 */
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "isolation/hyperv/machine.h"

struct error;

#define TAPS_MAX MACHINE_NICS

/* Appends RPC_TAG_INTERFACE records for the guest. fds: one each for eth0, eth1 ...,
 * -EBADF where the namespace has none (--network none: nowhere); the caller's, also
 * on failure. */
int tap_open(const char *netns, struct str *out, int fds[TAPS_MAX], struct error *err);
/* Later: what has come since is opened likewise; what has gone is taken down, told by a bare
 * RPC_TAG_INTERFACE, and marked in `gone`; of what stays the default route is told. */
int tap_follow(const char *netns, struct str *out, int fds[TAPS_MAX], bool gone[TAPS_MAX], struct error *err);
