/* log_driver.c - see log_driver.h. Owner: container. */
#include "container/log_driver.h"

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/child.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/pattern.h"
#include "base/str.h"
#include "container/internal.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define DIAL_SECONDS 10
#define INVALID(...) error_set(err, EINVAL, __VA_ARGS__)

/* Also of drivers that keep none themselves: the file that logs are read back from. */
#define CACHE "cache-disabled,cache-max-size,cache-max-file,cache-compress,"
#define BUFFER "mode,max-buffer-size,"
#define META "labels,labels-regex,env,env-regex,tag,"

static const struct driver {
    const char *type;
    const char *options; /* with commas at both ends; NULL: whatever */
    const char *unknown; /* how it says that there is no such option */
    const char *max_size, *max_files, *compress;
} drivers[] = {
    {"json-file", ",max-size,max-file,compress," META BUFFER CACHE, "unknown log opt '%s' for json-file log driver",
     NULL, "1", "false"},
    {"local", ",max-size,max-file,compress," BUFFER, "unknown log opt '%s' for log driver local", "20m", "5", "true"},
    {"none", NULL, NULL, NULL, "1", "false"},
    {"journald", "," META BUFFER CACHE, "unknown log opt '%s' for journald log driver", "20m", "5", "true"},
    {"syslog", ",syslog-address,syslog-facility,syslog-format,syslog-tls-ca-cert,syslog-tls-cert,syslog-tls-key,"
               "syslog-tls-skip-verify," META BUFFER CACHE,
     "unknown log opt '%s' for syslog log driver", "20m", "5", "true"},
};

static const struct driver *find_driver(const char *type)
{
    for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
        if (strcmp(drivers[i].type, type) == 0)
            return &drivers[i];
    return NULL;
}

static const char *option(const cJSON *log, const char *name, const char *fallback)
{
    return json_string(json_get(log, "Config"), name, fallback);
}

/* --- checking -------------------------------------------------------------------------- */

static int check_mode(const cJSON *log, struct error *err)
{
    const char *mode = option(log, "mode", ""), *buffer = option(log, "max-buffer-size", NULL);
    int64_t bytes;

    if (*mode && strcmp(mode, "blocking") != 0 && strcmp(mode, "non-blocking") != 0)
        return INVALID("logger: logging mode not supported: %s", mode);
    if (buffer && strcmp(mode, "non-blocking") != 0)
        return INVALID("logger: max-buffer-size option is only supported with 'mode=non-blocking'");
    if (buffer && str_to_bytes(buffer, &bytes) < 0)
        return INVALID("error parsing option max-buffer-size: invalid size: '%s'", buffer);
    return 0;
}

static int check_file(const cJSON *log, const char *prefix, struct error *err)
{
    CLEANUP_FREE char *size_name = mem_printf("%smax-size", prefix), *files_name = mem_printf("%smax-file", prefix);
    CLEANUP_FREE char *compress_name = mem_printf("%scompress", prefix);
    const char *size = option(log, size_name, NULL), *files = option(log, files_name, NULL);
    const char *compress = option(log, compress_name, NULL);
    int64_t bytes;
    int count;

    if (size && strcmp(size, "-1") != 0 && str_to_bytes(size, &bytes) < 0)
        return INVALID("invalid size: '%s'", size);
    if (files && str_to_int(files, 1, 10000, &count) < 0)
        return INVALID("%s cannot be less than 1", files_name);
    if (compress && strcmp(compress, "true") != 0 && strcmp(compress, "false") != 0)
        return INVALID("strconv.ParseBool: parsing \"%s\": invalid syntax", compress);
    return 0;
}

static const char *const facilities[] = {"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp",
                                         "cron", "authpriv", "ftp", "", "", "", "", "local0", "local1", "local2",
                                         "local3", "local4", "local5", "local6", "local7"};

