/* builder.c - stages and steps: the order of a build, its images, its end. Owner: build. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "base/log.h"
#include "base/path.h"
#include "build/internal.h"
#include "build/steps.h"
#include "image/words.h"
#include "tabique/container.h"
#include "tabique/engine.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* --- what is said ------------------------------------------------------------------- */

void build_say(struct build *build, const char *format, ...)
{
    CLEANUP_STR struct str text = STR_INIT;
    va_list args;

    va_start(args, format);
    str_vprintf(&text, format, args);
    va_end(args);
    build->callbacks->text(build->callbacks->user, false, text.data, text.length);
}

bool build_cancelled(struct build *build)
{
    return build->callbacks->cancelled && build->callbacks->cancelled(build->callbacks->user);
}

int build_check_cancelled(struct build *build, struct error *err)
{
    return build_cancelled(build) ? error_set(err, ECANCELED, "Build cancelled") : 0;
}

char *build_shell(const struct build *build)
{
    CLEANUP_STRV char **words = json_strv(build->state.config, "Shell");

    return words && *words ? strv_join(words, " ") : mem_strdup("/bin/sh -c");
}

/* As the history has what no command did: "/bin/sh -c #(nop) ...". */
char *build_no_operation(const struct build *build, const char *format, ...)
{
    CLEANUP_STR struct str text = STR_INIT;
    CLEANUP_FREE char *shell = build_shell(build);
    va_list args;

    str_printf(&text, "%s #(nop) ", shell);
    va_start(args, format);
    str_vprintf(&text, format, args);
    va_end(args);
    return str_take(&text);
}

int build_expand(struct build *build, const char *word, char **ret, struct error *err)
{
    CLEANUP_STRV char **args = build_args_for_stage(&build->args);
    struct words_scope scope = {json_get(build->state.config, "Env"), args, build->dockerfile->escape};

    return words_expand(&scope, word, ret, err);
}

/* --- images --------------------------------------------------------------------------- */

static int missing(const char *ref, struct error *err)
{
    CLEANUP_FREE char *repository = NULL;

    int r = image_name_parse(ref, &repository, NULL, NULL, err);
    return r < 0 ? r : error_set(err, ENOENT, "pull access denied for %s, repository does not exist or may require "
                                              "'docker login': denied: requested access to the resource is denied",
                                 repository);
}

static int check_platform(const char *ref, const struct image *image, const char *platform, struct error *err)
{
    if (!platform || *platform == '\0')
        return 0;
    CLEANUP_STRV char **parts = strv_split(platform, '/');
    size_t count = strv_length(parts);
    bool only_os = count == 1 && str_equal_nocase(parts[0], "linux");
    const char *os = count > 1 || only_os ? parts[0] : "linux";
    const char *architecture = only_os ? image->architecture : count > 1 ? parts[1] : parts[0];

    if (str_equal_nocase(os, image->os) && str_equal_nocase(architecture, image->architecture))
        return 0;
    return error_set(err, ENOENT, "image with reference %s was found but does not match the specified platform: wanted "
                                  "%s/%s, actual: %s/%s",
                     ref, os, architecture, image->os, image->architecture);
}

int build_find_image(struct build *build, const char *ref, const char *platform, char **ret_id, struct error *err)
{
    CLEANUP(image_freep) struct image *image = NULL;
    const struct build_callbacks *callbacks = build->callbacks;

    int r = build->options->pull ? -ENOENT : image_get(build->images, ref, &image, err);
    bool other = r == 0 && check_platform(ref, image, platform, NULL) < 0;
    if (callbacks->pull && (r == -ENOENT || other)) { /* a registry may have the right one */
        r = callbacks->pull(callbacks->user, ref, platform, other ? NULL : err);
        if (r == 0)
            image_freep(&image);
        if (r == 0)
            r = image_get(build->images, ref, &image, err);
        if (r < 0 && image)
            r = 0; /* what is here says more of what is wrong */
    } else if (r == -ENOENT) {
        return missing(ref, err);
    }
    if (r == 0)
        r = check_platform(ref, image, platform, err);
    if (r == 0)
        r = image_hold(build->images, image->id, err);
    if (r < 0)
        return r;
    strv_push(&build->held, image->id);
    *ret_id = mem_strdup(image->id);
    return 0;
}

