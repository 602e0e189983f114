/* test_remote.c - what registries say of images: kinds of manifests, platforms, references. */
#include "image_test.h"
#include "image/remote.h"

static int kind_of(const char *type, const char *text, enum image_manifest_kind *ret, struct error *err)
{
    const struct registry_manifest manifest = {.text = (char *)text, .length = strlen(text), .media_type = (char *)type};

    *err = ERROR_INIT;
    return image__manifest_kind(&manifest, "x:1", ret, err);
}

static void test_kinds(void **state)
{
    static const struct {
        const char *type, *text;
        int result;
        enum image_manifest_kind kind;
    } cases[] = {
        {MEDIA_MANIFEST, "{\"schemaVersion\":2}", 0, MANIFEST_IMAGE},
        {MEDIA_OCI_MANIFEST, "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\"}", 0, MANIFEST_IMAGE},
        {MEDIA_LIST, "{\"schemaVersion\":2}", 0, MANIFEST_INDEX},
        {MEDIA_INDEX, "{\"schemaVersion\":2}", 0, MANIFEST_INDEX},
        {NULL, "{\"schemaVersion\":2,\"manifests\":[]}", 0, MANIFEST_INDEX},
        {"application/json", "{\"schemaVersion\":2,\"layers\":[]}", 0, MANIFEST_IMAGE},
        {MEDIA_INDEX, "{\"mediaType\":\"" MEDIA_MANIFEST "\"}", -EINVAL, 0},
        {"application/vnd.docker.distribution.manifest.v1+prettyjws", "{\"schemaVersion\":1}", -ENOTSUP, 0},
        {"application/json", "{\"schemaVersion\":1}", -ENOTSUP, 0},
        {"application/vnd.example+json", "{\"schemaVersion\":2}", -EINVAL, 0},
        {MEDIA_MANIFEST, "", -EINVAL, 0},
        {MEDIA_MANIFEST, "{", -EINVAL, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        enum image_manifest_kind kind = MANIFEST_IMAGE;
        struct error err;

        if (kind_of(cases[i].type, cases[i].text, &kind, &err) != cases[i].result)
            fail_msg("case %zu: %s", i, err.message);
        if (cases[i].result == 0)
            assert_int_equal(kind, cases[i].kind);
    }
}

static void test_platforms(void **state)
{
    static const struct {
        const char *wanted, *os, *architecture, *variant;
        int rank;
    } cases[] = {
        {"linux/amd64", "linux", "amd64", NULL, 0},      {"linux/amd64", "linux", "amd64", "v1", 0},
        {"linux/amd64", "linux", "amd64", "v2", -1},     {"linux/amd64/v3", "linux", "amd64", "v2", 1},
        {"linux/amd64", "linux", "386", NULL, 100},      {"linux/386", "linux", "amd64", NULL, -1},
        {"linux/arm64", "linux", "arm64", "v8", 0},      {"aarch64", "linux", "arm64", NULL, 0},
        {"linux/arm64", "linux", "arm", "v7", 101},      {"linux/arm/v6", "linux", "arm", "v7", -1},
        {"linux/arm/v7", "linux", "arm", "v6", 1},       {"linux/arm/v7", "linux", "arm", NULL, 0},
        {"linux/amd64", "windows", "amd64", NULL, -1},   {"windows/amd64", "windows", "amd64", NULL, 0},
        {"linux/amd64", "unknown", "unknown", NULL, -1}, {"linux/s390x", "linux", "s390x", NULL, 0},
        {"linux/amd64", "linux", "amd64", "odd", -1},    {"linux/riscv64/odd", "linux", "riscv64", "odd", 0},
    };
    static const char *const bad[] = {"a/b/c/d", "linux/", "/amd64", "linux//v7", "!", "linux/amd 64", "linux/\xc3\xa4"};

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(image__platform_clear) struct image_platform wanted = {0};

        assert_int_equal(image__platform_parse(cases[i].wanted, &wanted, NULL), 0);
        int rank = image__platform_rank(&wanted, cases[i].os, cases[i].architecture, cases[i].variant);
        if (rank != cases[i].rank)
            fail_msg("%s on %s/%s/%s: %d", cases[i].wanted, cases[i].os, cases[i].architecture, cases[i].variant ? cases[i].variant : "", rank);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct image_platform wanted = {0};
        struct error err = ERROR_INIT;

        if (image__platform_parse(bad[i], &wanted, &err) != -EINVAL)
            fail_msg("%s is taken", bad[i]);
    }
    CLEANUP(image__platform_clear) struct image_platform here = {0};
    assert_int_equal(image__platform_parse(NULL, &here, NULL), 0);
    CLEANUP_FREE char *text = image__platform_text(&here);
    CLEANUP_FREE char *expected = mem_printf("linux/%s", image__host_architecture());
    assert_string_equal(text, expected);
}

