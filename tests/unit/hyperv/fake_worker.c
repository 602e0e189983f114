/* fake_worker.c - in QEMU's place: a machine whose guest is hostile.
 *
 * Speaks enough QMP on fd 3, and on fd 4, the agent's channel, does what the first
 * letter of /boot/vmlinuz says. */
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QMP 3
#define AGENT 4

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void put(const void *data, size_t length)
{
    const char *at = data;

    while (length) {
        ssize_t n = write(AGENT, at, length);
        if (n <= 0)
            exit(0);
        at += n;
        length -= (size_t)n;
    }
}

static void frame(uint16_t type, uint16_t flags, uint64_t id, const void *body, uint32_t length)
{
    uint8_t header[16];

    memcpy(header, &length, 4);
    memcpy(header + 4, &type, 2);
    memcpy(header + 6, &flags, 2);
    memcpy(header + 8, &id, 8);
    put(header, sizeof(header));
    if (length)
        put(body, length);
}

/* Answers requests with nothing, `count` of them. */
static void be_good(int count)
{
    static uint8_t body[8 << 20];
    uint8_t header[16];

    while (count--) {
        uint32_t length;
        uint16_t type;
        uint64_t id;
        for (size_t got = 0; got < sizeof(header);) {
            ssize_t n = read(AGENT, header + got, sizeof(header) - got);
            if (n <= 0)
                exit(0);
            got += (size_t)n;
        }
        memcpy(&length, header, 4);
        memcpy(&type, header + 4, 2);
        memcpy(&id, header + 8, 8);
        for (uint32_t got = 0; got < length;) {
            ssize_t n = read(AGENT, body, length - got);
            if (n <= 0)
                exit(0);
            got += (uint32_t)n;
        }
        frame(type, 1, id, NULL, 0);
    }
}

static void misbehave(char how)
{
    static uint8_t noise[65536];
    static const uint8_t exit_field[] = {13, 0, 8, 0, 0, 0, 0x0f, 0x27, 0, 0, 0, 0, 0, 0}; /* status 9999 */
    static const uint8_t credit[] = {25, 0, 8, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0};

    switch (how) {
    case 'n': /* noise from the start */
        for (;;) {
            for (size_t i = 0; i < sizeof(noise); i += 8) {
                uint64_t value = next();
                memcpy(noise + i, &value, 8);
            }
            put(noise, sizeof(noise));
        }
    case 'l': /* a frame without end */
        frame(1, 0, 0, NULL, 0xfffffff0u);
        break;
    case 'x': /* an exit that cannot be */
        be_good(2);
        frame(12, 0, 0, exit_field, sizeof(exit_field));
        break;
    case 'e': /* exits of nobody, for ever */
        be_good(2);
        for (;;)
            frame(12, 0, 0, exit_field, 0);
    case 'o': /* out of memory, for ever; the end shows that it was bounded */
        be_good(2);
        for (int i = 0; i < 1000000; i++)
            frame(13, 0, 0, NULL, 0);
        frame(12, 0, 0, exit_field, sizeof(exit_field));
        break;
    case 'w': /* more than stdout's window */
        be_good(2);
        for (;;)
            frame(11, 0, 17, noise, sizeof(noise));
    case 'c': /* credit out of nothing */
        be_good(2);
        frame(23, 0, 16, credit, sizeof(credit));
        break;
    case 'q': /* questions, which only the host may ask */
        be_good(2);
        frame(3, 0, 1, NULL, 0);
        break;
    case 'd': /* dies in the middle */
        be_good(1);
        exit(1);
    default:
        break;
    }
    for (;;)
        pause();
}

int main(void)
{
    char line[65536];
    char how = 0;
    FILE *mode = fopen("/boot/vmlinuz", "r");

    signal(SIGPIPE, SIG_IGN);
    if (!mode || fread(&how, 1, 1, mode) != 1)
        return 1;
    if (fork() == 0)
        misbehave(how);
    dprintf(QMP, "{\"QMP\": {}}\n");
    if (how == 'd')
        close(AGENT);
    while (read(QMP, line, sizeof(line)) > 0)
        dprintf(QMP, "{\"return\": {}}\n");
    for (;;)
        pause();
}
