/* tls.c - mbedTLS for the listeners; see tls.h.
 *
 * civetweb's own options for client certificates, versions and tickets are
 * silently ignored when it is built with mbedTLS, so the context is ours.
 */
#include "tls.h"

#include <errno.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"
#include "tls_internal.h"
#include "transport.h"

struct tls {
    atomic_int references;
    mbedtls_ssl_config config;
    mbedtls_x509_crt certificate, client_ca;
    mbedtls_pk_context key;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_ssl_ticket_context tickets;
    bool wants_client;
};

static int fail(struct error *err, int code, const char *what, const char *file)
{
    char text[128];
    mbedtls_strerror(code, text, sizeof(text));
    return error_set(err, EINVAL, "%s %s: %s", what, file, text);
}

static void tls_free(struct tls *tls)
{
    mbedtls_ssl_config_free(&tls->config);
    mbedtls_ssl_ticket_free(&tls->tickets);
    mbedtls_x509_crt_free(&tls->certificate);
    mbedtls_x509_crt_free(&tls->client_ca);
    mbedtls_pk_free(&tls->key);
    mbedtls_ctr_drbg_free(&tls->random);
    mbedtls_entropy_free(&tls->entropy);
    free(tls);
}

struct tls *tls_ref(struct tls *tls)
{
    atomic_fetch_add(&tls->references, 1);
    return tls;
}

void tls_unref(struct tls *tls)
{
    if (tls != NULL && atomic_fetch_sub(&tls->references, 1) == 1)
        tls_free(tls);
}

