#include <arpa/inet.h>
#include <criterion/criterion.h>

#include "base/cidr.h"

static const struct {
    const char *list, *address;
    bool in;
} cases[] = {
    {"10.0.0.0/8", "10.1.2.3", true},         {"10.0.0.0/8", "11.0.0.1", false},     {"10.0.0.0/8", "::ffff:10.9.9.9", true},
    {"192.0.2.7", "192.0.2.7", true},         {"192.0.2.7", "192.0.2.8", false},     {"192.0.2.128/25", "192.0.2.127", false},
    {"192.0.2.128/25", "192.0.2.129", true},  {"0.0.0.0/0", "255.1.1.1", true},      {"0.0.0.0/0", "2001:db8::1", false},
    {"::/0", "1.2.3.4", true},                {"2001:db8::/33", "2001:db8:7fff::1", true}, {"2001:db8::/33", "2001:db8:8000::1", false},
    {"::1", "::1", true},                     {" 1.1.1.1 ,\t::1 ", "::1", true},     {"", "1.1.1.1", false},
    {"10.0.0.0/8", "10.1.2.3:55", true},      {"::1", "[::1]:55", true},             {"10.0.0.0/8", "unknown", false},
};

Test(cidr, lists)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cidr_list list;
        uint8_t address[16];
        cr_assert_null(cidr_list_parse(span_of_string(cases[i].list), &list));
        bool in = cidr_address_of_text(span_of_string(cases[i].address), address) && cidr_list_has(&list, address);
        cr_assert_eq(in, cases[i].in, "%s in %s", cases[i].address, cases[i].list);
        cidr_list_release(&list);
    }
}

Test(cidr, what_is_no_network)
{
    static const char *const wrong[] = {"10.0.0.0/33", "10.0.0/8", "::1/129", "::1/", "::1/x", "::1/ 8", "example.org", ",", "1.1.1.1,,2.2.2.2",
                                        "1.1.1.1;2.2.2.2", "[::1]", "/8", "-1.1.1.1", "1.1.1.1/-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert(cidr_list_parse(span_of_string(wrong[i]), NULL), "%s", wrong[i]);
}

Test(cidr, sockets)
{
    struct sockaddr_storage storage = {.ss_family = AF_INET};
    struct cidr_list list;
    uint8_t address[16];
    inet_pton(AF_INET, "127.0.0.5", &((struct sockaddr_in *)&storage)->sin_addr);
    cr_assert_null(cidr_list_parse(SPAN_LITERAL("127.0.0.0/8, unix"), &list));
    cr_assert(list.any_unix && list.count == 1);
    cr_assert(cidr_address(&storage, address) && cidr_list_has(&list, address));
    storage.ss_family = AF_UNIX;
    cr_assert_not(cidr_address(&storage, address));
    cidr_list_release(&list);
}
