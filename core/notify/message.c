/* message.c - one notification as a signed webhook request or a mail. Owner: notify.
 *
 * Webhooks follow standardwebhooks.com: webhook-id, webhook-timestamp, and
 * webhook-signature "v1,BASE64(HMAC-SHA256(key, id.timestamp.body))". Redirects are
 * not followed: the signature is for the one that was configured. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nettle/hmac.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "notify/notify_internal.h"
#include "tabique/error.h"

#define CONNECT_TIMEOUT_MS 5000L
#define TIMEOUT_MS 20000L
#define ANSWER_MAX ((size_t)64 << 10)
#define ENCODED_WORD_BYTES 42 /* 56 in base64: below the 75 of RFC 2047 with its frame */

void notify__transfer_free(struct notify_transfer *transfer)
{
    if (!transfer)
        return;
    curl_easy_cleanup(transfer->curl);
    curl_slist_free_all(transfer->headers);
    curl_slist_free_all(transfer->recipients);
    curl_mime_free(transfer->mime);
    free(transfer->body);
    free(transfer);
}

/* Counted, not kept; too much of it ends the transfer. */
static size_t drop_answer(char *data, size_t size, size_t count, void *user)
{
    struct notify_transfer *transfer = user;

    transfer->answered += size * count;
    return transfer->answered > ANSWER_MAX ? 0 : size * count;
}

static void add_header(struct curl_slist **list, char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer)
        *list = longer;
    free(line);
}

static char *console_link(const struct notify_channel *channel, const struct store_notification *notification)
{
    size_t length = channel->console_url ? strlen(channel->console_url) : 0;

    while (length > 0 && channel->console_url[length - 1] == '/')
        length--;
    if (length == 0)
        return NULL;
    /* Names of containers need no escaping in a path. */
    return notification->container[0]
               ? mem_printf("%.*s/ui/containers/%s", (int)length, channel->console_url, notification->container)
               : mem_printf("%.*s/ui/notifications", (int)length, channel->console_url);
}

static char *sentence_of(const struct notify_channel *channel, const struct store_notification *notification,
                         bool end, cJSON **ret_detail)
{
    static const char *const over[NOTIFY_LANGUAGES] = {"Over: ", "Ya no: "};

    if (json_parse(notification->detail, strlen(notification->detail), ret_detail, NULL) < 0)
        *ret_detail = cJSON_CreateObject();
    CLEANUP_FREE char *text =
        notify_sentence(notification->kind, channel->language, notification->container, *ret_detail);
    char *whole = mem_printf("%s%s", end ? over[channel->language] : "", text);
    str_make_printable(whole);
    return whole;
}

/* --- webhook ---------------------------------------------------------------------------------- */

static char *webhook_body(const struct notify *notify, const struct notify_channel *channel,
                          const struct store_notification *n, bool end)
{
    char time[64];
    cJSON *detail = NULL;
    CLEANUP_FREE char *text = sentence_of(channel, n, end, &detail);
    CLEANUP_FREE char *link = console_link(channel, n);
    CLEANUP_JSON cJSON *json = cJSON_CreateObject();

    json_add_string(json, "type", end ? "notification.ended" : "notification.raised");
    json_add_string(json, "timestamp", time_format(end ? n->ended_ns : n->time_ns, time));
    cJSON *data = json_add_object(json, "data");
    json_add_int(data, "id", n->id);
    json_add_string(data, "kind", n->kind);
    json_add_string(data, "text", text);
    json_add_string(data, "host", notify->host);
    json_add_string(data, "raisedAt", time_format(n->time_ns, time));
    if (n->ended_ns)
        json_add_string(data, "endedAt", time_format(n->ended_ns, time));
    else
        json_add_null(data, "endedAt");
    cJSON *rule = json_add_object(data, "rule");
    json_add_string(rule, "id", n->rule);
    json_add_string(rule, "name", n->rule_name);
    cJSON *container = json_add_object(data, "container");
    json_add_string(container, "id", n->container_id);
    json_add_string(container, "name", n->container);
    json_add(data, "detail", detail);
    json_add_string(data, "url", link);
    return json_print(json);
}

