/* test_parts.c - what needs no kernel: addresses, pools, DNS messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/random.h"
#include "network/address.h"
#include "network/dns_message.h"
#include "tabique/error.h"

static void addresses(void **state)
{
    static const char *const bad[] = {"", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4/24", "::g", "1.2.3.4 ", NULL};
    static const char *const bad_cidrs[] = {"1.2.3.4", "1.2.3.4/", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/ 8", "1.2.3.4/+8",
                                            "1.2.3.4/8x", "::/129", "/8", NULL};
    struct address a, b;
    struct cidr c, d;
    char text[ADDRESS_TEXT_MAX];

    for (const char *const *t = bad; *t; t++)
        assert_int_equal(address_parse(*t, &a), -EINVAL);
    assert_int_equal(address_parse(NULL, &a), -EINVAL);
    for (const char *const *t = bad_cidrs; *t; t++)
        assert_int_equal(cidr_parse(*t, &c), -EINVAL);
    assert_int_equal(address_parse("10.0.255.255", &a), 0);
    address_add(&a, 1);
    assert_string_equal(address_format(&a, text), "10.1.0.0");
    assert_int_equal(address_parse("fd00::ffff:ffff", &b), 0);
    address_add(&b, 257);
    assert_string_equal(address_format(&b, text), "fd00::1:0:100");
    assert_int_equal(cidr_parse("172.29.3.7/20", &c), 0);
    d = cidr_masked(&c);
    assert_string_equal(cidr_format(&d, text), "172.29.0.0/20");
    address_parse("172.29.15.255", &a);
    assert_true(cidr_contains(&c, &a));
    address_parse("172.29.16.0", &a);
    assert_false(cidr_contains(&c, &a));
    cidr_parse("172.29.8.0/24", &d);
    assert_true(cidr_overlaps(&c, &d) && cidr_overlaps(&d, &c));
    cidr_parse("0.0.0.0/0", &d);
    assert_true(cidr_overlaps(&c, &d));
    cidr_parse("::/0", &d);
    assert_false(cidr_overlaps(&c, &d));

    uint8_t mac[6];
    assert_int_equal(mac_parse("02:42:AC:11:00:02", mac), 0);
    assert_int_equal(mac[2], 0xac);
    assert_int_equal(mac_parse("03:42:ac:11:00:02", mac), -EINVAL); /* multicast */
    assert_int_equal(mac_parse("02:42:ac:11:00", mac), -EINVAL);
    assert_int_equal(mac_parse("02:42:ac:11:00:0g", mac), -EINVAL);
}

static void allocation(void **state)
{
    struct address_set set = {0};
    struct cidr subnet, range;
    struct address a, taken;
    char text[ADDRESS_TEXT_MAX];

    cidr_parse("10.0.0.0/29", &subnet);
    address_parse("10.0.0.1", &taken);
    assert_int_equal(address_set_add(&set, &taken), 0);
    assert_int_equal(address_set_add(&set, &taken), -EEXIST);
    for (int i = 2; i <= 6; i++) {
        assert_int_equal(address_set_allocate(&set, &subnet, &subnet, &a), 0);
        assert_int_equal(a.bytes[3], i);
    }
    assert_int_equal(address_set_allocate(&set, &subnet, &subnet, &a), -ENOSPC);
    address_parse("10.0.0.4", &taken);
    address_set_remove(&set, &taken);
    address_set_remove(&set, &taken);
    assert_int_equal(address_set_allocate(&set, &subnet, &subnet, &a), 0);
    assert_int_equal(a.bytes[3], 4);
    address_set_clear(&set);
    cidr_parse("10.0.0.4/30", &range);
    assert_int_equal(address_set_allocate(&set, &subnet, &range, &a), 0);
    assert_string_equal(address_format(&a, text), "10.0.0.4");
    address_set_clear(&set);
    cidr_parse("10.0.0.0/31", &subnet); /* has no network or broadcast address */
    assert_int_equal(address_set_allocate(&set, &subnet, &subnet, &a), 0);
    assert_int_equal(address_set_allocate(&set, &subnet, &subnet, &a), 0);
    assert_int_equal(address_set_allocate(&set, &subnet, &subnet, &a), -ENOSPC);
    address_set_clear(&set);
    cidr_parse("255.255.255.252/30", &subnet); /* the end of all addresses */
    while (address_set_allocate(&set, &subnet, &subnet, &a) == 0)
        ;
    assert_int_equal(set.count, 2);
    address_set_clear(&set);
}