static void test_references(void **state)
{
    CLEANUP(image__reference_clear) struct image_reference hub = {0};
    CLEANUP(image__reference_clear) struct image_reference other = {0};
    struct image_reference none = {0};

    assert_int_equal(image__reference_parse("ubuntu:22.04", &hub, NULL), 0);
    assert_string_equal(hub.repository, "ubuntu");
    assert_string_equal(hub.domain, "docker.io");
    assert_string_equal(hub.path, "library/ubuntu");
    assert_string_equal(hub.tag, "22.04");
    assert_int_equal(image__reference_parse("localhost:5000/a/b@sha256:0123456789012345678901234567890123456789012345678901234567890123", &other, NULL), 0);
    assert_string_equal(other.domain, "localhost:5000");
    assert_string_equal(other.path, "a/b");
    assert_null(other.tag);
    assert_non_null(other.digest);
    assert_int_equal(image__reference_parse("Bad", &none, NULL), -EINVAL);
}

/* A manifest and the compressed form of a layer outlive the server; what was
 * downloaded in part stays for a day. */
static void test_kept(void **state)
{
    struct fixture *f = *state;
    CLEANUP(made_clear) struct made made = {0};
    CLEANUP(image_freep) struct image *image = NULL;
    CLEANUP(image__blob_clear) struct image_blob blob = {0};
    CLEANUP_STR struct str tar = STR_INIT;
    static const char text[] = "{\"a manifest\":1}";
    char digest[DIGEST_TEXT_MAX];
    struct error err = ERROR_INIT;

    add(made_layer(&made), TAR_FILE, "a", "1");
    made_finish(&made, NULL);
    made_docker(&made, "\"kept:1\"", &tar);
    assert_int_equal(load_bytes(f, tar.data, tar.length, NULL, &err), 0);
    digest_of(text, strlen(text), digest);
    char *keys[] = {(char *)"kept@sha256:0123456789012345678901234567890123456789012345678901234567890123", NULL};
    assert_int_equal(image__set_manifest(f->store, made.id, digest, text, strlen(text), keys, &err), 0);
    assert_int_equal(image_get(f->store, "kept:1", &image, &err), 0);
    assert_string_equal(image->digests[0], keys[0]);

    CLEANUP_FREE char *partial = mem_printf("%s/partial/arrived", f->images);
    CLEANUP_FREE char *old = mem_printf("%s/partial/old", f->images);
    assert_int_equal(file_write_atomic(AT_FDCWD, partial, "BLOB", 4, 0600), 0);
    assert_int_equal(file_write_atomic(AT_FDCWD, old, "OLD", 3, 0600), 0);
    const struct timespec long_ago[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, old, long_ago, 0), 0);
    struct image_layer *layer = image__layer_pin(f->store, image->diff_ids[0]);
    image__layer_set_blob(f->store, layer, digest, 4, "type/x", "arrived", "host/one");
    image__layer_set_blob(f->store, layer, digest, 4, "type/x", NULL, "host/two");
    image__layer_set_blob(f->store, layer, made.id, 9, "another/form", NULL, "host/three"); /* a kept one stays */
    image__layer_unpin(f->store, layer);

    reopen(f);
    layer = image__layer_pin(f->store, image->diff_ids[0]);
    image__blob_copy(f->store, layer, &blob);
    assert_string_equal(blob.digest, digest);
    assert_string_equal(blob.media_type, "type/x");
    assert_true(blob.kept);
    assert_int_equal(strv_length(blob.sources), 2);
    int fd = -EBADF;
    assert_int_equal(image__layer_open_blob(f->store, layer, &fd, &err), 0);
    close(fd);
    image__layer_unpin(f->store, layer);
    assert_int_equal(entries_in(f, "partial"), 0); /* the one is the layer's now, the other was too old */
    assert_int_equal(entries_in(f, "blobs/sha256"), 2);

    struct image_removal removal = {0};
    assert_int_equal(image_remove(f->store, made.id, true, false, &removal, &err), 0);
    image_removal_clear(&removal);
    check_nothing_left(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_platforms),
        cmocka_unit_test(test_references),
        cmocka_unit_test_setup_teardown(test_kept, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