/* The library's own words for it tell nobody which file, and why. */
static int check_readable(const struct tls_options *options, struct error *err)
{
    const struct {
        const char *what, *path;
    } files[] = {{"TLS certificate", options->certificate}, {"TLS key", options->key}, {"client CA", options->client_ca}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        if (files[i].path != NULL && access(files[i].path, R_OK) < 0)
            return error_errno(err, errno, "%s %s", files[i].what, files[i].path);
    return 0;
}

static int tls_load(struct tls *tls, const struct tls_options *options, struct error *err)
{
    if (check_readable(options, err) < 0)
        return -EINVAL;
    int r = mbedtls_ctr_drbg_seed(&tls->random, mbedtls_entropy_func, &tls->entropy, NULL, 0);
    if (r != 0)
        return fail(err, r, "random numbers for TLS", "");
    r = mbedtls_x509_crt_parse_file(&tls->certificate, options->certificate);
    if (r != 0)
        return fail(err, r, "TLS certificate", options->certificate);
    r = mbedtls_pk_parse_keyfile(&tls->key, options->key, NULL, mbedtls_ctr_drbg_random,
                                 &tls->random);
    if (r != 0)
        return fail(err, r, "TLS key", options->key);
    r = mbedtls_pk_check_pair(&tls->certificate.pk, &tls->key, mbedtls_ctr_drbg_random,
                              &tls->random);
    if (r != 0)
        return error_set(err, EINVAL, "TLS key %s does not belong to certificate %s", options->key,
                         options->certificate);
    r = mbedtls_ssl_config_defaults(&tls->config, MBEDTLS_SSL_IS_SERVER,
                                    MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    if (r != 0)
        return fail(err, r, "TLS set-up", "");

    mbedtls_ssl_config *config = &tls->config;
    static const char *protocols[] = {"http/1.1", NULL};
    mbedtls_ssl_conf_rng(config, mbedtls_ctr_drbg_random, &tls->random);
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_NONE);
    r = mbedtls_ssl_conf_alpn_protocols(config, protocols);
    if (r == 0)
        r = mbedtls_ssl_conf_own_cert(config, &tls->certificate, &tls->key);
    if (r != 0)
        return fail(err, r, "TLS set-up with", options->certificate);

    if (options->client_ca != NULL) {
        r = mbedtls_x509_crt_parse_file(&tls->client_ca, options->client_ca);
        if (r != 0)
            return fail(err, r, "client CA", options->client_ca);
        /* Optional: browsers sign in with a password. A certificate that is
         * shown but not valid ends the connection (tls_handshake). */
        mbedtls_ssl_conf_authmode(config, MBEDTLS_SSL_VERIFY_OPTIONAL);
        mbedtls_ssl_conf_ca_chain(config, &tls->client_ca, NULL);
        tls->wants_client = true;
    }

    /* Resumption spares most of a handshake's CPU. Not with client certificates:
     * a ticket would outlive the certificate's check. */
    if (!tls->wants_client) {
        r = mbedtls_ssl_ticket_setup(&tls->tickets, mbedtls_ctr_drbg_random, &tls->random,
                                     MBEDTLS_CIPHER_AES_256_GCM, 86400);
        if (r != 0)
            return fail(err, r, "TLS session tickets", "");
        mbedtls_ssl_conf_session_tickets_cb(config, mbedtls_ssl_ticket_write,
                                            mbedtls_ssl_ticket_parse, &tls->tickets);
    }
    return 0;
}

int tls_new(const struct tls_options *options, struct tls **ret, struct error *err)
{
    if (psa_crypto_init() != PSA_SUCCESS)
        return error_set(err, EIO, "TLS: the crypto library cannot start");
    struct tls *tls = mem_new(struct tls);
    atomic_init(&tls->references, 1);
    mbedtls_ssl_config_init(&tls->config);
    mbedtls_x509_crt_init(&tls->certificate);
    mbedtls_x509_crt_init(&tls->client_ca);
    mbedtls_pk_init(&tls->key);
    mbedtls_entropy_init(&tls->entropy);
    mbedtls_ctr_drbg_init(&tls->random);
    mbedtls_ssl_ticket_init(&tls->tickets);
    int r = tls_load(tls, options, err);
    if (r < 0) {
        tls_free(tls);
        return r;
    }
    *ret = tls;
    return 0;
}

/* --- over a transport --------------------------------------------------------------- */
static int bio_send(void *user, const unsigned char *data, size_t size)
{
    struct transport *transport = user;
    ssize_t n = send(transport->fd, data, size, MSG_NOSIGNAL);
    if (n >= 0)
        return (int)n;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE
                                             : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int bio_receive(void *user, unsigned char *data, size_t size)
{
    struct transport *transport = user;
    ssize_t n = recv(transport->fd, data, size, 0);
    if (n >= 0)
        return (int)n;
    return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
                                             : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

int tls_attach(struct tls *tls, struct transport *transport)
{
    mbedtls_ssl_context *ssl = mem_new(mbedtls_ssl_context);
    mbedtls_ssl_init(ssl);
    if (mbedtls_ssl_setup(ssl, &tls->config) != 0) {
        mbedtls_ssl_free(ssl);
        free(ssl);
        return -ENOMEM;
    }
    mbedtls_ssl_set_bio(ssl, transport, bio_send, bio_receive, NULL);
    transport->ssl = ssl;
    transport->tls = tls_ref(tls);
    return 0;
}

void tls_detach(struct transport *transport, bool polite)
{
    if (polite)
        tls_close_notify(transport);
    mbedtls_ssl_free(transport->ssl);
    free(transport->ssl);
    transport->ssl = NULL;
    tls_unref(transport->tls);
    transport->tls = NULL;
}

static int result(int r)
{
    if (r == MBEDTLS_ERR_SSL_WANT_READ || r == MBEDTLS_ERR_SSL_WANT_WRITE ||
        r == MBEDTLS_ERR_SSL_ASYNC_IN_PROGRESS || r == MBEDTLS_ERR_SSL_CRYPTO_IN_PROGRESS ||
        r == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
        return -EAGAIN;
    return -EPIPE;
}

static void read_name(const mbedtls_x509_crt *certificate, char *out, size_t size)
{
    for (const mbedtls_x509_name *name = &certificate->subject; name != NULL; name = name->next) {
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &name->oid) != 0)
            continue;
        if (name->val.len >= size || memchr(name->val.p, '\0', name->val.len) != NULL)
            return;
        if (!str_is_utf8(name->val.p, name->val.len))
            return;
        memcpy(out, name->val.p, name->val.len);
        out[name->val.len] = '\0';
        return;
    }
}

int tls_handshake(struct transport *transport)
{
    int r = mbedtls_ssl_handshake(transport->ssl);
    if (r != 0)
        return result(r);
    if (transport->tls->wants_client) {
        const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(transport->ssl);
        if (peer != NULL) {
            if (mbedtls_ssl_get_verify_result(transport->ssl) != 0) {
                mbedtls_ssl_send_alert_message(transport->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
                                               MBEDTLS_SSL_ALERT_MSG_BAD_CERT);
                return -EACCES;
            }
            read_name(peer, transport->certificate, sizeof(transport->certificate));
        }
    }
    return 0;
}

ssize_t tls_read(struct transport *transport, void *buffer, size_t size)
{
    int r = mbedtls_ssl_read(transport->ssl, buffer, size);
    if (r >= 0)
        return r;
    if (r == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY || r == MBEDTLS_ERR_SSL_CONN_EOF)
        return 0;
    return result(r);
}

ssize_t tls_write(struct transport *transport, const void *data, size_t size)
{
    if (size == 0)
        return 0;
    /* After "try again" the record is already made: a longer repeat would be
     * taken as written without being so. */
    if (transport->tls_pending > 0 && size > transport->tls_pending)
        size = transport->tls_pending;
    if (size > MBEDTLS_SSL_OUT_CONTENT_LEN)
        size = MBEDTLS_SSL_OUT_CONTENT_LEN;
    int r = mbedtls_ssl_write(transport->ssl, data, size);
    if (r >= 0) {
        transport->tls_pending = 0;
        return r;
    }
    r = result(r);
    if (r == -EAGAIN)
        transport->tls_pending = size;
    return r;
}

bool tls_pending(struct transport *transport)
{
    return mbedtls_ssl_check_pending(transport->ssl) != 0;
}

void tls_close_notify(struct transport *transport)
{
    mbedtls_ssl_close_notify(transport->ssl);
}
