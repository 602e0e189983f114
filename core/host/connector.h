/* connector.h - the kernel's process connector: births and deaths as they
 * happen. Internal to core/host.
 *
 * Sources: Documentation/driver-api/connector.rst, linux/cn_proc.h. The kernel
 * speaks it only to the initial network, pid and user namespaces; elsewhere
 * connector_open() fails and the caller polls.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "tracker.h"

struct error;

/* A non-blocking socket that the kernel has confirmed. */
int connector_open(int *ret_fd, struct error *err);
/* Events waiting, at most max. 0: none now. -ENOBUFS: some were lost. */
int connector_read(int fd, struct tracker_event *events, size_t max);
/* Pure: one datagram. The number of events written to ret (0 or 1). */
int connector_parse(const void *data, size_t length, struct tracker_event *ret);
