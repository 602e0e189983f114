/* certificate.c - the certificate made at first start; see tls.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/random.h"
#include "base/str.h"
#include "tabique/error.h"
#include "tls.h"

#define CERTIFICATE_DAYS 825 /* what browsers accept at most of a user's own CA */
#define CERTIFICATE_RENEW_DAYS 14
#define CERTIFICATE_NAMES_MAX 64
#define SECONDS_PER_DAY 86400

/* A name's binary form: 4 or 16 bytes of an address, or the name itself. */
static size_t name_bytes(const char *name, unsigned char out[16], bool *ret_address)
{
    *ret_address = true;
    if (inet_pton(AF_INET, name, out) == 1)
        return 4;
    if (inet_pton(AF_INET6, name, out) == 1)
        return 16;
    *ret_address = false;
    return strlen(name);
}

static bool has_name(const mbedtls_x509_crt *certificate, const char *name)
{
    unsigned char address[16];
    bool is_address;
    size_t length = name_bytes(name, address, &is_address);
    for (const mbedtls_x509_sequence *at = &certificate->subject_alt_names; at != NULL;
         at = at->next) {
        mbedtls_x509_subject_alternative_name san;
        if (at->buf.p == NULL || mbedtls_x509_parse_subject_alt_name(&at->buf, &san) != 0)
            continue;
        bool same = false;
        if (san.type == MBEDTLS_X509_SAN_DNS_NAME || san.type == MBEDTLS_X509_SAN_IP_ADDRESS) {
            const mbedtls_x509_buf *value = &san.san.unstructured_name;
            same =
                is_address == (san.type == MBEDTLS_X509_SAN_IP_ADDRESS) && value->len == length &&
                memcmp(value->p, is_address ? (const void *)address : (const void *)name, length) ==
                    0;
        }
        mbedtls_x509_free_subject_alt_name(&san);
        if (same)
            return true;
    }
    return false;
}

static bool still_good(const char *certificate_path, const char *key_path, char *const *names)
{
    mbedtls_x509_crt certificate;
    mbedtls_x509_crt_init(&certificate);
    CLEANUP_FREE char *key = NULL;
    bool good = file_read(AT_FDCWD, key_path, 65536, &key, NULL) == 0 &&
                mbedtls_x509_crt_parse_file(&certificate, certificate_path) == 0;
    if (good) {
        struct tm end = {.tm_year = certificate.valid_to.year - 1900,
                         .tm_mon = certificate.valid_to.mon - 1,
                         .tm_mday = certificate.valid_to.day,
                         .tm_hour = certificate.valid_to.hour};
        good = timegm(&end) - time(NULL) > CERTIFICATE_RENEW_DAYS * SECONDS_PER_DAY;
        for (size_t i = 0; good && names != NULL && names[i] != NULL && i < CERTIFICATE_NAMES_MAX;
             i++)
            good = has_name(&certificate, names[i]);
    }
    mbedtls_x509_crt_free(&certificate);
    return good;
}

struct maker {
    mbedtls_entropy_context entropy;
    mbedtls_ctr_drbg_context random;
    mbedtls_pk_context key;
    mbedtls_x509write_cert certificate;
};

static int set_names(struct maker *maker, char *const *names)
{
    mbedtls_x509_san_list list[CERTIFICATE_NAMES_MAX] = {0};
    unsigned char addresses[CERTIFICATE_NAMES_MAX][16];
    size_t count = 0;
    for (; names != NULL && names[count] != NULL && count < CERTIFICATE_NAMES_MAX; count++) {
        bool is_address;
        size_t length = name_bytes(names[count], addresses[count], &is_address);
        mbedtls_x509_san_list *entry = &list[count];
        entry->node.type = is_address ? MBEDTLS_X509_SAN_IP_ADDRESS : MBEDTLS_X509_SAN_DNS_NAME;
        entry->node.san.unstructured_name.p =
            is_address ? addresses[count] : (unsigned char *)names[count];
        entry->node.san.unstructured_name.len = length;
        if (count > 0)
            list[count - 1].next = entry;
    }
    return count == 0
               ? 0
               : mbedtls_x509write_crt_set_subject_alternative_name(&maker->certificate, list);
}

