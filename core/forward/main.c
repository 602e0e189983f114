/* main.c - tabique-forward: see forward.h. */
#include "forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/str.h"

static int parse_target(const char *address, const char *port, struct target *ret)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&ret->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&ret->address;
    int number;

    *ret = (struct target){0};
    if (str_to_int(port, 1, 65535, &number) < 0)
        return -EINVAL;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)number);
        ret->length = sizeof(*v4);
    } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)number);
        ret->length = sizeof(*v6);
    } else {
        return -EINVAL;
    }
    return 0;
}

static int serve(struct loop *loop, int fd, const char *address, const char *port)
{
    struct target target;
    int protocol, nothing = 0;
    socklen_t length = sizeof(protocol);
    int r = parse_target(address, port, &target);

    if (r < 0)
        return r;
    if (getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) < 0)
        return -errno;
    /* The filter with which the port was only held. */
    (void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &nothing, sizeof(nothing));
    return protocol == IPPROTO_UDP ? datagrams_serve(loop, fd, &target) : streams_serve(loop, fd, protocol, &target);
}

static int serve_all(int count, char **words, int ready_fd)
{
    const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct loop *loop;
    int r = setsid() < 0 || fcntl(FORWARD_LOCK_FD, F_SETLK, &whole) < 0 ? -errno : loop_new(&loop);

    if (r == 0)
        confine();
    for (int i = 0; r == 0 && i < count; i++)
        r = serve(loop, FORWARD_FIRST_FD + i, words[2 * i], words[2 * i + 1]);
    if (r == 0 && write(ready_fd, "", 1) == 1) {
        close(ready_fd);
        for (int fd = 0; fd < 3; fd++) /* whoever reads what we say waits for its end */
            (void)dup2(nowhere, fd);
        r = loop_run(loop);
    }
    fprintf(stderr, "tabique-forward: %s\n", strerror(-r));
    return 1;
}

int main(int argc, char **argv)
{
    struct rlimit files;
    int ready[2];
    char byte;

    if (argc < 3 || argc % 2 == 0 || argc / 2 > FORWARD_MAX) {
        fprintf(stderr, "tabique-forward is started by tabique, not by hand\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (pipe2(ready, O_CLOEXEC) < 0)
        return 1;
    switch (fork()) {
    case 0:
        close(ready[0]);
        return serve_all(argc / 2, argv + 1, ready[1]);
    case -1:
        return 1;
    default:
        close(ready[1]);
        return read(ready[0], &byte, 1) == 1 ? 0 : 1;
    }
}
