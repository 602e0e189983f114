/* test_tls.c - over TLS: versions, certificates made and kept, client
 * certificates, reload, resumption, hijacking. The client is mbedTLS, too. */
#include "support.h"

#include <fcntl.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/path.h"
#include "tls.h"

static struct fixture fixture;
static char *ca_path;

struct client {
    mbedtls_net_context net;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_config config;
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_x509_crt ca, certificate;
    mbedtls_pk_context key;
};

static void client_close(struct client *client)
{
    mbedtls_ssl_close_notify(&client->ssl);
    mbedtls_net_free(&client->net);
    mbedtls_ssl_free(&client->ssl);
    mbedtls_ssl_config_free(&client->config);
    mbedtls_x509_crt_free(&client->ca);
    mbedtls_x509_crt_free(&client->certificate);
    mbedtls_pk_free(&client->key);
    mbedtls_ctr_drbg_free(&client->random);
    mbedtls_entropy_free(&client->entropy);
}

/* 0, or mbedTLS's error. name: of certificate files in the fixture's directory. */
static int client_open(struct client *client, mbedtls_ssl_protocol_version version,
                       const char *name, const mbedtls_ssl_session *session)
{
    char port[8];
    memset(client, 0, sizeof(*client));
    mbedtls_net_init(&client->net);
    mbedtls_ssl_init(&client->ssl);
    mbedtls_ssl_config_init(&client->config);
    mbedtls_entropy_init(&client->entropy);
    mbedtls_ctr_drbg_init(&client->random);
    mbedtls_x509_crt_init(&client->ca);
    mbedtls_x509_crt_init(&client->certificate);
    mbedtls_pk_init(&client->key);
    snprintf(port, sizeof(port), "%d", fixture.tls_port);
    assert_int_equal(
        mbedtls_ctr_drbg_seed(&client->random, mbedtls_entropy_func, &client->entropy, NULL, 0), 0);
    assert_int_equal(mbedtls_x509_crt_parse_file(&client->ca, fixture.certificate), 0);
    assert_int_equal(mbedtls_net_connect(&client->net, "127.0.0.1", port, MBEDTLS_NET_PROTO_TCP),
                     0);
    mbedtls_ssl_config_defaults(&client->config, MBEDTLS_SSL_IS_CLIENT,
                                MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
    mbedtls_ssl_conf_rng(&client->config, mbedtls_ctr_drbg_random, &client->random);
    /* The certificate made at first start is its own CA, and names this host. */
    mbedtls_ssl_conf_ca_chain(&client->config, &client->ca, NULL);
    mbedtls_ssl_conf_authmode(&client->config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_ssl_conf_min_tls_version(&client->config, version);
    mbedtls_ssl_conf_max_tls_version(&client->config, version);
    if (name != NULL) {
        CLEANUP_FREE char *certificate = mem_printf("%s/%s.pem", fixture.dir, name),
                          *key = mem_printf("%s/%s.key", fixture.dir, name);
        assert_int_equal(mbedtls_x509_crt_parse_file(&client->certificate, certificate), 0);
        assert_int_equal(mbedtls_pk_parse_keyfile(&client->key, key, NULL, mbedtls_ctr_drbg_random,
                                                  &client->random),
                         0);
        mbedtls_ssl_conf_own_cert(&client->config, &client->certificate, &client->key);
    }
    mbedtls_ssl_setup(&client->ssl, &client->config);
    mbedtls_ssl_set_hostname(&client->ssl, "localhost");
    if (session != NULL)
        mbedtls_ssl_set_session(&client->ssl, session);
    mbedtls_ssl_set_bio(&client->ssl, &client->net, mbedtls_net_send, mbedtls_net_recv, NULL);
    int r;
    while ((r = mbedtls_ssl_handshake(&client->ssl)) == MBEDTLS_ERR_SSL_WANT_READ ||
           r == MBEDTLS_ERR_SSL_WANT_WRITE)
        continue;
    return r;
}

static void client_send(struct client *client, const char *text)
{
    size_t length = strlen(text), sent = 0;
    while (sent < length) {
        int n = mbedtls_ssl_write(&client->ssl, (const unsigned char *)text + sent, length - sent);
        if (n <= 0)
            return;
        sent += (size_t)n;
    }
}

static int client_ask(struct client *client, const char *text, struct str *out)
{
    client_send(client, text);
    str_clear(out);
    for (;;) {
        unsigned char buffer[4096];
        int n = mbedtls_ssl_read(&client->ssl, buffer, sizeof(buffer));
        if (n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET || n == MBEDTLS_ERR_SSL_WANT_READ)
            continue;
        if (n <= 0)
            break;
        str_append_n(out, buffer, (size_t)n);
        size_t head = head_length(out->data, out->length);
        const char *length = head > 0 ? strcasestr(out->data, "content-length: ") : NULL;
        if (length != NULL && out->length >= head + strtoul(length + 16, NULL, 10))
            break;
    }
    return out->length > 12 ? (int)strtol(out->data + 9, NULL, 10) : -1;
}

static const char hello[] = "GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n";
static const char secret[] = "GET /things/list HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void versions(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    struct client client;
    static const mbedtls_ssl_protocol_version good[] = {MBEDTLS_SSL_VERSION_TLS1_2,
                                                        MBEDTLS_SSL_VERSION_TLS1_3};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(client_open(&client, good[i], NULL, NULL), 0);
        for (int k = 0; k < 5; k++) {
            assert_int_equal(client_ask(&client, hello, &out), 200);
            if (k == 2)
                usleep(20000); /* parked, and back */
        }
        assert_non_null(strstr(out.data, "hello"));
        /* Two requests in one record. */
        client_send(&client, hello);
        client_close(&client);
    }
    /* TLS 1.1, from a client that can: refused. */
    char address[40];
    snprintf(address, sizeof(address), "127.0.0.1:%d", fixture.tls_port);
    char openssl[] = "openssl", s_client[] = "s_client", connect[] = "-connect",
         tls1_1[] = "-tls1_1", cipher[] = "-cipher", all[] = "ALL:@SECLEVEL=0";
    char *argv[] = {openssl, s_client, connect, address, tls1_1, cipher, all, NULL};
    struct child_spec spec = {.path = "/usr/bin/openssl", .argv = argv};
    CLEANUP_FREE char *output = NULL;
    assert_true(child_run(&spec, 10000, 65536, &output, NULL) != 0);
    assert_non_null(output);
    assert_true(strstr(output, "alert") != NULL || strstr(output, "unsupported protocol") != NULL);
}