static int sign(const char *secret, const char *id, long long timestamp, const char *body, char **ret,
                struct error *err)
{
    const char *encoded = strchr(secret, '_');
    size_t length = 0;
    CLEANUP_FREE char *key = encoded ? base64_decode(encoded + 1, &length) : NULL;
    CLEANUP_FREE char *signed_text = mem_printf("%s.%lld.%s", id, timestamp, body);
    struct hmac_sha256_ctx hmac;
    uint8_t mac[SHA256_DIGEST_SIZE];

    if (length == 0)
        return error_set(err, EINVAL, "the webhook's secret does not sign");
    hmac_sha256_set_key(&hmac, length, (const uint8_t *)key);
    hmac_sha256_update(&hmac, strlen(signed_text), (const uint8_t *)signed_text);
    hmac_sha256_digest(&hmac, sizeof(mac), mac);
    explicit_bzero(key, length);
    explicit_bzero(&hmac, sizeof(hmac));
    CLEANUP_FREE char *text = base64_encode(mac, sizeof(mac));
    *ret = mem_printf("webhook-signature: v1,%s", text);
    return 0;
}

static int prepare_webhook(struct notify *notify, const struct notify_channel *channel,
                           const struct store_notification *notification, const struct store_delivery *delivery,
                           struct notify_transfer *transfer, struct error *err)
{
    CLEANUP_FREE char *id = mem_printf("msg_%s_%lld", notify->engine_id, (long long)delivery->id);
    long long timestamp = (long long)(clock_real_ns() / NS_PER_SEC);
    char *signature = NULL;

