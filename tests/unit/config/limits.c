/* Nothing in a file can be larger, deeper or longer than we are ready for. */
#include "support.h"

static char *repeat(const char *part, size_t count)
{
    size_t bytes = strlen(part);
    char *text = memory_acquire(bytes * count + 1);
    for (size_t i = 0; i < count; i++)
        memcpy(text + i * bytes, part, bytes);
    text[bytes * count] = 0;
    return text;
}

static void assert_error(char *text, const char *part)
{
    char *errors = json_of_text(text);
    assert_contains(errors, part);
    memory_release(errors);
    memory_release(text);
}

static char *join(char *a, char *b)
{
    char *both = memory_acquire(strlen(a) + strlen(b) + 1);
    strcpy(both, a);
    strcat(both, b);
    memory_release(a);
    memory_release(b);
    return both;
}

Test(limits, depth)
{
    assert_error(join(memory_copy_string(SPAN_LITERAL("a=")), repeat("[", 100000)), "t:1:67: an array inside 64 others");
    assert_error(repeat("a{", 100000), "t:1:129: more than 64 names in one another");
    assert_error(join(repeat("a.", 100000), memory_copy_string(SPAN_LITERAL("a=1"))), "a path may have at most 64 names");
    assert_error(memory_copy_string(SPAN_LITERAL("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f.g.h{"
                                                 "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f.g.h=1}")),
                 "more than 64 names in one another");
    char *json = json_of_text("a=[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"
                              "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    cr_assert(strncmp(json, "{\"a\":[[[[", 8) == 0, "%s", json);
    memory_release(json);
}

/* Each line doubles what the one before has. */
static char *doubling(const char *first, const char *format, int lines)
{
    char *text = memory_acquire(200 + (size_t)lines * 100);
    size_t used = (size_t)sprintf(text, "%s\n", first);
    for (int i = 1; i <= lines; i++)
        used += (size_t)sprintf(text + used, format, i, i - 1, i - 1);
    return text;
}

Test(limits, growth)
{
    assert_error(doubling("v0=xxxxxxxxxxxxxxxx", "v%d=${v%d}${v%d}\n", 60), "substitutions build a");
    assert_error(doubling("v0=[1]", "v%d=${v%d}${v%d}\n", 60), "substitutions build more than 1048576 values");
    assert_error(doubling("v0=1", "v%d=[${v%d},${v%d}]\n", 60), "substitutions build more than 1048576 values");
    assert_error(doubling("v0{x=1}", "v%d{a=${v%d},b=${v%d}}\n", 60), "substitutions build more than 1048576 values");
}

Test(limits, dependence)
{
    char *text = memory_acquire(100000);
    size_t used = 0;
    for (int i = 0; i < 1000; i++)
        used += (size_t)sprintf(text + used, "v%d=${v%d}\n", i, i + 1);
    sprintf(text + used, "v1000=1\n");
    assert_error(text, "more than 256 substitutions depend on one another");
    assert_error(join(memory_copy_string(SPAN_LITERAL("a=x\n")), repeat("a=${a}y\n", 1000)),
                 "more than 256 substitutions depend on one another");
    /* the other way round nothing is deep until it is built */
    used = 0;
    text = memory_acquire(100000);
    used += (size_t)sprintf(text + used, "v0=1\n");
    for (int i = 1; i < 1000; i++)
        used += (size_t)sprintf(text + used, "v%d=[${v%d}]\n", i, i - 1);
    assert_error(text, "substitutions build more than 256 levels");
}

Test(limits, many)
{
    char *text = memory_acquire(4000000), *expected_end = "\"k49999\":49999}";
    size_t used = 0;
    for (int i = 0; i < 50000; i++)
        used += (size_t)sprintf(text + used, "k%d=%d\n", i, i);
    char *json = json_of_text(text);
    assert_contains(json, expected_end);
    memory_release(json);
    memory_release(text);

    text = repeat("a += 1\n", 50000);
    json = json_of_text(text);
    cr_assert_eq(strlen(json), strlen("{\"a\":[]}") + 2 * 50000 - 1);
    memory_release(json);
    memory_release(text);
    assert_error(repeat("a = ${x}\n", 50000), "t:50000:5: ${x} refers to nothing");
    assert_error(repeat("a { x = [1] }\n", 40000), "{\"a\":{\"x\":[1]}}");
}

Test(limits, file)
{
    char *text = repeat("a=1 # padding\n", (HOCON_FILE_BYTES_MAX / 14) + 2);
    file_write("big.conf", text);
    file_write("ask.conf", "\n include \"big.conf\"");
    memory_release(text);
    assert_text(load_wrong(LIST("big.conf"), NULL, NULL), "big.conf is larger than 4 MiB; split it", "");
    assert_text(load_wrong(LIST("ask.conf"), NULL, NULL), "ask.conf:2:2: big.conf is larger than 4 MiB; split it", "");
}