void build_stand_on(struct build *build, char *id)
{
    strv_push(&build->held, id);
    free(build->state.image_id);
    build->state.image_id = id;
}

static struct image_step step_of(const struct build *build, const char *created_by)
{
    return (struct image_step){.config = build->state.config, .created_by = created_by, .author = build->state.author,
                               .platform = build->state.platform};
}

int build_commit(struct build *build, const char *created_by, image_read_fn *read, void *user, struct error *err)
{
    struct image_step step = step_of(build, created_by);
    char *id = NULL;

    int r = image_step(build->images, build->state.image_id, read, user, &step, &id, err);
    if (r == 0)
        build_stand_on(build, id);
    return r;
}

/* From the history of an image that was named for it: its layer over what stands here. */
static int probe_others(struct build *build, struct image_step *step, char **ret_id)
{
    for (char *const *ref = build->options->cache_from; *ref; ref++) {
        CLEANUP_FREE char *diff_id = NULL;

        if (image_step_find_in(build->images, *ref, build->state.image_id, step->created_by, &diff_id) < 0)
            continue;
        step->diff_id = diff_id;
        if (image_step_find(build->images, build->state.image_id, step, ret_id) == 0)
            return 0;
        return image_step(build->images, build->state.image_id, NULL, NULL, step, ret_id, NULL);
    }
    return -ENOENT;
}

int build_probe(struct build *build, const char *created_by, struct error *err)
{
    struct image_step step = step_of(build, created_by);
    char *id = NULL;

    if (build->options->no_cache || build->cache_lost)
        return 0;
    int r = build->options->cache_from && build->options->cache_from[0]
                ? probe_others(build, &step, &id)
                : image_step_find(build->images, build->state.image_id, &step, &id);
    if (r < 0) {
        build->cache_lost = true;
        return 0;
    }
    build_say(build, " ---> Using cache\n");
    build_stand_on(build, id);
    return 1;
}

/* --- a step ------------------------------------------------------------------------------ */

static void remove_containers(struct build *build, bool say)
{
    for (char **id = build->containers; id && *id; id++) {
        CLEANUP(container_putp) struct container *container = NULL;
        struct error err = ERROR_INIT;

        int r = container_get(build->engine, *id, &container, &err);
        if (r == 0)
            r = container_remove(container, true, true, false, &err);
        if (r < 0 && r != -ENOENT && say)
            build_say(build, "Error removing intermediate container %.12s: %s\n", *id, err.message);
        else if (say)
            build_say(build, "Removing intermediate container %.12s\n", *id);
    }
    strv_free(build->containers);
    build->containers = NULL;
}

static int dispatch(struct build *build, const struct dockerfile_instruction *instruction, struct error *err)
{
    bool copies = strcmp(instruction->name, "COPY") == 0 || strcmp(instruction->name, "ADD") == 0;

    if (instruction->needs_buildkit)
        return error_set(err, EINVAL, "the --%s option" DOCKERFILE_BUILDKIT, instruction->needs_buildkit);
    int r = copies ? build_copy(build, instruction, err)
            : strcmp(instruction->name, "RUN") == 0 ? build_run_command(build, instruction, err)
                                                    : build_step(build, instruction, err);

    if (r == -ECANCELED || (r < 0 && build_cancelled(build))) {
        remove_containers(build, false);
        return error_set(err, ECANCELED, "Build cancelled");
    }
    if (r < 0 ? !build->options->keep_failed_containers : !build->options->keep_containers)
        remove_containers(build, true);
    strv_free(build->containers);
    build->containers = NULL;
    return r;
}

/* --- FROM ---------------------------------------------------------------------------------- */

