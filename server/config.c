/* config.c - see config.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "config_check.h"
#include "tabique/error.h"

#ifndef TABIQUE_LIBEXEC_DIR
#define TABIQUE_LIBEXEC_DIR "/usr/libexec/tabique"
#endif
#ifndef TABIQUE_DATA_FILES_DIR
#define TABIQUE_DATA_FILES_DIR "/usr/share/tabique"
#endif
#ifndef TABIQUE_CONFIG_FILE
#define TABIQUE_CONFIG_FILE "/etc/tabique/tabique.conf"
#endif
#define CONFIG_FILE_MAX (1u << 20)

enum kind {
    KIND_TEXT,
    KIND_PATH,
    KIND_LIST,
    KIND_DURATION,
    KIND_BYTES,
    KIND_NUMBER,
    KIND_CHOICE,
    KIND_SWITCH
};

struct option {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *fallback;
    const char *argument; /* how the help calls the value; KIND_CHOICE: the choices */
    const char *help;
    int64_t min, max;
    config_check_fn *check; /* of one value; KIND_TEXT, KIND_LIST */
    bool flag_only;
    bool absolute; /* KIND_PATH: on the command line, too */
};

#define AT(field) offsetof(struct config, field)
#define DAY (86400 * NS_PER_SEC)

static const struct option options[] = {
    {"config", KIND_PATH, AT(config), TABIQUE_CONFIG_FILE, "FILE", "read options from this file",
     .flag_only = true},
    {"data-dir", KIND_PATH, AT(data_dir), "/var/lib/tabique", "DIR",
     "images, containers, volumes, history", .absolute = true},
    {"run-dir", KIND_PATH, AT(run_dir), "/run/tabique", "DIR",
     "run-time state; gone after a reboot", .absolute = true},
    {"socket", KIND_PATH, AT(socket), NULL, "PATH",
     "unix socket of the Docker-compatible API (default: RUN-DIR/tabique.sock)", .absolute = true},
    {"socket-group", KIND_TEXT, AT(socket_group), "tabique", "GROUP",
     "group that may use the socket; its members are administrators", .check = check_group},
    {"listen", KIND_LIST, AT(listen), ":9543", "[http://]ADDRESS:PORT",
     "console and API over HTTPS (over HTTP only where written so); several; 'none' for none", .check = check_listen},
    {"allowed-hosts", KIND_LIST, AT(allowed_hosts), NULL, "NAME",
     "further names this server is reached by; several", .check = check_host},
    {"tls-cert", KIND_PATH, AT(tls_cert), NULL, "FILE",
     "certificate chain (PEM) instead of the one made at first start"},
    {"tls-key", KIND_PATH, AT(tls_key), NULL, "FILE", "its private key (PEM)"},
    {"tls-client-ca", KIND_PATH, AT(tls_client_ca), NULL, "FILE",
     "accept client certificates of this CA: a user's name as CN has his role, others are "
     "administrators"},
    {"libexec-dir", KIND_PATH, AT(libexec_dir), TABIQUE_LIBEXEC_DIR, "DIR",
     "tabique-shim and tabique-agent"},
    {"web-dir", KIND_PATH, AT(web_dir), TABIQUE_DATA_FILES_DIR "/web", "DIR",
     "the console's files"},
    {"base-image", KIND_PATH, AT(base_image), TABIQUE_DATA_FILES_DIR "/base-image.tar", "FILE",
     "archive of the built-in image tabique/base"},
    {"default-isolation", KIND_CHOICE, AT(default_isolation), "process", "process|hyperv",
     "isolation of containers that ask for none"},
    {"accelerator", KIND_CHOICE, AT(accelerator), "auto", "auto|kvm|mshv|tcg",
     "what runs virtual machines; auto: the first that works"},
    {"machines-dir", KIND_PATH, AT(machines_dir), NULL, "DIR",
     "the virtual machines' template, which servers may share (default: DATA-DIR/machines)"},
    {"userns-remap", KIND_TEXT, AT(userns_remap), "", "USER[:GROUP]",
     "root of a container is nobody on the host: ids from /etc/subuid and /etc/subgid; 'default': those of tabique"},
    {"image-max-size", KIND_BYTES, AT(image_max_size), "64g", "SIZE",
     "an image or build context that unpacks to more is refused", .min = INT64_C(1) << 20, .max = INT64_C(1) << 50},
    {"image-max-ratio", KIND_NUMBER, AT(image_max_ratio), "200", "TIMES",
     "an archive that unpacks to more than 512 MiB and this many times its size is refused", .min = 2, .max = 1000000},
    {"vm-pool", KIND_NUMBER, AT(vm_pool), "2", "COUNT",
     "virtual machines kept warm for the next containers; 0: none", .min = 0, .max = 64},
    {"vm-disk-size", KIND_BYTES, AT(vm_disk_size), "10g", "SIZE",
     "how much a container may write in a virtual machine, without --storage-opt size",
     .min = INT64_C(64) << 20, .max = INT64_C(16) << 40},
    {"bridge", KIND_TEXT, AT(bridge), NULL, "DEVICE",
     "device of the default network (default: the first free tabiqueN)", .check = check_device},
    {"bip", KIND_TEXT, AT(bip), NULL, "ADDRESS/LEN", "its address (default: the first free pool)", .check = check_bridge_address},
    {"address-pools", KIND_LIST, AT(address_pools), NULL, "BASE/LEN:SIZE",
     "where new networks take their subnets from; several", .check = check_pool},
    {"dns", KIND_LIST, AT(dns), NULL, "ADDRESS",
     "name servers of containers (default: the host's); several", .check = check_server},
    {"insecure-registry", KIND_LIST, AT(insecure_registries), NULL, "HOST[:PORT]",
     "registries reached over HTTP or with unverified TLS; several", .check = check_insecure},
    {"registry-mirror", KIND_LIST, AT(registry_mirrors), NULL, "URL",
     "mirrors of the default registry; several", .check = check_mirror},
    {"registry-certs", KIND_PATH, AT(registry_certs), "/etc/docker/certs.d", "DIR",
     "HOST[:PORT] below it: authorities (.crt) and our certificate (.cert, .key) for that registry"},
    {"registry-timeout", KIND_DURATION, AT(registry_timeout), "30s", "DURATION",
     "a registry slower than 1 KiB/s for this long is given up", .min = NS_PER_SEC, .max = 3600 * NS_PER_SEC},
    {"history-retention", KIND_DURATION, AT(history_retention), "168h", "DURATION",
     "how long events, processes and samples are remembered", .min = NS_PER_SEC * 60,
     .max = 3650 * DAY},
    {"audit-retention", KIND_DURATION, AT(audit_retention), "2160h", "DURATION",
     "how long the audit trail is kept", .min = NS_PER_SEC * 60, .max = 3650 * DAY},
    {"history-max-size", KIND_BYTES, AT(history_max_size), "512m", "SIZE",
     "the oldest history goes beyond this", .min = 8 << 20, .max = INT64_C(1) << 50},
    {"sample-interval", KIND_DURATION, AT(sample_interval), "1s", "DURATION",
     "distance of samples and of the process list", .min = NS_PER_SEC / 5, .max = 60 * NS_PER_SEC},
    {"threads", KIND_NUMBER, AT(threads), "64", "COUNT", "requests worked on at once", .min = 2,
     .max = 1024},
    {"log-level", KIND_CHOICE, AT(log_level), "info", "error|warning|info|debug",
     "what is logged to stderr"},
    {"banner", KIND_SWITCH, AT(banner), NULL, NULL,
     "print how to reach the server (always done on a terminal)", .flag_only = true},
    {"check-config", KIND_SWITCH, AT(check_config), NULL, NULL,
     "check the options, print them, and end", .flag_only = true},
    {"help", KIND_SWITCH, AT(help), NULL, NULL, "this text", .flag_only = true},
    {"version", KIND_SWITCH, AT(version), NULL, NULL, "the version", .flag_only = true},
    {"list-routes", KIND_SWITCH, AT(list_routes), NULL, NULL, "every route: method, path, permission, whose", .flag_only = true},
};
#define OPTIONS ARRAY_SIZE(options)

