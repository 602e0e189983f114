/* Docker's rules for a configuration, and its words. */
#include "container_test.h"

#include "container/internal.h"
#include "container/schema.h"
#include "container/validate.h"
#include "launch/cgroup.h"

static const struct host_facts facts = {
    .controllers = CGROUP_MEMORY | CGROUP_CPU | CGROUP_CPUSET | CGROUP_PIDS | CGROUP_BLKIO | CGROUP_DEVICES |
                   CGROUP_FREEZER | CGROUP_SWAP | CGROUP_BLKIO_WEIGHT | CGROUP_BLKIO_WEIGHT_DEVICE,
    .cgroup_version = 1,
    .cpus = 2,
    .memory_nodes = 1,
    .default_isolation = "process",
};

struct made {
    cJSON *config, *host, *networks;
    const struct wall *wall;
    char **warnings;
    struct error err;
    int result;
};

static void clear(struct made *made)
{
    cJSON_Delete(made->config);
    cJSON_Delete(made->host);
    cJSON_Delete(made->networks);
    strv_free(made->warnings);
}

static struct made make(const char *config, const char *host, const char *networks)
{
    CLEANUP_JSON cJSON *c = json_of(config);
    CLEANUP_JSON cJSON *h = json_of(host);
    CLEANUP_JSON cJSON *n = json_of(networks);
    struct made made = {0};

    assert_int_equal(schema_complete(&schema_config, c, "", &made.config, &made.err), 0);
    assert_int_equal(schema_complete(&schema_host_config, h, "HostConfig", &made.host, &made.err), 0);
    assert_int_equal(schema_complete_map(&schema_endpoint, n, "", "NetworkingConfig", &made.networks, &made.err), 0);
    made.result = validate_create(&facts, made.config, made.host, made.networks, &made.wall, &made.warnings, &made.err);
    return made;
}