static int parse_facility(const char *text)
{
    int number;

    if (*text == '\0')
        return 3; /* daemon */
    if (str_to_int(text, 0, 23, &number) == 0)
        return number;
    for (size_t i = 0; i < ARRAY_SIZE(facilities); i++)
        if (strcmp(facilities[i], text) == 0)
            return (int)i;
    return -EINVAL;
}

/* What the shim is told: "unixgram:PATH" and its like. */
static int parse_address(const char *text, char **ret, struct error *err)
{
    const char *rest = strstr(text, "://");

    if (!rest)
        return INVALID("unsupported scheme: ''");
    CLEANUP_FREE char *protocol = mem_strndup(text, (size_t)(rest - text));
    rest += 3;
    if (strcmp(protocol, "unix") == 0 || strcmp(protocol, "unixgram") == 0) {
        struct stat st;
        if (stat(rest, &st) < 0)
            return INVALID("stat %s: %s", rest, strerror(errno));
        *ret = mem_printf("%s:%s", protocol, rest);
        return 0;
    }
    bool tls = strcmp(protocol, "tcp+tls") == 0;
    if (!tls && strcmp(protocol, "udp") != 0 && strcmp(protocol, "tcp") != 0)
        return INVALID("unsupported scheme: '%s'", protocol);
    const char *colon = strrchr(rest, ':');
    bool has_port = colon && !strchr(colon, ']');
    if (*rest == '\0' || *rest == ':')
        return INVALID("invalid syslog-address %s: a host is missing", text);
    *ret = mem_printf("%s:%s%s", tls ? "tls" : protocol, rest, has_port ? "" : ":514");
    return 0;
}

static int check_syslog(const cJSON *log, struct error *err)
{
    static const char *const formats[] = {"", "rfc3164", "rfc5424", "rfc5424micro"};
    const char *address = option(log, "syslog-address", ""), *format = option(log, "syslog-format", "");
    CLEANUP_FREE char *parsed = NULL;
    bool known = false;

    if (*address) {
        int r = parse_address(address, &parsed, err);
        if (r < 0)
            return r;
    }
    if (parse_facility(option(log, "syslog-facility", "")) < 0)
        return INVALID("invalid syslog facility");
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        known = known || strcmp(formats[i], format) == 0;
    return known ? 0 : INVALID("Invalid syslog format");
}

int log_driver_check(cJSON *log, struct error *err)
{
    if (*json_string(log, "Type", "") == '\0')
        cJSON_ReplaceItemInObjectCaseSensitive(log, "Type", cJSON_CreateString("json-file"));
    const char *type = json_string(log, "Type", "");
    const struct driver *driver = find_driver(type);
    const cJSON *item;

    if (!driver)
        return INVALID("error looking up logging plugin %s: plugin \"%s\" not found", type, type);
    if (!driver->options)
        return 0;
    int r = check_mode(log, err);
    if (r < 0)
        return r;
    cJSON_ArrayForEach(item, json_get(log, "Config")) {
        CLEANUP_FREE char *name = mem_printf(",%s,", item->string);
        if (!strstr(driver->options, name)) {
            CLEANUP_STR struct str text = STR_INIT;
            str_append(&text, driver->unknown);
            char *at = strstr(text.data, "%s");
            return INVALID("%.*s%s%s", (int)(at - text.data), text.data, item->string, at + 2);
        }
    }
    r = check_file(log, "", err);
    if (r == 0)
        r = check_file(log, "cache-", err);
    return r == 0 && strcmp(type, "syslog") == 0 ? check_syslog(log, err) : r;
}

bool log_driver_readable(const cJSON *log)
{
    const char *type = json_string(log, "Type", "");

    if (strcmp(type, "syslog") == 0)
        return strcmp(option(log, "cache-disabled", "false"), "true") != 0;
    return strcmp(type, "none") != 0;
}

/* --- the plan ---------------------------------------------------------------------------- */

