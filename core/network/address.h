/* address.h - IP addresses, subnets, and which addresses of one are taken.
 * Private to the network room. No I/O but address_pools(), which takes lists. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

#define ADDRESS_TEXT_MAX 48 /* of an address, with its /prefix */

struct address {
    int family;         /* AF_INET, AF_INET6; 0: none */
    uint8_t bytes[16];  /* network order; the rest zero */
};

struct cidr {
    struct address address;
    int prefix;
};

int address_parse(const char *text, struct address *ret);             /* 0 or -EINVAL */
char *address_format(const struct address *address, char *out);       /* out: ADDRESS_TEXT_MAX */
size_t address_length(const struct address *address);                 /* 4 or 16 bytes */
bool address_equal(const struct address *a, const struct address *b);
bool address_is_any(const struct address *address);
void address_add(struct address *address, uint64_t count);

int cidr_parse(const char *text, struct cidr *ret);                   /* host bits are kept */
char *cidr_format(const struct cidr *cidr, char *out);
struct cidr cidr_masked(const struct cidr *cidr);
bool cidr_contains(const struct cidr *cidr, const struct address *address);
bool cidr_overlaps(const struct cidr *a, const struct cidr *b);

int mac_parse(const char *text, uint8_t ret[6]);
void mac_format(const uint8_t mac[6], char out[18]);

/* A sorted array of one family's addresses: what a subnet has given out. */
struct address_set {
    struct address *items;
    size_t count, capacity;
};

int address_set_add(struct address_set *set, const struct address *address); /* -EEXIST */
void address_set_remove(struct address_set *set, const struct address *address);
void address_set_clear(struct address_set *set);
/* The lowest free one of `range` (within `subnet`), taken. -ENOSPC. Never the
 * network's own address, nor an IPv4 broadcast address. */
int address_set_allocate(struct address_set *set, const struct cidr *subnet, const struct cidr *range,
                         struct address *ret);

/* Where subnets come from: `base` cut into pieces of `size` bits, tried from
 * piece `first` to `last` in that direction. */
struct address_pool {
    struct cidr base;
    int size;
    uint32_t first, last;
};

/* texts "BASE/LEN:SIZE" (or "BASE/LEN,SIZE"); NULL: the built-in ones. free() it. */
int address_pools(const char *const *texts, struct address_pool **ret, size_t *ret_count,
                  struct error *err);
/* First piece that overlaps none of busy[]; -ENOSPC. */
int address_pool_choose(const struct address_pool *pools, size_t pool_count, const struct cidr *busy,
                        size_t busy_count, struct cidr *ret);
