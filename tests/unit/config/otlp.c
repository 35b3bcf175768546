#include <criterion/criterion.h>

#include "config/otlp.h"

Test(otlp, endpoints)
{
    static const char *const good[] = {"", "http://c:4318", "HTTPS://c.example.com", "https://c/x/v1/metrics?key=1", "http://[::1]:4318/"};
    static const char *const bad[] = {"c:4318", "http://", "http://:4318", "https:///x", "grpc://c:4317", "http://u:p@c", "http://c d", "http://c/\"", "http://c/#f", "ftp://c"};
    char url[100];
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        cr_assert_null(otlp_check_endpoint(span_of_string(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not_null(otlp_check_endpoint(span_of_string(bad[i])), "%s", bad[i]);
    cr_assert(otlp_url("http://c:4318", url, sizeof url));
    cr_assert_str_eq(url, "http://c:4318/v1/metrics");
    cr_assert(otlp_url("http://[::1]:4318/", url, sizeof url));
    cr_assert_str_eq(url, "http://[::1]:4318/v1/metrics");
    cr_assert(otlp_url("https://c/x/v1/metrics?key=1", url, sizeof url));
    cr_assert_str_eq(url, "https://c/x/v1/metrics?key=1");
    cr_assert(!otlp_url("http://c:4318", url, 20));
}

Test(otlp, headers)
{
    struct span rest = SPAN_LITERAL(" Authorization: Basic YTpi==,X-Empty:\nX-Tenant :  a b \r\n,"), name, value;
    cr_assert_null(otlp_check_headers(rest));
    cr_assert(otlp_header_next(&rest, &name, &value) && span_equal(name, SPAN_LITERAL("Authorization")) && span_equal(value, SPAN_LITERAL("Basic YTpi==")));
    cr_assert(otlp_header_next(&rest, &name, &value) && span_equal(name, SPAN_LITERAL("X-Empty")) && value.bytes == 0);
    cr_assert(otlp_header_next(&rest, &name, &value) && span_equal(name, SPAN_LITERAL("X-Tenant")) && span_equal(value, SPAN_LITERAL("a b")));
    cr_assert(!otlp_header_next(&rest, &name, &value));
    static const char *const bad[] = {"no", "a b: c", ": c", "content-length: 3", "Host: x", "a: b\x01", "a: b\rSmuggled: c"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not_null(otlp_check_headers(span_of_string(bad[i])), "%s", bad[i]);
}

Test(otlp, attributes)
{
    struct otlp_attribute attribute;
    struct span rest = SPAN_LITERAL("a.b=c%20d%2Ce, f =,g=h=i");
    cr_assert_null(otlp_check_attributes(rest));
    cr_assert(otlp_attribute_next(&rest, &attribute) && !attribute.wrong);
    cr_assert_str_eq(attribute.key, "a.b");
    cr_assert_str_eq(attribute.value, "c d,e");
    cr_assert(otlp_attribute_next(&rest, &attribute) && !attribute.wrong);
    cr_assert_str_eq(attribute.key, "f");
    cr_assert_str_eq(attribute.value, "");
    cr_assert(otlp_attribute_next(&rest, &attribute) && !attribute.wrong);
    cr_assert_str_eq(attribute.value, "h=i");
    cr_assert(!otlp_attribute_next(&rest, &attribute));
    static const char *const bad[] = {"a", "=b", "a=%", "a=%4", "a=%zz", "a=%00", "a=%0A", "a=%ff", "a=%C3", "%ED%A0%80=x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not_null(otlp_check_attributes(span_of_string(bad[i])), "%s", bad[i]);
    char text[2000];
    memset(text, 'v', sizeof text);
    memcpy(text, "k=", 2);
    cr_assert_not_null(otlp_check_attributes(span_of(text, 2 + OTLP_VALUE_BYTES_MAX + 1)));
    cr_assert_null(otlp_check_attributes(span_of(text, 2 + OTLP_VALUE_BYTES_MAX)));
    cr_assert_null(otlp_check_attributes(SPAN_LITERAL("k=%E2%82%AC%F0%9F%98%80")));
}
