#include <sys/stat.h>

#include "support.h"

static char *json_of_file(const char *name)
{
    struct config_errors errors = {0};
    struct hocon_tree *tree = hocon_tree_create(NULL);
    hocon_read_file(tree, name, &errors);
    char *json = json_of(tree, &errors);
    hocon_tree_release(tree);
    return json;
}

Test(include, relative_to_the_including_file)
{
    file_write("main.conf", "a=1\ninclude \"d/one.conf\"\nb=2\n");
    file_write("d/one.conf", "one=1\ninclude \"two.conf\"\ninclude file(\"e/three\")\n");
    file_write("d/two.conf", "two=${a}");
    file_write("d/e/three.json", "{\"three\":3}");
    assert_text(json_of_file("main.conf"), "{\"a\":1,\"one\":1,\"two\":1,\"three\":3,\"b\":2}", "");
}

Test(include, substitutions_of_an_included_file)
{
    file_write("main.conf", "x { include \"in.conf\" }\ny=9");
    file_write("in.conf", "p=1,q=${p},r=${y},s=${?p.z}");
    assert_text(json_of_file("main.conf"), "{\"x\":{\"p\":1,\"q\":1,\"r\":9},\"y\":9}", "");
}

Test(include, later_wins)
{
    file_write("main.conf", "a=1,b=1\ninclude required(\"in.conf\")\nb=3");
    file_write("in.conf", "{a=2,b=2}");
    assert_text(json_of_file("main.conf"), "{\"a\":2,\"b\":3}", "");
}

Test(include, circles)
{
    file_write("main.conf", "include \"other.conf\"\n");
    file_write("other.conf", "\n  include \"./main.conf\"\n");
    assert_text(json_of_file("main.conf"), "other.conf:2:3: ./main.conf includes itself (in the end); remove one of the includes", "");
    file_write("self.conf", "include \"self.conf\"");
    assert_text(json_of_file("self.conf"), "self.conf:1:1: self.conf includes itself (in the end); remove one of the includes", "");
}

Test(include, errors_name_the_included_file)
{
    file_write("main.conf", "include \"in.conf\"\nb=@");
    file_write("in.conf", "\n\n a = ?");
    assert_text(json_of_file("main.conf"),
                "in.conf:3:6: found `?` where a value should be; write the value in double quotes\n"
                "main.conf:2:3: found `@` where a value should be; write the value in double quotes", "");
}

Test(include, what_cannot_be_read)
{
    file_write("main.conf", "include \"d\"\na=1");
    file_write("d/x", "");
    assert_text(json_of_file("main.conf"), "main.conf:1:1: cannot read d: Is a directory", "");
    cr_assert_eq(mkfifo("pipe", 0600), 0);
    file_write("main.conf", "include \"pipe\"\n");
    assert_text(json_of_file("main.conf"), "main.conf:1:1: pipe is a pipe, which can be read once; the configuration is read several times: write it to a file", "");
    assert_text(json_of_file("none.conf"), "cannot open the configuration file none.conf: No such file or directory; give "
                                           "another with --config FILE", "");
}

Test(include, too_many)
{
    for (int i = 0; i < 40; i++) {
        char name[32], text[64];
        snprintf(name, sizeof name, "f%d.conf", i);
        snprintf(text, sizeof text, "include \"f%d.conf\"", i + 1);
        file_write(name, text);
    }
    assert_text(json_of_file("f0.conf"), "f15.conf:1:1: f16.conf is one file too many: at most 16 included in one another, and 256 in all",
                "");
    char text[10000] = "";
    for (int i = 0; i < 300; i++)
        strcat(text, "include \"leaf.conf\"\n");
    file_write("leaf.conf", "a=1");
    file_write("wide.conf", text);
    char *errors = json_of_file("wide.conf");
    assert_contains(errors, "wide.conf:256:1: leaf.conf is one file too many");
    memory_release(errors);
}
