/* address.c - see address.h. */
#include "network/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/str.h"
#include "tabique/error.h"

int address_parse(const char *text, struct address *ret)
{
    struct address address = {0};

    if (!text)
        return -EINVAL;
    address.family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(address.family, text, address.bytes) != 1)
        return -EINVAL;
    *ret = address;
    return 0;
}

char *address_format(const struct address *address, char *out)
{
    out[0] = '\0';
    if (address->family)
        inet_ntop(address->family, address->bytes, out, ADDRESS_TEXT_MAX);
    return out;
}

size_t address_length(const struct address *address)
{
    return address->family == AF_INET6 ? 16 : 4;
}

bool address_equal(const struct address *a, const struct address *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

bool address_is_any(const struct address *address)
{
    static const uint8_t zero[16];

    return memcmp(address->bytes, zero, sizeof(zero)) == 0;
}

void address_add(struct address *address, uint64_t count)
{
    for (size_t i = address_length(address); i-- > 0 && count > 0;) {
        count += address->bytes[i];
        address->bytes[i] = (uint8_t)count;
        count >>= 8;
    }
}

int cidr_parse(const char *text, struct cidr *ret)
{
    CLEANUP_FREE char *copy = mem_strdup(text);
    struct cidr cidr = {0};
    char *slash;

    if (!copy || !(slash = strchr(copy, '/')))
        return -EINVAL;
    *slash = '\0';
    if (address_parse(copy, &cidr.address) < 0)
        return -EINVAL;
    if (slash[1] < '0' || slash[1] > '9' ||
        str_to_int(slash + 1, 0, (int)address_length(&cidr.address) * 8, &cidr.prefix) < 0)
        return -EINVAL;
    *ret = cidr;
    return 0;
}

char *cidr_format(const struct cidr *cidr, char *out)
{
    address_format(&cidr->address, out);
    size_t length = strlen(out);
    snprintf(out + length, ADDRESS_TEXT_MAX - length, "/%d", cidr->prefix);
    return out;
}

struct cidr cidr_masked(const struct cidr *cidr)
{
    struct cidr masked = *cidr;
    int bits = cidr->prefix;

    for (size_t i = 0; i < sizeof(masked.address.bytes); i++, bits -= 8) {
        if (bits <= 0)
            masked.address.bytes[i] = 0;
        else if (bits < 8)
            masked.address.bytes[i] &= (uint8_t)(0xff << (8 - bits));
    }
    return masked;
}

bool cidr_contains(const struct cidr *cidr, const struct address *address)
{
    struct cidr a = cidr_masked(cidr), b = {.address = *address, .prefix = cidr->prefix};

    b = cidr_masked(&b);
    return address_equal(&a.address, &b.address);
}

bool cidr_overlaps(const struct cidr *a, const struct cidr *b)
{
    return a->prefix < b->prefix ? cidr_contains(a, &b->address) : cidr_contains(b, &a->address);
}

int mac_parse(const char *text, uint8_t ret[6])
{
    uint8_t mac[6];

    if (!text || strlen(text) != 17)
        return -EINVAL;
    for (size_t i = 0; i < 6; i++) {
        char pair[3] = {text[3 * i], text[3 * i + 1], '\0'};
        if (hex_decode(pair, &mac[i], 1) < 0)
            return -EINVAL;
        if (i < 5 && text[3 * i + 2] != ':' && text[3 * i + 2] != '-')
            return -EINVAL;
    }
    if (mac[0] & 1) /* multicast: no interface can have it */
        return -EINVAL;
    memcpy(ret, mac, sizeof(mac));
    return 0;
}

void mac_format(const uint8_t mac[6], char out[18])
{
    snprintf(out, 18, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* Index of the first item that is not below `address`. */
static size_t set_position(const struct address_set *set, const struct address *address)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (memcmp(set->items[middle].bytes, address->bytes, sizeof(address->bytes)) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void set_insert(struct address_set *set, size_t at, const struct address *address)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 16;
        set->items = mem_grow(set->items, set->capacity, sizeof(*set->items));
    }
    memmove(&set->items[at + 1], &set->items[at], (set->count - at) * sizeof(*set->items));
    set->items[at] = *address;
    set->count++;
}

int address_set_add(struct address_set *set, const struct address *address)
{
    size_t at = set_position(set, address);

    if (at < set->count && address_equal(&set->items[at], address))
        return -EEXIST;
    set_insert(set, at, address);
    return 0;
}

void address_set_remove(struct address_set *set, const struct address *address)
{
    size_t at = set_position(set, address);

    if (at == set->count || !address_equal(&set->items[at], address))
        return;
    set->count--;
    memmove(&set->items[at], &set->items[at + 1], (set->count - at) * sizeof(*set->items));
}

void address_set_clear(struct address_set *set)
{
    free(set->items);
    *set = (struct address_set){0};
}

static struct address last_of(const struct cidr *cidr)
{
    struct cidr last = cidr_masked(cidr);
    int length = (int)address_length(&cidr->address);

    for (int bit = cidr->prefix; bit < length * 8; bit++)
        last.address.bytes[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
    return last.address;
}

int address_set_allocate(struct address_set *set, const struct cidr *subnet, const struct cidr *range,
                         struct address *ret)
{
    struct address candidate = cidr_masked(range).address, last = last_of(range);
    struct address network = cidr_masked(subnet).address, broadcast = last_of(subnet);
    bool ends = subnet->prefix <= (int)address_length(&candidate) * 8 - 2; /* /31, /32 have none */
    size_t at = set_position(set, &candidate);

    for (;; address_add(&candidate, 1)) {
        bool reserved = ends && (address_equal(&candidate, &network) ||
                                 (candidate.family == AF_INET && address_equal(&candidate, &broadcast)));
        bool taken = at < set->count && address_equal(&set->items[at], &candidate);
        if (!reserved && !taken) {
            set_insert(set, at, &candidate);
            *ret = candidate;
            return 0;
        }
        if (address_equal(&candidate, &last))
            return -ENOSPC;
        if (taken)
            at++;
    }
}

/* Docker takes 172.17 to 172.31 upwards, clouds like 172.31 and 10.0: start where
 * neither is likely and walk away from them. */
static const struct {
    const char *base;
    int size;
    uint32_t first, last;
} builtin_pools[] = {
    {"172.16.0.0/12", 16, 13, 2},   /* 172.29 down to 172.18 */
    {"10.0.0.0/8", 16, 240, 200},
    {"192.168.0.0/16", 20, 15, 0},
    {"10.192.0.0/13", 20, 0, 127},  /* many small ones, when the large are used up */
};

static int pool_parse(const char *text, struct address_pool *ret)
{
    CLEANUP_FREE char *copy = mem_strdup(text);
    char *separator = strpbrk(copy, ",");
    struct address_pool pool = {0};

    if (!separator)
        separator = strrchr(copy, ':');
    if (!separator)
        return -EINVAL;
    *separator = '\0';
    if (cidr_parse(copy, &pool.base) < 0 || pool.base.address.family != AF_INET ||
        str_to_int(separator + 1, pool.base.prefix, 30, &pool.size) < 0 ||
        pool.size - pool.base.prefix > 24)
        return -EINVAL;
    pool.base = cidr_masked(&pool.base);
    pool.last = (UINT32_C(1) << (pool.size - pool.base.prefix)) - 1;
    *ret = pool;
    return 0;
}

int address_pools(const char *const *texts, struct address_pool **ret, size_t *ret_count,
                  struct error *err)
{
    CLEANUP_FREE struct address_pool *pools = NULL;
    size_t count = 0;

    if (!texts || !texts[0]) {
        count = ARRAY_SIZE(builtin_pools);
        pools = mem_array(count, sizeof(*pools));
        for (size_t i = 0; i < count; i++) {
            if (cidr_parse(builtin_pools[i].base, &pools[i].base) < 0)
                return error_set(err, EIO, "built-in address pool %s is wrong", builtin_pools[i].base);
            pools[i].size = builtin_pools[i].size;
            pools[i].first = builtin_pools[i].first;
            pools[i].last = builtin_pools[i].last;
        }
    } else {
        while (texts[count])
            count++;
        pools = mem_array(count, sizeof(*pools));
        for (size_t i = 0; i < count; i++)
            if (pool_parse(texts[i], &pools[i]) < 0)
                return error_set(err, EINVAL,
                                 "invalid address pool \"%s\": write BASE/LENGTH:SIZE, for example "
                                 "10.200.0.0/16:24", texts[i]);
    }
    *ret = TAKE_PTR(pools);
    *ret_count = count;
    return 0;
}

int address_pool_choose(const struct address_pool *pools, size_t pool_count, const struct cidr *busy,
                        size_t busy_count, struct cidr *ret)
{
    for (size_t p = 0; p < pool_count; p++) {
        const struct address_pool *pool = &pools[p];
        int shift = 32 - pool->size;
        for (uint32_t i = pool->first;; i = pool->first <= pool->last ? i + 1 : i - 1) {
            struct cidr piece = {.address = pool->base.address, .prefix = pool->size};
            bool free_piece = true;
            address_add(&piece.address, (uint64_t)i << shift);
            for (size_t b = 0; b < busy_count && free_piece; b++)
                free_piece = busy[b].address.family != AF_INET || !cidr_overlaps(&piece, &busy[b]);
            if (free_piece) {
                *ret = piece;
                return 0;
            }
            if (i == pool->last)
                break;
        }
    }
    return -ENOSPC;
}
