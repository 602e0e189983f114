/* main.c - tabique-syslog: a log's way to a syslog that wants TLS.
 *
 *     tabique-syslog HOST:PORT [--ca FILE] [--cert FILE] [--key FILE] [--skip-verify] [--probe]
 *
 * fd 3: a stream whose bytes are sent as they are; at its end this ends, and with an error
 * where the receiver does. Started by the shim (core/shim/log_sink.c), anew for each
 * connection; and with --probe, which only connects, by the server before a container starts:
 * then the reason of a failure is one line on stderr.
 *
 * The files are read first; then it is nobody, and only then listens to the other side. */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define INPUT_FD 3
#define NOBODY 65534
#define FILE_MAX_BYTES ((size_t)1 << 20)
#define CONNECT_SECONDS 10L

static const struct {
    const char *option, *what;
    CURLoption blob;
} files[] = {
    {"--ca", "CA certificate", CURLOPT_CAINFO_BLOB},
    {"--cert", "certificate", CURLOPT_SSLCERT_BLOB},
    {"--key", "key", CURLOPT_SSLKEY_BLOB},
};

static int load(CURL *curl, size_t which, const char *path)
{
    CLEANUP_FREE char *data = NULL;
    size_t length = 0;
    int r = file_read(AT_FDCWD, path, FILE_MAX_BYTES, &data, &length);

    if (r < 0) {
        CLEANUP_FREE char *why = mem_strdup(strerror(-r));
        why[0] |= 0x20;
        fprintf(stderr, "could not read %s \"%s\": open %s: %s\n", files[which].what, path, path, why);
        return r;
    }
    struct curl_blob blob = {data, length, CURL_BLOB_COPY};
    return curl_easy_setopt(curl, files[which].blob, &blob) == CURLE_OK ? 0 : -ENOTSUP;
}

static int become_nobody(void)
{
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

static int configure(CURL *curl, char **words, bool *probe)
{
    CLEANUP_FREE char *url = mem_printf("https://%s", words[0]);

    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_SSL_ENABLE_ALPN, 0L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    for (char **word = words + 1; *word; word++) {
        size_t which = 0;
        while (which < ARRAY_SIZE(files) && strcmp(*word, files[which].option) != 0)
            which++;
        if (which < ARRAY_SIZE(files) && word[1]) {
            int r = load(curl, which, *++word);
            if (r < 0)
                return r;
        } else if (strcmp(*word, "--skip-verify") == 0) {
            curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
            curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
        } else if (strcmp(*word, "--probe") == 0) {
            *probe = true;
        } else {
            return -EINVAL;
        }
    }
    return 0;
}

/* False: the other side is not there any more. */
static bool pass_on(CURL *curl, int socket_fd, const char *data, size_t length)
{
    while (length > 0) {
        size_t sent = 0;
        CURLcode code = curl_easy_send(curl, data, length, &sent);
        struct pollfd room = {.fd = socket_fd, .events = POLLOUT};
        if (code != CURLE_OK && code != CURLE_AGAIN)
            return false;
        data += sent;
        length -= sent;
        if (code == CURLE_AGAIN && poll(&room, 1, -1) < 0 && errno != EINTR)
            return false;
    }
    return true;
}

static int serve(CURL *curl, int socket_fd)
{
    static char data[65536];

    for (;;) {
        struct pollfd fds[] = {{.fd = INPUT_FD, .events = POLLIN}, {.fd = socket_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return 1;
        if (fds[1].revents) { /* a syslog says nothing; but it may go, or want a new key */
            size_t got = 0;
            CURLcode code = curl_easy_recv(curl, data, sizeof(data), &got);
            if (code != CURLE_AGAIN && (code != CURLE_OK || got == 0))
                return 1;
        }
        if (fds[0].revents) {
            ssize_t got = read(INPUT_FD, data, sizeof(data));
            if (got == 0)
                return 0;
            if (got < 0 ? errno != EINTR : !pass_on(curl, socket_fd, data, (size_t)got))
                return 1;
        }
    }
}

int main(int argc, char **argv)
{
    char why[CURL_ERROR_SIZE] = "";
    curl_socket_t socket_fd = -1;
    bool probe = false;

    if (argc < 2) {
        fprintf(stderr, "tabique-syslog is started by tabique-shim, not by hand\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    CURL *curl = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? curl_easy_init() : NULL;
    if (!curl || configure(curl, argv + 1, &probe) < 0 || become_nobody() < 0)
        return 1;
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
        fprintf(stderr, "dial tcp+tls %s: %s\n", argv[1], why[0] ? why : curl_easy_strerror(code));
        return 1;
    }
    curl_easy_getinfo(curl, CURLINFO_ACTIVESOCKET, &socket_fd);
    int status = probe ? 0 : serve(curl, (int)socket_fd);
    curl_easy_cleanup(curl); /* tells the other side that this was the end */
    return status;
}
