/* rules.c - rules and channels: checked, kept, given out. Owner: notify.
 *
 * Few and seldom changed: each list is one setting of the store, written whole. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>


#include "base/base64.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/str.h"
#include "notify/notify_internal.h"
#include "tabique/error.h"

#define RULES_KEY "notify.rules"
#define CHANNELS_KEY "notify.channels"
#define NAME_MAX_BYTES 100
#define TEXT_MAX_BYTES 2000
#define SECRET_PREFIX "whsec_" /* of standardwebhooks.com */
#define SECRET_BYTES 32
#define DAY 86400

/* --- fields ------------------------------------------------------------------------------ */

/* A line of text: no control characters, since names go into mail headers. */
static int check_text(const char *field, const char *text, size_t max, struct error *err)
{
    if (strlen(text) > max)
        return error_set(err, EINVAL, "'%s' may have %zu bytes at most", field, max);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            return error_set(err, EINVAL, "'%s' must not have control characters", field);
    }
    return 0;
}

/* Absent: *ret is a copy of `old` (NULL stays NULL). */
static int get_text(const cJSON *body, const char *field, const char *old, size_t max, char **ret, struct error *err)
{
    const cJSON *value = json_get(body, field);

    if (value && !cJSON_IsNull(value) && !cJSON_IsString(value))
        return error_set(err, EINVAL, "'%s' must be a text", field);
    const char *text = cJSON_IsString(value) ? value->valuestring : old;
    if (text) {
        int r = check_text(field, text, max, err);
        if (r < 0)
            return r;
    }
    char *copy = mem_strdup(text); /* before the free: `old` may be *ret */
    free(*ret);
    *ret = copy;
    return 0;
}

static int get_bool(const cJSON *body, const char *field, bool *ret, struct error *err)
{
    const cJSON *value = json_get(body, field);

    if (!value)
        return 0;
    if (!cJSON_IsBool(value))
        return error_set(err, EINVAL, "'%s' must be true or false", field);
    *ret = cJSON_IsTrue(value);
    return 0;
}

static int get_int(const cJSON *body, const char *field, int min, int max, int *ret, struct error *err)
{
    const cJSON *value = json_get(body, field);

    if (!value)
        return 0;
    double number = cJSON_IsNumber(value) ? value->valuedouble : -1;
    if (!cJSON_IsNumber(value) || number < min || number > max || number != (int)number)
        return error_set(err, EINVAL, "'%s' must be a whole number from %d to %d", field, min, max);
    *ret = (int)number;
    return 0;
}

static int get_texts(const cJSON *body, const char *field, size_t count_max, char ***ret, struct error *err)
{
    const cJSON *list = json_get(body, field), *item;
    CLEANUP(strv_freep) char **out = NULL;

    if (!list)
        return 0;
    if (!cJSON_IsArray(list) || (size_t)cJSON_GetArraySize(list) > count_max)
        return error_set(err, EINVAL, "'%s' must be a list of %zu at most", field, count_max);
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            return error_set(err, EINVAL, "'%s' must be a list of texts", field);
        int r = check_text(field, item->valuestring, TEXT_MAX_BYTES, err);
        if (r < 0)
            return r;
        strv_push(&out, item->valuestring);
    }
    strv_free(*ret);
    *ret = TAKE_PTR(out);
    return 0;
}

static int check_name(const char *name, struct error *err)
{
    return name && name[0] ? 0 : error_set(err, EINVAL, "'name' is missing");
}

static void make_id(char out[NOTIFY_ID_MAX])
{
    uint8_t bytes[8];

    random_bytes(bytes, sizeof(bytes));
    hex_encode(bytes, sizeof(bytes), out);
}

/* --- the first ones ----------------------------------------------------------------------------- */

/* What a fresh installation is told of, on the console alone. */
static const struct {
    const char *id, *name;
    enum notify_kind kind;
    bool enabled;
} first_rules[] = {
    {"exit", "Ended with a failure", NOTIFY_EXIT, true},
    {"oom", "Out of memory", NOTIFY_OOM, true},
    {"unhealthy", "Unhealthy", NOTIFY_UNHEALTHY, true},
    {"restart-loop", "Restarts over and over", NOTIFY_RESTART_LOOP, true},
    {"worker-lost", "Worker lost", NOTIFY_WORKER_LOST, true},
    {"memory", "Memory nearly used up", NOTIFY_MEMORY, true},
    {"cpu", "Busy for long", NOTIFY_CPU, false},
};