    transfer->body = webhook_body(notify, channel, notification, delivery->end);
    int r = sign(channel->secret, id, timestamp, transfer->body, &signature, err);
    if (r < 0)
        return r;
    add_header(&transfer->headers, mem_strdup("Content-Type: application/json"));
    add_header(&transfer->headers, mem_strdup("Expect:"));
    add_header(&transfer->headers, mem_printf("webhook-id: %s", id));
    add_header(&transfer->headers, mem_printf("webhook-timestamp: %lld", timestamp));
    add_header(&transfer->headers, signature);
    curl_easy_setopt(transfer->curl, CURLOPT_URL, channel->url);
    curl_easy_setopt(transfer->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(transfer->curl, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(transfer->curl, CURLOPT_POSTFIELDS, transfer->body);
    curl_easy_setopt(transfer->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(transfer->body));
    return 0;
}

/* --- mail ---------------------------------------------------------------------------------------- */

/* RFC 2047: as it is where it is ASCII, else encoded words of whole characters. */
static char *encode_header(const char *text)
{
    struct str out = {0};
    bool ascii = true;

    for (const unsigned char *c = (const unsigned char *)text; *c; c++)
        ascii = ascii && *c < 0x80;
    if (ascii)
        return mem_strdup(text);
    for (const char *rest = text; *rest;) {
        size_t part = str_cut_utf8(rest, ENCODED_WORD_BYTES);
        CLEANUP_FREE char *encoded = base64_encode(rest, part);

        str_printf(&out, "%s=?UTF-8?B?%s?=", rest == text ? "" : "\r\n ", encoded);
        rest += part;
    }
    return str_take(&out);
}

static char *mail_text(const struct notify *notify, const struct notify_channel *channel,
                       const struct store_notification *n, const char *sentence, bool end)
{
    static const char *const words[NOTIFY_LANGUAGES][5] = {
        {"Host", "Container", "Rule", "Since", "Until"},
        {"Equipo", "Contenedor", "Regla", "Desde", "Hasta"},
    };
    const char *const *word = words[channel->language];
    CLEANUP_FREE char *link = console_link(channel, n);
    struct str out = {0};
    char time[64];

    str_printf(&out, "%s\r\n\r\n%s: %s\r\n", sentence, word[0], notify->host);
    if (n->container[0])
        str_printf(&out, "%s: %s (%.12s)\r\n", word[1], n->container, n->container_id);
    str_printf(&out, "%s: %s\r\n%s: %s\r\n", word[2], n->rule_name, word[3], time_format(n->time_ns, time));
    if (end)
        str_printf(&out, "%s: %s\r\n", word[4], time_format(n->ended_ns, time));
    if (link)
        str_printf(&out, "\r\n%s\r\n", link);
    return str_take(&out);
}

static int prepare_mail(struct notify *notify, const struct notify_channel *channel,
                        const struct store_notification *n, const struct store_delivery *delivery,
                        struct notify_transfer *transfer, struct error *err)
{
    cJSON *detail = NULL;
    CLEANUP_FREE char *sentence = sentence_of(channel, n, delivery->end, &detail);
    CLEANUP_FREE char *line = mem_printf("[%s] %s", notify->host[0] ? notify->host : "Tabique", sentence);
    CLEANUP_FREE char *subject = encode_header(line);
    CLEANUP_FREE char *to = strv_join(channel->to, ", ");
    CLEANUP_FREE char *from = mem_printf("<%s>", channel->from);
    char date[64];
    time_t now = (time_t)(clock_real_ns() / NS_PER_SEC);
    struct tm parts;

    cJSON_Delete(detail);
    /* The C locale holds: the program sets none. */
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&now, &parts));
    add_header(&transfer->headers, mem_printf("Date: %s", date));
    add_header(&transfer->headers, mem_printf("From: Tabique <%s>", channel->from));
    add_header(&transfer->headers, mem_printf("To: %s", to));
    add_header(&transfer->headers, mem_printf("Subject: %s", subject));
    add_header(&transfer->headers, mem_printf("Message-ID: <%s.%lld@tabique>", notify->engine_id,
                                              (long long)delivery->id));
    add_header(&transfer->headers, mem_strdup("Auto-Submitted: auto-generated"));
    for (size_t i = 0; channel->to[i]; i++)
        add_header(&transfer->recipients, mem_printf("<%s>", channel->to[i]));
    transfer->body = mail_text(notify, channel, n, sentence, delivery->end);
    transfer->mime = curl_mime_init(transfer->curl);
    curl_mimepart *part = transfer->mime ? curl_mime_addpart(transfer->mime) : NULL;
    if (!part || curl_mime_data(part, transfer->body, CURL_ZERO_TERMINATED) != CURLE_OK ||
        curl_mime_type(part, "text/plain; charset=utf-8") != CURLE_OK ||
        curl_mime_encoder(part, "quoted-printable") != CURLE_OK)
        return error_set(err, EINVAL, "the mail could not be put together");
    curl_easy_setopt(transfer->curl, CURLOPT_URL, channel->server);
    curl_easy_setopt(transfer->curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(transfer->curl, CURLOPT_USE_SSL, channel->tls ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_NONE);
    curl_easy_setopt(transfer->curl, CURLOPT_MAIL_FROM, from);
    curl_easy_setopt(transfer->curl, CURLOPT_MAIL_RCPT, transfer->recipients);
    curl_easy_setopt(transfer->curl, CURLOPT_HTTPHEADER, transfer->headers);
    curl_easy_setopt(transfer->curl, CURLOPT_MIMEPOST, transfer->mime);
    if (channel->username && channel->username[0]) {
        curl_easy_setopt(transfer->curl, CURLOPT_USERNAME, channel->username);
        curl_easy_setopt(transfer->curl, CURLOPT_PASSWORD, channel->password ? channel->password : "");
    }
    return 0;
}

int notify__prepare(struct notify *notify, const struct notify_channel *channel,
                    const struct store_notification *notification, const struct store_delivery *delivery,
                    struct notify_transfer **ret, struct error *err)
{
    struct notify_transfer *transfer = mem_new(struct notify_transfer);

    transfer->curl = curl_easy_init();
    if (!transfer->curl) {
        notify__transfer_free(transfer);
        return error_set(err, EIO, "libcurl has no memory");
    }
    curl_easy_setopt(transfer->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(transfer->curl, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(transfer->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    curl_easy_setopt(transfer->curl, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(transfer->curl, CURLOPT_USERAGENT, "Tabique/" TABIQUE_VERSION);
    curl_easy_setopt(transfer->curl, CURLOPT_WRITEFUNCTION, drop_answer);
    curl_easy_setopt(transfer->curl, CURLOPT_WRITEDATA, transfer);
    int r = channel->kind == CHANNEL_MAIL
                ? prepare_mail(notify, channel, notification, delivery, transfer, err)
                : prepare_webhook(notify, channel, notification, delivery, transfer, err);
    if (r < 0) {
        notify__transfer_free(transfer);
        return r;
    }
    *ret = transfer;
    return 0;
}
