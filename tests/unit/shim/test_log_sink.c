/* What is sent to the journal and to a local syslog, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "shim/shim.h"

static char dir[] = "/tmp/tabique-sink-XXXXXX";

static int receiver(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_true(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    unlink(path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static ssize_t receive(int fd, char *out, size_t size)
{
    memset(out, 0, size);
    return recv(fd, out, size - 1, 0);
}

static void journal(void **state)
{
    static const char first[] = "PRIORITY=6\nCONTAINER_ID=abc\nMESSAGE\n\x05\0\0\0\0\0\0\0two\tx\n";
    static const char second[] = "PRIORITY=3\nCONTAINER_ID=abc\nCONTAINER_PARTIAL_MESSAGE=true\nMESSAGE\n\x04\0\0\0\0\0\0\0half\n";
    CLEANUP_FREE char *path = mem_printf("%s/journal", dir), *to = mem_printf("unixgram:%s", path);
    CLEANUP_CLOSE int fd = receiver(path);
    const struct shim_options options = {.log_to = to, .log_format = "journald", .log_fields = "CONTAINER_ID=abc\n"};
    struct shim_sink sink;
    char text[512];

    shim_sink_open(&sink, &options);
    shim_sink_line(&sink, 0, "two\tx\n", 6);
    shim_sink_line(&sink, 1, "half", 4);
    assert_int_equal(receive(fd, text, sizeof(text)), sizeof(first) - 1);
    assert_memory_equal(text, first, sizeof(first) - 1);
    assert_int_equal(receive(fd, text, sizeof(text)), sizeof(second) - 1);
    assert_memory_equal(text, second, sizeof(second) - 1);
    close(sink.fd);
}

/* A syslog that is started anew is found again with the next line. */
static void restarted(void **state)
{
    CLEANUP_FREE char *path = mem_printf("%s/log", dir), *to = mem_printf("unixgram:%s", path);
    const struct shim_options options = {.log_to = to, .log_format = "unix", .log_tag = "tag", .log_facility = 3};
    struct shim_sink sink;
    char text[512];

    int fd = receiver(path);
    shim_sink_open(&sink, &options);
    close(fd);
    shim_sink_line(&sink, 0, "lost\n", 5);
    fd = receiver(path);
    shim_sink_line(&sink, 1, "found\n", 6);
    assert_true(receive(fd, text, sizeof(text)) > 0);
    assert_int_equal(strncmp(text, "<27>", 4), 0);
    assert_non_null(strstr(text, "]: found\n"));
    assert_true(receive(fd, text, sizeof(text)) < 0);
    close(fd);
    close(sink.fd);
}

/* Nothing waits for a receiver that does not read. */
static void full(void **state)
{
    CLEANUP_FREE char *path = mem_printf("%s/full", dir), *to = mem_printf("unixgram:%s", path);
    CLEANUP_CLOSE int fd = receiver(path);
    const struct shim_options options = {.log_to = to, .log_format = "unix"};
    struct shim_sink sink;

    shim_sink_open(&sink, &options);
    for (int i = 0; i < 10000; i++)
        shim_sink_line(&sink, 0, "line\n", 5);
    close(sink.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(journal), cmocka_unit_test(restarted), cmocka_unit_test(full)};

    if (!mkdtemp(dir))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (const char *const *name = (const char *const[]){"journal", "log", "full", NULL}; *name; name++) {
        CLEANUP_FREE char *path = mem_printf("%s/%s", dir, *name);
        unlink(path);
    }
    rmdir(dir);
    return failed;
}