static void cookies_over_tls(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    CLEANUP_FREE char *path = path_join(fixture.dir, "admin-password"), *password = NULL;
    assert_int_equal(file_read(AT_FDCWD, path, 100, &password, NULL), 0);
    password[strcspn(password, "\n")] = '\0';
    CLEANUP_FREE char *body = mem_printf("{\"user\":\"admin\",\"password\":\"%s\"}", password);
    CLEANUP_FREE char *text =
        mem_printf("POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                   "application/json\r\nContent-Length: %zu\r\n\r\n%s",
                   strlen(body), body);
    struct client client;
    assert_int_equal(client_open(&client, MBEDTLS_SSL_VERSION_TLS1_3, NULL, NULL), 0);
    assert_int_equal(client_ask(&client, text, &out), 200);
    assert_non_null(strstr(out.data, "Set-Cookie: __Host-tabique="));
    assert_non_null(strstr(out.data, "; Path=/; Secure; HttpOnly; SameSite=Strict"));
    client_close(&client);
}

static void hijack(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    struct client client;
    assert_int_equal(client_open(&client, MBEDTLS_SSL_VERSION_TLS1_3, "tool", NULL), 0);
    client_send(&client, "POST /hijack HTTP/1.1\r\nHost: localhost\r\nConnection: "
                         "Upgrade\r\nUpgrade: tcp\r\n\r\nearly");
    usleep(20000);
    client_send(&client, " late");
    usleep(20000);
    mbedtls_ssl_close_notify(&client.ssl); /* half-close: the answer still comes */
    for (;;) {
        unsigned char buffer[256];
        int n = mbedtls_ssl_read(&client.ssl, buffer, sizeof(buffer));
        if (n == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET)
            continue;
        if (n <= 0)
            break;
        str_append_n(&out, buffer, (size_t)n);
    }
    assert_non_null(out.data);
    assert_non_null(strstr(out.data, "101 UPGRADED"));
    assert_non_null(strstr(out.data, "early latebye"));
    client_close(&client);
}

static void client_certificates(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    struct client client;
    for (int i = 0; i < 2; i++) {
        mbedtls_ssl_protocol_version version =
            i == 0 ? MBEDTLS_SSL_VERSION_TLS1_2 : MBEDTLS_SSL_VERSION_TLS1_3;
        assert_int_equal(client_open(&client, version, NULL, NULL), 0);
        assert_int_equal(client_ask(&client, secret, &out), 401);
        client_close(&client);
        assert_int_equal(client_open(&client, version, "tool", NULL), 0);
        assert_int_equal(client_ask(&client, secret, &out), 200);
        client_close(&client);
        /* A certificate of another CA ends the connection. */
        if (client_open(&client, version, "stranger", NULL) == 0)
            assert_int_equal(client_ask(&client, hello, &out), -1);
        client_close(&client);
    }
}

