/* image_test.h - a store in a temporary place, and image archives made in memory. */
#pragma once

#include "../archive/archive_test.h"
#include "base/json.h"
#include "tabique/image.h"

struct fixture {
    char dir[64];
    char *images;
    struct image_store *store;
    /* what in_use answers */
    char used_id[72];
    enum image_use use;
};

static UNUSED enum image_use in_use(void *user, const char *id, char **ret_container)
{
    struct fixture *f = user;

    if (f->use == IMAGE_UNUSED || strcmp(id, f->used_id) != 0)
        return IMAGE_UNUSED;
    *ret_container = mem_strdup("0123456789abcdef0123456789abcdef");
    return f->use;
}

static UNUSED void fixture_open(struct fixture *f, const struct image_limits *limits)
{
    struct error err = ERROR_INIT;

    if (image_store_open(f->images, limits, &f->store, &err) < 0)
        fail_msg("%s", err.message);
    image_store_set_in_use(f->store, in_use, f);
}

static UNUSED int set_up(void **state)
{
    struct fixture *f = mem_new(struct fixture);

    strcpy(f->dir, "/tmp/tabique-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->images = mem_printf("%s/images", f->dir);
    fixture_open(f, NULL);
    *state = f;
    return 0;
}

static UNUSED int tear_down(void **state)
{
    struct fixture *f = *state;

    image_store_close(f->store);
    assert_int_equal(path_remove_tree(AT_FDCWD, f->dir), 0);
    free(f->images);
    free(f);
    return 0;
}

static UNUSED void reopen(struct fixture *f)
{
    image_store_close(f->store);
    fixture_open(f, NULL);
}

static UNUSED int entries_in(const struct fixture *f, const char *part)
{
    CLEANUP_FREE char *path = mem_printf("%s/%s", f->images, part);

    return count_entries(AT_FDCWD, path);
}

/* No image, no layer, nothing half-way. */
static UNUSED void check_nothing_left(const struct fixture *f)
{
    assert_int_equal(entries_in(f, "tmp"), 0);
    assert_int_equal(entries_in(f, "layers"), 0);
    assert_int_equal(entries_in(f, "blobs/sha256"), 0);
}

/* --- image archives ------------------------------------------------------------- */
struct made {
    struct str layers[4];
    size_t count;
    char diff_ids[4][DIGEST_TEXT_MAX];
    char *config;
    char id[DIGEST_TEXT_MAX];
};

static UNUSED void made_clear(struct made *made)
{
    for (size_t i = 0; i < made->count; i++)
        str_free(&made->layers[i]);
    free(made->config);
    *made = (struct made){0};
}

static UNUSED struct str *made_layer(struct made *made)
{
    return &made->layers[made->count++];
}

/* Ends the layers, makes the config; extra goes into its "config" object. */
static UNUSED void made_finish(struct made *made, const char *extra)
{
    CLEANUP_STR struct str ids = STR_INIT;
    CLEANUP_STR struct str history = STR_INIT;

    for (size_t i = 0; i < made->count; i++) {
        add_end(&made->layers[i]);
        digest_of(made->layers[i].data, made->layers[i].length, made->diff_ids[i]);
        str_printf(&ids, "%s\"%s\"", i ? "," : "", made->diff_ids[i]);
        str_printf(&history, "{\"created\":\"2024-01-0%zuT00:00:00Z\",\"created_by\":\"step %zu\"},", i + 1, i);
    }
    made->config = mem_printf("{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2024-05-06T07:08:09.5Z\","
                              "\"config\":{\"Env\":[\"PATH=/bin\"],\"Cmd\":[\"sh\"]%s%s},"
                              "\"history\":[%s{\"created\":\"2024-05-06T07:08:09Z\",\"created_by\":\"CMD\",\"empty_layer\":true}],"
                              "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[%s]}}",
                              extra && *extra ? "," : "", extra ? extra : "", history.data ? history.data : "",
                              ids.data ? ids.data : "");
    digest_of(made->config, strlen(made->config), made->id);
}

static UNUSED void add_blob(struct str *tar, const char *path, const void *data, size_t length)
{
    struct tar_entry entry = {.type = TAR_FILE, .path = (char *)path, .mode = 0644, .size = length};

    add_entry(tar, &entry, data);
}

/* docker-archive as since 25. tags: "a:1","b:2" or NULL. */
static UNUSED void made_docker(const struct made *made, const char *tags, struct str *out)
{
    CLEANUP_STR struct str manifest = STR_INIT;
    CLEANUP_FREE char *config = mem_printf("blobs/sha256/%s", made->id + 7);

    add(out, TAR_DIRECTORY, "blobs/", NULL);
    str_printf(&manifest, "[{\"Config\":\"%s\",\"RepoTags\":%s%s%s,\"Layers\":[", config, tags ? "[" : "",
               tags ? tags : "null", tags ? "]" : "");
    for (size_t i = 0; i < made->count; i++) {
        CLEANUP_FREE char *path = mem_printf("blobs/sha256/%s", made->diff_ids[i] + 7);

        bool first = true;
        for (size_t j = 0; j < i; j++)
            first = first && strcmp(made->diff_ids[i], made->diff_ids[j]) != 0;
        if (first)
            add_blob(out, path, made->layers[i].data, made->layers[i].length);
        str_printf(&manifest, "%s\"%s\"", i ? "," : "", path);
    }
    str_append(&manifest, "]}]");
    add_blob(out, config, made->config, strlen(made->config));
    add_blob(out, "manifest.json", manifest.data, manifest.length);
    add_end(out);
}

struct loader {
    struct memory memory;
    struct str lines;
};

static UNUSED ssize_t read_loader(void *user, void *buffer, size_t size)
{
    return from_memory(&((struct loader *)user)->memory, buffer, size);
}

static UNUSED void tell_loader(void *user, const char *id, const char *status, int64_t current, int64_t total)
{
    struct loader *loader = user;

    if (!id)
        str_printf(&loader->lines, "%s\n", status);
}

static UNUSED int load_bytes(struct fixture *f, const void *data, size_t length, char **ret_lines, struct error *err)
{
    struct loader loader = {.memory = {data, length, 0, 0}, .lines = STR_INIT};

    int r = image_load(f->store, read_loader, tell_loader, &loader, err);
    if (ret_lines)
        *ret_lines = str_take(&loader.lines);
    else
        str_free(&loader.lines);
    return r;
}

static UNUSED void load_made(struct fixture *f, const struct made *made, const char *tags)
{
    CLEANUP_STR struct str tar = STR_INIT;
    struct error err = ERROR_INIT;

    made_docker(made, tags, &tar);
    if (load_bytes(f, tar.data, tar.length, NULL, &err) < 0)
        fail_msg("%s", err.message);
}

/* A one-layer image with one file. */
static UNUSED void make_simple(struct fixture *f, const char *text, const char *tags, char ret_id[DIGEST_TEXT_MAX])
{
    CLEANUP(made_clear) struct made made = {0};

    add(made_layer(&made), TAR_FILE, "file", text);
    made_finish(&made, NULL);
    load_made(f, &made, tags);
    if (ret_id)
        memcpy(ret_id, made.id, DIGEST_TEXT_MAX);
}
