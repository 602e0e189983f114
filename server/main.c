/* main.c - the program `tabique`: options, checks of the machine, engine, server,
 * signals. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/child.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "config.h"
#include "http.h"
#include "server.h"
#include "tabique/build.h"
#include "tabique/engine.h"
#include "tabique/error.h"
#include "tabique/image.h"
#include "tabique/registry.h"
#include "tls.h"

#define BASE_IMAGE "tabique/base:latest"
#define TRIM_SECONDS 15

extern char **environ;

static const struct route *const tables[] = {
    routes_system,   routes_containers, routes_exec,    routes_images,
    routes_build,    routes_networks,   routes_registry, routes_volumes,
    routes_refused,  routes_api,        routes_account, routes_stream,
    routes_notify,   NULL,
};

/* --- can this machine do it?
 * ---------------------------------------------------------------------- */
static int check_machine(struct error *err)
{
    if (geteuid() != 0)
        return error_set(
            err, EPERM,
            "tabique must run as root: it makes namespaces, mounts and bridges. Run: sudo tabique");
    CLEANUP_FREE char *mounts = NULL;
    int r = file_read(AT_FDCWD, "/proc/self/mountinfo", 16 << 20, &mounts, NULL);
    if (r < 0)
        return error_errno(err, -r, "/proc is needed");
    if (strstr(mounts, " - cgroup2 ") == NULL && strstr(mounts, " - cgroup ") == NULL)
        return error_set(err, ENOTSUP,
                         "no cgroup hierarchy is mounted; limits and pause need one. Run: mount -t "
                         "cgroup2 none /sys/fs/cgroup");
    /* Asking for it loads the module where it is one; /proc/filesystems would not. */
    CLEANUP_CLOSE int overlay = fsopen("overlay", FSOPEN_CLOEXEC);
    if (overlay < 0 && errno == ENODEV)
        return error_set(err, ENOTSUP,
                         "the kernel has no overlayfs, which container file systems need. Run: "
                         "modprobe overlay");
    return 0;
}

static int check_programs(const struct config *config, struct error *err)
{
    CLEANUP_FREE char *shim = path_join(config->libexec_dir, "tabique-shim");

    if (access(shim, X_OK) == 0)
        return 0;
    return error_set(err, ENOENT, "%s is missing or no program (%s), and no container starts without it. Name its directory by "
                                  "--libexec-dir, or install again", shim, strerror(errno));
}

static void prepare_process(void)
{
    /* Connections, shims' sockets, images' files: what the machine allows. */
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    umask(0022);
    /* Many threads that are seldom busy at once need no heap each. */
    mallopt(M_ARENA_MAX, 4);
    /* Fixed, or the first large block (a password hash takes 19 MiB) would raise
     * it, and later ones would stay with the heap after they were freed. */
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
    mallopt(M_TRIM_THRESHOLD, 512 << 10);
    /* Inherited by all threads: only main takes them, with sigwaitinfo(). */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int make_directories(const struct config *config, struct error *err)
{
    int r = path_mkdirs(config->data_dir, 0711);
    if (r < 0)
        return error_errno(err, -r, "data-dir %s", config->data_dir);
    r = path_mkdirs(config->run_dir, 0711);
    if (r < 0)
        return error_errno(err, -r, "run-dir %s", config->run_dir);
    return 0;
}

/* --- the built-in image
 * ------------------------------------------------------------------------------ */
static ssize_t read_file(void *user, void *buffer, size_t size)
{
    ssize_t n = read(*(int *)user, buffer, size);
    return n < 0 ? -errno : n;
}

static void load_base_image(struct engine *engine, const char *path)
{
    struct error err = ERROR_INIT;
    CLEANUP(image_freep) struct image *image = NULL;
    if (image_get(engine_images(engine), BASE_IMAGE, &image, NULL) >= 0)
        return;
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        log_warning("the built-in image %s is not loaded: %s: %s", BASE_IMAGE, path,
                    strerror(errno));
        return;
    }
    int r = image_load(engine_images(engine), read_file, NULL, &fd, &err);
    if (r < 0)
        log_warning("the built-in image %s could not be loaded from %s: %s", BASE_IMAGE, path,
                    err.message);
    else
        log_info("loaded the built-in image %s", BASE_IMAGE);
}

/* --- certificate
 * --------------------------------------------------------------------------------------- */
struct certificate {
    char *certificate, *key;
    bool own;
};

