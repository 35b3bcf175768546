/* What is read. tests/e2e/config_oracle compares far more with ruby-hocon; here is what must hold without Ruby, and what it
 * does not know. */
#include "support.h"

static const struct {
    const char *text, *json;
} cases[] = {
    {"", "{}"},
    {"{}", "{}"},
    {"# a\n// b\n", "{}"},
    {"\xEF\xBB\xBF" "a=1", "{\"a\":1}"},
    {"a=1", "{\"a\":1}"},
    {"a:1,b=2\nc 3=4", "{\"a\":1,\"b\":2,\"c 3\":4}"},
    {"{\"a\": [1, true, null, \"x\", {}], }", "{\"a\":[1,true,null,\"x\",{}]}"},
    {"a.b.c=1\na.b.d=2", "{\"a\":{\"b\":{\"c\":1,\"d\":2}}}"},
    {"\"a.b\".\"\"=1", "{\"a.b\":{\"\":1}}"},
    {"a {b=1} a {c=2}", "t:1:9: a string directly behind an object; put a comma or a new line between them"},
    {"a {b=1}, a {c=2}", "{\"a\":{\"b\":1,\"c\":2}}"},
    {"a {b=1}\na=2\na {c=3}", "{\"a\":{\"c\":3}}"},
    {"a=[1,2,]\nb=[\n1\n2 3\n]", "{\"a\":[1,2],\"b\":[1,\"2 3\"]}"},
    {"a=hello  world # x\nb=\"q\"x", "{\"a\":\"hello  world\",\"b\":\"qx\"}"},
    {"a=\"\\u00e9\\ud83d\\ude00\\n\\/\"", "{\"a\":\"é😀\\u000a/\"}"},
    {"a=\"\"\"x\"y\\n\nz\"\"\"\"", "{\"a\":\"x\\\"y\\\\n\\u000az\\\"\"}"},
    {"a=-1.5e+3\nb=01\nc=1.\nd=1e\ne=-", "{\"a\":-1.5e+3,\"b\":\"01\",\"c\":\"1.\",\"d\":\"1e\",\"e\":\"-\"}"},
    {"a=true\nb=nullx\nc=null", "{\"a\":true,\"b\":\"nullx\",\"c\":null}"},
    {"a . b=1", "{\"a\":{\"b\":1}}"},
    {"a=1\r\nb=2\r\n", "{\"a\":1,\"b\":2}"},
    {"a=${b}\nb=1", "{\"a\":1,\"b\":1}"},
    {"a=${HOME}/x\nb=${?NOPE}\nc=${EMPTY}\nd=${?HOMELES}", "{\"a\":\"/root/x\",\"c\":\"\"}"},
    {"HOME=mine\na=${HOME}", "{\"HOME\":\"mine\",\"a\":\"mine\"}"},
    {"a=x\na=${a} more", "{\"a\":\"x more\"}"},
    {"a=[1]\na=${a}[2]\na+=3", "{\"a\":[1,2,3]}"},
    {"a+=1\na+=2", "{\"a\":[1,2]}"},
    {"b{a=[1]}\nb{a+=2}", "{\"b\":{\"a\":[1,2]}}"},
    {"a{l=[1]}\nb=${a}\nb{l+=2}\nb{l+=3,m+=4}", "{\"a\":{\"l\":[1]},\"b\":{\"l\":[1,2,3],\"m\":[4]}}"},
    {"a=[{l+=1,l+=2}]", "{\"a\":[{\"l\":[1,2]}]}"},
    {"a=[1]\na=[${a},2]", "{\"a\":[[1],2]}"},
    {"d{x=1}\na=${d}{y=2}", "{\"d\":{\"x\":1},\"a\":{\"x\":1,\"y\":2}}"},
    {"foo{a{c=1}}\nfoo=${foo.a}\nfoo{a=2}", "{\"foo\":{\"a\":2,\"c\":1}}"},
    {"bar{foo=42,baz=${bar.foo}}\nbar{foo=43}", "{\"bar\":{\"foo\":43,\"baz\":43}}"},
    {"bar{a=${foo.d},b=1}\nbar.b=3\nfoo{c=${bar.b},d=2}\nfoo.d=4",
     "{\"bar\":{\"a\":4,\"b\":3},\"foo\":{\"c\":3,\"d\":4}}"},
    {"a.include=1\nincludes=2\n\"include\"=3", "{\"a\":{\"include\":1},\"includes\":2,\"include\":3}"},
    {"include \"/does/not/exist.conf\"\na=1", "{\"a\":1}"},
};

Test(hocon, syntax)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_text(json_of_text(cases[i].text), cases[i].json, cases[i].text);
}

