/* test_load.c - loading and saving: what goes in comes out, what is wrong stays out. */
#include <pthread.h>

#include "image_test.h"
#include "image/store.h"


static void test_docker_archive(void **state)
{
    struct fixture *f = *state;
    CLEANUP(made_clear) struct made made = {0};
    CLEANUP(image_freep) struct image *image = NULL;
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str packed = STR_INIT;
    CLEANUP_FREE char *lines = NULL;
    struct image_usage usage;
    struct error err = ERROR_INIT;

    struct str *layer = made_layer(&made);
    add(layer, TAR_DIRECTORY, "etc", NULL);
    add(layer, TAR_FILE, "etc/passwd", "root");
    add(layer, TAR_FILE, "etc/gone", "x");
    layer = made_layer(&made);
    add(layer, TAR_FILE, "etc/.wh.gone", NULL);
    add(layer, TAR_FILE, "etc/new", "12345");
    made_finish(&made, NULL);
    made_docker(&made, "\"docker.io/library/thing\",\"tabique/other:v1.0\"", &tar);
    compress_with("gzip", tar.data, tar.length, &packed);
    if (load_bytes(f, packed.data, packed.length, &lines, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(lines, "Loaded image: thing:latest\nLoaded image: tabique/other:v1.0\n");

    static const char *const refs[] = {"thing", "thing:latest", "docker.io/thing", "docker.io/library/thing:latest",
                                       "index.docker.io/library/thing", "tabique/other:v1.0"};
    for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
        CLEANUP(image_freep) struct image *each = NULL;

        if (image_get(f->store, refs[i], &each, &err) < 0)
            fail_msg("%s: %s", refs[i], err.message);
        assert_string_equal(each->id, made.id);
    }
    assert_int_equal(image_get(f->store, made.id, &image, &err), 0);
    assert_int_equal(strv_length(image->names), 2);
    assert_string_equal(image->names[0], "tabique/other:v1.0");
    assert_int_equal(strv_length(image->layers), 2);
    assert_int_equal(image->size, 4 + 1 + 5);
    assert_string_equal(image->architecture, "amd64");
    assert_int_equal(image->created_ns, INT64_C(1714979289500000000));
    CLEANUP_FREE char *gone = mem_printf("%s/%s/etc/gone", image_store_layers_dir(f->store), image->layers[0]);
    struct stat st;
    assert_int_equal(lstat(gone, &st), 0);
    assert_true(S_ISCHR(st.st_mode) && st.st_rdev == 0);
    assert_int_equal(entries_in(f, "tmp"), 0);
    image_store_usage(f->store, &usage);
    assert_int_equal(usage.layers, 10);

    /* By prefixes, and what is not there. */
    CLEANUP_FREE char *prefix = mem_strndup(made.id + 7, 6);
    CLEANUP(image_freep) struct image *by_prefix = NULL;
    assert_int_equal(image_get(f->store, prefix, &by_prefix, &err), 0);
    assert_int_equal(image_get(f->store, "nothing", &by_prefix, &err), -ENOENT);
    assert_string_equal(err.message, "No such image: nothing:latest");
    assert_int_equal(image_get(f->store, "thing:v2", &by_prefix, &err), -ENOENT);
    assert_string_equal(err.message, "No such image: thing:v2");
    assert_int_equal(image_get(f->store, "Thing", &by_prefix, &err), -EINVAL);
    assert_string_equal(err.message, "invalid reference format: repository name (library/Thing) must be lowercase");
    assert_int_equal(image_get(f->store, "a::b", &by_prefix, &err), -EINVAL);
    assert_string_equal(err.message, "invalid reference format");

    /* Again: nothing new. And after a restart: the same. */
    assert_int_equal(load_bytes(f, packed.data, packed.length, NULL, &err), 0);
    assert_int_equal(entries_in(f, "layers"), 6);
    reopen(f);
    CLEANUP(image_freep) struct image *after = NULL;
    assert_int_equal(image_get(f->store, "tabique/other:v1.0", &after, &err), 0);
    assert_int_equal(after->size, 10);
    assert_string_equal(after->layers[0], image->layers[0]);
}

/* Docker before 25: ID/layer.tar, shared ones as symlinks; HEX.json. */
static void test_old_docker_archive(void **state)
{
    struct fixture *f = *state;
    CLEANUP(made_clear) struct made made = {0};
    CLEANUP_STR struct str tar = STR_INIT;
    struct error err = ERROR_INIT;

    add(made_layer(&made), TAR_FILE, "a", "1");
    add(made_layer(&made), TAR_FILE, "b", "2");
    add(made_layer(&made), TAR_FILE, "a", "1"); /* the first one again */
    made_finish(&made, NULL);
    CLEANUP_FREE char *config = mem_printf("%s.json", made.id + 7);
    CLEANUP_FREE char *manifest = mem_printf(
        "[{\"Config\":\"%s\",\"RepoTags\":[\"old:1\"],\"Layers\":[\"one/layer.tar\",\"two/layer.tar\",\"three/layer.tar\"]}]", config);
    add_blob(&tar, "one/layer.tar", made.layers[0].data, made.layers[0].length);
    add_blob(&tar, "two/layer.tar", made.layers[1].data, made.layers[1].length);
    add(&tar, TAR_SYMLINK, "three/layer.tar", "../one/layer.tar");
    add_blob(&tar, config, made.config, strlen(made.config));
    add_blob(&tar, "manifest.json", manifest, strlen(manifest));
    add_end(&tar);
    if (load_bytes(f, tar.data, tar.length, NULL, &err) < 0)
        fail_msg("%s", err.message);
    CLEANUP(image_freep) struct image *image = NULL;
    assert_int_equal(image_get(f->store, "old:1", &image, &err), 0);
    assert_int_equal(strv_length(image->diff_ids), 3);
    assert_int_equal(strv_length(image->layers), 2); /* overlay takes none twice */
}

/* An OCI layout: gzip layers, an index for two platforms. */
static void make_oci(const struct made *made, bool wrong_blob, struct str *tar)
{
    CLEANUP_STR struct str layer = STR_INIT;
    CLEANUP_STR struct str manifest = STR_INIT;
    char layer_digest[DIGEST_TEXT_MAX], manifest_digest[DIGEST_TEXT_MAX], index_digest[DIGEST_TEXT_MAX];

    compress_with("gzip", made->layers[0].data, made->layers[0].length, &layer);
    digest_of(layer.data, layer.length, layer_digest);
    str_printf(&manifest,
               "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"%s\",\"size\":%zu},"
               "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"%s\",\"size\":%zu}]}",
               made->id, strlen(made->config), layer_digest, layer.length);
    digest_of(manifest.data, manifest.length, manifest_digest);
    CLEANUP_FREE char *platforms = mem_printf(
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"manifests\":["
        "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%064d\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":\"s390x\"}},"
        "{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"%s\",\"size\":%zu,\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}}]}",
        0, manifest_digest, manifest.length);
    digest_of(platforms, strlen(platforms), index_digest);
    CLEANUP_FREE char *index = mem_printf(
        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\"digest\":\"%s\",\"size\":%zu,"
        "\"annotations\":{\"io.containerd.image.name\":\"docker.io/library/oci:1\",\"org.opencontainers.image.ref.name\":\"1\"}}]}",
        index_digest, strlen(platforms));
    static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
    add_blob(tar, "oci-layout", layout, strlen(layout));
    add_blob(tar, "index.json", index, strlen(index));
    const struct {
        const char *digest;
        const void *data;
        size_t length;
    } blobs[] = {
        {index_digest, platforms, strlen(platforms)},
        {manifest_digest, manifest.data, manifest.length},
        {made->id, made->config, strlen(made->config)},
        {layer_digest, layer.data, layer.length},
    };
    for (size_t i = 0; i < ARRAY_SIZE(blobs); i++) {
        CLEANUP_FREE char *path = mem_printf("blobs/sha256/%s", blobs[i].digest + 7);

        if (wrong_blob && i == 3) { /* something behind the gzip member: unpacks the same, is not the same */
            CLEANUP_STR struct str longer = STR_INIT;
            str_append_n(&longer, layer.data, layer.length);
            str_append_n(&longer, "\0\0\0\0", 4);
            add_blob(tar, path, longer.data, longer.length);
        } else {
            add_blob(tar, path, blobs[i].data, blobs[i].length);
        }
    }
    add_end(tar);
}

static void test_oci(void **state)
{
    struct fixture *f = *state;
    CLEANUP(made_clear) struct made made = {0};
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str wrong = STR_INIT;
    CLEANUP(image_freep) struct image *image = NULL;
    struct error err = ERROR_INIT;

    add(made_layer(&made), TAR_FILE, "f", "oci");
    made_finish(&made, NULL);
    make_oci(&made, true, &wrong);
    assert_int_equal(load_bytes(f, wrong.data, wrong.length, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.message, "wrong digest"));
    check_nothing_left(f);
    make_oci(&made, false, &tar);
    if (load_bytes(f, tar.data, tar.length, NULL, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(image_get(f->store, "oci:1", &image, &err), 0);
    assert_string_equal(image->id, made.id);
}

/* --- save ------------------------------------------------------------------------------- */

/* Gives a member another name where it stands. */
static void hide_member(struct str *tar, const char *name)
{
    for (size_t at = 0; at + 512 <= tar->length; at += 512) {
        CLEANUP_STR struct str header = STR_INIT;

        if (memcmp(tar->data + at, name, strlen(name) + 1) != 0)
            continue;
        tar->data[at] = '_';
        add_raw(&header, (uint8_t *)tar->data + at);
        memcpy(tar->data + at, header.data, 512);
        return;
    }
    fail_msg("no %s", name);
}

static void test_save_and_load(void **state)
{
    struct fixture *f = *state;
    CLEANUP(made_clear) struct made made = {0};
    CLEANUP_STR struct str first = STR_INIT;
    CLEANUP_STR struct str second = STR_INIT;
    struct error err = ERROR_INIT;
    char other[DIGEST_TEXT_MAX];

    struct str *layer = made_layer(&made);
    add(layer, TAR_FILE, "one", "contents");
    add(layer, TAR_HARD_LINK, "two", "one");
    layer = made_layer(&made);
    add(layer, TAR_FILE, "twice", "first");   /* no recipe is exact here: the tar itself is kept */
    add(layer, TAR_FILE, "twice", "second");
    made_finish(&made, NULL);
    load_made(f, &made, "\"app:1\",\"app:2\"");
    make_simple(f, "another", "\"other:x\"", other);

    char *by_repository[] = {(char *)"app", (char *)"other:x", NULL};
    if (image_save(f->store, by_repository, to_str, &first, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(image_save(f->store, by_repository, to_str, &second, &err), 0);
    assert_int_equal(first.length, second.length);
    assert_memory_equal(first.data, second.data, first.length);

    /* Into an empty store: the same ids. */
    struct image_removal removal;
    assert_int_equal(image_remove(f->store, made.id, true, false, &removal, &err), 0);
    image_removal_clear(&removal);
    assert_int_equal(image_remove(f->store, other, true, false, &removal, &err), 0);
    image_removal_clear(&removal);
    check_nothing_left(f);
    CLEANUP_FREE char *lines = NULL;
    if (load_bytes(f, first.data, first.length, &lines, &err) < 0)
        fail_msg("%s", err.message);
    CLEANUP(image_freep) struct image *image = NULL;
    assert_int_equal(image_get(f->store, "app:2", &image, &err), 0);
    assert_string_equal(image->id, made.id);
    assert_string_equal(lines, "Loaded image: app:1\nLoaded image: app:2\nLoaded image: other:x\n");

    /* By id: without names. */
    CLEANUP_STR struct str nameless = STR_INIT;
    char *by_id[] = {made.id, NULL};
    assert_int_equal(image_save(f->store, by_id, to_str, &nameless, &err), 0);
    assert_non_null(memmem(nameless.data, nameless.length, "\"RepoTags\":null", 15));
    char *unknown[] = {(char *)"app:9", NULL};
    assert_int_equal(image_save(f->store, unknown, to_str, &nameless, &err), -ENOENT);

    /* The OCI half of it alone is good for a load, too. */
    hide_member(&first, "manifest.json");
    assert_int_equal(image_remove(f->store, made.id, true, false, &removal, &err), 0);
    image_removal_clear(&removal);
    if (load_bytes(f, first.data, first.length, NULL, &err) < 0)
        fail_msg("%s", err.message);
    CLEANUP(image_freep) struct image *again = NULL;
    assert_int_equal(image_get(f->store, "app:1", &again, &err), 0);
    assert_string_equal(again->id, made.id);
}

/* A layer that changed under the store is noticed before it leaves as what it is not. */
static void test_save_notices_damage(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP(image_freep) struct image *image = NULL;
    struct error err = ERROR_INIT;
    char *refs[] = {(char *)"x", NULL};

    make_simple(f, "right", "\"x\"", NULL);
    assert_int_equal(image_get(f->store, "x", &image, &err), 0);
    CLEANUP_FREE char *file = mem_printf("%s/%s/file", image_store_layers_dir(f->store), image->layers[0]);
    CLEANUP_CLOSE int fd = open(file, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "wrong", 5, 0), 5);
    assert_int_equal(image_save(f->store, refs, to_str, &tar, &err), -EIO);
    assert_non_null(strstr(err.message, "damaged"));
}

/* --- hostile -------------------------------------------------------------------------------- */

struct pieces {
    struct made made;
    char *manifest;    /* NULL: none */
    bool no_layer, cut;
    const char *config; /* instead */
};

static void build(const struct pieces *pieces, struct str *tar)
{
    add_blob(tar, "config.json", pieces->config ? pieces->config : pieces->made.config,
             strlen(pieces->config ? pieces->config : pieces->made.config));
    if (!pieces->no_layer)
        add_blob(tar, "layer.tar", pieces->made.layers[0].data, pieces->made.layers[0].length);
    if (pieces->manifest)
        add_blob(tar, "manifest.json", pieces->manifest, strlen(pieces->manifest));
    add_end(tar);
    if (pieces->cut)
        tar->length -= 1024 + 512;
}

#define GOOD "[{\"Config\":\"config.json\",\"RepoTags\":[\"x:1\"],\"Layers\":[\"layer.tar\"]}]"
#define DIFF "sha256:0000000000000000000000000000000000000000000000000000000000000000"

static void test_hostile_archives(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name, *manifest, *config;
        bool no_layer, cut;
        const char *says;
    } cases[] = {
        {"no manifest", NULL, NULL, false, false, "neither manifest.json nor index.json"},
        {"layer path outside", "[{\"Config\":\"config.json\",\"Layers\":[\"../../etc/passwd\"]}]", NULL, false, false, "not in it"},
        {"layer path absolute", "[{\"Config\":\"config.json\",\"Layers\":[\"/etc/passwd\"]}]", NULL, false, false, "not in it"},
        {"config path outside", "[{\"Config\":\"../../../etc/hostname\",\"Layers\":[\"layer.tar\"]}]", NULL, false, false, "not in it"},
        {"config is a layer", "[{\"Config\":\"layer.tar\",\"Layers\":[\"layer.tar\"]}]", NULL, false, false, "not valid JSON"},
        {"layer is a config", "[{\"Config\":\"config.json\",\"Layers\":[\"config.json\"]}]", NULL, false, false, "unexpected EOF"},
        {"layer missing", GOOD, NULL, true, false, "not in it"},
        {"cut short", GOOD, NULL, false, true, "cut short"},
        {"too few layers", "[{\"Config\":\"config.json\",\"Layers\":[]}]", NULL, false, false, "length mismatch: expected 1, got 0"},
        {"too many layers", "[{\"Config\":\"config.json\",\"Layers\":[\"layer.tar\",\"layer.tar\"]}]", NULL, false, false, "length mismatch"},
        {"layers not strings", "[{\"Config\":\"config.json\",\"Layers\":[7]}]", NULL, false, false, "no string"},
        {"layers an object", "[{\"Config\":\"config.json\",\"Layers\":{}}]", NULL, false, false, "not a list"},
        {"manifest an object", "{}", NULL, false, false, "not a list"},
        {"manifest empty", "[]", NULL, false, false, "no image"},
        {"manifest of numbers", "[1]", NULL, false, false, "no image"},
        {"manifest garbage", "[{", NULL, false, false, "not valid JSON"},
        {"config garbage", GOOD, "{\"rootfs\":", false, false, "not valid JSON"},
        {"config a list", GOOD, "[]", false, false, "not a JSON object"},
        {"no rootfs", GOOD, "{}", false, false, "no RootFS"},
        {"rootfs type", GOOD, "{\"rootfs\":{\"type\":\"tree\"}}", false, false, "not made of layers"},
        {"diff_id a path", GOOD, "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"../../x\"]}}", false, false, "invalid digest"},
        {"diff_id a number", GOOD, "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[1]}}", false, false, "no string"},
        {"wrong diff_id", GOOD, "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIFF "\"]}}", false, false, "wrong digest"},
        {"windows", GOOD, "{\"os\":\"windows\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" DIFF "\"]}}", false, false,
         "image operating system \"windows\" cannot be used on this platform"},
        {"Env not strings", GOOD, "{\"config\":{\"Env\":[1]},\"rootfs\":{\"type\":\"layers\"}}", false, false, "wrong type in Env"},
        {"Cmd a string", GOOD, "{\"config\":{\"Cmd\":\"sh\"},\"rootfs\":{\"type\":\"layers\"}}", false, false, "wrong type in Cmd"},
        {"Labels of numbers", GOOD, "{\"config\":{\"Labels\":{\"a\":1}},\"rootfs\":{\"type\":\"layers\"}}", false, false, "label"},
        {"config named by another digest",
         "[{\"Config\":\"0000000000000000000000000000000000000000000000000000000000000000.json\",\"Layers\":[\"layer.tar\"]}]",
         NULL, false, false, "not in it"},
        {"upper-case name", "[{\"Config\":\"config.json\",\"RepoTags\":[\"X:1\"],\"Layers\":[\"layer.tar\"]}]", NULL, false, false, "lowercase"},
        {"name with ..", "[{\"Config\":\"config.json\",\"RepoTags\":[\"../x:1\"],\"Layers\":[\"layer.tar\"]}]", NULL, false, false, "invalid reference"},
        {"name with digest", "[{\"Config\":\"config.json\",\"RepoTags\":[\"x@" DIFF "\"],\"Layers\":[\"layer.tar\"]}]", NULL, false, false, "gives an image the name"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct pieces pieces = {.manifest = (char *)cases[i].manifest, .config = cases[i].config,
                                .no_layer = cases[i].no_layer, .cut = cases[i].cut};
        CLEANUP_STR struct str tar = STR_INIT;
        struct error err = ERROR_INIT;

        add(made_layer(&pieces.made), TAR_FILE, "f", "x");
        made_finish(&pieces.made, NULL);
        build(&pieces, &tar);
        int r = load_bytes(f, tar.data, tar.length, NULL, &err);
        if (r != -EINVAL || !strstr(err.message, cases[i].says))
            fail_msg("%s: %d, \"%s\"", cases[i].name, r, err.message);
        made_clear(&pieces.made);
        check_nothing_left(f);
    }
    /* The pieces are good when nothing is wrong with them. */
    struct pieces pieces = {.manifest = (char *)GOOD};
    CLEANUP_STR struct str tar = STR_INIT;
    add(made_layer(&pieces.made), TAR_FILE, "f", "x");
    made_finish(&pieces.made, NULL);
    build(&pieces, &tar);
    assert_int_equal(load_bytes(f, tar.data, tar.length, NULL, NULL), 0);
    made_clear(&pieces.made);
}

/* A bad layer among good ones: the good ones do not stay, either. */
static void test_bad_layer_takes_all(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"../../escape", "ok/../../escape"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        CLEANUP(made_clear) struct made made = {0};
        CLEANUP_STR struct str tar = STR_INIT;
        struct error err = ERROR_INIT;

        add(made_layer(&made), TAR_FILE, "good", "1");
        add(made_layer(&made), TAR_FILE, "better", "2");
        add(made_layer(&made), TAR_FILE, names[i], "3");
        made_finish(&made, NULL);
        made_docker(&made, "\"x:1\"", &tar);
        assert_int_equal(load_bytes(f, tar.data, tar.length, NULL, &err), -EINVAL);
        check_nothing_left(f);
        assert_int_equal(count_entries(AT_FDCWD, f->dir), 1);
    }
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct image_limits limits = {.max_unpacked_bytes = 200000, .max_entries = 50};
    CLEANUP(made_clear) struct made made = {0};
    CLEANUP(made_clear) struct made many = {0};
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str tar2 = STR_INIT;
    CLEANUP_FREE char *text = mem_alloc(150001);
    struct error err = ERROR_INIT;

    image_store_close(f->store);
    fixture_open(f, &limits);
    memset(text, 'a', 150000);
    add(made_layer(&made), TAR_FILE, "big", text);
    text[0] = 'b';
    add(made_layer(&made), TAR_FILE, "bigger", text);
    made_finish(&made, NULL);
    made_docker(&made, "\"x:1\"", &tar);
    assert_int_equal(load_bytes(f, tar.data, tar.length, NULL, &err), -EFBIG);
    check_nothing_left(f);

    struct str *layer = made_layer(&many);
    for (int i = 0; i < 60; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", i);
        add(layer, TAR_FILE, name, NULL);
    }
    made_finish(&many, NULL);
    made_docker(&many, "\"x:1\"", &tar2);
    assert_int_equal(load_bytes(f, tar2.data, tar2.length, NULL, &err), -EFBIG);
    check_nothing_left(f);
}

static void test_garbage_and_cuts(void **state)
{
    struct fixture *f = *state;
    CLEANUP(made_clear) struct made made = {0};
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str packed = STR_INIT;
    struct error err = ERROR_INIT;

    assert_int_equal(load_bytes(f, "", 0, NULL, &err), -EINVAL);
    assert_int_equal(load_bytes(f, "garbage", 7, NULL, &err), -EINVAL);
    add(made_layer(&made), TAR_FILE, "f", "x");
    made_finish(&made, NULL);
    made_docker(&made, "\"x:1\"", &tar);
    compress_with("zstd", tar.data, tar.length, &packed);
    for (size_t n = 0; n < packed.length; n += 7)
        assert_true(load_bytes(f, packed.data, n, NULL, &err) < 0);
    for (size_t n = 0; n + 1024 < tar.length; n += 300)
        assert_true(load_bytes(f, tar.data, n, NULL, &err) < 0);
    check_nothing_left(f);

    /* The connection breaks. */
    struct loader loader = {.memory = {tar.data, tar.length - 2000, 0, EPIPE}, .lines = STR_INIT};
    assert_int_equal(image_load(f->store, read_loader, NULL, &loader, &err), -EPIPE);
    check_nothing_left(f);

    /* The same member twice: which one was meant? */
    CLEANUP_STR struct str twice = STR_INIT;
    add(&twice, TAR_FILE, "manifest.json", "[]");
    add(&twice, TAR_FILE, "./manifest.json", "[]");
    add_end(&twice);
    assert_int_equal(load_bytes(f, twice.data, twice.length, NULL, &err), -EINVAL);
    assert_non_null(strstr(err.message, "twice"));
    /* Links in circles. */
    CLEANUP_STR struct str circle = STR_INIT;
    add(&circle, TAR_SYMLINK, "manifest.json", "manifest.json");
    add_end(&circle);
    assert_int_equal(load_bytes(f, circle.data, circle.length, NULL, &err), -EINVAL);
}

/* --- at once ------------------------------------------------------------------------------------- */

struct racer {
    struct fixture *f;
    struct str tar;
    int result;
};

static void *race(void *user)
{
    struct racer *racer = user;

    racer->result = load_bytes(racer->f, racer->tar.data, racer->tar.length, NULL, NULL);
    return NULL;
}

/* Several loads sharing layers, while others remove what they can. */
static void *remover(void *user)
{
    struct fixture *f = user;
    struct image_removal removal;

    for (int i = 0; i < 200; i++) {
        CLEANUP_FREE char *name = mem_printf("race:%d", i % 6);
        if (image_remove(f->store, name, true, false, &removal, NULL) == 0)
            image_removal_clear(&removal);
    }
    return NULL;
}

static void test_concurrent(void **state)
{
    struct fixture *f = *state;
    struct racer racers[6] = {0};
    pthread_t threads[7];

    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 6; i++) {
            CLEANUP(made_clear) struct made made = {0};
            CLEANUP_FREE char *tag = mem_printf("\"race:%d\"", i);
            CLEANUP_FREE char *text = mem_printf("%d", i / 2);

            str_free(&racers[i].tar);
            add(made_layer(&made), TAR_FILE, "shared", "by all");
            add(made_layer(&made), TAR_FILE, "own", text);
            made_finish(&made, NULL);
            racers[i].f = f;
            made_docker(&made, tag, &racers[i].tar);
            assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
        }
        assert_int_equal(pthread_create(&threads[6], NULL, remover, f), 0);
        for (int i = 0; i < 7; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < 6; i++)
            assert_int_equal(racers[i].result, 0);
    }
    for (int i = 0; i < 6; i++) {
        struct image_removal removal;
        CLEANUP_FREE char *name = mem_printf("race:%d", i);

        str_free(&racers[i].tar);
        if (image_remove(f->store, name, true, false, &removal, NULL) == 0)
            image_removal_clear(&removal);
    }
    check_nothing_left(f);
}

/* --- the store itself ------------------------------------------------------------------------------- */

static void test_open_cleans(void **state)
{
    struct fixture *f = *state;
    CLEANUP(image_freep) struct image *image = NULL;
    struct error err = ERROR_INIT;

    make_simple(f, "x", "\"kept:1\"", NULL);
    make_simple(f, "y", "\"lost:1\"", NULL);
    assert_int_equal(image_get(f->store, "lost:1", &image, &err), 0);
    image_store_close(f->store);
    static const char *const litter[] = {"tmp/abc", "layers/deadbeef", "layers/nonsense"};
    for (size_t i = 0; i < ARRAY_SIZE(litter); i++) {
        CLEANUP_FREE char *path = mem_printf("%s/%s", f->images, litter[i]);
        assert_int_equal(path_mkdirs(path, 0700), 0);
    }
    static const char *const files[] = {"blobs/sha256/x", "layers/12345678.json", "layers/12345678.recipe", "disks/y.erofs"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        CLEANUP_FREE char *path = mem_printf("%s/%s", f->images, files[i]);
        close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
    /* One image loses its layer: it goes, the other stays. */
    CLEANUP_FREE char *layer = mem_printf("%s/layers/%s", f->images, image->layers[0]);
    assert_int_equal(path_remove_tree(AT_FDCWD, layer), 0);
    fixture_open(f, NULL);
    assert_int_equal(entries_in(f, "tmp"), 0);
    assert_int_equal(entries_in(f, "layers"), 3);
    assert_int_equal(entries_in(f, "blobs/sha256"), 1);
    assert_int_equal(entries_in(f, "disks"), 0);
    CLEANUP(image_freep) struct image *kept = NULL;
    assert_int_equal(image_get(f->store, "kept:1", &kept, &err), 0);
    CLEANUP(image_freep) struct image *lost = NULL;
    assert_int_equal(image_get(f->store, "lost:1", &lost, &err), -ENOENT);
}

/* A layer of an earlier boot that never reached the disk is checked before use. */
static void test_power_cut(void **state)
{
    struct fixture *f = *state;
    CLEANUP(image_freep) struct image *good = NULL;
    CLEANUP(image_freep) struct image *bad = NULL;
    struct error err = ERROR_INIT;

    make_simple(f, "survives", "\"good:1\"", NULL);
    make_simple(f, "does not", "\"bad:1\"", NULL);
    assert_int_equal(image_get(f->store, "good:1", &good, &err), 0);
    assert_int_equal(image_get(f->store, "bad:1", &bad, &err), 0);
    image_store_close(f->store);
    struct image *both[] = {good, bad};
    for (int i = 0; i < 2; i++) {
        CLEANUP_FREE char *meta = mem_printf("%s/layers/%s.json", f->images, both[i]->layers[0]);
        CLEANUP_FREE char *text = NULL;
        assert_int_equal(file_read(AT_FDCWD, meta, 4096, &text, NULL), 0);
        CLEANUP_JSON cJSON *json = cJSON_Parse(text);
        cJSON_DeleteItemFromObject(json, "boot");
        json_add_string(json, "boot", "another boot");
        CLEANUP_FREE char *changed = json_print(json);
        CLEANUP_CLOSE int fd = open(meta, O_WRONLY | O_TRUNC | O_CLOEXEC);
        assert_int_equal(fd_write_all(fd, changed, strlen(changed)), 0);
    }
    CLEANUP_FREE char *file = mem_printf("%s/layers/%s/file", f->images, bad->layers[0]);
    assert_int_equal(truncate(file, 0), 0);
    fixture_open(f, NULL);
    CLEANUP(image_freep) struct image *again = NULL;
    assert_int_equal(image_get(f->store, "good:1", &again, &err), 0);
    CLEANUP(image_freep) struct image *none = NULL;
    assert_int_equal(image_get(f->store, "bad:1", &none, &err), -ENOENT);

    /* Flushed: no longer in doubt at any boot. */
    CLEANUP_FREE char *meta = mem_printf("%s/layers/%s.json", f->images, good->layers[0]);
    CLEANUP_FREE char *before = NULL;
    CLEANUP_FREE char *after = NULL;
    assert_int_equal(file_read(AT_FDCWD, meta, 4096, &before, NULL), 0);
    assert_non_null(strstr(before, "boot"));
    image__flush_layers(f->store);
    assert_int_equal(file_read(AT_FDCWD, meta, 4096, &after, NULL), 0);
    assert_null(strstr(after, "boot"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_docker_archive), T(test_old_docker_archive), T(test_oci), T(test_save_and_load), T(test_save_notices_damage),
        T(test_hostile_archives), T(test_bad_layer_takes_all), T(test_limits), T(test_garbage_and_cuts), T(test_concurrent),
        T(test_open_cleans), T(test_power_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