bool notify_rule_named_at_first(const char *id, const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(first_rules); i++) {
        if (str_equal(first_rules[i].id, id))
            return str_equal(first_rules[i].name, name);
    }
    return false;
}

/* --- rules: text and back --------------------------------------------------------------------- */

static void rule_clear(struct notify_rule *rule)
{
    free(rule->name);
    free(rule->container);
    strv_free(rule->channels);
    *rule = (struct notify_rule){0};
}

static struct notify_rule rule_copy(const struct notify_rule *rule)
{
    struct notify_rule copy = *rule;

    copy.name = mem_strdup(rule->name);
    copy.container = mem_strdup(rule->container);
    copy.channels = strv_dup(rule->channels);
    return copy;
}

static cJSON *rule_json(const struct notify_rule *rule)
{
    const struct notify_kind_row *kind = &notify_kinds[rule->kind];
    cJSON *json = cJSON_CreateObject();

    json_add_string(json, "id", rule->id);
    json_add_string(json, "name", rule->name);
    json_add_bool(json, "firstName", notify_rule_named_at_first(rule->id, rule->name));
    json_add_bool(json, "enabled", rule->enabled);
    json_add_string(json, "kind", kind->name);
    json_add_string(json, "container", rule->container);
    if (kind->above)
        json_add_number(json, "above", rule->above);
    if (kind->seconds)
        json_add_int(json, "seconds", rule->seconds);
    if (kind->count)
        json_add_int(json, "count", rule->count);
    json_add_int(json, "pause", rule->pause);
    json_add(json, "channels", json_from_strv(rule->channels));
    return json;
}

/* Changes what the body names. */
static int rule_read(struct notify_rule *rule, const cJSON *body, struct error *err)
{
    static const char *const known[] = {"id",    "name",    "firstName", "enabled", "kind",     "container",
                                        "above", "seconds", "count",     "pause",   "channels", NULL};
    const cJSON *field;
    CLEANUP_FREE char *kind = NULL;

    if (!cJSON_IsObject(body))
        return error_set(err, EINVAL, "a rule is a JSON object");
    cJSON_ArrayForEach(field, body)
    {
        if (!strv_contains((char *const *)known, field->string))
            return error_set(err, EINVAL, "unknown field '%s'", field->string);
    }
    int r = get_text(body, "kind", notify_kinds[rule->kind].name, NAME_MAX_BYTES, &kind, err);
    if (r < 0)
        return r;
    int found = notify_kind_find(kind);
    if (found < 0 || found == NOTIFY_TEST)
        return error_set(err, EINVAL, "unknown kind '%s': exit, oom, unhealthy, restart-loop, worker-lost, cpu or memory",
                         kind);
    rule->kind = (enum notify_kind)found;
    const cJSON *above = json_get(body, "above");
    if (above && (!cJSON_IsNumber(above) || !(above->valuedouble > 0) || above->valuedouble > 100000))
        return error_set(err, EINVAL, "'above' must be a percentage over 0");
    if (above)
        rule->above = above->valuedouble;
    if ((r = get_text(body, "name", rule->name, NAME_MAX_BYTES, &rule->name, err)) < 0 ||
        (r = check_name(rule->name, err)) < 0 || (r = get_bool(body, "enabled", &rule->enabled, err)) < 0 ||
        (r = get_text(body, "container", rule->container, 256, &rule->container, err)) < 0 ||
        (r = get_int(body, "seconds", 10, DAY, &rule->seconds, err)) < 0 ||
        (r = get_int(body, "count", 2, 1000, &rule->count, err)) < 0 ||
        (r = get_int(body, "pause", 0, 30 * DAY, &rule->pause, err)) < 0 ||
        (r = get_texts(body, "channels", NOTIFY_CHANNELS_MAX, &rule->channels, err)) < 0)
        return r;
    return 0;
}