static int run_triggers(struct build *build, char *const *triggers, struct error *err)
{
    size_t count = strv_length(triggers);
    int r = 0;

    if (count > 0)
        build_say(build, "# Executing %zu build trigger%s\n", count, count > 1 ? "s" : "");
    for (char *const *trigger = triggers; r == 0 && trigger && *trigger; trigger++) {
        struct dockerfile_instruction instruction = {0};

        r = dockerfile_parse_trigger(*trigger, build->dockerfile->escape, &instruction, err);
        if (r == 0)
            r = dispatch(build, &instruction, err);
        dockerfile_instruction_clear(&instruction);
    }
    return r;
}

static void add_default_path(cJSON *config)
{
    struct words_scope scope = {json_get(config, "Env"), NULL, '\\'};

    if (words_variable(&scope, "PATH", 4))
        return;
    if (!cJSON_IsArray(json_get(config, "Env"))) {
        cJSON_DeleteItemFromObject(config, "Env");
        json_add_array(config, "Env");
    }
    json_push_string(json_get(config, "Env"), DEFAULT_PATH);
}

static int load_state(struct build *build, char ***ret_triggers, struct error *err)
{
    struct build_state *state = &build->state;
    CLEANUP(image_freep) struct image *image = NULL;

    if (*state->image_id) {
        int r = image_get_held(build->images, state->image_id, &image, err);
        if (r < 0)
            return r;
        const cJSON *config = json_get(image->config, "config");
        state->config = cJSON_IsObject(config) ? cJSON_Duplicate(config, true) : cJSON_CreateObject();
        state->author = mem_strdup(json_string(image->config, "author", ""));
    } else {
        state->config = cJSON_CreateObject();
    }
    *ret_triggers = json_strv(state->config, "OnBuild");
    cJSON_DeleteItemFromObject(state->config, "OnBuild");
    add_default_path(state->config);
    return 0;
}

static void state_clear(struct build_state *state)
{
    free(state->image_id);
    free(state->author);
    free(state->platform);
    cJSON_Delete(state->config);
    *state = (struct build_state){0};
}

static int find_base(struct build *build, size_t index, const char *name, struct error *err)
{
    const struct dockerfile *dockerfile = build->dockerfile;
    struct build_state *state = &build->state;

    for (size_t i = 0; i < index; i++)
        if (*dockerfile->stages[i].name && str_equal_nocase(dockerfile->stages[i].name, name)) {
            state->image_id = mem_strdup(build->stage_images[i]);
            return 0;
        }
    if (strcmp(name, "scratch") == 0) {
        state->image_id = mem_strdup("");
        return 0;
    }
    return build_find_image(build, name, state->platform, &state->image_id, err);
}

static int begin_stage(struct build *build, size_t index, struct error *err)
{
    const struct dockerfile_stage *stage = &build->dockerfile->stages[index];
    CLEANUP_STRV char **args = build_args_for_from(&build->args);
    struct words_scope scope = {NULL, args, build->dockerfile->escape};
    CLEANUP_STRV char **triggers = NULL;
    CLEANUP_FREE char *base = NULL;
    CLEANUP_FREE char *platform = NULL;

    state_clear(&build->state);
    build_args_begin_stage(&build->args);
    build->cache_lost = false;
    int r = words_expand(&scope, stage->base, &base, err);
    if (r == 0 && stage->platform)
        r = words_expand(&scope, stage->platform, &platform, err);
    if (r == 0 && *base == '\0')
        r = error_set(err, EINVAL, "base name (%s) should not be blank", stage->base);
    if (r < 0)
        return r;
    build->state.platform = mem_strdup(platform ? platform : build->options->platform);
    r = find_base(build, index, base, err);
    if (r == 0)
        r = load_state(build, &triggers, err);
    return r < 0 ? r : run_triggers(build, triggers, err);
}

/* --- the whole ---------------------------------------------------------------------------- */

static int declare_global(struct build *build, const struct dockerfile_instruction *instruction, struct error *err)
{
    CLEANUP_STRV char **known = build_args_for_from(&build->args);
    struct words_scope scope = {NULL, known, build->dockerfile->escape};

    return build_declare_args(build, instruction, &scope, true, err);
}

