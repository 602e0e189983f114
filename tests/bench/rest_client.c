/* rest_client.c - a client that costs next to nothing itself: node's own work is a large
 * part of what it would measure here. Either engine: plain HTTP/1.1 on one kept connection
 * over the unix socket. Prints milliseconds.
 *
 *   rest_client start SOCKET IMAGE DIR    create and start, to the container's first
 *                                         instruction: it writes into the FIFO DIR/f. The
 *                                         container's removal is not timed.
 *   rest_client get SOCKET PATH ROUNDS    the median of so many GETs, behind one to warm up
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* One exchange; the answer's body stands in `answer`. Length or chunks: read to the end. */
static int call(int fd, const char *method, const char *path, const char *body, char *answer, size_t size)
{
    char request[2048];
    size_t have = 0;
    char *end = NULL;
    int length = snprintf(request, sizeof(request),
                          "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                          method, path, strlen(body), body);

    if (write(fd, request, (size_t)length) != length)
        die("write");
    for (;;) {
        ssize_t n = read(fd, answer + have, size - 1 - have);
        if (n <= 0)
            die("read");
        have += (size_t)n;
        answer[have] = '\0';
        if (!end && !(end = strstr(answer, "\r\n\r\n")))
            continue;
        const char *field = strcasestr(answer, "\r\nContent-Length:");
        if (field && field < end) {
            if (have >= (size_t)(end + 4 - answer) + strtoul(field + 17, NULL, 10))
                break;
        } else if (!strcasestr(answer, "\r\nTransfer-Encoding:") || strcmp(answer + have - 5, "0\r\n\r\n") == 0) {
            break;
        }
    }
    int status = atoi(answer + 9);
    memmove(answer, end + 4, strlen(end + 4) + 1);
    return status;
}

static double since(const struct timespec *start)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start->tv_sec) * 1e3 + (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

static int by_size(const void *a, const void *b)
{
    const double *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

static int get(int fd, const char *path, int rounds)
{
    static char answer[1 << 20];
    double *times = calloc((size_t)rounds + 1, sizeof(*times));

    if (!times || rounds < 1)
        return 2;
    for (int i = 0; i <= rounds; i++) {
        struct timespec start;

        clock_gettime(CLOCK_MONOTONIC, &start);
        if (call(fd, "GET", path, "", answer, sizeof(answer)) != 200) {
            fprintf(stderr, "%s: %s\n", path, answer);
            return 1;
        }
        times[i] = since(&start);
    }
    qsort(times + 1, (size_t)rounds, sizeof(*times), by_size);
    printf("%.3f\n", times[1 + rounds / 2]);
    free(times);
    return 0;
}

static int start(int fd, const char *image, const char *dir)
{
    char path[512], body[1024], answer[8192], id[65];
    struct timespec begin;

    snprintf(path, sizeof(path), "%s/f", dir);
    int fifo = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fifo < 0)
        die(path);
    snprintf(body, sizeof(body),
             "{\"Image\":\"%s\",\"Cmd\":[\"sh\",\"-c\",\"echo x >/m/f\"],\"HostConfig\":{\"Binds\":[\"%s:/m\"]}}", image, dir);

    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (call(fd, "POST", "/containers/create", body, answer, sizeof(answer)) != 201 || !strstr(answer, "\"Id\":\"")) {
        fprintf(stderr, "create: %s\n", answer);
        return 1;
    }
    snprintf(id, sizeof(id), "%s", strstr(answer, "\"Id\":\"") + 6);
    snprintf(path, sizeof(path), "/containers/%s/start", id);
    int status = call(fd, "POST", path, "", answer, sizeof(answer));
    struct pollfd ready = {fifo, POLLIN, 0};
    if (status != 204 || poll(&ready, 1, 30000) != 1 || read(fifo, answer, 2) != 2) {
        fprintf(stderr, "start: %d %s\n", status, answer);
        return 1;
    }
    printf("%.3f\n", since(&begin));
    snprintf(path, sizeof(path), "/containers/%s?force=1", id);
    call(fd, "DELETE", path, "", answer, sizeof(answer));
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (argc != 5)
        return 2;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", argv[2]);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die(argv[2]);
    return strcmp(argv[1], "start") == 0 ? start(fd, argv[3], argv[4]) : get(fd, argv[3], atoi(argv[4]));
}
