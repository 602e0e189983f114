/* What is sent to the journal and to a local syslog, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/loop.h"
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

/* The value of a field that stands in the message once. */
static char *field(const char *message, const char *name)
{
    CLEANUP_FREE char *start = mem_printf("\n%s=", name);
    const char *at = strstr(message, start);

    assert_non_null(at);
    at += strlen(start);
    assert_null(strstr(at, start));
    return mem_strndup(at, strcspn(at, "\n"));
}

static void expect_field(const char *message, const char *name, const char *expected)
{
    CLEANUP_FREE char *value = field(message, name);

    assert_string_equal(value, expected);
}

static void journal(void **state)
{
    static const char begin[] = "PRIORITY=6\nCONTAINER_ID=abc\n", end[] = "MESSAGE\n\x05\0\0\0\0\0\0\0two\tx\n";
    CLEANUP_FREE char *path = mem_printf("%s/journal", dir), *to = mem_printf("unixgram:%s", path);
    CLEANUP_CLOSE int fd = receiver(path);
    const struct shim_options options = {.log_to = to, .log_format = "journald", .log_fields = "CONTAINER_ID=abc\n"};
    CLEANUP_FREE char *epoch = NULL, *again = NULL, *id = NULL;
    struct shim_sink sink;
    char text[1024];

    shim_sink_open(&sink, &options, NULL);
    shim_sink_line(&sink, 0, "two\tx\n", 6);
    shim_sink_line(&sink, 1, "half", 4);
    shim_sink_line(&sink, 0, "between\n", 8);
    shim_sink_line(&sink, 1, "whole\n", 6);
    ssize_t length = receive(fd, text, sizeof(text));
    assert_memory_equal(text, begin, sizeof(begin) - 1);
    assert_memory_equal(text + length - (sizeof(end) - 1), end, sizeof(end) - 1);
    epoch = field(text, "CONTAINER_LOG_EPOCH");
    expect_field(text, "CONTAINER_LOG_ORDINAL", "1");
    assert_null(strstr(text, "PARTIAL"));
    CLEANUP_FREE char *stamp = field(text, "SYSLOG_TIMESTAMP");
    assert_int_equal(stamp[10], 'T');

    assert_true(receive(fd, text, sizeof(text)) > 0);
    assert_int_equal(strncmp(text, "PRIORITY=3\n", 11), 0);
    again = field(text, "CONTAINER_LOG_EPOCH");
    assert_string_equal(again, epoch);
    expect_field(text, "CONTAINER_LOG_ORDINAL", "2");
    expect_field(text, "CONTAINER_PARTIAL_MESSAGE", "true");
    expect_field(text, "CONTAINER_PARTIAL_ORDINAL", "1");
    expect_field(text, "CONTAINER_PARTIAL_LAST", "false");
    id = field(text, "CONTAINER_PARTIAL_ID");
    assert_true(receive(fd, text, sizeof(text)) > 0); /* the other stream's is no piece of it */
    assert_null(strstr(text, "PARTIAL"));
    assert_true(receive(fd, text, sizeof(text)) > 0);
    expect_field(text, "CONTAINER_PARTIAL_ID", id);
    expect_field(text, "CONTAINER_PARTIAL_ORDINAL", "2");
    expect_field(text, "CONTAINER_PARTIAL_LAST", "true");
    assert_null(strstr(text, "CONTAINER_PARTIAL_MESSAGE"));
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
    shim_sink_open(&sink, &options, NULL);
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

    shim_sink_open(&sink, &options, NULL);
    for (int i = 0; i < 10000; i++)
        shim_sink_line(&sink, 0, "line\n", 5);
    close(sink.fd);
}

/* A stream: what there was no room for comes later, in whole lines; the one that was cut is
 * told again to the next receiver. */
static void stream(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof(address);
    CLEANUP_CLOSE int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CLEANUP_STR struct str got = STR_INIT;
    struct shim_sink sink;
    struct loop *loop;
    char text[4096];
    ssize_t n;
    int sent = 0, next = 0;

    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &length), 0);
    assert_int_equal(listen(listener, 4), 0);
    CLEANUP_FREE char *to = mem_printf("tcp:127.0.0.1:%d", ntohs(address.sin_port));
    const struct shim_options options = {.log_to = to, .log_format = "unix", .log_tag = "tag", .log_facility = 3};
    assert_int_equal(loop_new(&loop), 0);
    shim_sink_open(&sink, &options, loop);
    int peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(peer >= 0);
    for (; sent < 1000000 && sink.pending.length < 100000; sent++) { /* until one is cut, and then some */
        snprintf(text, sizeof(text), "line %d\n", sent);
        shim_sink_line(&sink, 0, text, strlen(text));
    }
    assert_true(sink.pending.length >= 100000);
    close(peer);
    snprintf(text, sizeof(text), "line %d\n", sent++);
    shim_sink_line(&sink, 0, text, strlen(text));
    peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert_true(peer >= 0);
    shim_sink_drain(&sink);
    for (int i = 0; i < 1000 && sink.pending.length > 0; i++) {
        while ((n = read(peer, text, sizeof(text))) > 0)
            str_append_n(&got, text, (size_t)n);
        shim_sink_drain(&sink);
    }
    while ((n = read(peer, text, sizeof(text))) > 0)
        str_append_n(&got, text, (size_t)n);
    assert_int_equal(sscanf(strstr(got.data, "]: line "), "]: line %d", &next), 1);
    assert_int_equal(strncmp(got.data, "<30>", 4), 0); /* a whole one is the first */
    for (char *line = got.data; *line; line = strchr(line, '\n') + 1) {
        int number = -1;
        assert_int_equal(strncmp(line, "<30>", 4), 0);
        assert_int_equal(sscanf(strstr(line, "]: line "), "]: line %d", &number), 1);
        assert_int_equal(number, next++);
    }
    assert_int_equal(next, sent);
    close(peer);
    close(sink.fd);
    str_free(&sink.pending);
    loop_free(loop);
}

/* A stream's receiver that does not read costs no more than a limited memory. */
static void stream_full(void **state)
{
    CLEANUP_FREE char *path = mem_printf("%s/silent", dir), *to = mem_printf("unix:%s", path);
    const struct shim_options options = {.log_to = to, .log_format = "unix"};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CLEANUP_CLOSE int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct shim_sink sink;
    char line[1001];

    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    shim_sink_open(&sink, &options, NULL);
    for (int i = 0; i < 10000; i++)
        shim_sink_line(&sink, 0, line, sizeof(line));
    assert_in_range(sink.pending.length, 500000, 1 << 20);
    close(sink.fd);
    str_free(&sink.pending);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(journal), cmocka_unit_test(restarted), cmocka_unit_test(full),
                                       cmocka_unit_test(stream), cmocka_unit_test(stream_full)};

    if (!mkdtemp(dir))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (const char *const *name = (const char *const[]){"journal", "log", "full", "silent", NULL}; *name; name++) {
        CLEANUP_FREE char *path = mem_printf("%s/%s", dir, *name);
        unlink(path);
    }
    rmdir(dir);
    return failed;
}
