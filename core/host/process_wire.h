/* process_wire.h - processes over a socket: from the shim or the agent to the
 * server. Tags are append-only; the reader trusts nothing (a guest may have
 * written it): texts are made printable, lengths and counts limited.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"
#include "tabique/host.h"

#define PROCESS_WIRE_MAX 65536 /* processes in one list */

/* One nested record with this tag per process. */
void process_wire_put(struct str *out, uint16_t tag, const struct process *process);
void process_wire_put_list(struct str *out, uint16_t tag, const struct process_list *list);
/* Contents of one such record. 0 or -EBADMSG. process_clear() the result. */
int process_wire_get(const struct wire_field *field, struct process *ret);
/* All records with this tag in a body, sorted by pid; other tags are skipped. */
int process_wire_get_list(const void *data, size_t length, uint16_t tag, struct process_list **ret);