/* The line's end in a message of its own: clients compare whole messages. */
static void say_step(struct build *build, size_t step, size_t total, const char *text)
{
    build_say(build, "Step %zu/%zu : %s", step, total, text);
    build_say(build, "\n");
}

static int run_stage(struct build *build, size_t index, size_t *step, size_t total, struct error *err)
{
    const struct dockerfile_stage *stage = &build->dockerfile->stages[index];

    say_step(build, ++*step, total, stage->from.original);
    int r = begin_stage(build, index, err);
    if (r == 0)
        build_say(build, " ---> %.12s\n", *build->state.image_id ? build->state.image_id + strlen("sha256:") : "");
    for (size_t i = 0; r == 0 && i < stage->step_count; i++) {
        r = build_check_cancelled(build, err);
        if (r < 0)
            break;
        say_step(build, ++*step, total, stage->steps[i].original);
        r = dispatch(build, &stage->steps[i], err);
        if (r == 0)
            build_say(build, " ---> %.12s\n", *build->state.image_id ? build->state.image_id + strlen("sha256:") : "");
    }
    if (r < 0)
        return r;
    if (*build->state.image_id)
        build->callbacks->image(build->callbacks->user, build->state.image_id);
    strv_push(&build->stage_images, build->state.image_id);
    return 0;
}

static void warn_unused(struct build *build)
{
    CLEANUP_STRV char **unused = build_args_unused(&build->args);
    CLEANUP_FREE char *names = strv_join(unused, " ");

    if (unused)
        build_say(build, "[Warning] One or more build-args [%s] were not consumed\n", names);
}

/* --label: as a last instruction, with nothing expanded in it. */
static void append_labels(struct build *build)
{
    const cJSON *label;

    cJSON_ArrayForEach(label, build->options->labels) {
        CLEANUP_STR struct str rest = STR_INIT;
        const char *parts[] = {label->string, cJSON_IsString(label) ? label->valuestring : ""};

        for (size_t i = 0; i < 2; i++) {
            str_append(&rest, i ? "=\"" : "\"");
            for (const char *at = parts[i]; *at; at++) {
                if (*at == '"' || *at == '$' || *at == build->dockerfile->escape)
                    str_append_char(&rest, build->dockerfile->escape);
                str_append_char(&rest, *at);
            }
            str_append_char(&rest, '"');
        }
        CLEANUP_FREE char *shown = mem_printf("%s=%s", parts[0], parts[1]);
        dockerfile_append(build->dockerfile, "LABEL", rest.data, shown);
    }
}

static int prepare(struct build *build, struct error *err)
{
    const struct build_options *options = build->options;

    int r = build_context_open(engine_get_options(build->engine)->data_dir, options, build->callbacks, &build->context,
                               err);
    if (r == 0)
        r = dockerfile_parse(build->context.dockerfile, build->context.dockerfile_length, &build->dockerfile, err);
    if (r < 0)
        return r;
    if (options->target && *options->target) {
        int index = dockerfile_find_stage(build->dockerfile, options->target);
        if (index < 0)
            return error_set(err, EINVAL, "target stage \"%s\" could not be found", options->target);
        dockerfile_cut(build->dockerfile, (size_t)index + 1);
    }
    append_labels(build);
    return 0;
}

static void warn_gaps(struct build *build)
{
    CLEANUP_STR struct str text = STR_INIT;

    for (char **gap = build->dockerfile->gaps; gap && *gap; gap++)
        str_printf(&text, "[WARNING]: Empty continuation line found in:\n    %s\n", *gap);
    if (text.length) {
        str_append(&text, "[WARNING]: Empty continuation lines will become errors in a future release.\n");
        build->callbacks->text(build->callbacks->user, true, text.data, text.length);
    }
}