/* A Go template's simplest form, {{.Name}}, is all that tags are written with. */
static int expand_tag(const struct container *container, const struct spec *spec, const char *text, char **ret,
                      struct error *err)
{
    const char *digest = strchr(container->image_id, ':');
    const char *image_id = digest ? digest + 1 : container->image_id;
    CLEANUP_FREE char *id = mem_printf("%.12s", container->id), *short_image = mem_printf("%.12s", image_id);
    CLEANUP_STR struct str out = STR_INIT;
    const struct {
        const char *name, *value;
    } values[] = {{".ID", id}, {".FullID", container->id}, {".Name", container->name}, {".ImageID", short_image},
                  {".ImageFullID", container->image_id}, {".ImageName", json_string(spec->config, "Image", "")},
                  {".DaemonName", "docker"}};

    str_append(&out, "");
    for (const char *at = text; *at;) {
        const char *open = strstr(at, "{{"), *close = open ? strstr(open, "}}") : NULL;
        if (!open) {
            str_append(&out, at);
            break;
        }
        if (!close)
            return error_set(err, EIO, "failed to initialize logging driver: template: log-tag:1: unclosed action");
        str_append_n(&out, at, (size_t)(open - at));
        CLEANUP_FREE char *name = mem_strndup(open + 2, (size_t)(close - open - 2));
        char *word = name + strspn(name, " ");
        word[strcspn(word, " ")] = '\0';
        const char *value = NULL;
        for (size_t i = 0; i < ARRAY_SIZE(values); i++)
            if (strcmp(values[i].name, word) == 0)
                value = values[i].value;
        if (!value)
            return error_set(err, EIO, "failed to initialize logging driver: template: log-tag:1: cannot evaluate %s",
                             word);
        str_append(&out, value);
        at = close + 2;
    }
    *ret = mem_strdup(out.data);
    return 0;
}

static bool wanted(const cJSON *log, const char *list_name, const char *pattern_name, const char *key)
{
    const char *list = option(log, list_name, ""), *pattern = option(log, pattern_name, "");
    CLEANUP_STRV char **names = strv_split(list, ',');

    return strv_contains(names, key) || (*pattern && pattern_matches(pattern, key));
}

/* Labels and environment that the options ask for. */
static cJSON *extra_attributes(const struct spec *spec, const cJSON *log)
{
    cJSON *out = cJSON_CreateObject();
    const cJSON *item;

    cJSON_ArrayForEach(item, json_get(spec->config, "Labels"))
        if (cJSON_IsString(item) && wanted(log, "labels", "labels-regex", item->string))
            json_add_string(out, item->string, item->valuestring);
    cJSON_ArrayForEach(item, json_get(spec->config, "Env")) {
        const char *equals = cJSON_IsString(item) ? strchr(item->valuestring, '=') : NULL;
        if (!equals)
            continue;
        CLEANUP_FREE char *name = mem_strndup(item->valuestring, (size_t)(equals - item->valuestring));
        if (wanted(log, "env", "env-regex", name) && !cJSON_HasObjectItem(out, name))
            json_add_string(out, name, equals + 1);
    }
    return out;
}

static void add_field(struct str *out, const char *name, const char *value)
{
    CLEANUP_STR struct str clean = STR_INIT;

    /* The journal's names: upper case, digits, underscores, none of its own (_...). */
    for (const char *c = name; *c; c++)
        str_append_char(&clean, isalnum((unsigned char)*c) ? (char)toupper((unsigned char)*c) : '_');
    if (clean.length == 0 || clean.data[0] == '_' || isdigit((unsigned char)clean.data[0]) || strchr(value, '\n'))
        return;
    str_printf(out, "%s=%s\n", clean.data, value);
}

static int plan_journald(const struct container *container, const struct spec *spec, const cJSON *log,
                         struct log_plan *plan, struct error *err)
{
    CLEANUP_STR struct str out = STR_INIT;
    CLEANUP_JSON cJSON *extra = extra_attributes(spec, log);
    const cJSON *item;