static struct notify_rule rule_default(void)
{
    return (struct notify_rule){.enabled = true,
                                .container = mem_strdup(""),
                                .above = 90,
                                .seconds = 300,
                                .count = 5,
                                .pause = 900};
}

/* --- channels: text and back --------------------------------------------------------------------- */

static void channel_clear(struct notify_channel *channel)
{
    char *const texts[] = {channel->name,     channel->console_url, channel->url,  channel->server,
                           channel->username, channel->from};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    char *const secrets[] = {channel->secret, channel->password};
    for (size_t i = 0; i < ARRAY_SIZE(secrets); i++) {
        if (secrets[i])
            explicit_bzero(secrets[i], strlen(secrets[i]));
        free(secrets[i]);
    }
    strv_free(channel->to);
    *channel = (struct notify_channel){0};
}

static struct notify_channel channel_copy(const struct notify_channel *channel)
{
    struct notify_channel copy = *channel;

    copy.name = mem_strdup(channel->name);
    copy.console_url = mem_strdup(channel->console_url);
    copy.url = mem_strdup(channel->url);
    copy.secret = mem_strdup(channel->secret);
    copy.server = mem_strdup(channel->server);
    copy.username = mem_strdup(channel->username);
    copy.password = mem_strdup(channel->password);
    copy.from = mem_strdup(channel->from);
    copy.to = strv_dup(channel->to);
    return copy;
}

/* secrets: for the store; else only whether there is one. */
static cJSON *channel_json(const struct notify_channel *channel, bool secrets)
{
    cJSON *json = cJSON_CreateObject();

    json_add_string(json, "id", channel->id);
    json_add_string(json, "name", channel->name);
    json_add_bool(json, "enabled", channel->enabled);
    json_add_string(json, "kind", channel->kind == CHANNEL_MAIL ? "mail" : "webhook");
    json_add_string(json, "language", notify_languages[channel->language]);
    json_add_string(json, "consoleUrl", channel->console_url);
    if (channel->kind == CHANNEL_WEBHOOK) {
        json_add_string(json, "url", channel->url);
        if (secrets)
            json_add_string(json, "secret", channel->secret);
        return json;
    }
    json_add_string(json, "server", channel->server);
    json_add_string(json, "tls", channel->tls ? "required" : "never");
    json_add_string(json, "username", channel->username);
    if (secrets)
        json_add_string(json, "password", channel->password);
    else
        json_add_bool(json, "passwordSet", channel->password && channel->password[0]);
    json_add_string(json, "from", channel->from);
    json_add(json, "to", json_from_strv(channel->to));
    return json;
}

/* Only what curl shall speak, and no credentials that would stand in lists. */
static int check_url(const char *field, const char *url, const char *const *schemes, struct error *err)
{
    CURLU *parsed = curl_url();
    CLEANUP_FREE char *list = strv_join((char *const *)schemes, " or ");
    char *scheme = NULL, *user = NULL;
    bool good = parsed && url && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                strv_contains((char *const *)schemes, scheme);
    bool named = good && curl_url_get(parsed, CURLUPART_USER, &user, 0) == CURLUE_OK;

    curl_free(scheme);
    curl_free(user);
    curl_url_cleanup(parsed);
    if (!good)
        return error_set(err, EINVAL, "'%s' must be a URL that begins with %s://", field, list);
    return named ? error_set(err, EINVAL, "'%s' must not contain a user or password", field) : 0;
}

static int check_address(const char *field, const char *address, struct error *err)
{
    const char *at = address ? strrchr(address, '@') : NULL;
    bool good = at && at != address && at[1] && strlen(address) <= 254;

    for (const unsigned char *c = (const unsigned char *)address; good && *c; c++)
        good = *c > 0x20 && *c < 0x7f && !strchr("<>()[],;:\\\"", *c);
    return good ? 0 : error_set(err, EINVAL, "'%s' must be a mail address like somebody@example.org", field);
}

static int check_secret(const char *secret, struct error *err)
{
    size_t length = 0;
    CLEANUP_FREE char *key = str_starts(secret, SECRET_PREFIX)
                                 ? base64_decode(secret + strlen(SECRET_PREFIX), &length)
                                 : NULL;

    if (key)
        explicit_bzero(key, length);
    if (length < 24)
        return error_set(err, EINVAL, "'secret' must be whsec_ and at least 24 bytes in base64; left out, one is made");
    return 0;
}

