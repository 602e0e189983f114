/* dns_message.c - see dns_message.h. */
#include "network/dns_message.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"

#define FLAG_QR 0x8000
#define FLAG_TC 0x0200
#define FLAG_RD 0x0100
#define FLAG_RA 0x0080
#define OPCODE(flags) (((flags) >> 11) & 0xf)
/* Short: addresses change with every restart of a container. */
#define TTL 10
#define UDP_MIN 512
#define UDP_MAX 4096
#define OPT_LENGTH 11

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* The question's name; no pointers: there is nothing before it to point to. */
static int parse_name(const uint8_t *data, size_t length, size_t *at, struct dns_query *q)
{
    size_t used = 0;

    for (;;) {
        if (*at >= length)
            return -EINVAL;
        size_t label = data[(*at)++];
        if (label == 0)
            break;
        if (label > 63 || *at + label > length || used + label + 1 > 254)
            return -EINVAL;
        if (used > 0)
            q->name[used++] = '.';
        for (size_t i = 0; i < label; i++) {
            uint8_t c = data[(*at)++];
            if (c == '.' || c <= ' ' || c >= 0x7f)
                q->odd_name = true;
            q->name[used++] = (char)(c == 0 ? '?' : tolower(c));
        }
    }
    q->name[used] = '\0';
    return 0;
}

int dns_parse(const uint8_t *data, size_t length, struct dns_query *ret)
{
    size_t at = DNS_HEADER;

    *ret = (struct dns_query){.answer_max = UDP_MIN};
    if (length < DNS_HEADER)
        return -EBADMSG;
    ret->id = get16(data);
    ret->flags = get16(data + 2);
    if (ret->flags & FLAG_QR)
        return -EBADMSG;
    if (OPCODE(ret->flags) != 0)
        return -ENOTSUP;
    if (get16(data + 4) != 1 || parse_name(data, length, &at, ret) < 0 || at + 4 > length)
        return -EINVAL;
    ret->type = get16(data + at);
    ret->class = get16(data + at + 2);
    at += 4;
    ret->question_length = at - DNS_HEADER;
    /* An OPT record right behind the question: where resolvers put it. */
    if (get16(data + 6) == 0 && get16(data + 8) == 0 && get16(data + 10) > 0 && at + OPT_LENGTH <= length &&
        data[at] == 0 && get16(data + at + 1) == DNS_TYPE_OPT) {
        size_t size = get16(data + at + 3);
        ret->edns = true;
        ret->answer_max = size < UDP_MIN ? UDP_MIN : size > UDP_MAX ? UDP_MAX : size;
    }
    return 0;
}

bool dns_reverse_name(const char *name, struct address *ret)
{
    static const char v4[] = ".in-addr.arpa", v6[] = ".ip6.arpa";
    struct address address = {0};
    const char *at = name;

    if (str_ends(name, v4)) {
        address.family = AF_INET;
        for (int i = 3; i >= 0; i--) {
            int value = 0, digits = 0;
            while (*at >= '0' && *at <= '9' && digits < 4) {
                value = value * 10 + (*at++ - '0');
                digits++;
            }
            if (digits == 0 || value > 255 || *at != '.')
                return false;
            address.bytes[i] = (uint8_t)value;
            at += i > 0;
        }
        if (strcmp(at, v4) != 0)
            return false;
    } else if (str_ends(name, v6)) {
        address.family = AF_INET6;
        for (int i = 31; i >= 0; i--) {
            char c = *at++;
            int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
            if (value < 0 || *at != '.')
                return false;
            address.bytes[i / 2] |= (uint8_t)(value << (i % 2 ? 0 : 4));
            at += i > 0;
        }
        if (strcmp(at, v6) != 0)
            return false;
    } else {
        return false;
    }
    *ret = address;
    return true;
}

static size_t begin(const uint8_t *data, const struct dns_query *q, enum dns_rcode rcode, uint8_t *out)
{
    memset(out, 0, DNS_HEADER);
    put16(out, q->id);
    put16(out + 2, FLAG_QR | (q->flags & (0x7800 | FLAG_RD)) | FLAG_RA | rcode);
    if (q->question_length == 0)
        return DNS_HEADER;
    put16(out + 4, 1);
    memcpy(out + DNS_HEADER, data + DNS_HEADER, q->question_length);
    return DNS_HEADER + q->question_length;
}

static size_t finish(const struct dns_query *q, uint8_t *out, size_t length)
{
    if (!q->edns)
        return length;
    memset(out + length, 0, OPT_LENGTH);
    put16(out + length + 1, DNS_TYPE_OPT);
    put16(out + length + 3, UDP_MAX);
    put16(out + 10, 1);
    return length + OPT_LENGTH;
}

static size_t put_record(uint8_t *out, size_t at, unsigned type, size_t length)
{
    put16(out + at, 0xc000 | DNS_HEADER); /* the question's name */
    put16(out + at + 2, type);
    put16(out + at + 4, DNS_CLASS_IN);
    put16(out + at + 6, 0);
    put16(out + at + 8, TTL);
    put16(out + at + 10, (unsigned)length);
    return at + 12;
}

size_t dns_answer_error(const uint8_t *data, const struct dns_query *q, enum dns_rcode rcode, uint8_t *out)
{
    return finish(q, out, begin(data, q, rcode, out));
}

size_t dns_answer_addresses(const uint8_t *data, const struct dns_query *q, const struct address *addresses,
                            size_t count, size_t max, uint8_t *out)
{
    size_t at = begin(data, q, DNS_NOERROR, out), tail = q->edns ? OPT_LENGTH : 0;
    unsigned written = 0;

    for (size_t i = 0; i < count; i++) {
        size_t length = address_length(&addresses[i]);
        if (at + 12 + length + tail > max) {
            put16(out + 2, get16(out + 2) | FLAG_TC);
            break;
        }
        at = put_record(out, at, length == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA, length);
        memcpy(out + at, addresses[i].bytes, length);
        at += length;
        written++;
    }
    put16(out + 6, written);
    return finish(q, out, at);
}

size_t dns_answer_name(const uint8_t *data, const struct dns_query *q, const char *name, uint8_t *out)
{
    uint8_t encoded[256];
    size_t used = 0;

    for (const char *at = name; *at;) {
        size_t label = strcspn(at, ".");
        if (label == 0 || label > 63 || used + label + 2 > sizeof(encoded))
            return dns_answer_error(data, q, DNS_NXDOMAIN, out); /* a name DNS cannot say */
        encoded[used++] = (uint8_t)label;
        memcpy(encoded + used, at, label);
        used += label;
        at += label + (at[label] == '.');
    }
    encoded[used++] = 0;
    size_t at = put_record(out, begin(data, q, DNS_NOERROR, out), DNS_TYPE_PTR, used);
    memcpy(out + at, encoded, used);
    put16(out + 6, 1);
    return finish(q, out, at + used);
}

bool dns_is_answer(const uint8_t *answer, size_t length, const uint8_t *query, size_t question_length, uint16_t id)
{
    if (length < DNS_HEADER || get16(answer) != id || !(get16(answer + 2) & FLAG_QR))
        return false;
    /* Errors may come without the question. */
    if (get16(answer + 4) == 0)
        return (answer[3] & 0xf) != DNS_NOERROR;
    if (get16(answer + 4) != 1 || length < DNS_HEADER + question_length)
        return false;
    for (size_t i = 0; i < question_length; i++)
        if (tolower(answer[DNS_HEADER + i]) != tolower(query[DNS_HEADER + i]))
            return false;
    return true;
}
