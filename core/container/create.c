/* create.c - from a request to a container that could be started. Owner: container. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/str.h"
#include "container/engine_internal.h"
#include "container/internal.h"
#include "container/schema.h"
#include "container/user_namespace.h"
#include "container/validate.h"

struct request {
    cJSON *config, *host, *networks;
    const struct wall *wall;
    struct image *image;
};

static void request_clear(struct request *request)
{
    cJSON_Delete(request->config);
    cJSON_Delete(request->host);
    cJSON_Delete(request->networks);
    image_free(request->image);
}

static int read_body(const cJSON *body, struct request *request, struct error *err)
{
    const cJSON *networking = json_get(body, "NetworkingConfig");

    if (!body)
        return error_set(err, EINVAL, "config cannot be empty in order to create a container");
    int r = schema_complete(&schema_config, body, "", &request->config, err);
    if (r == 0)
        r = schema_complete(&schema_host_config, json_get(body, "HostConfig"), "HostConfig", &request->host, err);
    if (r == 0 && networking && !cJSON_IsNull(networking) && !cJSON_IsObject(networking))
        r = error_set(err, EINVAL, "invalid JSON: json: cannot unmarshal %s into Go struct field "
                                   "CreateRequest.NetworkingConfig of type network.NetworkingConfig",
                      json_kind(networking));
    if (r == 0)
        r = schema_complete_map(&schema_endpoint, json_get(networking, "EndpointsConfig"),
                                "NetworkingConfig.EndpointsConfig", "NetworkingConfig", &request->networks, err);
    return r;
}

/* "container:NAME" becomes "container:ID", so that a rename breaks nothing. */
static int pin_container(struct engine *engine, cJSON *host, const char *key, struct error *err)
{
    const char *value = json_string(host, key, "");
    struct container *other = NULL;

    if (!str_starts(value, "container:"))
        return 0;
    if (container_get(engine, value + 10, &other, err) < 0)
        /* A network's is asked for at start only, as in Docker. */
        return strcmp(key, "NetworkMode") == 0 ? 0 : -(err->code = EINVAL);
    CLEANUP_FREE char *pinned = mem_printf("container:%s", other->id);
    cJSON_ReplaceItemInObjectCaseSensitive(host, key, cJSON_CreateString(pinned));
    container_put(other);
    return 0;
}

static bool is_one_of(const char *word, const char *const *list)
{
    for (; *list; list++)
        if (str_equal_nocase(word, *list))
            return true;
    return false;
}

static int check_platform(const char *platform, const char *reference, const struct image *image, struct error *err)
{
    static const char *const systems[] = {"linux", "windows", "darwin", "freebsd", "openbsd", "netbsd", "solaris",
                                          "plan9", "dragonfly", "android", "aix", "js", "wasip1", NULL};
    static const char *const known[] = {"386", "amd64", "arm", "arm64", "ppc64", "ppc64le", "mips", "mipsle", "mips64",
                                        "mips64le", "riscv64", "s390x", "loong64", "wasm", "x86_64", "x86-64",
                                        "aarch64", "i386", "armhf", "armel", NULL};
    static const char *const architectures[][2] = {{"x86_64", "amd64"}, {"x86-64", "amd64"}, {"aarch64", "arm64"}};

    if (!platform || *platform == '\0')
        return 0;
    CLEANUP_STRV char **parts = strv_split(platform, '/');
    size_t count = strv_length(parts);
    const char *os = count > 1 ? parts[0] : strcmp(parts[0], "linux") == 0 ? parts[0] : "linux";
    const char *architecture = count > 1 ? parts[1] : strcmp(parts[0], "linux") == 0 ? image->architecture : parts[0];

    if (count > 1 ? !is_one_of(os, systems) : !is_one_of(parts[0], systems) && !is_one_of(parts[0], known))
        return error_set(err, EINVAL, "\"%s\": unknown operating system or architecture: invalid argument", platform);
    for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
        if (str_equal_nocase(architectures[i][0], architecture))
            architecture = architectures[i][1];
    if (str_equal_nocase(os, image->os) && str_equal_nocase(architecture, image->architecture))
        return 0;
    return error_set(err, ENOENT, "image with reference %s was found but its platform (%s/%s) does not match the "
                                  "specified platform (%s/%s)",
                     reference, image->os, image->architecture, os, architecture);
}

static void set_hostname(struct container *container, cJSON *config, const cJSON *host)
{
    char hostname[65];

    if (*json_string(config, "Hostname", ""))
        return;
    snprintf(hostname, sizeof(hostname), "%.12s", container->id);
    if (strcmp(json_string(host, "NetworkMode", ""), "host") == 0 ||
        strcmp(json_string(host, "UTSMode", ""), "host") == 0)
        gethostname(hostname, sizeof(hostname));
    hostname[sizeof(hostname) - 1] = '\0';
    cJSON_ReplaceItemInObjectCaseSensitive(config, "Hostname", cJSON_CreateString(hostname));
}