/* Where each option was set from, so that lists of one source add up and those
 * of a stronger one replace. */
enum source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct loading {
    struct config *config;
    enum source sources[OPTIONS];
};

static void *field(struct config *config, const struct option *option)
{
    return (char *)config + option->offset;
}

static const struct option *find(const char *name, size_t length)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (strlen(options[i].name) == length && strncmp(options[i].name, name, length) == 0)
            return &options[i];
    return NULL;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *at = choices; at != NULL; at = strchr(at, '|')) {
        if (*at == '|')
            at++;
        if (length > 0 && strcspn(at, "|") == length && strncmp(at, value, length) == 0)
            return true;
    }
    return false;
}

static void add_to_list(char ***list, const char *value)
{
    /* "a, b c": commas and spaces part entries. */
    for (const char *at = value; *at != '\0';) {
        size_t length = strcspn(at, ", \t");
        if (length > 0)
            strv_take(list, mem_strndup(at, length));
        at += length;
        if (*at != '\0')
            at++;
    }
}

/* "8m", "90s", "2": as it could be written, for messages. */
static char *number_text(const struct option *option, int64_t number)
{
    static const char units[] = "kmgtp";
    if (option->kind == KIND_DURATION)
        return mem_printf("%.10gs", (double)number / 1e9);
    int unit = -1;
    while (option->kind == KIND_BYTES && unit < 4 && number >= 1024 && number % 1024 == 0)
        number /= 1024, unit++;
    return unit < 0 ? mem_printf("%lld", (long long)number) : mem_printf("%lld%c", (long long)number, units[unit]);
}