static char *make_secret(void)
{
    unsigned char key[SECRET_BYTES];

    random_bytes(key, sizeof(key));
    CLEANUP_FREE char *text = base64_encode(key, sizeof(key));
    explicit_bzero(key, sizeof(key));
    return mem_printf(SECRET_PREFIX "%s", text);
}

static int read_webhook(struct notify_channel *channel, const cJSON *body, struct error *err)
{
    static const char *const schemes[] = {"https", "http", NULL};
    int r = get_text(body, "url", channel->url, TEXT_MAX_BYTES, &channel->url, err);

    if (r >= 0)
        r = check_url("url", channel->url, schemes, err);
    if (r >= 0)
        r = get_text(body, "secret", channel->secret, 200, &channel->secret, err);
    if (r >= 0 && (!channel->secret || !channel->secret[0])) {
        free(channel->secret);
        channel->secret = make_secret();
    }
    return r < 0 ? r : check_secret(channel->secret, err);
}

static int read_mail(struct notify_channel *channel, const cJSON *body, struct error *err)
{
    static const char *const schemes[] = {"smtp", "smtps", NULL};
    CLEANUP_FREE char *tls = NULL;
    int r = get_text(body, "server", channel->server, TEXT_MAX_BYTES, &channel->server, err);

    if (r >= 0)
        r = check_url("server", channel->server, schemes, err);
    if (r >= 0)
        r = get_text(body, "tls", channel->tls ? "required" : "never", 20, &tls, err);
    if (r >= 0 && !str_equal(tls, "required") && !str_equal(tls, "never"))
        r = error_set(err, EINVAL, "'tls' must be required or never");
    if (r < 0)
        return r;
    channel->tls = str_equal(tls, "required");
    if ((r = get_text(body, "username", channel->username, 200, &channel->username, err)) < 0 ||
        (r = get_text(body, "password", channel->password, 200, &channel->password, err)) < 0 ||
        (r = get_text(body, "from", channel->from, 254, &channel->from, err)) < 0 ||
        (r = check_address("from", channel->from, err)) < 0 ||
        (r = get_texts(body, "to", 50, &channel->to, err)) < 0)
        return r;
    if (!channel->to)
        return error_set(err, EINVAL, "'to' is missing: a list of mail addresses");
    for (size_t i = 0; r >= 0 && channel->to[i]; i++)
        r = check_address("to", channel->to[i], err);
    return r;
}

static int channel_read(struct notify_channel *channel, const cJSON *body, bool new, struct error *err)
{
    static const char *const known[] = {"id",     "name",   "enabled", "kind",     "language", "consoleUrl",  "url",
                                        "secret", "server", "tls",     "username", "password", "passwordSet", "from",
                                        "to",     NULL};
    static const char *const web[] = {"https", "http", NULL};
    const cJSON *field;
    CLEANUP_FREE char *kind = NULL, *language = NULL;

    if (!cJSON_IsObject(body))
        return error_set(err, EINVAL, "a channel is a JSON object");
    cJSON_ArrayForEach(field, body)
    {
        if (!strv_contains((char *const *)known, field->string))
            return error_set(err, EINVAL, "unknown field '%s'", field->string);
    }
    int r = get_text(body, "kind", new ? NULL : channel->kind == CHANNEL_MAIL ? "mail" : "webhook", 20, &kind, err);
    if (r < 0)
        return r;
    if (!str_equal(kind, "webhook") && !str_equal(kind, "mail"))
        return error_set(err, EINVAL, "'kind' must be webhook or mail");
    enum notify_channel_kind wanted = str_equal(kind, "mail") ? CHANNEL_MAIL : CHANNEL_WEBHOOK;
    if (!new && wanted != channel->kind)
        return error_set(err, EINVAL, "a channel's kind cannot be changed: make a new one");
    channel->kind = wanted;
    if ((r = get_text(body, "name", channel->name, NAME_MAX_BYTES, &channel->name, err)) < 0 ||
        (r = check_name(channel->name, err)) < 0 || (r = get_bool(body, "enabled", &channel->enabled, err)) < 0 ||
        (r = get_text(body, "language", notify_languages[channel->language], 8, &language, err)) < 0 ||
        (r = get_text(body, "consoleUrl", channel->console_url, 500, &channel->console_url, err)) < 0)
        return r;
    for (channel->language = 0; channel->language < NOTIFY_LANGUAGES; channel->language++) {
        if (str_equal(language, notify_languages[channel->language]))
            break;
    }
    if (channel->language == NOTIFY_LANGUAGES) {
        channel->language = 0;
        return error_set(err, EINVAL, "'language' must be en or es");
    }
    if (channel->console_url && channel->console_url[0]) {
        r = check_url("consoleUrl", channel->console_url, web, err);
        if (r < 0)
            return r;
    }
    return channel->kind == CHANNEL_MAIL ? read_mail(channel, body, err) : read_webhook(channel, body, err);
}

