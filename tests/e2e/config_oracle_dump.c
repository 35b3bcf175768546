/* Prints the HOCON files given as JSON, one line each, or `error: …`. Built by tests/e2e/config_oracle. */
#include <unistd.h>

#include "config/hocon.h"

static void dump(const char *path)
{
    struct config_errors errors = {0};
    struct hocon_tree *tree = hocon_tree_create((const char *const *)environ);
    const struct hocon_value *root = hocon_read_file(tree, path, &errors) ? hocon_resolve(tree, &errors) : NULL;
    if (root)
        hocon_print_json(root, stdout);
    else
        printf("error: %s", errors.texts[0]);
    putchar('\n');
    config_errors_clear(&errors);
    hocon_tree_release(tree);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        dump(argv[i]);
    return 0;
}