static int make(struct maker *maker, char *const *names, unsigned char *certificate_pem,
                size_t certificate_size, unsigned char *key_pem, size_t key_size)
{
    int r = mbedtls_ctr_drbg_seed(&maker->random, mbedtls_entropy_func, &maker->entropy, NULL, 0);
    if (r == 0)
        r = mbedtls_pk_setup(&maker->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (r == 0)
        r = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(maker->key),
                                mbedtls_ctr_drbg_random, &maker->random);
    if (r != 0)
        return r;

    char subject[160];
    const char *host =
        names != NULL && names[0] != NULL && strlen(names[0]) <= 64 ? names[0] : "localhost";
    snprintf(subject, sizeof(subject), "CN=%s,O=Tabique", host);
    unsigned char serial[16];
    random_bytes(serial, sizeof(serial));
    serial[0] = (unsigned char)((serial[0] & 0x7f) | 0x40); /* positive, and 16 bytes long */
    char from[16], to[16];
    time_t now = time(NULL), end = now + (time_t)CERTIFICATE_DAYS * SECONDS_PER_DAY;
    now -= 3600; /* clients whose clock is a little behind */
    struct tm tm;
    strftime(from, sizeof(from), "%Y%m%d%H%M%S", gmtime_r(&now, &tm));
    strftime(to, sizeof(to), "%Y%m%d%H%M%S", gmtime_r(&end, &tm));
    static const mbedtls_asn1_sequence server_usage = {
        .buf = {.tag = MBEDTLS_ASN1_OID,
                .len = MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH),
                .p = (unsigned char *)MBEDTLS_OID_SERVER_AUTH}};

    mbedtls_x509write_cert *certificate = &maker->certificate;
    mbedtls_x509write_crt_set_version(certificate, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(certificate, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(certificate, &maker->key);
    mbedtls_x509write_crt_set_issuer_key(certificate, &maker->key);
    r = mbedtls_x509write_crt_set_serial_raw(certificate, serial, sizeof(serial));
    if (r == 0)
        r = mbedtls_x509write_crt_set_subject_name(certificate, subject);
    if (r == 0)
        r = mbedtls_x509write_crt_set_issuer_name(certificate, subject);
    if (r == 0)
        r = mbedtls_x509write_crt_set_validity(certificate, from, to);
    /* A CA of itself, so that it can be put into a client's --tlscacert. */
    if (r == 0)
        r = mbedtls_x509write_crt_set_basic_constraints(certificate, 1, 0);
    if (r == 0)
        r = mbedtls_x509write_crt_set_key_usage(certificate, MBEDTLS_X509_KU_DIGITAL_SIGNATURE |
                                                                 MBEDTLS_X509_KU_KEY_CERT_SIGN);
    if (r == 0)
        r = mbedtls_x509write_crt_set_ext_key_usage(certificate, &server_usage);
    if (r == 0)
        r = mbedtls_x509write_crt_set_subject_key_identifier(certificate);
    if (r == 0)
        r = mbedtls_x509write_crt_set_authority_key_identifier(certificate);
    if (r == 0)
        r = set_names(maker, names);
    if (r == 0)
        r = mbedtls_x509write_crt_pem(certificate, certificate_pem, certificate_size,
                                      mbedtls_ctr_drbg_random, &maker->random);
    if (r == 0)
        r = mbedtls_pk_write_key_pem(&maker->key, key_pem, key_size);
    return r;
}

int tls_certificate_ensure(const char *certificate_path, const char *key_path, char *const *names,
                           bool *ret_made, struct error *err)
{
    if (psa_crypto_init() != PSA_SUCCESS)
        return error_set(err, EIO, "TLS: the crypto library cannot start");
    if (still_good(certificate_path, key_path, names)) {
        *ret_made = false;
        return 0;
    }
    unsigned char certificate_pem[16384], key_pem[2048];
    struct maker maker;
    mbedtls_entropy_init(&maker.entropy);
    mbedtls_ctr_drbg_init(&maker.random);
    mbedtls_pk_init(&maker.key);
    mbedtls_x509write_crt_init(&maker.certificate);
    int r = make(&maker, names, certificate_pem, sizeof(certificate_pem), key_pem, sizeof(key_pem));
    mbedtls_x509write_crt_free(&maker.certificate);
    mbedtls_pk_free(&maker.key);
    mbedtls_ctr_drbg_free(&maker.random);
    mbedtls_entropy_free(&maker.entropy);
    if (r != 0)
        return error_set(err, EIO, "a TLS certificate could not be made (mbedTLS -0x%04x)",
                         (unsigned)-r);

    CLEANUP_FREE char *directory = path_dir(certificate_path);
    r = path_mkdirs(directory, 0700);
    if (r >= 0)
        r = file_write_atomic(AT_FDCWD, key_path, key_pem, strlen((char *)key_pem), 0600);
    if (r >= 0)
        r = file_write_atomic(AT_FDCWD, certificate_path, certificate_pem,
                              strlen((char *)certificate_pem), 0600);
    memset(key_pem, 0, sizeof(key_pem));
    if (r < 0)
        return error_errno(err, -r, "the TLS certificate could not be written to %s",
                           certificate_path);
    *ret_made = true;
    return 0;
}

int tls_certificate_fingerprint(const char *certificate_path, char out[96], struct error *err)
{
    mbedtls_x509_crt certificate;
    mbedtls_x509_crt_init(&certificate);
    if (mbedtls_x509_crt_parse_file(&certificate, certificate_path) != 0) {
        mbedtls_x509_crt_free(&certificate);
        return error_set(err, EINVAL, "TLS certificate %s cannot be read", certificate_path);
    }
    unsigned char hash[32];
    mbedtls_sha256(certificate.raw.p, certificate.raw.len, hash, 0);
    for (size_t i = 0; i < sizeof(hash); i++)
        snprintf(out + 3 * i, 4, "%02X%s", hash[i], i < 31 ? ":" : "");
    mbedtls_x509_crt_free(&certificate);
    return 0;
}