/* --- the lists ------------------------------------------------------------------------------------- */

static ssize_t find_rule(const struct notify *notify, const char *id)
{
    for (size_t i = 0; i < notify->rule_count; i++) {
        if (strcmp(notify->rules[i].id, id) == 0)
            return (ssize_t)i;
    }
    return -1;
}

static ssize_t find_channel(const struct notify *notify, const char *id)
{
    for (size_t i = 0; i < notify->channel_count; i++) {
        if (strcmp(notify->channels[i].id, id) == 0)
            return (ssize_t)i;
    }
    return -1;
}

static cJSON *rules_json(const struct notify *notify)
{
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < notify->rule_count; i++)
        cJSON_AddItemToArray(list, rule_json(&notify->rules[i]));
    return list;
}

static cJSON *channels_json(const struct notify *notify, bool secrets)
{
    cJSON *list = cJSON_CreateArray();

    for (size_t i = 0; i < notify->channel_count; i++)
        cJSON_AddItemToArray(list, channel_json(&notify->channels[i], secrets));
    return list;
}

static int save(struct notify *notify, const char *key, cJSON *list, struct error *err)
{
    CLEANUP_FREE char *text = json_print(list);
    int r = store_setting_put(notify->options.store, key, text);

    cJSON_Delete(list);
    explicit_bzero(text, strlen(text));
    return r < 0 ? error_errno(err, -r, "cannot store the rules") : 0;
}

static int by_rule_name(const void *a, const void *b)
{
    return strcmp(((const struct notify_rule *)a)->name, ((const struct notify_rule *)b)->name);
}

static int by_channel_name(const void *a, const void *b)
{
    return strcmp(((const struct notify_channel *)a)->name, ((const struct notify_channel *)b)->name);
}

static void push_rule(struct notify *notify, struct notify_rule rule)
{
    notify->rules = mem_grow(notify->rules, notify->rule_count + 1, sizeof(*notify->rules));
    notify->rules[notify->rule_count++] = rule;
    qsort(notify->rules, notify->rule_count, sizeof(*notify->rules), by_rule_name);
}

static void push_channel(struct notify *notify, struct notify_channel channel)
{
    notify->channels = mem_grow(notify->channels, notify->channel_count + 1, sizeof(*notify->channels));
    notify->channels[notify->channel_count++] = channel;
    qsort(notify->channels, notify->channel_count, sizeof(*notify->channels), by_channel_name);
}

static int load_list(struct notify *notify, const char *key, cJSON **ret, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    int r = store_setting_get(notify->options.store, key, &text);

    if (r == -ENOENT)
        return 0;
    if (r >= 0)
        r = json_parse(text, strlen(text), ret, err);
    if (text)
        explicit_bzero(text, strlen(text));
    return r < 0 ? error_errno(err, -r, "cannot read %s", key) : 1;
}

