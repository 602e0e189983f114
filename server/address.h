/* address.h - what stands in `listen`: "[http://|https://][HOST|*]:PORT". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct error;

struct listen_address {
    char host[256]; /* without brackets; "": every address */
    uint16_t port;  /* 0: any free one */
    bool tls;
};

int listen_address_parse(const char *text, struct listen_address *ret, struct error *err);
/* An address, or a name as DNS has them (letters, digits, '-', '_', '.'). What looks like
 * an IPv4 address has to be one. */
bool host_name_valid(const char *host);