    if (access(JOURNAL_SOCKET, W_OK) < 0)
        return error_set(err, EIO, "failed to initialize logging driver: journald is not enabled on this host");
    CLEANUP_FREE char *id = mem_printf("%.12s", container->id);
    add_field(&out, "CONTAINER_ID", id);
    add_field(&out, "CONTAINER_ID_FULL", container->id);
    add_field(&out, "CONTAINER_NAME", container->name);
    add_field(&out, "CONTAINER_TAG", plan->tag);
    add_field(&out, "IMAGE_NAME", json_string(spec->config, "Image", ""));
    add_field(&out, "SYSLOG_IDENTIFIER", plan->tag);
    cJSON_ArrayForEach(item, extra)
        add_field(&out, item->string, item->valuestring);
    plan->fields = mem_strdup(out.data);
    plan->address = mem_strdup("unixgram:" JOURNAL_SOCKET);
    plan->format = mem_strdup("journald");
    return 0;
}

/* A receiver that is not there is told at the start, as Docker's driver does. */
static int dial(const struct addrinfo *to)
{
    CLEANUP_CLOSE int fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = {.tv_sec = DIAL_SECONDS};

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)); /* connect(2)'s too */
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0)
        return 0;
    return errno == EINPROGRESS ? -ETIMEDOUT : -errno;
}

/* The shim is static and asks no name server: it gets numbers. */
static int resolve(char **address, struct error *err)
{
    CLEANUP_FREE char *host = mem_strdup(*address + 4), *protocol = mem_strndup(*address, 3);
    char *port = strrchr(host, ':'), numeric[64];
    bool tcp = strcmp(protocol, "tcp") == 0;
    struct addrinfo hints = {.ai_socktype = tcp ? SOCK_STREAM : SOCK_DGRAM}, *list = NULL;
    int refused = 0;

    *port++ = '\0';
    char *name = host;
    if (name[0] == '[' && name[strlen(name) - 1] == ']') {
        name[strlen(name) - 1] = '\0';
        name++;
    }
    int failed = getaddrinfo(name, port, &hints, &list);
    if (!failed) {
        failed = getnameinfo(list->ai_addr, list->ai_addrlen, numeric, sizeof(numeric), NULL, 0, NI_NUMERICHOST);
        refused = failed || !tcp ? 0 : dial(list);
        freeaddrinfo(list);
    }
    if (failed)
        return error_set(err, EIO, "failed to initialize logging driver: dial %s: lookup %s: %s", protocol, name,
                         gai_strerror(failed));
    CLEANUP_FREE char *text = mem_printf(strchr(numeric, ':') ? "%s:[%s]:%s" : "%s:%s:%s", protocol, numeric, port);
    if (refused < 0) {
        CLEANUP_FREE char *why = mem_strdup(strerror(-refused));
        why[0] = (char)tolower((unsigned char)why[0]);
        return error_set(err, EIO, "failed to initialize logging driver: dial tcp %s: connect: %s", text + 4, why);
    }
    free(*address);
    *address = TAKE_PTR(text);
    return 0;
}

static size_t lines_of(const char *text)
{
    size_t count = 1;

    for (; *text; text++)
        count += *text == '\n';
    return count;
}

/* TLS is spoken by a program of its own, which also says beforehand whether it can. */
static int plan_tls(const struct container *container, const cJSON *log, char **address, struct error *err)
{
    static const char *const options[][2] = {{"syslog-tls-ca-cert", "--ca"}, {"syslog-tls-cert", "--cert"},
                                             {"syslog-tls-key", "--key"}};
    CLEANUP_STRV char **words = NULL;
    CLEANUP_FREE char *said = NULL, *joined = NULL;
    struct error why = ERROR_INIT;

    strv_take(&words, path_join(container->engine->options.libexec_dir, "tabique-syslog"));
    strv_push(&words, *address + strlen("tls:"));
    for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
        const char *value = option(log, options[i][0], "");
        if (*value) {
            strv_push(&words, options[i][1]);
            strv_push(&words, value);
        }
    }
    if (json_get(json_get(log, "Config"), "syslog-tls-skip-verify"))
        strv_push(&words, "--skip-verify");
    joined = strv_join(words, "\n");
    if (strv_length(words) != lines_of(joined))
        return error_set(err, EIO, "failed to initialize logging driver: a line break in an option");
    strv_push(&words, "--probe");
    const struct child_spec spec = {.path = words[0], .argv = words, .new_session = 1};
    int r = child_run(&spec, (DIAL_SECONDS + 5) * 1000, 1024, &said, &why);
    if (r != 0) {
        const char *text = r < 0 ? why.message : said && *said ? said : "no TLS";
        return error_set(err, EIO, "failed to initialize logging driver: %.*s", (int)strcspn(text, "\n"), text);
    }
    free(*address);
    *address = mem_printf("helper:%s", joined);
    return 0;
}