static void pools(void **state)
{
    struct address_pool *list = NULL;
    size_t count;
    struct cidr got, busy[3];
    char text[ADDRESS_TEXT_MAX];
    static const char *const own[] = {"10.200.0.0/15:16", "192.168.0.0/24,26", NULL};
    static const char *const wrong[] = {"10.200.0.0/16", "10.200.0.0/16:8", "10.200.0.0/16:x", "10.0.0.0/2:30", "fd00::/48:64", ""};

    assert_int_equal(address_pools(NULL, &list, &count, NULL), 0);
    assert_int_equal(address_pool_choose(list, count, NULL, 0, &got), 0);
    assert_string_equal(cidr_format(&got, text), "172.29.0.0/16");
    cidr_parse("172.29.5.5/32", &busy[0]);
    cidr_parse("172.16.0.0/12", &busy[1]);
    assert_int_equal(address_pool_choose(list, count, busy, 1, &got), 0);
    assert_string_equal(cidr_format(&got, text), "172.28.0.0/16");
    assert_int_equal(address_pool_choose(list, count, busy, 2, &got), 0);
    assert_string_equal(cidr_format(&got, text), "10.240.0.0/16");
    cidr_parse("10.0.0.0/8", &busy[2]);
    assert_int_equal(address_pool_choose(list, count, busy, 3, &got), 0);
    assert_string_equal(cidr_format(&got, text), "192.168.240.0/20");
    free(list);

    assert_int_equal(address_pools(own, &list, &count, NULL), 0);
    cidr_parse("10.200.1.0/24", &busy[0]);
    cidr_parse("10.201.0.0/16", &busy[1]);
    assert_int_equal(address_pool_choose(list, count, busy, 2, &got), 0);
    assert_string_equal(cidr_format(&got, text), "192.168.0.0/26");
    cidr_parse("0.0.0.0/1", &busy[0]);
    cidr_parse("128.0.0.0/1", &busy[1]);
    assert_int_equal(address_pool_choose(list, count, busy, 2, &got), -ENOSPC);
    free(list);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        const char *const one[] = {wrong[i], NULL};
        assert_int_equal(address_pools(one, &list, &count, NULL), -EINVAL);
    }
}

static const uint8_t sample[] = {0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 3, 'W', 'e', 'b', 5, 'f', 'r', 'o', 'n', 't', 0,
                                 0, 1, 0, 1, /* OPT */ 0, 0, 41, 0x10, 0, 0, 0, 0, 0, 0, 0};

static void dns_messages(void **state)
{
    struct dns_query q;
    struct address addresses[100] = {0}, reverse;
    uint8_t out[DNS_MESSAGE_MAX + 64], copy[sizeof(sample)];
    size_t length;

    assert_int_equal(dns_parse(sample, sizeof(sample), &q), 0);
    assert_string_equal(q.name, "web.front");
    assert_true(q.edns && !q.odd_name);
    assert_int_equal(q.answer_max, 4096);
    assert_int_equal(q.question_length, 15);
    for (size_t i = 0; i < 100; i++)
        addresses[i] = (struct address){.family = AF_INET, .bytes = {10, 0, 0, (uint8_t)i}};
    length = dns_answer_addresses(sample, &q, addresses, 2, 512, out);
    assert_int_equal(length, 12 + 15 + 2 * 16 + 11);
    assert_int_equal(out[7], 2);
    assert_true(dns_is_answer(out, length, sample, q.question_length, 0x1234));
    assert_false(dns_is_answer(out, length, sample, q.question_length, 0x1235));
    assert_false(dns_is_answer(sample, sizeof(sample), sample, q.question_length, 0x1234));
    length = dns_answer_addresses(sample, &q, addresses, 100, 512, out);
    assert_true(length <= 512 && length > 480);
    assert_true(out[2] & 2); /* truncated */
    length = dns_answer_name(sample, &q, "a.b", out);
    assert_int_equal(length, 12 + 15 + 12 + 5 + 11);
    length = dns_answer_name(sample, &q, "a..b", out);
    assert_int_equal(out[3] & 0xf, DNS_NXDOMAIN);

    memcpy(copy, sample, sizeof(copy));
    copy[2] |= 0x80;
    assert_int_equal(dns_parse(copy, sizeof(copy), &q), -EBADMSG);
    copy[2] = 0x28;
    assert_int_equal(dns_parse(copy, sizeof(copy), &q), -ENOTSUP);
    memcpy(copy, sample, sizeof(copy));
    copy[5] = 2;
    assert_int_equal(dns_parse(copy, sizeof(copy), &q), -EINVAL);
    length = dns_answer_error(copy, &q, DNS_FORMERR, out);
    assert_int_equal(length, 12);
    memcpy(copy, sample, sizeof(copy));
    copy[13] = '.';
    assert_int_equal(dns_parse(copy, sizeof(copy), &q), 0);
    assert_true(q.odd_name);
    for (size_t cut = 0; cut < 27; cut++)
        assert_int_not_equal(dns_parse(sample, cut, &q), 0);
    for (int i = 0; i < 200000; i++) { /* for the sanitizers */
        uint8_t junk[64];
        random_bytes(junk, sizeof(junk));
        junk[2] &= 0x07;
        junk[4] = 0;
        junk[5] = 1;
        if (dns_parse(junk, sizeof(junk), &q) == 0)
            dns_answer_addresses(junk, &q, addresses, 2, 512, out);
    }
    assert_true(dns_reverse_name("4.3.2.1.in-addr.arpa", &reverse));
    assert_int_equal(reverse.bytes[0], 1);
    assert_false(dns_reverse_name("4.3.2.in-addr.arpa", &reverse));
    assert_false(dns_reverse_name("5.4.3.2.1.in-addr.arpa", &reverse));
    assert_false(dns_reverse_name("256.3.2.1.in-addr.arpa", &reverse));
    assert_false(dns_reverse_name(".in-addr.arpa", &reverse));
    assert_true(dns_reverse_name("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", &reverse));
    assert_int_equal(reverse.bytes[0], 0xfd);
    assert_int_equal(reverse.bytes[15], 1);
    assert_false(dns_reverse_name("1.0.0.ip6.arpa", &reverse));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(addresses), cmocka_unit_test(allocation), cmocka_unit_test(pools),
                                       cmocka_unit_test(dns_messages)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