int notify__load(struct notify *notify, struct error *err)
{
    CLEANUP_JSON cJSON *rules = NULL, *channels = NULL;
    const cJSON *item;
    int known = load_list(notify, RULES_KEY, &rules, err);
    int r = known < 0 ? known : load_list(notify, CHANNELS_KEY, &channels, err);

    if (r < 0)
        return r;
    for (size_t i = 0; known == 0 && i < ARRAY_SIZE(first_rules); i++) {
        struct notify_rule rule = rule_default();
        snprintf(rule.id, sizeof(rule.id), "%s", first_rules[i].id);
        rule.name = mem_strdup(first_rules[i].name);
        rule.kind = first_rules[i].kind;
        rule.enabled = first_rules[i].enabled;
        push_rule(notify, rule);
    }
    cJSON_ArrayForEach(item, rules)
    {
        struct notify_rule rule = rule_default();
        snprintf(rule.id, sizeof(rule.id), "%s", json_string(item, "id", ""));
        if (rule_read(&rule, item, err) < 0) {
            rule_clear(&rule);
            return error_prefix(err, "a stored rule");
        }
        push_rule(notify, rule);
    }
    cJSON_ArrayForEach(item, channels)
    {
        struct notify_channel channel = {.tls = true};
        snprintf(channel.id, sizeof(channel.id), "%s", json_string(item, "id", ""));
        if (channel_read(&channel, item, true, err) < 0) {
            channel_clear(&channel);
            return error_prefix(err, "a stored channel");
        }
        push_channel(notify, channel);
    }
    return 0;
}

void notify__unload(struct notify *notify)
{
    for (size_t i = 0; i < notify->rule_count; i++)
        rule_clear(&notify->rules[i]);
    for (size_t i = 0; i < notify->channel_count; i++)
        channel_clear(&notify->channels[i]);
    free(notify->rules);
    free(notify->channels);
}

struct notify_rule *notify__rules(struct notify *notify, size_t *ret_count)
{
    pthread_mutex_lock(&notify->lock);
    struct notify_rule *copy = mem_array(notify->rule_count + 1, sizeof(*copy));
    for (size_t i = 0; i < notify->rule_count; i++)
        copy[i] = rule_copy(&notify->rules[i]);
    *ret_count = notify->rule_count;
    pthread_mutex_unlock(&notify->lock);
    return copy;
}

void notify__rules_free(struct notify_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rule_clear(&rules[i]);
    free(rules);
}

struct notify_channel *notify__channel(struct notify *notify, const char *id)
{
    struct notify_channel *copy = NULL;

    pthread_mutex_lock(&notify->lock);
    ssize_t i = find_channel(notify, id);
    if (i >= 0) {
        copy = mem_new(struct notify_channel);
        *copy = channel_copy(&notify->channels[i]);
    }
    pthread_mutex_unlock(&notify->lock);
    return copy;
}

void notify__channel_free(struct notify_channel *channel)
{
    if (channel)
        channel_clear(channel);
    free(channel);
}

/* --- the face ---------------------------------------------------------------------------------------- */

cJSON *notify_rules(struct notify *notify)
{
    pthread_mutex_lock(&notify->lock);
    cJSON *list = rules_json(notify);
    pthread_mutex_unlock(&notify->lock);
    return list;
}

cJSON *notify_channels(struct notify *notify)
{
    pthread_mutex_lock(&notify->lock);
    cJSON *list = channels_json(notify, false);
    pthread_mutex_unlock(&notify->lock);
    return list;
}

static int check_rule(const struct notify *notify, const struct notify_rule *rule, struct error *err)
{
    for (size_t i = 0; i < notify->rule_count; i++) {
        if (strcmp(notify->rules[i].id, rule->id) != 0 && str_equal(notify->rules[i].name, rule->name))
            return error_set(err, EEXIST, "there is a rule '%s' already", rule->name);
    }
    for (size_t i = 0; rule->channels && rule->channels[i]; i++) {
        if (find_channel(notify, rule->channels[i]) < 0)
            return error_set(err, EINVAL, "No such channel: %s", rule->channels[i]);
    }
    return 0;
}