static void refused(void **state)
{
    static const struct {
        const char *config, *host, *networks, *message;
    } cases[] = {
        {"{}", "{'Memory':4194304}", "{}", "Minimum memory limit allowed is 6MB"},
        {"{}", "{'Memory':8388608,'MemorySwap':7340032}", "{}",
         "Minimum memoryswap limit should be larger than memory limit, see usage"},
        {"{}", "{'MemorySwap':7340032}", "{}",
         "You should always set the Memory limit when using Memoryswap limit, see usage"},
        {"{}", "{'NanoCpus':9000000000}", "{}", "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"},
        {"{}", "{'NanoCpus':1000000000,'CpuQuota':50000}", "{}",
         "Conflicting options: Nano CPUs and CPU Quota cannot both be set"},
        {"{}", "{'CpusetCpus':'7'}", "{}", "Requested CPUs are not available - requested 7, available: 0-1"},
        {"{}", "{'CpusetCpus':'a-b'}", "{}", "Invalid value a-b for cpuset cpus: invalid format: a-b"},
        {"{}", "{'Isolation':'vm'}", "{}",
         "invalid isolation mode: \"vm\": one of default, process and hyperv is expected"},
        {"{}", "{'AutoRemove':true,'RestartPolicy':{'Name':'always'}}", "{}",
         "can't create 'AutoRemove' container with restart policy"},
        {"{}", "{'RestartPolicy':{'Name':'sometimes'}}", "{}",
         "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'"},
        {"{}", "{'RestartPolicy':{'Name':'always','MaximumRetryCount':3}}", "{}",
         "invalid restart policy: maximum retry count can only be used with 'on-failure'"},
        {"{}", "{'CapAdd':['FLY']}", "{}", "invalid CapAdd: unknown capability: \"CAP_FLY\""},
        {"{}", "{'PortBindings':{'x/tcp':[{}]}}", "{}", "invalid port specification: \"x\""},
        {"{}", "{'PortBindings':{'80/tcp':[{'HostPort':'99999'}]}}", "{}", "invalid port specification: \"99999\""},
        {"{}", "{'Binds':['/a:b']}", "{}",
         "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount path: 'b' mount path must be absolute"},
        {"{}", "{'Binds':['/a:/b:xx']}", "{}", "invalid mode: xx"},
        {"{}", "{'Binds':['/a:/']}", "{}",
         "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid specification: destination can't be '/'"},
        {"{}", "{'Mounts':[{'Type':'bind','Source':'/no/such/place','Target':'/x'}]}", "{}",
         "invalid mount config for type \"bind\": bind source path does not exist: /no/such/place"},
        {"{}", "{'SecurityOpt':['frob']}", "{}", "invalid --security-opt 1: \"frob\""},
        {"{}", "{'SecurityOpt':['frob=x']}", "{}", "invalid --security-opt 2: \"frob=x\""},
        {"{}", "{'IpcMode':'weird'}", "{}", "invalid IPC mode: weird"},
        {"{}", "{'PidMode':'weird'}", "{}", "invalid PID mode: weird"},
        {"{}", "{'ShmSize':-1}", "{}", "SHM size can not be less than 0"},
        {"{}", "{'OomScoreAdj':2000}", "{}", "Invalid value 2000, range for oom score adj is [-1000, 1000]"},
        {"{}", "{'LogConfig':{'Type':'fluentd'}}", "{}", "error looking up logging plugin fluentd: plugin \"fluentd\" not found"},
        {"{}", "{'LogConfig':{'Type':'json-file','Config':{'x':'1'}}}", "{}", "unknown log opt 'x' for json-file log driver"},
        {"{}", "{'Ulimits':[{'Name':'nofile','Soft':10,'Hard':5}]}", "{}",
         "ulimit soft limit must be less than or equal to hard limit: 10 > 5"},
        {"{}", "{'Runtime':'runsc'}", "{}", "unknown or invalid runtime name: runsc"},
        {"{'Hostname':'a'}", "{'NetworkMode':'container:x'}", "{}", "conflicting options: hostname and the network mode"},
        {"{'Hostname':'a'}", "{'UTSMode':'host'}", "{}", "conflicting options: hostname and the UTS mode"},
        {"{'WorkingDir':'rel'}", "{}", "{}", "the working directory 'rel' is invalid, it needs to be an absolute path"},
        {"{'StopSignal':'SIGFOO'}", "{}", "{}", "invalid signal: SIGFOO"},
        {"{'Env':['=x']}", "{}", "{}", "invalid environment variable: =x"},
        {"{'Healthcheck':{'Interval':5}}", "{}", "{}", "Interval in Healthcheck cannot be less than 1ms"},
        {"{}", "{'ExtraHosts':['a']}", "{}", "bad format for add-host: \"a\""},
        {"{}", "{'ExtraHosts':['a:1.2.3']}", "{}", "invalid IP address in add-host: \"1.2.3\""},
        {"{}", "{}", "{'bridge':{'IPAMConfig':{'IPv4Address':'10.0.0.2'}}}",
         "invalid config for network bridge: invalid endpoint settings: user specified IP address is supported on user defined networks only"},
        {"{}", "{}", "{'mine':{'MacAddress':'zz'}}", "invalid config for network mine: invalid MAC address zz"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct made made = make(cases[i].config, cases[i].host, cases[i].networks);
        assert_string_equal(made.err.message, cases[i].message);
        assert_int_equal(made.result, -EINVAL);
        clear(&made);
    }
}

static void filled_in(void **state)
{
    struct made made = make("{}", "{'Memory':67108864,'Isolation':'PROCESS'}", "{}");

    (void)state;
    assert_string_equal(made.err.message, "");
    assert_int_equal(made.result, 0);
    assert_int_equal(json_int(made.host, "MemorySwap", 0), 2 * 67108864);
    assert_int_equal(json_int(made.host, "ShmSize", 0), 64 << 20);
    assert_string_equal(json_string(made.host, "NetworkMode", ""), "bridge");
    assert_string_equal(json_string(made.host, "IpcMode", ""), "private");
    assert_string_equal(json_string(made.host, "Isolation", ""), "process");
    assert_string_equal(json_string(json_get(made.host, "RestartPolicy"), "Name", ""), "no");
    assert_string_equal(json_string(json_get(made.host, "LogConfig"), "Type", ""), "json-file");
    assert_true(cJSON_GetArraySize(json_get(made.host, "MaskedPaths")) > 5);
    assert_string_equal(made.wall->name, "process");
    clear(&made);

    made = make("{'MacAddress':'02:42:ac:11:00:02'}", "{'NetworkMode':'mine','Privileged':true}", "{}");
    assert_int_equal(made.result, 0);
    assert_string_equal(json_string(json_get(made.networks, "mine"), "MacAddress", ""), "02:42:ac:11:00:02");
    assert_true(cJSON_IsNull(json_get(made.host, "MaskedPaths")));
    clear(&made);
}

static void hyperv(void **state)
{
    struct made made = make("{}", "{'Isolation':'HyperV'}", "{}");
    const struct wall *wall = wall_find("hyperv", NULL);
    CLEANUP_JSON cJSON *host = json_of("{'PidMode':'host'}");
    CLEANUP_JSON cJSON *config = json_of("{}");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(made.result, -EINVAL);
    assert_non_null(strstr(made.err.message, "hyperv isolation is not available here"));
    clear(&made);
    assert_int_equal(wall_check(wall, config, host, &err), -EINVAL);
    assert_non_null(strstr(err.message, "--pid=host"));
    assert_int_equal(wall_check(wall_find("default", "process"), config, host, &err), 0);
    assert_null(wall_find("jail", "process"));
}

static void merge(void **state)
{
    CLEANUP_JSON cJSON *image = json_of("{'Cmd':['sh'],'Entrypoint':['/e'],'Env':['PATH=/bin','A=1'],'User':'u',"
                                        "'WorkingDir':'/w','Labels':{'l':'1'},'ExposedPorts':{'80/tcp':{}},'Volumes':{'/v':{}}}");
    CLEANUP_JSON cJSON *config = NULL;
    CLEANUP_JSON cJSON *body = json_of("{'Env':['A=2','B=3'],'Cmd':['x'],'Labels':{'l':'2'}}");
    struct error err = ERROR_INIT;

    (void)state;
    assert_int_equal(schema_complete(&schema_config, body, "", &config, NULL), 0);
    assert_int_equal(validate_merge_image(config, image, &err), 0);
    char *env = json_print(json_get(config, "Env")), *cmd = json_print(json_get(config, "Cmd"));
    assert_string_equal(env, "[\"A=2\",\"B=3\",\"PATH=/bin\"]");
    assert_string_equal(cmd, "[\"x\"]");
    assert_int_equal(cJSON_GetArraySize(json_get(config, "Entrypoint")), 1);
    assert_string_equal(json_string(json_get(config, "Labels"), "l", ""), "2");
    assert_string_equal(json_string(config, "User", ""), "u");
    assert_non_null(json_get(json_get(config, "Volumes"), "/v"));
    free(env);
    free(cmd);

    /* Entrypoint [""] takes the image's away and with it its Cmd stays as asked. */
    CLEANUP_JSON cJSON *reset = json_of("{'Entrypoint':[''],'Cmd':['y']}");
    CLEANUP_JSON cJSON *second = NULL;
    assert_int_equal(schema_complete(&schema_config, reset, "", &second, NULL), 0);
    assert_int_equal(validate_merge_image(second, image, &err), 0);
    assert_true(cJSON_IsNull(json_get(second, "Entrypoint")));

    CLEANUP_JSON cJSON *nothing = json_of("{}");
    CLEANUP_JSON cJSON *third = NULL;
    assert_int_equal(schema_complete(&schema_config, nothing, "", &third, NULL), 0);
    assert_int_equal(validate_merge_image(third, nothing, &err), -EINVAL);
    assert_string_equal(err.message, "no command specified");

    /* What an image brings is checked as what a client asks for. */
    CLEANUP_JSON cJSON *restless = json_of("{'Cmd':['sh'],'Healthcheck':{'Test':['CMD','true'],'Interval':1}}");
    CLEANUP_JSON cJSON *fourth = NULL;
    assert_int_equal(schema_complete(&schema_config, nothing, "", &fourth, NULL), 0);
    assert_int_equal(validate_merge_image(fourth, restless, &err), -EINVAL);
    assert_string_equal(err.message, "Interval in Healthcheck cannot be less than 1ms");
}

static void names(void **state)
{
    struct error err = ERROR_INIT;
    char made[64];

    (void)state;
    assert_int_equal(name_check("/web.1", &err), 0);
    assert_int_equal(name_check("a b", &err), -EINVAL);
    assert_string_equal(err.message, "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
    assert_int_equal(name_check("x", &err), -EINVAL);
    assert_int_equal(name_check("../x", &err), -EINVAL);
    for (int i = 0; i < 20; i++) {
        name_make_up(made, i);
        assert_int_equal(name_check(made, &err), 0);
    }
}

/* What the kernel lacks is left out and told, whatever was asked of it. */
static void block_limits(void **state)
{
    static const struct {
        unsigned lacks;
        const char *asked, *left, *warning;
    } cases[] = {
        {CGROUP_BLKIO_WEIGHT, "{'BlkioWeight':500}", "{'BlkioWeight':0}",
         "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."},
        {CGROUP_BLKIO_WEIGHT, "{'BlkioWeight':2000}", "{'BlkioWeight':0}",
         "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded."},
        {CGROUP_BLKIO_WEIGHT_DEVICE, "{'BlkioWeightDevice':[{'Path':'/dev/null','Weight':500}]}", "{'BlkioWeightDevice':[]}",
         "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded."},
        {CGROUP_BLKIO, "{'BlkioDeviceWriteIOps':[{'Path':'/dev/null','Rate':5}]}", "{'BlkioDeviceWriteIOps':[]}",
         "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded."},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_JSON cJSON *asked = json_of(cases[i].asked);
        CLEANUP_JSON cJSON *kept = json_of(cases[i].asked);
        CLEANUP_JSON cJSON *left = json_of(cases[i].left);
        CLEANUP_STRV char **warnings = NULL;
        CLEANUP_STRV char **none = NULL;
        struct host_facts lacking = facts;
        struct error err = ERROR_INIT;

        lacking.controllers &= ~cases[i].lacks;
        assert_int_equal(validate_resources(&lacking, asked, false, &warnings, &err), 0);
        assert_true(cJSON_Compare(asked, left, true));
        assert_int_equal(strv_length(warnings), 1);
        assert_string_equal(warnings[0], cases[i].warning);
        if (i != 1)
            assert_int_equal(validate_resources(&facts, kept, false, &none, &err), 0);
        else
            assert_int_equal(validate_resources(&facts, kept, false, &none, &err), -EINVAL);
        assert_int_equal(strv_length(none), 0);
        assert_true(cJSON_Compare(kept, left, true) == false);
    }
}

static void capabilities(void **state)
{
    CLEANUP_JSON cJSON *all = json_of("['all']");
    CLEANUP_JSON cJSON *some = json_of("['NET_ADMIN']");
    CLEANUP_JSON cJSON *chown = json_of("['CAP_CHOWN']");
    uint64_t set;

    (void)state;
    assert_int_equal(capability_parse("CAP_SYS_ADMIN"), 21);
    assert_int_equal(capability_parse("checkpoint_restore"), 40);
    assert_int_equal(capability_set(NULL, NULL, false, &set, NULL), 0);
    assert_int_equal(set, CAPABILITIES_DEFAULT);
    assert_int_equal(__builtin_popcountll(set), 14);
    assert_int_equal(capability_set(some, chown, false, &set, NULL), 0);
    assert_int_equal(set, (CAPABILITIES_DEFAULT & ~UINT64_C(1)) | 1 << 12);
    assert_int_equal(capability_set(some, all, false, &set, NULL), 0);
    assert_int_equal(set, 1 << 12);
    assert_int_equal(capability_set(all, chown, false, &set, NULL), 0);
    assert_int_equal(__builtin_popcountll(set), 40);
}

static void ports(void **state)
{
    uint16_t first, last;
    char protocol[5];

    (void)state;
    assert_int_equal(port_parse("80", &first, &last, protocol), 0);
    assert_int_equal(first, 80);
    assert_string_equal(protocol, "tcp");
    assert_int_equal(port_parse("8000-8010/UDP", &first, &last, protocol), 0);
    assert_int_equal(last, 8010);
    assert_string_equal(protocol, "udp");
    assert_int_equal(port_parse("80/icmp", &first, &last, protocol), -EINVAL);
    assert_int_equal(port_parse("90-80/tcp", &first, &last, protocol), -EINVAL);
    assert_int_equal(port_parse("/tcp", &first, &last, protocol), -EINVAL);
    assert_int_equal(port_range_parse("", &first, &last), 0);
}

static void signals(void **state)
{
    struct error err = ERROR_INIT;
    int number = 0;

    (void)state;
    assert_int_equal(signal_parse("sigterm", &number, &err), 0);
    assert_int_equal(number, 15);
    assert_int_equal(signal_parse("9", &number, &err), 0);
    assert_int_equal(number, 9);
    assert_int_equal(signal_parse("RTMIN+3", &number, &err), 0);
    assert_int_equal(number, 37);
    assert_int_equal(signal_parse("0", &number, &err), -EINVAL);
    assert_int_equal(signal_parse("SIG", &number, &err), -EINVAL);
    assert_string_equal(err.message, "invalid signal: SIG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused), cmocka_unit_test(filled_in),    cmocka_unit_test(hyperv), cmocka_unit_test(merge),
        cmocka_unit_test(names),   cmocka_unit_test(capabilities), cmocka_unit_test(ports),  cmocka_unit_test(signals),
        cmocka_unit_test(block_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