static int plan_syslog(const struct container *container, const cJSON *log, struct log_plan *plan, struct error *err)
{
    const char *address = option(log, "syslog-address", ""), *format = option(log, "syslog-format", "");

    plan->facility = parse_facility(option(log, "syslog-facility", ""));
    plan->format = mem_strdup(*format ? format : "unix");
    if (*address) {
        int r = parse_address(address, &plan->address, err);
        if (r < 0 || strncmp(plan->address, "unix", 4) == 0)
            return r;
        return strncmp(plan->address, "tls:", 4) == 0 ? plan_tls(container, log, &plan->address, err)
                                                      : resolve(&plan->address, err);
    }
    if (access("/dev/log", W_OK) < 0)
        return error_set(err, EIO, "failed to initialize logging driver: Unix syslog delivery error");
    plan->address = mem_strdup("unixgram:/dev/log");
    return 0;
}

int log_driver_plan(const struct container *container, const struct spec *spec, struct log_plan *ret,
                    struct error *err)
{
    const cJSON *log = json_get(spec->host_config, "LogConfig");
    const char *type = json_string(log, "Type", "json-file");
    const struct driver *driver = find_driver(type);
    bool own_file = strcmp(type, "json-file") == 0 || strcmp(type, "local") == 0;
    CLEANUP(log_plan_clear) struct log_plan plan = {.file = log_driver_readable(log), .max_files = 1};
    int r = 0;

    const char *size = option(log, own_file ? "max-size" : "cache-max-size", driver ? driver->max_size : NULL);
    const char *files = option(log, own_file ? "max-file" : "cache-max-file", driver ? driver->max_files : "1");
    if (size && str_to_bytes(size, &plan.max_size) < 0)
        plan.max_size = 0;
    str_to_int(files, 1, 10000, &plan.max_files);
    const char *compress = option(log, own_file ? "compress" : "cache-compress", driver ? driver->compress : "false");
    plan.compress = strcmp(compress, "true") == 0;
    if (plan.compress && (plan.max_files < 2 || plan.max_size <= 0)) {
        if (strcmp(type, "json-file") == 0)
            return error_set(err, EIO, "failed to initialize logging driver: compress cannot be true when max-file is "
                             "less than 2 or max-size is not set");
        plan.compress = false;
    }

    const char *tag = option(log, "tag", "");
    if (*tag || !own_file)
        r = expand_tag(container, spec, *tag ? tag : "{{.ID}}", &plan.tag, err);
    if (r == 0 && strcmp(type, "json-file") == 0) {
        CLEANUP_JSON cJSON *extra = extra_attributes(spec, log);
        if (plan.tag)
            json_add_string(extra, "tag", plan.tag);
        plan.attributes = extra->child ? json_print(extra) : NULL;
    }
    if (r == 0 && strcmp(type, "journald") == 0)
        r = plan_journald(container, spec, log, &plan, err);
    if (r == 0 && strcmp(type, "syslog") == 0)
        r = plan_syslog(container, log, &plan, err);
    if (r < 0)
        return r;
    *ret = plan;
    plan = (struct log_plan){0};
    return 0;
}

void log_plan_clear(struct log_plan *plan)
{
    free(plan->attributes);
    free(plan->address);
    free(plan->format);
    free(plan->tag);
    free(plan->fields);
    *plan = (struct log_plan){0};
}