static void set_command(struct container *container, const cJSON *config)
{
    CLEANUP_STRV char **entrypoint = json_strv(config, "Entrypoint");
    CLEANUP_STRV char **command = json_strv(config, "Cmd");
    char **all = NULL;

    for (char **word = entrypoint; word && *word; word++)
        strv_push(&all, *word);
    for (char **word = command; word && *word; word++)
        strv_push(&all, *word);
    container->path = mem_strdup(all[0]);
    container->args = mem_array(1, sizeof(char *));
    for (char **word = all + 1; *word; word++)
        strv_push(&container->args, *word);
    strv_free(all);
}

static int make_dirs(struct container *container, struct error *err)
{
    static const struct {
        const char *name;
        mode_t mode;
    } below[] = {{"", 0710}, {"upper", 0755}, {"work", 0711}};

    for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
        CLEANUP_FREE char *path = *below[i].name ? path_join(container->dir, below[i].name) : mem_strdup(container->dir);

        if (mkdir(path, below[i].mode) < 0 || chmod(path, below[i].mode) < 0)
            return error_errno(err, errno == ENOENT ? EIO : errno, "cannot make %s", path);
    }
    return 0;
}

/* Everything that leaves traces; on failure the caller takes them back. */
static int build(struct container *container, struct request *request, struct error *err)
{
    struct engine *engine = container->engine;

    container->created_ns = clock_real_ns();
    container->run.state = CONTAINER_CREATED;
    container->run.error = mem_strdup("");
    container->image = mem_strdup(json_string(request->config, "Image", ""));
    container->dir = mem_printf("%s/containers/%s", engine->options.data_dir, container->id);
    set_hostname(container, request->config, request->host);
    set_command(container, request->config);
    container->spec = spec_new(request->wall, TAKE_PTR(request->config), TAKE_PTR(request->host), TAKE_PTR(request->networks));

    int r = image_hold(engine->images, request->image->id, err);
    if (r < 0)
        return r;
    snprintf(container->image_id, sizeof(container->image_id), "%s", request->image->id);
    container->layers = strv_dup(request->image->layers);
    r = make_dirs(container, err);
    if (r == 0)
        r = volumes_resolve(container, container->spec, err);
    if (r == 0)
        r = record_save_config(container, err);
    if (r == 0)
        r = record_save_state(container, err);
    return r;
}

static void take_back(struct container *container)
{
    if (container->dir)
        path_remove_tree(AT_FDCWD, container->dir);
    volumes_forget(container, true);
    if (*container->image_id)
        image_release(container->engine->images, container->image_id);
    registry_unlist(container);
    container_put(container);
}

static int create(struct engine *engine, const char *name, const char *platform, struct request *request,
                  char ret_id[65], char ***warnings, struct error *err)
{
    struct host_facts facts;

    engine_facts(engine, &facts);
    int r = validate_create(&facts, request->config, request->host, request->networks, &request->wall, warnings, err);
    if (r == 0 && user_namespace_wanted(engine, request->wall, request->host))
        r = user_namespace_check(request->host, err);
    if (r == 0)
        r = links_check(engine, request->host, err);
    if (r == 0)
        r = image_get(engine->images, json_string(request->config, "Image", ""), &request->image, err);
    if (r == 0)
        r = check_platform(platform, json_string(request->config, "Image", ""), request->image, err);
    if (r == 0)
        r = validate_merge_image(request->config, json_get(request->image->config, "config"), err);
    if (r == 0)
        r = pin_container(engine, request->host, "NetworkMode", err);
    if (r == 0)
        r = pin_container(engine, request->host, "PidMode", err);
    if (r == 0)
        r = pin_container(engine, request->host, "IpcMode", err);
    if (r < 0)
        return r;

    struct container *container = container__new(engine);
    r = registry_reserve(container, name, err);
    if (r == 0)
        r = build(container, request, err);
    if (r < 0) {
        take_back(container);
        return r;
    }
    memcpy(ret_id, container->id, sizeof(container->id));
    registry_list(container);
    publish_container(container, "create", NULL);
    container_put(container);
    return 0;
}

int container_create(struct engine *engine, const char *name, const char *platform, const cJSON *body, char ret_id[65],
                     char ***ret_warnings, struct error *err)
{
    struct request request = {0};
    char **warnings = NULL;

    int r = read_body(body, &request, err);
    if (r == 0 && *json_string(request.config, "Image", "") == '\0')
        r = error_set(err, EINVAL, "invalid reference format: no image was given");
    if (r == 0)
        r = create(engine, name, platform, &request, ret_id, &warnings, err);
    request_clear(&request);
    if (r < 0 || !ret_warnings)
        strv_free(warnings);
    else
        *ret_warnings = warnings ? warnings : mem_array(1, sizeof(char *));
    return r;
}
