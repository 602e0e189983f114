/* dns_message.h - the wire format of DNS, as much of it as the name server
 * needs. Pure: bytes in, bytes out. Source: RFC 1035, RFC 6891. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "network/address.h"

#define DNS_HEADER 12
#define DNS_QUERY_MAX 4096  /* of one that we accept */
#define DNS_MESSAGE_MAX 65535

enum { DNS_TYPE_A = 1, DNS_TYPE_PTR = 12, DNS_TYPE_AAAA = 28, DNS_TYPE_OPT = 41, DNS_CLASS_IN = 1 };
enum dns_rcode { DNS_NOERROR, DNS_FORMERR, DNS_SERVFAIL, DNS_NXDOMAIN, DNS_NOTIMP, DNS_REFUSED };

struct dns_query {
    uint16_t id, flags, type, class;
    char name[256];          /* lower case, without the last dot */
    bool odd_name;           /* holds a dot or a control character within a label: never one of ours */
    size_t question_length;  /* bytes behind the header */
    bool edns;
    size_t answer_max;       /* what the asker takes over UDP */
};

/* 0; -EBADMSG: not even an answer is due (too short, a response); -EINVAL: FORMERR;
 * -ENOTSUP: NOTIMP. In the last two cases id and flags are filled in. */
int dns_parse(const uint8_t *data, size_t length, struct dns_query *ret);
/* "4.3.2.1.in-addr.arpa" or the ip6.arpa form. */
bool dns_reverse_name(const char *name, struct address *ret);

/* Into out (DNS_MESSAGE_MAX bytes); returns the length. `data` is the query. */
size_t dns_answer_error(const uint8_t *data, const struct dns_query *query, enum dns_rcode rcode, uint8_t *out);
/* Addresses of the query's type; those that do not fit in max set TC. */
size_t dns_answer_addresses(const uint8_t *data, const struct dns_query *query, const struct address *addresses,
                            size_t count, size_t max, uint8_t *out);
size_t dns_answer_name(const uint8_t *data, const struct dns_query *query, const char *name, uint8_t *out);
/* Is `answer` one to the query that was sent with this id? */
bool dns_is_answer(const uint8_t *answer, size_t length, const uint8_t *query, size_t question_length, uint16_t id);
