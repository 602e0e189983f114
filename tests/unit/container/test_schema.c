/* Docker's field table: types, defaults, Go's words for a wrong type. */
#include "container_test.h"

#include "container/schema.h"

static void complete_fails(const struct schema *schema, const char *path, const char *text, const char *message)
{
    CLEANUP_JSON cJSON *body = json_of(text);
    struct error err = ERROR_INIT;
    cJSON *out = NULL;

    assert_int_equal(schema_complete(schema, body, path, &out, &err), -EINVAL);
    assert_null(out);
    assert_string_equal(err.message, message);
}

static void defaults(void **state)
{
    CLEANUP_JSON cJSON *host = NULL;
    CLEANUP_JSON cJSON *config = NULL;

    (void)state;
    assert_int_equal(schema_complete(&schema_host_config, NULL, "HostConfig", &host, NULL), 0);
    assert_int_equal(schema_complete(&schema_config, NULL, "", &config, NULL), 0);
    assert_true(cJSON_IsNull(json_get(host, "Binds")));
    assert_true(cJSON_IsNull(json_get(host, "MemorySwappiness")));
    assert_true(cJSON_IsObject(json_get(host, "PortBindings")));
    assert_int_equal(cJSON_GetArraySize(json_get(host, "ConsoleSize")), 2);
    assert_string_equal(json_string(json_get(host, "RestartPolicy"), "Name", NULL), "");
    assert_true(cJSON_IsFalse(json_get(host, "Privileged")));
    assert_int_equal(json_int(host, "Memory", -1), 0);
    assert_null(json_get(host, "Mounts"));
    assert_null(json_get(config, "Healthcheck"));
    assert_true(cJSON_IsNull(json_get(config, "Cmd")));
    assert_true(cJSON_IsObject(json_get(config, "Labels")));
}

static void wrong_types(void **state)
{
    (void)state;
    complete_fails(&schema_host_config, "HostConfig", "{'Memory':'lots'}",
                   "invalid JSON: json: cannot unmarshal string into Go struct field HostConfig.HostConfig.Memory of type int64");
    complete_fails(&schema_host_config, "HostConfig", "{'Memory':1.5}",
                   "invalid JSON: json: cannot unmarshal number 1.5 into Go struct field HostConfig.HostConfig.Memory of type int64");
    complete_fails(&schema_config, "", "{'Tty':'yes'}",
                   "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.Tty of type bool");
    complete_fails(&schema_config, "", "{'Env':[1]}",
                   "invalid JSON: json: cannot unmarshal number into Go struct field CreateRequest.Env of type string");
    complete_fails(&schema_config, "", "{'Env':{'A':'b'}}",
                   "invalid JSON: json: cannot unmarshal object into Go struct field CreateRequest.Env of type []string");
    complete_fails(&schema_config, "", "[]",
                   "invalid JSON: json: cannot unmarshal array into Go value of type container.CreateRequest");
    complete_fails(&schema_host_config, "HostConfig", "{'RestartPolicy':{'Name':3}}",
                   "invalid JSON: json: cannot unmarshal number into Go struct field RestartPolicy.HostConfig.RestartPolicy.Name of type container.RestartPolicyMode");
    complete_fails(&schema_host_config, "HostConfig", "{'PortBindings':{'80/tcp':{}}}",
                   "invalid JSON: json: cannot unmarshal object into Go struct field HostConfig.HostConfig.PortBindings of type []nat.PortBinding");
    complete_fails(&schema_host_config, "HostConfig", "{'BlkioWeight':70000}",
                   "invalid JSON: json: cannot unmarshal number 70000 into Go struct field HostConfig.HostConfig.BlkioWeight of type uint16");
}

static void unknown_and_case(void **state)
{
    CLEANUP_JSON cJSON *body = json_of("{'hostname':'a','Unknown':{'x':1},'CMD':'ls','Entrypoint':['sh','-c']}");
    CLEANUP_JSON cJSON *config = NULL;

    (void)state;
    assert_int_equal(schema_complete(&schema_config, body, "", &config, NULL), 0);
    assert_string_equal(json_string(config, "Hostname", ""), "a");
    assert_null(json_get(config, "Unknown"));
    assert_int_equal(cJSON_GetArraySize(json_get(config, "Cmd")), 1);
    assert_int_equal(cJSON_GetArraySize(json_get(config, "Entrypoint")), 2);
}

static void endpoints(void **state)
{
    CLEANUP_JSON cJSON *good = json_of("{'a':{'Aliases':['x']},'b':null}");
    CLEANUP_JSON cJSON *bad = json_of("['a']");
    CLEANUP_JSON cJSON *map = NULL;
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(schema_complete_map(&schema_endpoint, good, "P", "NetworkingConfig", &map, &err), 0);
    assert_true(cJSON_IsNull(json_get(map, "b")));
    assert_int_equal(cJSON_GetArraySize(json_get(json_get(map, "a"), "Aliases")), 1);
    cJSON *none = NULL;
    assert_int_equal(schema_complete_map(&schema_endpoint, bad, "P", "NetworkingConfig", &none, &err), -EINVAL);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(wrong_types),
        cmocka_unit_test(unknown_and_case),
        cmocka_unit_test(endpoints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
