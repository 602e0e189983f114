/* test_config.c - one table of options, four sources. */
#include "support.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/mem.h"
#include "config.h"

static char path[] = "/tmp/tabique-config-XXXXXX";

static int load(const char *args, const char *env, struct config *ret, struct error *err)
{
    CLEANUP_FREE char *line = mem_printf("tabique%s%s", args[0] != '\0' ? " " : "", args);
    CLEANUP_STRV char **argv = strv_split(line, ' '), **environment = strv_split(env, ' ');
    char *empty[] = {NULL};
    return config_load((int)strv_length(argv), argv, environment != NULL ? environment : empty, ret,
                       err);
}

static void write_file(const char *text)
{
    assert_int_equal(file_write_atomic(AT_FDCWD, path, text, strlen(text), 0600), 0);
}

static void precedence(void **state)
{
    struct config config;
    struct error err = ERROR_INIT;
    write_file("# comment\n\ndata-dir = /from/file\nrun-dir = "
               "\"/from/file/run\"\nbip=10.9.0.1/24\nlisten = 127.0.0.1:1, 127.0.0.1:2\n"
               "listen = http://127.0.0.1:3\nhistory-retention = 48h\nhistory-max-size = 1g\n");
    CLEANUP_FREE char *args = mem_printf("--config %s --data-dir /from/flag --threads=8", path);
    if (load(args,
             "TABIQUE_DATA_DIR=/from/env TABIQUE_BIP=10.8.0.1/24 TABIQUE_WEB=unknown PATH=/bin",
             &config, &err) < 0)
        fail_msg("%s", err.message);
    assert_string_equal(config.data_dir, "/from/flag");
    assert_string_equal(config.bip, "10.8.0.1/24");
    assert_string_equal(config.run_dir, "/from/file/run");
    assert_string_equal(config.socket, "/from/file/run/tabique.sock");
    assert_int_equal(strv_length(config.listen), 3);
    assert_string_equal(config.listen[2], "http://127.0.0.1:3");
    assert_int_equal(config.history_retention, INT64_C(48) * 3600 * 1000000000);
    assert_int_equal(config.history_max_size, 1 << 30);
    assert_int_equal(config.threads, 8);
    config_free(&config);

    CLEANUP_FREE char *two = mem_printf("--config %s --listen a:1 --listen b:2", path);
    assert_int_equal(load(two, "TABIQUE_LISTEN=c:3", &config, &err), 0);
    assert_int_equal(strv_length(config.listen), 2);
    config_free(&config);
    CLEANUP_FREE char *env = mem_printf("TABIQUE_CONFIG=%s TABIQUE_LISTEN=none", path);
    assert_int_equal(load("", env, &config, &err), 0);
    assert_string_equal(config.data_dir, "/from/file");
    assert_null(config.listen);
    config_free(&config);
}

static void defaults(void **state)
{
    struct config config;
    struct error err = ERROR_INIT;
    assert_int_equal(load("", "", &config, &err), 0);
    assert_string_equal(config.data_dir, "/var/lib/tabique");
    assert_string_equal(config.socket, "/run/tabique/tabique.sock");
    assert_string_equal(config.listen[0], ":9543");
    assert_null(config.accelerator);
    assert_string_equal(config.default_isolation, "process");
    config_free(&config);
}

