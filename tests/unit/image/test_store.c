/* test_store.c - names, tags, removal with Docker's words, prune, holds, import, commit, history. */
#include "image_test.h"

/* --- names ----------------------------------------------------------------------- */

static void test_name_grammar(void **state)
{
    static const struct {
        const char *text, *repository, *tag, *digest;
    } good[] = {
        {"ubuntu", "ubuntu", NULL, NULL},
        {"docker.io/library/ubuntu:22.04", "ubuntu", "22.04", NULL},
        {"docker.io/ubuntu", "ubuntu", NULL, NULL},
        {"index.docker.io/a/b", "a/b", NULL, NULL},
        {"library/x", "x", NULL, NULL},
        {"library/x/y", "library/x/y", NULL, NULL},
        {"localhost/x", "localhost/x", NULL, NULL},
        {"localhost:5000/x:1", "localhost:5000/x", "1", NULL},
        {"host.example:80/a/b/c:t_a.g-1", "host.example:80/a/b/c", "t_a.g-1", NULL},
        {"[::1]:5000/x", "[::1]:5000/x", NULL, NULL},
        {"UPPER/x", "UPPER/x", NULL, NULL},
        {"a_b/c__d/e--f.g", "a_b/c__d/e--f.g", NULL, NULL},
        {"x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "x", NULL,
         "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        {"x:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "x", "1",
         "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},
        {"0123456789abcdef", "0123456789abcdef", NULL, NULL},
        {"docker.io/docker.io/x", "docker.io/docker.io/x", NULL, NULL}, /* "docker.io/x" would be x */
        {"docker.io/localhost/x", "docker.io/localhost/x", NULL, NULL},
    };
    static const char *const bad[] = {
        "", "/", "a/", "/a", "a//b", "a:", ":a", "a:b:c", "a b", "-a", "a-", "a___b", "a..b", "a._b", "A", "a/B",
        "x:-tag", "x:ta g", "x@", "x@sha256:12", "x@md5:d41d8cd98f00b204e9800998ecf8427e", "..", "../a", "a/../b",
        "host.:80/x", "ho_st.a/x", "host.a:/x", "host.a:8x/y", "[::1/x", "\xc3\xa9", "x:\n", "http://a/b",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "x:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        CLEANUP_FREE char *repository = NULL;
        CLEANUP_FREE char *tag = NULL;
        CLEANUP_FREE char *digest = NULL;
        struct error err = ERROR_INIT;

        if (image_name_parse(good[i].text, &repository, &tag, &digest, &err) < 0)
            fail_msg("%s: %s", good[i].text, err.message);
        assert_string_equal(repository, good[i].repository);
        assert_true(str_equal(tag, good[i].tag));
        assert_true(str_equal(digest, good[i].digest));
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct error err = ERROR_INIT;

        if (image_name_parse(bad[i], NULL, NULL, NULL, &err) != -EINVAL || !*err.message)
            fail_msg("\"%s\" was taken", bad[i]);
    }
    char longest[400];
    memset(longest, 'a', sizeof(longest));
    longest[239] = '\0'; /* with docker.io/library/ */
    assert_int_equal(image_name_parse(longest, NULL, NULL, NULL, NULL), -EINVAL);
    longest[237] = '\0';
    assert_int_equal(image_name_parse(longest, NULL, NULL, NULL, NULL), 0);

    static const char *const canonical[][2] = {
        {"ubuntu", "docker.io/library/ubuntu"}, {"a/b", "docker.io/a/b"}, {"localhost:5000/x", "localhost:5000/x"}};
    for (size_t i = 0; i < ARRAY_SIZE(canonical); i++) {
        CLEANUP_FREE char *text = image_name_canonical(canonical[i][0]);
        assert_string_equal(text, canonical[i][1]);
    }
}

/* --- tags and removal --------------------------------------------------------------- */

static void test_tag(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    char id[DIGEST_TEXT_MAX], second[DIGEST_TEXT_MAX];

    make_simple(f, "1", "\"a:1\"", id);
    make_simple(f, "2", "\"b:1\"", second);
    assert_int_equal(image_tag(f->store, "a:1", "localhost:5000/x", &err), 0);
    assert_int_equal(image_tag(f->store, "a:1", "b:1", &err), 0); /* moves */
    assert_int_equal(image_tag(f->store, "nope", "x", &err), -ENOENT);
    assert_string_equal(err.message, "No such image: nope:latest");
    assert_int_equal(image_tag(f->store, "a:1", "X", &err), -EINVAL);
    assert_int_equal(image_tag(f->store, "a:1", "sha256:abc", &err), -EINVAL);
    CLEANUP_FREE char *digest_ref = mem_printf("x@%s", id);
    assert_int_equal(image_tag(f->store, "a:1", digest_ref, &err), -EINVAL);
    assert_string_equal(err.message, "refusing to create a tag with a digest reference");
    reopen(f);
    CLEANUP(image_freep) struct image *image = NULL;
    assert_int_equal(image_get(f->store, "b:1", &image, &err), 0);
    assert_string_equal(image->id, id);
    assert_int_equal(strv_length(image->names), 3);
    CLEANUP(image_freep) struct image *dangling = NULL;
    assert_int_equal(image_get(f->store, second, &dangling, &err), 0);
    assert_null(dangling->names);
}

static void check_removal(struct fixture *f, const char *ref, bool force, const char *untagged, int deleted)
{
    struct image_removal removal;
    struct error err = ERROR_INIT;

    if (image_remove(f->store, ref, force, false, &removal, &err) < 0)
        fail_msg("%s: %s", ref, err.message);
    CLEANUP_FREE char *names = removal.untagged ? strv_join(removal.untagged, " ") : mem_strdup("");
    assert_string_equal(names, untagged);
    assert_int_equal(strv_length(removal.deleted), deleted);
    image_removal_clear(&removal);
}

static void check_refusal(struct fixture *f, const char *ref, bool force, const char *format, const char *id)
{
    struct image_removal removal;
    struct error err = ERROR_INIT;
    CLEANUP_STR struct str expected = STR_INIT;
    const char *at = strstr(format, "ID");

    if (at) {
        str_append_n(&expected, format, (size_t)(at - format));
        str_append_n(&expected, id + 7, 12);
        str_append(&expected, at + 2);
    } else {
        str_append(&expected, format);
    }
    assert_int_equal(image_remove(f->store, ref, force, false, &removal, &err), -EBUSY);
    assert_string_equal(err.message, expected.data);
}

static void test_remove(void **state)
{
    struct fixture *f = *state;
    struct image_removal removal;
    struct error err = ERROR_INIT;
    char id[DIGEST_TEXT_MAX];

    /* Names one by one, the image with the last. */
    make_simple(f, "1", "\"a:1\",\"a:2\",\"b:1\"", id);
    check_removal(f, "a:1", false, "a:1", 0);
    check_refusal(f, id, false, "conflict: unable to delete ID (must be forced) - image is referenced in multiple repositories", id);
    check_removal(f, "b:1", false, "b:1", 0);
    CLEANUP_FREE char *prefix = mem_strndup(id + 7, 8);
    check_removal(f, prefix, false, "a:2", 2);
    check_nothing_left(f);
    assert_int_equal(image_remove(f->store, "a:2", false, false, &removal, &err), -ENOENT);
    assert_string_equal(err.message, "No such image: a:2");

    /* Used by a stopped container. */
    make_simple(f, "1", "\"a:1\",\"b:1\"", id);
    memcpy(f->used_id, id, sizeof(id));
    f->use = IMAGE_USED_STOPPED;
    assert_int_equal(image_hold(f->store, id, &err), 0);
    check_removal(f, "b:1", false, "b:1", 0); /* another name is left */
    check_refusal(f, "a:1", false,
                  "conflict: unable to remove repository reference \"a:1\" (must force) - container 0123456789ab is using its referenced image ID", id);
    check_refusal(f, id, false, "conflict: unable to delete ID (must be forced) - image is being used by stopped container 0123456789ab", id);
    /* By a running one. */
    f->use = IMAGE_USED_RUNNING;
    check_refusal(f, id, true, "conflict: unable to delete ID (cannot be forced) - image is being used by running container 0123456789ab", id);
    check_refusal(f, id, false, "conflict: unable to delete ID (cannot be forced) - image is being used by running container 0123456789ab", id);
    check_removal(f, "a:1", true, "a:1", 0); /* the name goes, the image stays */
    assert_int_equal(image_tag(f->store, id, "a:1", &err), 0);

    /* Forced under a stopped container: gone from sight, its layers stay until release. */
    f->use = IMAGE_USED_STOPPED;
    check_removal(f, "a:1", true, "a:1", 1);
    assert_int_equal(image_remove(f->store, "a:1", false, false, &removal, &err), -ENOENT);
    assert_int_equal(entries_in(f, "layers"), 3);
    CLEANUP(image_freep) struct image *held = NULL;
    assert_int_equal(image_get(f->store, id, &held, &err), -ENOENT);
    assert_int_equal(image_get_held(f->store, id, &held, &err), 0); /* for the container */
    CLEANUP(image_freep) struct image *by_prefix = NULL;
    assert_int_equal(image_get(f->store, prefix, &by_prefix, &err), -ENOENT);
    reopen(f); /* the container holds it again after a restart */
    assert_int_equal(image_hold(f->store, id, &err), 0);
    assert_int_equal(entries_in(f, "layers"), 3);
    image_release(f->store, id);
    check_nothing_left(f);
    image_release(f->store, id);  /* too much: harmless */
    assert_int_equal(image_hold(f->store, id, &err), -ENOENT);
}

static void test_shared_layers(void **state)
{
    struct fixture *f = *state;
    CLEANUP(made_clear) struct made one = {0};
    CLEANUP(made_clear) struct made two = {0};
    struct image_usage usage;

    add(made_layer(&one), TAR_FILE, "base", "x");
    add(made_layer(&one), TAR_FILE, "one", "1");
    made_finish(&one, NULL);
    add(made_layer(&two), TAR_FILE, "base", "x");
    add(made_layer(&two), TAR_FILE, "two", "22");
    made_finish(&two, NULL);
    load_made(f, &one, "\"one\"");
    load_made(f, &two, "\"two\"");
    assert_int_equal(entries_in(f, "layers"), 9);
    image_store_usage(f->store, &usage);
    assert_int_equal(usage.layers, 4);
    assert_int_equal(usage.disks, 0);
    check_removal(f, "one", false, "one:latest", 2); /* the image and its own layer */
    assert_int_equal(entries_in(f, "layers"), 6);
    check_removal(f, "two", false, "two:latest", 3);
    check_nothing_left(f);
}

static void test_prune(void **state)
{
    struct fixture *f = *state;
    struct image_removal removal;
    struct error err = ERROR_INIT;
    int64_t reclaimed = -1;
    char id[DIGEST_TEXT_MAX];
    CLEANUP(made_clear) struct made labelled = {0};
    char *label[] = {(char *)"keep=no", NULL}, *not_label[] = {(char *)"!keep", NULL};

    make_simple(f, "dangling", NULL, NULL);
    make_simple(f, "used", "\"used\"", id);
    make_simple(f, "named", "\"named:1\",\"named:2\"", NULL);
    add(made_layer(&labelled), TAR_FILE, "l", "labelled");
    made_finish(&labelled, "\"Labels\":{\"keep\":\"no\"}");
    load_made(f, &labelled, "\"labelled\"");
    memcpy(f->used_id, id, sizeof(id));
    f->use = IMAGE_USED_STOPPED;
    assert_int_equal(image_prune(f->store, true, 0, NULL, &removal, &reclaimed, &err), 0);
    assert_int_equal(strv_length(removal.deleted), 2);
    assert_int_equal(reclaimed, 8);
    image_removal_clear(&removal);
    assert_int_equal(image_prune(f->store, false, 1, NULL, &removal, &reclaimed, &err), 0); /* before 1970 */
    assert_null(removal.deleted);
    image_removal_clear(&removal);
    assert_int_equal(image_prune(f->store, false, 0, label, &removal, &reclaimed, &err), 0);
    assert_int_equal(strv_length(removal.deleted), 2);
    assert_string_equal(removal.untagged[0], "labelled:latest");
    image_removal_clear(&removal);
    assert_int_equal(image_prune(f->store, false, 0, not_label, &removal, &reclaimed, &err), 0);
    assert_int_equal(strv_length(removal.untagged), 2);
    image_removal_clear(&removal);
    CLEANUP(image_freep) struct image *used = NULL;
    assert_int_equal(image_get(f->store, "used", &used, &err), 0);
    assert_int_equal(entries_in(f, "layers"), 3);
}

/* --- import, commit, history ------------------------------------------------------------- */

/* What an import's stream has twice is packed anew: with a recipe, and saved as such. */
static void test_import_twice(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str saved = STR_INIT;
    CLEANUP_FREE char *id = NULL;
    struct error err = ERROR_INIT;
    char *refs[] = {(char *)"twice", NULL};

    add(&tar, TAR_DIRECTORY, "d", NULL);
    add(&tar, TAR_FILE, "d/f", "first");
    add(&tar, TAR_FILE, "d/f", "second");
    add(&tar, TAR_FILE, "d/.wh.gone", NULL);
    add_end(&tar);
    struct memory memory = {tar.data, tar.length, 0, 0};
    if (image_import(f->store, from_memory, &memory, "twice", NULL, NULL, NULL, NULL, &id, &err) < 0)
        fail_msg("%s", err.message);
    CLEANUP(image_freep) struct image *image = NULL;
    assert_int_equal(image_get(f->store, "twice", &image, &err), 0);
    CLEANUP_FREE char *recipe = mem_printf("%s/%s.recipe", image_store_layers_dir(f->store), image->layers[0]);
    CLEANUP_FREE char *file = mem_printf("%s/%s/d/f", image_store_layers_dir(f->store), image->layers[0]);
    CLEANUP_FREE char *text = NULL;
    assert_int_equal(access(recipe, F_OK), 0);
    assert_int_equal(file_read(AT_FDCWD, file, 100, &text, NULL), 0);
    assert_string_equal(text, "second");
    if (image_save(f->store, refs, to_str, &saved, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(entries_in(f, "tmp"), 0);
}

static void test_import(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str packed = STR_INIT;
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *id = NULL;
    char *changes[] = {(char *)"CMD [\"/bin/x\"]", (char *)"ENV A=b", NULL};

    add(&tar, TAR_FILE, "bin/x", "#!");
    add(&tar, TAR_FILE, "bin/x", "#!twice");
    add_end(&tar);
    compress_with("xz", tar.data, tar.length, &packed);
    struct memory memory = {packed.data, packed.length, 100, 0};
    if (image_import(f->store, from_memory, &memory, "imported", "v1", "Imported from -", changes, "linux/arm64/v8", &id, &err) < 0)
        fail_msg("%s", err.message);
    CLEANUP(image_freep) struct image *image = NULL;
    assert_int_equal(image_get(f->store, "imported:v1", &image, &err), 0);
    assert_string_equal(image->id, id);
    assert_string_equal(image->architecture, "arm64");
    assert_string_equal(image->variant, "v8");
    assert_string_equal(json_string(image->config, "comment", ""), "Imported from -");
    const cJSON *config = json_get(image->config, "config");
    assert_string_equal(cJSON_GetArrayItem(json_get(config, "Cmd"), 0)->valuestring, "/bin/x");
    assert_string_equal(cJSON_GetArrayItem(json_get(config, "Env"), 0)->valuestring, "A=b");

    /* Refused before anything is read, or for what is read. */
    static const struct {
        const char *repo, *tag, *platform, *change;
        const char *says;
    } bad[] = {
        {"UP", NULL, NULL, NULL, "lowercase"},
        {"x", "a b", NULL, NULL, "invalid tag format"},
        {"x", NULL, "windows/amd64", NULL, "not supported"},
        {"x", NULL, "linux//", NULL, "an invalid component of"},
        {"x", NULL, NULL, "RUN true", "RUN is not a valid change command"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *change[] = {(char *)bad[i].change, NULL};
        CLEANUP_FREE char *none = NULL;

        memory = (struct memory){packed.data, packed.length, 0, 0};
        assert_int_equal(image_import(f->store, from_memory, &memory, bad[i].repo, bad[i].tag, NULL, change,
                                      bad[i].platform, &none, &err), -EINVAL);
        if (!strstr(err.message, bad[i].says))
            fail_msg("%s", err.message);
        assert_int_equal(memory.left, packed.length);
    }
    for (size_t cut = 1; cut < 600; cut += 99) {
        CLEANUP_FREE char *none = NULL;
        memory = (struct memory){tar.data, tar.length - 512 - cut, 0, 0};
        assert_int_equal(image_import(f->store, from_memory, &memory, NULL, NULL, NULL, NULL, NULL, &none, &err),
                         -EINVAL);
    }
    check_removal(f, "imported:v1", false, "imported:v1", 2);
    check_nothing_left(f);
}

static void test_commit_and_history(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STR struct str tar = STR_INIT;
    CLEANUP_STR struct str empty = STR_INIT;
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *first = NULL;
    CLEANUP_FREE char *second = NULL;
    CLEANUP_JSON cJSON *config = cJSON_Parse("{\"Cmd\":[\"sh\",\"-c\",\"make it\"],\"Env\":[\"A=1\"]}");
    char *changes[] = {(char *)"WORKDIR /work", (char *)"LABEL a=b", NULL};
    char base[DIGEST_TEXT_MAX];

    CLEANUP_JSON cJSON *changed = cJSON_Duplicate(config, true);

    assert_int_equal(image_apply_changes(changed, changes, &err), 0);
    make_simple(f, "base", "\"base\"", base);
    add(&tar, TAR_FILE, ".wh.file", NULL);
    add(&tar, TAR_FILE, "new", "12345");
    add_end(&tar);
    struct memory memory = {tar.data, tar.length, 0, 0};
    if (image_commit(f->store, "base", NULL, from_memory, &memory, config, changed, "somebody", "for a reason", "child:1", &first, &err) < 0)
        fail_msg("%s", err.message);
    add_end(&empty);
    memory = (struct memory){empty.data, empty.length, 0, 0};
    assert_int_equal(image_commit(f->store, first, NULL, from_memory, &memory, config, config, NULL, NULL, NULL, &second, &err), 0);
    assert_null(json_get(config, "WorkingDir")); /* the container's own is not touched */

    CLEANUP(image_freep) struct image *image = NULL;
    assert_int_equal(image_get(f->store, "child:1", &image, &err), 0);
    assert_string_equal(image->parent, base);
    assert_int_equal(strv_length(image->layers), 2);
    assert_string_equal(json_string(image->config, "author", ""), "somebody");
    assert_string_equal(json_string(json_get(image->config, "config"), "WorkingDir", ""), "/work");
    CLEANUP(image_freep) struct image *last = NULL;
    assert_int_equal(image_get(f->store, second, &last, &err), 0);
    assert_int_equal(strv_length(last->layers), 2); /* nothing changed: no layer */

    struct image_history *history;
    size_t count;
    assert_int_equal(image_history(f->store, second, &history, &count, &err), 0);
    assert_int_equal(count, 4);
    assert_string_equal(history[0].id, second);
    assert_int_equal(history[0].size, 0);
    assert_string_equal(history[1].id, first);
    assert_string_equal(history[1].created_by, "sh -c make it");
    assert_string_equal(history[1].comment, "for a reason");
    assert_string_equal(history[1].tags[0], "child:1");
    assert_int_equal(history[1].size, 5);
    assert_string_equal(history[2].id, base);
    assert_string_equal(history[3].id, "<missing>");
    assert_int_equal(history[3].size, 4);
    image_history_free(history, count);

    /* Children protect their parents; parents go with the last child when nameless. */
    check_refusal(f, base, true, "conflict: unable to delete ID (cannot be forced) - image has dependent child images", base);
    check_removal(f, "base", false, "base:latest", 0);
    reopen(f);
    check_removal(f, second, false, "", 1);
    check_removal(f, "child:1", false, "child:1", 4);
    check_nothing_left(f);
    memory = (struct memory){tar.data, tar.length, 0, 0};
    CLEANUP_FREE char *orphan = NULL;
    assert_int_equal(image_commit(f->store, "base", NULL, from_memory, &memory, config, config, NULL, NULL, NULL, &orphan, &err), -ENOENT);
    check_nothing_left(f);
}

/* --- Dockerfile instructions ------------------------------------------------------------------ */

static void test_changes(void **state)
{
    static const struct {
        const char *before, *change, *after; /* NULL: refused */
    } cases[] = {
        {"{}", "CMD [\"a\",\"b c\"]", "{\"Cmd\":[\"a\",\"b c\"]}"},
        {"{}", "cmd echo $HOME  ", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"echo $HOME\"]}"},
        {"{}", "CMD [\"a\", 1]", "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[\\\"a\\\", 1]\"]}"},
        {"{\"Shell\":[\"ash\",\"-ec\"]}", "CMD x", "{\"Shell\":[\"ash\",\"-ec\"],\"Cmd\":[\"ash\",\"-ec\",\"x\"]}"},
        {"{\"Cmd\":[\"x\"]}", "ENTRYPOINT [\"e\"]", "{\"Entrypoint\":[\"e\"],\"Cmd\":null}"},
        {"{}", "CMD [\"c\"]\nENTRYPOINT [\"e\"]", "{\"Cmd\":[\"c\"],\"Entrypoint\":[\"e\"]}"},
        {"{}", "ENV A=1 B=\"two words\" C='$A' D=x\\ y", "{\"Env\":[\"A=1\",\"B=two words\",\"C=$A\",\"D=x y\"]}"},
        {"{\"Env\":[\"A=1\",\"B=2\"]}", "ENV A=${B}-$A-${C:-c}-${B:+set}$", "{\"Env\":[\"A=2-1-c-set$\",\"B=2\"]}"},
        {"{}", "ENV KEY the whole rest", "{\"Env\":[\"KEY=the whole rest\"]}"},
        {"{}", "ENV A=1 \\\n  B=2", "{\"Env\":[\"A=1\",\"B=2\"]}"},
        {"{\"Env\":null}", "ENV A=", "{\"Env\":[\"A=\"]}"},
        {"{}", "EXPOSE 80 53/udp 8000-8002/TCP", "{\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{},\"8000/tcp\":{},\"8001/tcp\":{},\"8002/tcp\":{}}}"},
        {"{\"Labels\":{\"a\":\"1\"}}", "LABEL a=2 \"b c\"=d", "{\"Labels\":{\"a\":\"2\",\"b c\":\"d\"}}"},
        {"{}", "ONBUILD RUN make", "{\"OnBuild\":[\"RUN make\"]}"},
        {"{}", "STOPSIGNAL SIGQUIT", "{\"StopSignal\":\"SIGQUIT\"}"},
        {"{}", "STOPSIGNAL rtmin+3", "{\"StopSignal\":\"rtmin+3\"}"},
        {"{}", "USER 1000:1000", "{\"User\":\"1000:1000\"}"},
        {"{}", "VOLUME [\"/a\",\"/b c\"]", "{\"Volumes\":{\"/a\":{},\"/b c\":{}}}"},
        {"{}", "VOLUME /a /b", "{\"Volumes\":{\"/a\":{},\"/b\":{}}}"},
        {"{\"WorkingDir\":\"/a\"}", "WORKDIR b/../c", "{\"WorkingDir\":\"/a/c\"}"},
        {"{}", "HEALTHCHECK --interval=5s --retries=2 CMD curl -f x", "{\"Healthcheck\":{\"Interval\":5000000000,\"Retries\":2,\"Test\":[\"CMD-SHELL\",\"curl -f x\"]}}"},
        {"{}", "HEALTHCHECK CMD [\"a\"]", "{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"]}}"},
        {"{}", "HEALTHCHECK NONE", "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}"},
        {"{}", "# a comment\n\nUSER a b", "{\"User\":\"a b\"}"},
        {"{}", "CMD", "{\"Cmd\":[\"/bin/sh\",\"-c\"]}"},
        {"{}", "# a comment alone\n", NULL},
        {"{}", "RUN x", NULL},
        {"{}", "FROM x", NULL},
        {"{}", "WORKDIR", NULL},
        {"{}", "WORKDIR $NOTHING", NULL},
        {"{}", "ENV A", NULL},
        {"{}", "ENV A=1 B", NULL},
        {"{}", "ENV =1", NULL},
        {"{}", "ENV A=\"open", NULL},
        {"{}", "ENV A=${B", NULL},
        {"{}", "ENV A=${}", NULL},
        {"{}", "EXPOSE x", NULL},
        {"{}", "EXPOSE 70000", NULL},
        {"{}", "EXPOSE 9-8", NULL},
        {"{}", "EXPOSE 80/icmp", NULL},
        {"{}", "STOPSIGNAL SIGNOPE", NULL},
        {"{}", "STOPSIGNAL 99", NULL},
        {"{}", "ONBUILD ONBUILD RUN x", NULL},
        {"{}", "ONBUILD FROM x", NULL},
        {"{}", "VOLUME \"\"", NULL},
        {"{}", "HEALTHCHECK x", NULL},
        {"{}", "HEALTHCHECK CMD", NULL},
        {"{}", "HEALTHCHECK --nope=1 CMD x", NULL},
        {"{}", "HEALTHCHECK --interval=abc CMD x", NULL},
        {"{}", "HEALTHCHECK --interval=5s NONE", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_JSON cJSON *config = cJSON_Parse(cases[i].before);
        char *changes[] = {(char *)cases[i].change, NULL};
        struct error err = ERROR_INIT;

        int r = image_apply_changes(config, changes, &err);
        if (!cases[i].after) {
            if (r != -EINVAL || !*err.message)
                fail_msg("\"%s\" was taken", cases[i].change);
            continue;
        }
        if (r < 0)
            fail_msg("\"%s\": %s", cases[i].change, err.message);
        CLEANUP_JSON cJSON *expected = cJSON_Parse(cases[i].after);
        CLEANUP_FREE char *found = json_print(config);
        assert_non_null(expected);
        if (!cJSON_Compare(config, expected, true))
            fail_msg("\"%s\" gave %s", cases[i].change, found);
    }
}

static int stop_at_second(void *user, const struct image *image)
{
    char ***ids = user;

    strv_push(ids, image->id);
    return strv_length(*ids) == 2 ? 7 : 0;
}

static void test_each(void **state)
{
    struct fixture *f = *state;
    CLEANUP_STRV char **ids = NULL;

    for (int i = 0; i < 3; i++) {
        char text[2] = {(char)('a' + i), '\0'};
        make_simple(f, text, NULL, NULL);
    }
    assert_int_equal(image_each(f->store, stop_at_second, &ids), 7);
    assert_int_equal(strv_length(ids), 2);
    CLEANUP(image_freep) struct image *image = NULL;
    struct error err = ERROR_INIT;
    /* Two ids with the same first digit are likely; any prefix of none is not. */
    assert_int_equal(image_get(f->store, "sha256:", &image, &err), -EINVAL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_grammar), cmocka_unit_test(test_changes), T(test_tag), T(test_remove),
        T(test_shared_layers), T(test_prune), T(test_import), T(test_import_twice), T(test_commit_and_history), T(test_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