static int read_number(const struct option *option, const char *value, int64_t *ret,
                       const char *where, struct error *err)
{
    int64_t number = 0;
    int r = option->kind == KIND_DURATION ? str_to_duration(value, &number)
            : option->kind == KIND_BYTES  ? str_to_bytes(value, &number)
                                          : str_to_i64(value, &number);
    if (r < 0 && r != -ERANGE)
        return error_set(err, EINVAL, "%s: %s: '%s' is not a %s", where, option->name, value,
                         option->kind == KIND_DURATION ? "duration like 90s, 15m, 24h"
                         : option->kind == KIND_BYTES  ? "size like 512m, 2g"
                                                       : "number");
    if (r < 0 || number < option->min || number > option->max) {
        CLEANUP_FREE char *min = number_text(option, option->min), *max = number_text(option, option->max);
        return error_set(err, EINVAL, "%s: %s: '%s' is out of range: %s to %s are possible", where, option->name,
                         value, min, max);
    }
    *ret = number;
    return 0;
}

static int check_value(const struct option *option, const char *value, const char *where, struct error *err)
{
    struct error why = ERROR_INIT;
    if (option->check == NULL || option->check(value, &why) >= 0)
        return 0;
    return error_set(err, EINVAL, "%s: %s: %s", where, option->name, why.message);
}

static int read_list(const struct option *option, const char *value, char ***ret, const char *where,
                     struct error *err)
{
    CLEANUP_STRV char **list = NULL;
    add_to_list(&list, value);
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        int r = check_value(option, list[i], where, err);
        if (r < 0)
            return r;
    }
    /* An empty line must not take away what is there without it. */
    if (list == NULL && option->fallback != NULL)
        return error_set(err, EINVAL, "%s: %s: a value is missing; leave the option out, or write 'none'", where,
                         option->name);
    *ret = TAKE_PTR(list);
    return 0;
}

/* The server's working directory is nobody's business later: files and environment
 * name no path by it, and the command line none that outlives the shell. */