static int find_certificate(const struct config *config, struct certificate *ret, struct error *err)
{
    if (config->tls_cert != NULL) {
        *ret =
            (struct certificate){mem_strdup(config->tls_cert), mem_strdup(config->tls_key), false};
        return 0;
    }
    CLEANUP_FREE char *dir = path_join(config->data_dir, "tls");
    struct certificate found = {path_join(dir, "cert.pem"), path_join(dir, "key.pem"), true};
    CLEANUP_STRV char **names = server_own_names(false);
    for (size_t i = 0; config->allowed_hosts != NULL && config->allowed_hosts[i] != NULL; i++)
        if (strcmp(config->allowed_hosts[i], "*") != 0)
            strv_push(&names, config->allowed_hosts[i]);
    bool made = false;
    int r = tls_certificate_ensure(found.certificate, found.key, names, &made, err);
    if (r < 0) {
        free(found.certificate);
        free(found.key);
        return r;
    }
    if (made)
        log_info("made a TLS certificate: %s", found.certificate);
    *ret = found;
    return 0;
}

/* --- banner
 * --------------------------------------------------------------------------------------------------
 */
static bool have_docker(void)
{
    return access("/usr/bin/docker", X_OK) == 0 || access("/usr/local/bin/docker", X_OK) == 0;
}

static void print_console_urls(const struct config *config, struct server *server)
{
    char host[256] = "localhost";
    gethostname(host, sizeof(host) - 1);
    for (size_t i = 0; config->listen != NULL && config->listen[i] != NULL; i++) {
        const char *text = config->listen[i];
        const char *scheme = str_starts(text, "http://") ? "http" : "https";
        const char *address = strstr(text, "://") != NULL ? strstr(text, "://") + 3 : text;
        const char *colon = strrchr(address, ':');
        CLEANUP_FREE char *name =
            mem_strndup(address, colon != NULL ? (size_t)(colon - address) : 0);
        bool any = name[0] == '\0' || strcmp(name, "*") == 0 || strcmp(name, "0.0.0.0") == 0 ||
                   strcmp(name, "[::]") == 0;
        printf("  Console      %s://%s:%d/\n", scheme, any ? host : name, server_port(server, i));
    }
}

static void print_banner(const struct config *config, struct server *server,
                         const struct certificate *certificate)
{
    printf("Tabique %s is running (process %d).\n\n", TABIQUE_VERSION, getpid());
    print_console_urls(config, server);
    char fingerprint[96];
    if (config->listen != NULL && certificate->own &&
        tls_certificate_fingerprint(certificate->certificate, fingerprint, NULL) == 0)
        printf("  Certificate  made here; SHA-256 %s\n", fingerprint);
    CLEANUP_FREE char *password = path_join(config->data_dir, "admin-password");
    if (access(password, F_OK) == 0)
        printf("  Sign in      user admin; the first password stands in %s\n", password);
    printf("  Docker API   unix://%s\n", config->socket);
    printf("  Try          curl --unix-socket %s http://localhost/api/v1/info\n", config->socket);
    if (have_docker())
        printf("               docker -H unix://%s run -d tabique/base ping localhost\n",
               config->socket);
    printf("  Stop         Ctrl-C; containers run on\n\n");
    fflush(stdout);
}

/* systemd's sd_notify(3), which is one datagram. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || strlen(path) >= sizeof(address.sun_path) ||
        (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, length) < 0)
        log_debug("sd_notify: %s", strerror(errno));
}

/* --- running
 * ---------------------------------------------------------------------------------------------------
 */
/* Stopping the service and stopping the machine send the same signal. */
static bool machine_goes_down(void)
{
    char *const argv[] = {(char *)"systemctl", (char *)"is-system-running", NULL};
    const struct child_spec ask = {.path = "/usr/bin/systemctl", .argv = argv};
    CLEANUP_FREE char *answer = NULL;

    if (getenv("NOTIFY_SOCKET") == NULL) /* not started by systemd */
        return false;
    (void)child_run(&ask, 5000, 256, &answer, NULL);
    return answer != NULL && str_starts(answer, "stopping");
}