static void made_once(void **state)
{
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *certificate = path_join(fixture.dir, "own/cert.pem"),
                      *key = path_join(fixture.dir, "own/key.pem");
    CLEANUP_STRV char **names = strv_split("box.example,10.1.2.3,fd00::1", ','),
                      **more = strv_split("box.example,10.1.2.3,fd00::1,new.example", ',');
    bool made = false;
    char first[96], second[96];
    struct stat st;
    assert_int_equal(tls_certificate_ensure(certificate, key, names, &made, &err), 0);
    assert_true(made);
    assert_int_equal(stat(key, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(tls_certificate_fingerprint(certificate, first, &err), 0);
    assert_int_equal(strlen(first), 95);
    assert_int_equal(tls_certificate_ensure(certificate, key, names, &made, &err), 0);
    assert_false(made);
    assert_int_equal(tls_certificate_ensure(certificate, key, more, &made, &err), 0);
    assert_true(made);
    assert_int_equal(tls_certificate_fingerprint(certificate, second, &err), 0);
    assert_string_not_equal(first, second);
    assert_int_equal(unlink(key), 0);
    assert_int_equal(tls_certificate_ensure(certificate, key, more, &made, &err), 0);
    assert_true(made);
    /* A key of another certificate is refused in plain words. */
    struct tls_options options = {certificate, fixture.key, NULL};
    struct tls *tls = NULL;
    assert_int_equal(tls_new(&options, &tls, &err), -EINVAL);
    assert_non_null(strstr(err.message, "does not belong"));
}

static void reload(void **state)
{
    CLEANUP_STR struct str out = STR_INIT;
    struct error err = ERROR_INIT;
    struct client old, new;
    bool made;
    assert_int_equal(client_open(&old, MBEDTLS_SSL_VERSION_TLS1_3, NULL, NULL), 0);
    assert_int_equal(unlink(fixture.certificate), 0);
    assert_int_equal(server_reload(fixture.server, &err), -EINVAL); /* the old one stays */
    CLEANUP_STRV char **names = strv_split("localhost", ',');
    assert_int_equal(tls_certificate_ensure(fixture.certificate, fixture.key, names, &made, &err),
                     0);
    assert_int_equal(server_reload(fixture.server, &err), 0);
    assert_int_equal(client_open(&new, MBEDTLS_SSL_VERSION_TLS1_3, NULL, NULL),
                     0); /* trusts the new file only */
    assert_int_equal(client_ask(&new, hello, &out), 200);
    assert_int_equal(client_ask(&old, hello, &out), 200);
    client_close(&new);
    client_close(&old);
}

static void make_certificates(void)
{
    static const char script[] = "cd \"$1\" && for ca in ca other; do openssl req -x509 -newkey ec "
                                 "-pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$ca -days 2 "
                                 "-keyout $ca.key -out $ca.pem; done && for name in tool:ca "
                                 "stranger:other; do n=${name%:*} c=${name#*:}; "
                                 "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes "
                                 "-subj /CN=$n -keyout $n.key -out $n.csr && "
                                 "openssl x509 -req -in $n.csr -CA $c.pem -CAkey $c.key "
                                 "-CAcreateserial -days 2 -out $n.pem; done";
    char sh[] = "sh", c[] = "-c", *text = mem_strdup(script);
    char *argv[] = {sh, c, text, sh, fixture.dir, NULL};
    struct child_spec spec = {.path = "/bin/sh", .argv = argv};
    CLEANUP_FREE char *output = NULL;
    int r = child_run(&spec, 30000, 65536, &output, NULL);
    free(text);
    if (r != 0)
        fail_msg("openssl: %s", output);
}

static void with_ca(struct server_options *options)
{
    make_certificates();
    ca_path = path_join(fixture.dir, "ca.pem");
    options->tls_client_ca = ca_path;
}

static int start(void **state)
{
    fixture_start(&fixture, true, with_ca);
    return 0;
}

static int stop(void **state)
{
    fixture_stop(&fixture);
    free(ca_path);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions),  cmocka_unit_test(cookies_over_tls),
        cmocka_unit_test(hijack),    cmocka_unit_test(client_certificates),
        cmocka_unit_test(made_once), cmocka_unit_test(reload),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