/* Errors: position, what, what to do. */
static const struct {
    const char *text, *errors;
} wrong[] = {
    {"a=1\nb=2:3\n",
     "t:2:4: `:` cannot stand in a value without quotes; write it in double quotes, as in \"127.0.0.1:1883\""},
    {"a=b=c", "t:1:4: a second `=`; write the value in double quotes, or begin the next key on a new line"},
    {"a=b@c", "t:1:4: found `@` where a value should be; write the value in double quotes"},
    {"ü=é@", "t:1:4: found `@` where a value should be; write the value in double quotes"},
    {"a=$b", "t:1:3: `$` begins a substitution such as ${node.name}; put the value in double quotes to have a plain $"},
    {"a=\"x\nb=1", "t:1:3: this \" is never closed; add a \" on the same line, or use \"\"\" for several lines"},
    {"a=\"\"\"x\nb=1", "t:1:3: this \"\"\" is never closed; add \"\"\" behind the string"},
    {"a=\"\\q\"", "t:1:4: `\\` begins none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX; write \\\\ for a backslash"},
    {"a=\"\\u12g4\"", "t:1:4: `\\u` needs four hexadecimal digits, as in \\u00e9"},
    {"a=\"\\ud800x\"", "t:1:4: \\ud800 is no character; write the two halves of a pair, and no zero"},
    {"a=\"\\u0000\"", "t:1:4: \\u0000 is no character; write the two halves of a pair, and no zero"},
    {"a=\"\t\"", "t:1:4: a control character (0x09) in a string; write it as \\u0009"},
    {"a {\n b=1\n", "t:1:3: this { is never closed; add }"},
    {"a=[1\n", "t:1:3: this [ is never closed; add ]"},
    {"a=1}\nb=2", "t:1:4: found `}`; put a comma or a new line behind a value\nt:1:4: `}` closes nothing; remove it"},
    {"\n  }\n", "t:2:3: `}` closes nothing; remove it"},
    {"a=\n", "t:2:1: a value is missing before the end of the text; write one, \"\" for an empty string"},
    {"a=,b=1", "t:1:3: a value is missing before `,`; write one, \"\" for an empty string"},
    {"  foo\nb=1", "t:1:3: `foo` has no value; write foo = VALUE"},
    {",a=1", "t:1:1: a comma with nothing before it; remove it"},
    {"a=[1 [2]]", "t:1:6: an array directly behind a string; put a comma or a new line between them"},
    {"a={b=1} {c=2} x", "t:1:15: a string directly behind an object; put a comma or a new line between them"},
    {"a..b=1", "t:1:3: a name is missing in this path; write names with one dot between them, as in node.shards"},
    {"[=1", "t:1:1: found an array; a configuration is made of fields: KEY = VALUE"},
    {"b=2\n[=1", "t:2:1: found `[` where a key such as node.shards should be"},
    {"a=${b\n", "t:1:3: this substitution is not closed; write ${NAME}, with quotes for odd names"},
    {"a=1\nb=${c.d}", "t:2:3: ${c.d} refers to nothing: no key has this name before it, and no environment variable; write ${?c.d} "
                      "if it may be missing"},
    {"a=${b}\nb=${a}", "t:2:3: this substitution leads in a circle back to itself; remove one of its steps"},
    {"a=[1]\nb=${a}x", "t:2:7: a string directly behind an array; they cannot be joined"},
    {"{a=1} b=2", "t:1:7: found `b` behind the closing } of the file; nothing may follow it"},
    {"include 42", "t:1:9: found `4`; write include \"FILE\", or put a key named include in double quotes"},
    {"include url(\"http://x\")", "t:1:9: only files can be included; write include \"FILE\""},
    {"include required(file(\"/nope.conf\"))", "t:1:1: cannot include /nope.conf: No such file or directory"},
    {"a=\xff", "t:1:3: the byte 0xff is not UTF-8; save the file as UTF-8"},
    {"a=\xc0\x80", "t:1:3: the byte 0xc0 is not UTF-8; save the file as UTF-8"},
};

Test(hocon, errors)
{
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_text(json_of_text(wrong[i].text), wrong[i].errors, wrong[i].text);
}

Test(hocon, all_errors_of_a_file)
{
    assert_text(json_of_text("a = 1:2\n"
                             "ok = 1\n"
                             "b { c = [1, {x = @}, 3\n 4]\n d = 5 }\n" /* one mistake deep inside, the rest is stepped over */
                             "e = }\n"
                             "g = \"\\q{\"\n"
                             "f = x=y, h = ?\n"),
                "t:1:6: `:` cannot stand in a value without quotes; write it in double quotes, as in \"127.0.0.1:1883\"\n"
                "t:3:18: found `@` where a value should be; write the value in double quotes\n"
                "t:6:5: a value is missing before `}`; write one, \"\" for an empty string\n"
                "t:6:5: `}` closes nothing; remove it\n"
                "t:7:6: `\\` begins none of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX; write \\\\ for a backslash\n"
                "t:8:6: a second `=`; write the value in double quotes, or begin the next key on a new line\n"
                "t:8:14: found `?` where a value should be; write the value in double quotes", "");
}

Test(hocon, only_so_many_errors_are_shown)
{
    char text[400] = "";
    for (int i = 0; i < 25; i++)
        strcat(text, "a = @\n");
    char *errors = json_of_text(text);
    assert_contains(errors, "t:20:5:");
    cr_assert_null(strstr(errors, "t:21:5:"));
    assert_contains(errors, "… and 5 more errors");
    memory_release(errors);
}