static void mistakes(void **state)
{
    static const struct {
        const char *args, *file, *says;
    } cases[] = {
        {"--data-dri /x", "", "unknown option '--data-dri'"},
        {"oops", "", "unknown argument"},
        {"--data-dir", "", "needs a value"},
        {"--help=yes", "", "takes no value"},
        {"--threads x", "", "not a number"},
        {"--threads 1", "", "out of range"},
        {"--history-retention x", "", "not a duration"},
        {"--history-max-size 1m", "", "out of range"},
        {"--default-isolation vm", "", "not one of process|hyperv"},
        {"--default-isolation process|hyperv", "", "not one of"},
        {"--tls-cert /x", "", "belong together"},
        {"", "no equals sign\n", ":1: 'name = value'"},
        {"", "\n\nunknown = 1\n", ":3: unknown option 'unknown'; see tabique --help"},
        {"", "banner = yes\n", ":1: 'banner' is for the command line only"},
        {"--banner=yes", "", "--banner takes no value"},
        {"", "# one\nlisten = 999999\n", ":2: listen: '999999' is not ADDRESS:PORT; write for example :9543"},
        {"", "listen = :999999\n", ":1: listen: ':999999': the port '999999' is not a number from 0 to 65535"},
        {"", "listen = :+80\n", "the port '+80'"},
        {"", "listen = :\n", "the port ''"},
        {"", "listen = 1.2.3.4.5:99\n", "'1.2.3.4.5' is neither an address nor a name"},
        {"", "listen = 1.2.3.999:99\n", "'1.2.3.999' is neither"},
        {"", "listen = 127.0.0.1:1, a..b:2\n", "'a..b' is neither"},
        {"", "listen = ::1:99\n", "write an IPv6 address in brackets"},
        {"", "listen = [::g]:99\n", "'[::g]' is neither"},
        {"", "listen = [127.0.0.1]:99\n", "'[127.0.0.1]' is neither"},
        {"", "listen = ftp://a:99\n", "only http:// and https://"},
        {"", "listen =\n", ":1: listen: a value is missing"},
        {"", "listen = none :1\n", "'none' stands beside"},
        {"--listen :1", "listen = 999999\n", ":1: listen: '999999'"}, /* though replaced */
        {"", "allowed-hosts = a\x01" "b\n", ":1: a control character (0x01)"},
        {"", "allowed-hosts = a\x7f" "b\n", "(0x7f)"},
        {"", "allowed-hosts = \xff\n", ":1: it is not UTF-8"},
        {"", "allowed-hosts = example.org:80\n", "'example.org:80' is not a host's name"},
        {"", "allowed-hosts = a/b\n", "allowed-hosts: 'a/b'"},
        {"--allowed-hosts=a\rb", "", "--allowed-hosts: a control character (0x0d)"},
        {"", "data-dir = var/lib\n", ":1: data-dir: 'var/lib' is relative; write the whole path"},
        {"", "run-dir = ./run\n", "run-dir: './run' is relative"},
        {"", "socket = s.sock\n", "socket: 's.sock' is relative"},
        {"", "tls-cert = a.pem\n", "tls-cert: 'a.pem' is relative"},
        {"--data-dir lib", "", "--data-dir: data-dir: 'lib' is relative"},
        {"--socket s.sock", "", "is relative"},
        {"", "data-dir = /x/..\n", "data-dir: '/' itself"},
        {"--data-dir /x --run-dir /x/", "", "data-dir and run-dir are both /x"},
        {"", "history-max-size = 5x\n", ":1: history-max-size: '5x' is not a size"},
        {"", "history-max-size = 1m\n", "'1m' is out of range: 8m to 1p are possible"},
        {"", "history-max-size = 99999999999999999999g\n", "is out of range"},
        {"", "audit-retention = 1s\n", "out of range: 60s to"},
        {"", "threads = 1\n", "'1' is out of range: 2 to 1024"},
        {"", "threads =\n", "'' is not a number"},
        {"", "bip = 10.0.0.1\n", ":1: bip: '10.0.0.1' is not ADDRESS/LENGTH"},
        {"", "bip = 10.0.0.300/24\n", "bip: '10.0.0.300/24'"},
        {"", "bridge = a/b\n", "bridge: 'a/b' is not the name of a network device"},
        {"", "bridge = abcdefghijklmnop\n", "is not the name of a network device"},
        {"", "address-pools = 10.0.0.0/16:8\n", "is not BASE/LENGTH:SIZE"},
        {"", "dns = 1.1.1.1 ns.example\n", "'ns.example' is not the address of a name server"},
        {"", "insecure-registry = 10.0.0.0/99\n", "insecure-registry: '10.0.0.0/99'"},
        {"", "registry-mirror = mirror.lan\n", "'mirror.lan' is not http(s)://HOST[:PORT]"},
        {"", "socket-group = a b\n", "socket-group: 'a b'"},
        {"", "data-dir =\n", "a path is missing"},
        {"", "log-level = loud\n", ":1: log-level"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct config config;
        struct error err = ERROR_INIT;
        write_file(cases[i].file);
        CLEANUP_FREE char *args =
            mem_printf("--config %s%s%s", path, cases[i].args[0] != '\0' ? " " : "", cases[i].args);
        if (load(args, "", &config, &err) >= 0)
            fail_msg("accepted: %s / %s", cases[i].args, cases[i].file);
        if (strstr(err.message, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].args, err.message);
    }
    struct config config;
    struct error err = ERROR_INIT;
    assert_true(load("--config /nonexistent/tabique.conf", "", &config, &err) < 0);
}

static void accepted(void **state)
{
    static const char *const lines[] = {
        "listen = :0",
        "listen = *:9543, 0.0.0.0:1, [::]:2, [fe80::1%lo]:3, http://localhost:4, https://a-b.example_c:5",
        "listen = none",
        "allowed-hosts = * console.example.org 10.0.0.1 ::1",
        "allowed-hosts =",
        "dns = 192.0.2.53, 2001:db8::53",
        "address-pools = 172.31.0.0/16:24",
        "insecure-registry = registry.lan:5000 10.0.0.0/8 [::1]:5000",
        "registry-mirror = https://mirror.example.org/",
        "history-max-size = 512 MiB",
        "tls-cert = /a\ntls-key = /b",
        "\tbip\t=\t10.9.0.1/24\r",
        "; old style\n  # indented\n",
    };
    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        struct config config;
        struct error err = ERROR_INIT;
        CLEANUP_FREE char *args = mem_printf("--config %s", path);
        write_file(lines[i]);
        if (load(args, "", &config, &err) < 0)
            fail_msg("%s: %s", lines[i], err.message);
        config_free(&config);
    }
    struct config config;
    struct error err = ERROR_INIT;
    CLEANUP_FREE char *args = mem_printf("--config %s", path);
    assert_int_equal(file_write_atomic(AT_FDCWD, path, "bip = 10.0.0.1/24\n\0", 19, 0600), 0);
    assert_true(load(args, "", &config, &err) < 0);
    assert_non_null(strstr(err.message, "NUL byte"));
    assert_true(load("", "TABIQUE_DATA_DIR=lib", &config, &err) < 0);
    assert_non_null(strstr(err.message, "environment, TABIQUE_DATA_DIR: data-dir: 'lib' is relative"));
}

static void printing(void **state)
{
    struct config config;
    struct error err = ERROR_INIT;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_int_equal(
        load("--registry-mirror https://a --registry-mirror https://b", "", &config, &err), 0);
    config_print(&config, out);
    config_help(out);
    fclose(out);
    assert_non_null(strstr(text, "registry-mirror = https://a https://b\n"));
    assert_non_null(strstr(text, "--data-dir DIR"));
    free(text);
    config_free(&config);
}

static int make(void **state)
{
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int clean(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(precedence), cmocka_unit_test(defaults),
                                       cmocka_unit_test(mistakes), cmocka_unit_test(accepted), cmocka_unit_test(printing)};
    return cmocka_run_group_tests(tests, make, clean);
}
