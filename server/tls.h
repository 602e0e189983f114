/* tls.h - the TLS side of the listeners: certificate, versions, tickets, client CA.
 *
 * A struct tls is immutable once made and counted: connections hold it, so a
 * reload (SIGHUP) makes a new one and lets the old go with its last connection.
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct tls;

struct tls_options {
    const char *certificate; /* PEM file with its chain */
    const char *key;         /* PEM file */
    const char *client_ca;   /* PEM file; NULL: no client certificates */
};

int tls_new(const struct tls_options *options, struct tls **ret, struct error *err);
struct tls *tls_ref(struct tls *tls);
void tls_unref(struct tls *tls);

/* --- the certificate made at first start -------------------------------------------
 * EC P-256, self-signed, 825 days, for `names` (host names and addresses).
 * Made again when it has expired (or will within 14 days) or its names are no
 * longer these. *ret_made says whether it was. */
int tls_certificate_ensure(const char *certificate_path, const char *key_path, char *const *names,
                           bool *ret_made, struct error *err);
/* SHA-256 of the first certificate, "AA:BB:...", for the banner. */
int tls_certificate_fingerprint(const char *certificate_path, char out[96], struct error *err);