static int read_path(const struct option *option, enum source source, const char *value, char **ret,
                     const char *where, struct error *err)
{
    CLEANUP_FREE char *joined = NULL;
    if (value[0] == '\0')
        return error_set(err, EINVAL, "%s: %s: a path is missing", where, option->name);
    if (value[0] != '/') {
        if (option->absolute || source != SOURCE_FLAG)
            return error_set(err, EINVAL, "%s: %s: '%s' is relative; write the whole path, from / on", where,
                             option->name, value);
        CLEANUP_FREE char *here = getcwd(NULL, 0);
        joined = path_join(here != NULL ? here : "/", value);
    }
    CLEANUP_FREE char *path = path_clean(joined != NULL ? joined : value);
    if (strcmp(path, "/") == 0)
        return error_set(err, EINVAL, "%s: %s: '/' itself cannot be used", where, option->name);
    *ret = TAKE_PTR(path);
    return 0;
}

/* A value is checked also where a stronger source replaces it. */
static int set(struct loading *loading, const struct option *option, enum source source,
               const char *value, const char *where, struct error *err)
{
    enum source *before = &loading->sources[option - options];
    CLEANUP_STRV char **list = NULL;
    CLEANUP_FREE char *text = NULL;
    int64_t number = 0;
    int r = 0;
    switch (option->kind) {
    case KIND_SWITCH:
        break;
    case KIND_LIST:
        r = read_list(option, value, &list, where, err);
        break;
    case KIND_CHOICE:
        if (!is_choice(option->argument, value))
            r = error_set(err, EINVAL, "%s: %s: '%s' is not one of %s", where, option->name, value,
                          option->argument);
        text = mem_strdup(value);
        break;
    case KIND_PATH:
        r = read_path(option, source, value, &text, where, err);
        break;
    case KIND_DURATION:
    case KIND_BYTES:
    case KIND_NUMBER:
        r = read_number(option, value, &number, where, err);
        break;
    case KIND_TEXT:
        r = check_value(option, value, where, err);
        text = mem_strdup(value);
        break;
    }
    if (r < 0 || source < *before)
        return r;
    bool replaces = source > *before;
    *before = source;

    void *at = field(loading->config, option);
    if (option->kind == KIND_SWITCH) {
        *(bool *)at = true;
    } else if (option->kind == KIND_LIST) {
        if (replaces) {
            strv_free(*(char ***)at);
            *(char ***)at = NULL;
        }
        for (size_t i = 0; list != NULL && list[i] != NULL; i++)
            strv_push(at, list[i]);
    } else if (text != NULL) {
        free(*(char **)at);
        *(char **)at = TAKE_PTR(text);
    } else {
        *(int64_t *)at = number;
    }
    return 0;
}

/* --- sources ------------------------------------------------------------------------------------
 */
static char *strip(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]) != NULL)
        text[--length] = '\0';
    if (length >= 2 && text[0] == '"' && text[length - 1] == '"') {
        text[length - 1] = '\0';
        text++;
    }
    return text;
}

static int check_text(const char *text, const char *where, struct error *err)
{
    for (const char *at = text; *at != '\0'; at++)
        if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
            return error_set(err, EINVAL, "%s: a control character (0x%02x) stands in it; take it out", where,
                             (unsigned char)*at);
    return str_is_utf8(text, strlen(text)) ? 0 : error_set(err, EINVAL, "%s: it is not UTF-8 text", where);
}

static int load_line(struct loading *loading, char *line, const char *where, struct error *err)
{
    int r = check_text(line, where, err);
    if (r < 0)
        return r;
    char *equals = strchr(line, '=');
    if (equals == NULL)
        return error_set(err, EINVAL, "%s: 'name = value' is expected", where);
    *equals = '\0';
    const char *name = strip(line);
    const struct option *option = find(name, strlen(name));
    if (option == NULL)
        return error_set(err, EINVAL, "%s: unknown option '%s'; see tabique --help", where, name);
    if (option->flag_only)
        return error_set(err, EINVAL, "%s: '%s' is for the command line only; take the line out", where, name);
    return set(loading, option, SOURCE_FILE, strip(equals + 1), where, err);
}