static void wait_for_end(struct server *server, struct engine *engine, const struct certificate *certificate)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    for (;;) {
        /* What a burst of requests has left in the heaps goes back to the machine. */
        int number = sigtimedwait(&signals, NULL, &(struct timespec){.tv_sec = TRIM_SECONDS});
        if (number < 0) {
            malloc_trim(0);
            continue;
        }
        if (number != SIGHUP) {
            if (number == SIGTERM && machine_goes_down()) {
                log_info("the machine goes down; stopping all containers");
                engine_machine_stops(engine);
            } else {
                log_info("stopping; containers run on");
            }
            break;
        }
        struct error err = ERROR_INIT;
        if (server_reload(server, &err) < 0)
            log_error("the TLS certificate is still the old one: %s", err.message);
        else
            log_info("read the TLS certificate again: %s", certificate->certificate);
    }
    /* Whoever asks twice does not want to wait. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

static int run(const struct config *config, struct error *err)
{
    int r = check_machine(err);
    if (r == 0)
        r = check_programs(config, err);
    if (r < 0)
        return r;
    prepare_process();
    r = make_directories(config, err);
    if (r < 0)
        return r;
    struct certificate certificate = {0};
    if (config->listen != NULL) {
        r = find_certificate(config, &certificate, err);
        if (r < 0)
            return r;
    }

    const struct registry_options registry_options = {
        .insecure = (const char *const *)config->insecure_registries,
        .mirrors = (const char *const *)config->registry_mirrors,
        .certs_dir = config->registry_certs,
        .timeout_ns = config->registry_timeout,
    };
    struct engine_options engine_options = {
        .registry = &registry_options,
        .data_dir = config->data_dir,
        .run_dir = config->run_dir,
        .libexec_dir = config->libexec_dir,
        .machines_dir = config->machines_dir,
        .default_isolation = config->default_isolation,
        .bridge = config->bridge,
        .bip = config->bip,
        .address_pools = (const char *const *)config->address_pools,
        .dns = (const char *const *)config->dns,
        .userns_remap = config->userns_remap,
        .image_max_bytes = config->image_max_size,
        .image_max_ratio = config->image_max_ratio,
        .accelerator = config->accelerator,
        .machine_pool = (int)config->vm_pool,
        .machine_disk_bytes = config->vm_disk_size,
        .history_retain_ns = config->history_retention,
        .audit_retain_ns = config->audit_retention,
        .history_max_bytes = config->history_max_size,
        .sample_interval_ns = config->sample_interval,
    };
    struct engine *engine = NULL;
    r = engine_open(&engine_options, &engine, err);
    if (r < 0)
        goto out;
    build_clean(engine);
    load_base_image(engine, config->base_image);

    const struct server_options server_options = {
        .engine = engine,
        .store = engine_store(engine),
        .tables = tables,
        .listen = config->listen,
        .socket = config->socket,
        .socket_group = config->socket_group,
        .tls_certificate = certificate.certificate,
        .tls_key = certificate.key,
        .tls_client_ca = config->tls_client_ca,
        .own_certificate = certificate.own,
        .allowed_hosts = config->allowed_hosts,
        .web_dir = access(config->web_dir, X_OK) == 0 ? config->web_dir : NULL,
        .data_dir = config->data_dir,
        .threads = (int)config->threads,
    };
    if (server_options.web_dir == NULL)
        log_warning("there is no console: %s is missing", config->web_dir);
    struct server *server = NULL;
    r = server_start(&server_options, &server, err);
    if (r >= 0) {
        if (config->banner || isatty(STDOUT_FILENO))
            print_banner(config, server, &certificate);
        log_info("tabique %s serves on %s", TABIQUE_VERSION, config->socket);
        notify("READY=1");
        wait_for_end(server, engine, &certificate);
        notify("STOPPING=1");
        server_stop(server);
    }
    engine_close(engine);
out:
    free(certificate.certificate);
    free(certificate.key);
    return r;
}

/* What the options name must be there and fit together. */
static int check_files(const struct config *config, struct error *err)
{
    const struct tls_options options = {config->tls_cert, config->tls_key, config->tls_client_ca};
    struct tls *tls = NULL;
    if (config->tls_cert == NULL)
        return 0;
    int r = tls_new(&options, &tls, err);
    if (r >= 0)
        tls_unref(tls);
    return r;
}

/* For the tests that hold documents against the table. */
static void list_routes(void)
{
    static const char *const permissions[] = {
        [PERMISSION_PUBLIC] = "public", [PERMISSION_SELF] = "self",       [PERMISSION_VIEW] = "view",
        [PERMISSION_LOGS] = "logs",     [PERMISSION_OPERATE] = "operate", [PERMISSION_EXEC] = "exec",
        [PERMISSION_ADMIN] = "admin"};

    for (size_t i = 0; tables[i] != NULL; i++)
        for (const struct route *route = tables[i]; route->method != NULL; route++)
            printf("%s %s %s %s\n", route->method, route->pattern, permissions[route->permission],
                   route->flags & ROUTE_DOCKER ? "docker" : "own");
}

int main(int argc, char **argv)
{
    struct error err = ERROR_INIT;
    struct config config;
    if (config_load(argc, argv, environ, &config, &err) < 0) {
        fprintf(stderr, "tabique: %s\n", err.message);
        return 2;
    }
    log_init("tabique", (enum log_level)config_log_level(&config));
    int status = 0;
    if (config.help) {
        config_help(stdout);
    } else if (config.version) {
        printf("tabique %s\n", TABIQUE_VERSION);
    } else if (config.list_routes) {
        list_routes();
    } else if (config.check_config) {
        if (check_files(&config, &err) < 0) {
            fprintf(stderr, "tabique: %s\n", err.message);
            status = 2;
        } else {
            config_print(&config, stdout);
            printf("# the configuration is good\n");
        }
    } else if (run(&config, &err) < 0) {
        fprintf(stderr, "tabique: %s\n", err.message);
        status = 1;
    }
    config_free(&config);
    return status;
}
