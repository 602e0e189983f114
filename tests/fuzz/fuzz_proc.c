/* fuzz_proc.c - the texts of /proc, a passwd file and the connector's datagrams,
 * from outside.
 *
 * The first byte chooses the parser. What comes out is checked for what the
 * rest of the program relies on: terminated, valid UTF-8, no control character.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/host/connector.h"
#include "../../core/host/passwd.h"
#include "../../core/host/proc_text.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text)
{
    if (!text)
        return;
    if (!str_is_utf8(text, strlen(text)))
        abort();
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            abort();
    }
}

static void fuzz_stat(const char *text, size_t length)
{
    struct proc_stat stat;

    if (proc_parse_stat(text, length, &stat) < 0)
        return;
    if (stat.pid <= 0 || stat.ppid < 0 || stat.threads < 0 ||
        !memchr(stat.name, '\0', sizeof(stat.name)))
        abort();
    check(stat.name);
}

static void fuzz_status(const char *text, size_t length)
{
    struct proc_status status;
    uint64_t a, b;

    if (proc_parse_status(text, length, &status) == 0 && (status.depth < 1 || status.inner_pid < 0))
        abort();
    (void)proc_parse_io(text, length, &a, &b);
    (void)proc_parse_pss(text, length, &a);
}

static void fuzz_cgroup(const char *text, size_t length)
{
    char *path = proc_parse_cgroup(text, length);
    char id[65];

    check(path);
    proc_container_id(path, "tabique/", id);
    if (id[0] && (strlen(id) != 64 || !str_is_hex(id, 64)))
        abort();
    free(path);
}

static void fuzz_command(const char *text, size_t length)
{
    char *command = proc_parse_command(text, length);

    check(command);
    if (command && strlen(command) > PROC_COMMAND_MAX)
        abort();
    free(command);
}

static void fuzz_passwd(const char *text, size_t length)
{
    struct passwd passwd = PASSWD_INIT;

    passwd_parse(&passwd, text, length);
    for (size_t i = 0; i < passwd.count; i++) {
        check(passwd.users[i].name);
        if (i > 0 && passwd.users[i - 1].uid >= passwd.users[i].uid)
            abort();
        if (passwd_name(&passwd, passwd.users[i].uid) != passwd.users[i].name)
            abort();
    }
    passwd_free(&passwd);
}

static void fuzz_connector(const char *text, size_t length)
{
    struct tracker_event event;

    if (connector_parse(text, length, &event) &&
        (event.pid <= 0 || event.tgid <= 0 || event.mono_ns < 0))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const parsers[])(const char *text, size_t length) = {
        fuzz_stat, fuzz_status, fuzz_cgroup, fuzz_command, fuzz_passwd, fuzz_connector,
    };

    if (size == 0)
        return 0;
    /* A copy of its exact size: a read beyond it is seen. */
    char *copy = malloc(size);
    memcpy(copy, data + 1, size - 1);
    parsers[data[0] % (sizeof(parsers) / sizeof(parsers[0]))](copy, size - 1);
    free(copy);
    return 0;
}