static int run_all(struct build *build, struct error *err)
{
    const struct dockerfile *dockerfile = build->dockerfile;
    size_t total = dockerfile->arg_count + dockerfile->stage_count, step = 0;
    int r = 0;

    warn_gaps(build);
    for (size_t i = 0; i < dockerfile->stage_count; i++)
        total += dockerfile->stages[i].step_count;
    for (size_t i = 0; r == 0 && i < dockerfile->arg_count; i++) {
        say_step(build, ++step, total, dockerfile->args[i].original);
        r = declare_global(build, &dockerfile->args[i], err);
    }
    for (size_t i = 0; r == 0 && i < dockerfile->stage_count; i++)
        r = run_stage(build, i, &step, total, err);
    if (r < 0)
        return r;
    warn_unused(build);
    if (*build->state.image_id == '\0')
        return error_set(err, EIO, "No image was generated. Is your Dockerfile empty?");
    return 0;
}

static int tag_all(struct build *build, char *const *names, struct error *err)
{
    int r = 0;

    for (char *const *name = names; r == 0 && name && *name; name++) {
        r = image_tag(build->images, build->state.image_id, *name, err);
        if (r < 0)
            break;
        build->callbacks->tagged(build->callbacks->user, build->state.image_id, *name);
        build_say(build, "Successfully tagged %s\n", *name);
    }
    return r;
}

/* "repo:tag", each once. */
static int check_tags(char *const *tags, char ***ret, struct error *err)
{
    CLEANUP_STRV char **names = NULL;

    for (char *const *tag = tags; tag && *tag; tag++) {
        CLEANUP_FREE char *repository = NULL;
        CLEANUP_FREE char *part = NULL;
        CLEANUP_FREE char *digest = NULL;

        if (**tag == '\0')
            continue;
        int r = image_name_parse(*tag, &repository, &part, &digest, err);
        if (r < 0)
            return r;
        if (digest)
            return error_set(err, EINVAL, "build tag cannot contain a digest");
        CLEANUP_FREE char *name = mem_printf("%s:%s", repository, part ? part : "latest");
        if (!strv_contains(names, name))
            strv_push(&names, name);
    }
    *ret = TAKE_PTR(names);
    return 0;
}

static void build_clear(struct build *build)
{
    for (char **id = build->held; id && *id; id++)
        image_release(build->images, *id);
    strv_free(build->held);
    strv_free(build->stage_images);
    strv_free(build->containers);
    state_clear(&build->state);
    build_args_clear(&build->args);
    dockerfile_freep(&build->dockerfile);
    build_context_clear(&build->context);
}

int build_run(struct engine *engine, const struct build_options *options, const struct build_callbacks *callbacks,
              char **ret_image_id, int *ret_exit_code, struct error *err)
{
    struct build build = {.engine = engine, .images = engine_images(engine), .options = options,
                          .callbacks = callbacks, .context = BUILD_CONTEXT_INIT, .args = {.given = options->build_args}};
    CLEANUP_STRV char **names = NULL;

    int r = check_tags(options->tags, &names, err);
    if (r == 0)
        r = prepare(&build, err);
    if (r == 0)
        r = run_all(&build, err);
    if (r == 0) {
        build_say(&build, "Successfully built %.12s\n", build.state.image_id + strlen("sha256:"));
        r = tag_all(&build, names, err);
    }
    if (r == 0)
        *ret_image_id = mem_strdup(build.state.image_id);
    *ret_exit_code = build.exit_code;
    build_clear(&build);
    return r;
}

int build_download(struct engine *engine, const char *address, bool (*cancelled)(void *user), void *user, int *ret_fd,
                   struct error *err)
{
    const char *dir = engine_get_options(engine)->data_dir;
    CLEANUP_CLOSE int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct fetch_result result;

    if (fd < 0)
        return error_errno(err, EIO, "cannot open %s", dir);
    if (!fetch_is_address(address))
        return error_set(err, EINVAL, "only http and https addresses can be fetched: %s", address);
    return build_context_fetch(fd, address, cancelled, user, ret_fd, &result, err);
}

void build_clean(struct engine *engine)
{
    CLEANUP_FREE char *dir = path_join(engine_get_options(engine)->data_dir, "build");
    int r = path_remove_tree(AT_FDCWD, dir);

    if (r < 0)
        log_warning("cannot clean %s: %s", dir, strerror(-r));
}
