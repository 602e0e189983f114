#include "db_test.h"

struct got {
    size_t count;
    char text[512];
};

static int see_user(void *user, const struct store_user *row)
{
    struct got *got = user;

    got->count++;
    snprintf(got->text, sizeof(got->text), "%s|%s|%s|%d|%d|%s|%lld", row->name, row->role,
             row->password_hash, row->must_change, row->disabled, row->grants,
             (long long)row->created_ns);
    return 0;
}

static int see_token(void *user, const struct store_token *row)
{
    struct got *got = user;

    got->count++;
    snprintf(got->text, sizeof(got->text), "%s|%s|%s|%02x%02x|%d|%lld|%lld|%lld|%s|%s", row->id,
             row->user, row->label, row->hash[0], row->hash[31], row->session,
             (long long)row->created_ns, (long long)row->expires_ns, (long long)row->used_ns,
             row->from, row->agent);
    return 0;
}

static void users(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct got got = {0};
    struct store_user ana = {.name = "ana",
                             .role = "admin",
                             .password_hash = "$argon2id$x",
                             .must_change = true,
                             .grants = "logs",
                             .created_ns = 5};
    struct store_user bob = {.name = "bob", .role = "helpdesk"};

    assert_int_equal(store_user_put(f->store, &ana, &err), 0);
    assert_int_equal(store_user_put(f->store, &bob, &err), 0);
    assert_int_equal(store_users(f->store, "ana", see_user, &got, NULL), 0);
    assert_string_equal(got.text, "ana|admin|$argon2id$x|1|0|logs|5");
    ana.must_change = false;
    ana.disabled = true;
    assert_int_equal(store_user_put(f->store, &ana, &err), 0);
    got = (struct got){0};
    assert_int_equal(store_users(f->store, NULL, see_user, &got, NULL), 0);
    assert_int_equal(got.count, 2);
    assert_string_equal(got.text, "bob|helpdesk||0|0||0");
    assert_int_equal(store_user_delete(f->store, "carl", &err), -ENOENT);
    assert_string_equal(err.message, "No such user: carl");
    assert_int_equal(store_user_put(f->store, &(struct store_user){.name = ""}, &err), -EINVAL);
    fixture_reopen(f);
    got = (struct got){0};
    assert_int_equal(store_users(f->store, "ana", see_user, &got, NULL), 0);
    assert_string_equal(got.text, "ana|admin|$argon2id$x|0|1|logs|5");
}

static void tokens(void **state)
{
    struct fixture *f = *state;
    struct error err = ERROR_INIT;
    struct got got = {0};
    uint8_t hashes[4][32];
    static const char *const ids[] = {"t0", "s1", "s2", "s3"};
    struct store_user ana = {.name = "ana", .role = "admin"};

    assert_int_equal(store_user_put(f->store, &ana, NULL), 0);
    for (int i = 0; i < 4; i++) {
        memset(hashes[i], i, 32);
        hashes[i][0] = 0; /* an embedded NUL is a byte like others */
        hashes[i][31] = (uint8_t)(0xa0 + i);
        struct store_token token = {.id = ids[i],
                                    .user = i < 3 ? "ana" : "bob",
                                    .label = "ci",
                                    .hash = hashes[i],
                                    .session = i > 0,
                                    .created_ns = i,
                                    .expires_ns = 100,
                                    .used_ns = 2,
                                    .from = "::1",
                                    .agent = "UA"};
        assert_int_equal(store_token_put(f->store, &token, &err), 0);
    }
    struct store_token twice = {.id = "t0", .user = "ana", .hash = hashes[0]};
    assert_true(store_token_put(f->store, &twice, &err) < 0);
    assert_int_equal(store_token_find(f->store, hashes[0], see_token, &got), 0);
    assert_string_equal(got.text, "t0|ana|ci|00a0|0|0|100|2|::1|UA");
    uint8_t other[32] = {9};
    assert_int_equal(store_token_find(f->store, other, see_token, &got), -ENOENT);
    assert_int_equal(store_token_touch(f->store, "t0", 50), 0);
    assert_int_equal(store_flush(f->store), 0);
    assert_int_equal(store_token_find(f->store, hashes[0], see_token, &got), 0);
    assert_string_equal(got.text, "t0|ana|ci|00a0|0|0|100|50|::1|UA");
    got = (struct got){0};
    assert_int_equal(store_tokens(f->store, "ana", true, see_token, &got, NULL), 0);
    assert_int_equal(got.count, 2);
    got = (struct got){0};
    assert_int_equal(store_tokens(f->store, NULL, true, see_token, &got, NULL), 0);
    assert_int_equal(got.count, 3);
    /* sign out everywhere else: API tokens stay */
    assert_int_equal(store_sessions_delete(f->store, "ana", "s1"), 0);
    assert_int_equal(store_token_find(f->store, hashes[1], see_token, &got), 0);
    assert_int_equal(store_token_find(f->store, hashes[2], see_token, &got), -ENOENT);
    assert_int_equal(store_token_find(f->store, hashes[0], see_token, &got), 0);
    assert_int_equal(store_sessions_delete(f->store, "ana", NULL), 0);
    assert_int_equal(store_token_find(f->store, hashes[1], see_token, &got), -ENOENT);
    /* with the user all goes, at once */
    assert_int_equal(store_user_delete(f->store, "ana", NULL), 0);
    assert_int_equal(store_token_find(f->store, hashes[0], see_token, &got), -ENOENT);
    assert_int_equal(store_token_find(f->store, hashes[3], see_token, &got), 0);
    assert_int_equal(store_token_delete(f->store, "s3", &err), 0);
    assert_int_equal(store_token_delete(f->store, "s3", &err), -ENOENT);
}

static void settings(void **state)
{
    struct fixture *f = *state;
    char *value = NULL;

    assert_int_equal(store_setting_get(f->store, "k", &value), -ENOENT);
    assert_null(value);
    assert_int_equal(store_setting_put(f->store, "k", "{\"a\":1}"), 0);
    assert_int_equal(store_setting_put(f->store, "k", "{\"a\":2}"), 0);
    fixture_reopen(f);
    assert_int_equal(store_setting_get(f->store, "k", &value), 0);
    assert_string_equal(value, "{\"a\":2}");
    free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(users, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(settings, setup, teardown),
    };

    return cmocka_run_group_tests_name("db_accounts", tests, NULL, NULL);
}