int notify_rule_put(struct notify *notify, const char *id, const cJSON *body, cJSON **ret, struct error *err)
{
    pthread_mutex_lock(&notify->lock);
    ssize_t at = id ? find_rule(notify, id) : -1;
    struct notify_rule rule = at >= 0 ? rule_copy(&notify->rules[at]) : rule_default();
    int r = 0;

    if (id && at < 0)
        r = error_set(err, ENOENT, "No such rule: %s", id);
    else if (!id && notify->rule_count == NOTIFY_RULES_MAX)
        r = error_set(err, EFBIG, "there may be %d rules at most", NOTIFY_RULES_MAX);
    if (!id)
        make_id(rule.id);
    if (r >= 0)
        r = rule_read(&rule, body, err);
    if (r >= 0)
        r = check_rule(notify, &rule, err);
    if (r >= 0) {
        *ret = rule_json(&rule);
        if (at >= 0) {
            rule_clear(&notify->rules[at]);
            notify->rules[at] = rule;
            qsort(notify->rules, notify->rule_count, sizeof(rule), by_rule_name);
        } else {
            push_rule(notify, rule);
        }
        r = save(notify, RULES_KEY, rules_json(notify), err);
        if (r < 0)
            json_freep(ret);
    } else {
        rule_clear(&rule);
    }
    pthread_mutex_unlock(&notify->lock);
    return r;
}

int notify_rule_delete(struct notify *notify, const char *id, struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&notify->lock);
    ssize_t at = find_rule(notify, id);
    if (at < 0) {
        r = error_set(err, ENOENT, "No such rule: %s", id);
    } else {
        rule_clear(&notify->rules[at]);
        notify->rules[at] = notify->rules[--notify->rule_count];
        qsort(notify->rules, notify->rule_count, sizeof(*notify->rules), by_rule_name);
        r = save(notify, RULES_KEY, rules_json(notify), err);
    }
    pthread_mutex_unlock(&notify->lock);
    return r;
}

int notify_channel_put(struct notify *notify, const char *id, const cJSON *body, cJSON **ret, struct error *err)
{
    pthread_mutex_lock(&notify->lock);
    ssize_t at = id ? find_channel(notify, id) : -1;
    struct notify_channel channel =
        at >= 0 ? channel_copy(&notify->channels[at]) : (struct notify_channel){.enabled = true, .tls = true};
    CLEANUP_FREE char *before = mem_strdup(channel.secret);
    int r = 0;

    if (id && at < 0)
        r = error_set(err, ENOENT, "No such channel: %s", id);
    else if (!id && notify->channel_count == NOTIFY_CHANNELS_MAX)
        r = error_set(err, EFBIG, "there may be %d channels at most", NOTIFY_CHANNELS_MAX);
    if (!id)
        make_id(channel.id);
    if (r >= 0)
        r = channel_read(&channel, body, at < 0, err);
    for (size_t i = 0; r >= 0 && i < notify->channel_count; i++) {
        if ((ssize_t)i != at && str_equal(notify->channels[i].name, channel.name))
            r = error_set(err, EEXIST, "there is a channel '%s' already", channel.name);
    }
    if (r >= 0) {
        *ret = channel_json(&channel, false);
        /* Shown this once, as a token is. */
        if (channel.kind == CHANNEL_WEBHOOK && !str_equal(before, channel.secret))
            json_add_string(*ret, "secret", channel.secret);
        if (at >= 0) {
            channel_clear(&notify->channels[at]);
            notify->channels[at] = channel;
            qsort(notify->channels, notify->channel_count, sizeof(channel), by_channel_name);
        } else {
            push_channel(notify, channel);
        }
        r = save(notify, CHANNELS_KEY, channels_json(notify, true), err);
        if (r < 0)
            json_freep(ret);
    } else {
        channel_clear(&channel);
    }
    pthread_mutex_unlock(&notify->lock);
    return r;
}

int notify_channel_delete(struct notify *notify, const char *id, struct error *err)
{
    int r = 0;

    pthread_mutex_lock(&notify->lock);
    ssize_t at = find_channel(notify, id);
    if (at < 0)
        r = error_set(err, ENOENT, "No such channel: %s", id);
    for (size_t i = 0; r >= 0 && i < notify->rule_count; i++) {
        if (strv_contains(notify->rules[i].channels, id))
            r = error_set(err, EBUSY, "the rule '%s' uses this channel: take it out there first", notify->rules[i].name);
    }
    if (r >= 0) {
        channel_clear(&notify->channels[at]);
        notify->channels[at] = notify->channels[--notify->channel_count];
        qsort(notify->channels, notify->channel_count, sizeof(*notify->channels), by_channel_name);
        r = save(notify, CHANNELS_KEY, channels_json(notify, true), err);
    }
    pthread_mutex_unlock(&notify->lock);
    return r;
}