static int load_file(struct loading *loading, const char *path, bool must_exist, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    size_t length = 0;
    int r = file_read(AT_FDCWD, path, CONFIG_FILE_MAX, &text, &length);
    if (r == -ENOENT && !must_exist)
        return 0;
    if (r < 0)
        return error_errno(err, -r, "configuration file %s", path);
    if (strlen(text) != length)
        return error_set(err, EINVAL, "%s: a NUL byte stands in it: this is no text file", path);
    int number = 0;
    for (char *line = text, *next; line != NULL; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        line = strip(line);
        if (line[0] == '\0' || line[0] == '#' || line[0] == ';')
            continue;
        CLEANUP_FREE char *where = mem_printf("%s:%d", path, number);
        r = load_line(loading, line, where, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int load_environment(struct loading *loading, char *const *env, struct error *err)
{
    for (size_t i = 0; env != NULL && env[i] != NULL; i++) {
        if (!str_starts(env[i], "TABIQUE_"))
            continue;
        const char *equals = strchr(env[i], '=');
        if (equals == NULL)
            continue;
        char name[64];
        size_t length = (size_t)(equals - env[i]) - 8;
        if (length >= sizeof(name))
            continue;
        for (size_t k = 0; k < length; k++) {
            char c = env[i][8 + k];
            name[k] = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        /* Others may use the prefix for their own purposes (tests do). */
        const struct option *option = find(name, length);
        if (option == NULL || option->kind == KIND_SWITCH)
            continue;
        CLEANUP_FREE char *where = mem_printf("environment, %.*s", (int)(equals - env[i]), env[i]);
        int r = check_text(equals + 1, where, err);
        if (r >= 0)
            r = set(loading, option, SOURCE_ENVIRONMENT, equals + 1, where, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int load_flags(struct loading *loading, int argc, char *const *argv, bool *ret_config,
                      struct error *err)
{
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (strcmp(text, "-h") == 0)
            text = "--help";
        if (strcmp(text, "-H") == 0)
            text = "--listen"; /* dockerd's habit */
        if (strncmp(text, "--", 2) != 0)
            return error_set(err, EINVAL, "unknown argument '%s'; see --help", argv[i]);
        const char *name = text + 2, *value = strchr(name, '=');
        size_t length = value != NULL ? (size_t)(value - name) : strlen(name);
        const struct option *option = find(name, length);
        if (option == NULL)
            return error_set(err, EINVAL, "unknown option '%s'; see --help", argv[i]);
        if (option->kind == KIND_SWITCH) {
            if (value != NULL)
                return error_set(err, EINVAL, "--%s takes no value", option->name);
            value = "";
        } else if (value != NULL) {
            value++;
        } else if (i + 1 < argc) {
            value = argv[++i];
        } else {
            return error_set(err, EINVAL, "--%s needs a value (%s)", option->name,
                             option->argument);
        }
        CLEANUP_FREE char *where = mem_printf("--%s", option->name);
        int r = check_text(value, where, err);
        if (r >= 0)
            r = set(loading, option, SOURCE_FLAG, value, where, err);
        if (r < 0)
            return r;
        if (strcmp(option->name, "config") == 0)
            *ret_config = true;
    }
    return 0;
}

static int finish(struct config *config, struct error *err)
{
    if (config->socket == NULL)
        config->socket = path_join(config->run_dir, "tabique.sock");
    if ((config->tls_cert == NULL) != (config->tls_key == NULL))
        return error_set(err, EINVAL, "tls-cert and tls-key belong together: give both or none");
    if (strcmp(config->data_dir, config->run_dir) == 0)
        return error_set(err, EINVAL, "data-dir and run-dir are both %s: they must be two directories",
                         config->data_dir);
    for (size_t i = 0; config->listen != NULL && config->listen[i] != NULL; i++) {
        if (strcmp(config->listen[i], "none") != 0)
            continue;
        if (strv_length(config->listen) > 1)
            return error_set(err, EINVAL, "listen: 'none' stands beside other addresses; write one or the other");
        strv_free(config->listen);
        config->listen = NULL;
    }
    if (strcmp(config->accelerator, "auto") == 0) {
        free(config->accelerator);
        config->accelerator = NULL;
    }
    return 0;
}

int config_load(int argc, char *const *argv, char *const *env, struct config *ret,
                struct error *err)
{
    struct config config = {0};
    struct loading loading = {.config = &config};
    bool named = false;
    int r = 0;
    for (size_t i = 0; i < OPTIONS && r >= 0; i++)
        if (options[i].fallback != NULL)
            r = set(&loading, &options[i], SOURCE_DEFAULT, options[i].fallback, "default", err);
    /* Flags first: one of them names the file. They win by their source, not by
     * their turn. */
    if (r >= 0)
        r = load_flags(&loading, argc, argv, &named, err);
    if (r >= 0)
        r = load_environment(&loading, env, err);
    named = named || loading.sources[0] == SOURCE_ENVIRONMENT;
    if (r >= 0 && !config.help && !config.version && !config.list_routes)
        r = load_file(&loading, config.config, named, err);
    if (r >= 0)
        r = finish(&config, err);
    if (r < 0) {
        config_free(&config);
        return r;
    }
    *ret = config;
    return 0;
}

void config_free(struct config *config)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        void *at = field(config, &options[i]);
        if (options[i].kind == KIND_LIST) {
            strv_free(*(char ***)at);
            *(char ***)at = NULL;
        } else if (options[i].kind == KIND_TEXT || options[i].kind == KIND_PATH ||
                   options[i].kind == KIND_CHOICE) {
            free(*(char **)at);
            *(char **)at = NULL;
        }
    }
}

void config_help(FILE *out)
{
    fprintf(out, "usage: tabique [OPTION...]\n\n"
                 "Runs containers behind a thin wall (process isolation) or a thick one (Hyper-V\n"
                 "isolation), with Docker's API on a socket and a console for browsers.\n\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *option = &options[i];
        char left[80];
        snprintf(left, sizeof(left), "--%s%s%s", option->name, option->argument != NULL ? " " : "",
                 option->argument != NULL ? option->argument : "");
        fprintf(out, "  %-38s %s", left, option->help);
        if (option->fallback != NULL)
            fprintf(out, " (%s)", option->fallback);
        fputc('\n', out);
    }
    fprintf(out,
            "\nThe same names work in the file %s (name = value) and as\n"
            "environment variables: TABIQUE_DATA_DIR=... A flag wins over the environment,\n"
            "and that over the file. SIGTERM and SIGINT stop the server and leave containers\n"
            "running; SIGHUP reads the TLS certificate again.\n",
            TABIQUE_CONFIG_FILE);
}

void config_print(const struct config *config, FILE *out)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const struct option *option = &options[i];
        const char *base = (const char *)config + option->offset;
        if (option->flag_only)
            continue;
        fprintf(out, "%s =", option->name);
        if (option->kind == KIND_LIST) {
            char *const *list = *(char *const *const *)(const void *)base;
            for (size_t k = 0; list != NULL && list[k] != NULL; k++)
                fprintf(out, " %s", list[k]);
        } else if (option->kind == KIND_DURATION) {
            fprintf(out, " %.10gs", (double)*(const int64_t *)(const void *)base / 1e9);
        } else if (option->kind == KIND_BYTES || option->kind == KIND_NUMBER) {
            fprintf(out, " %lld", (long long)*(const int64_t *)(const void *)base);
        } else {
            const char *text = *(char *const *)(const void *)base;
            if (text != NULL)
                fprintf(out, " %s", text);
        }
        fputc('\n', out);
    }
}

int config_log_level(const struct config *config)
{
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"error", LOG_LEVEL_ERROR},
                  {"warning", LOG_LEVEL_WARNING},
                  {"info", LOG_LEVEL_INFO},
                  {"debug", LOG_LEVEL_DEBUG}};
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
        if (strcmp(levels[i].name, config->log_level) == 0)
            return levels[i].level;
    return LOG_LEVEL_INFO;
}
