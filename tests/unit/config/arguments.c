/* The command line of ringmqd. Its code is included: the programs are not a library. */
#include "support.h"

#include <unistd.h>

#include "cmd/ringmqd_config.c"

static int parse(const char *const *words, struct ringmqd_arguments *ret_arguments)
{
    static char written[16][64]; /* as main()'s, which may be written to */
    char *argv[17];
    int argc = 0;
    for (; words[argc]; argc++) {
        snprintf(written[argc], sizeof written[argc], "%s", words[argc]);
        argv[argc] = written[argc];
    }
    argv[argc] = NULL;
    freopen("/dev/null", "w", stderr);
    int stdout_copy = dup(1);
    freopen("/dev/null", "w", stdout);
    int status = ringmqd_arguments_parse(argc, argv, ret_arguments);
    fflush(stdout);
    dup2(stdout_copy, 1);
    close(stdout_copy);
    return status;
}

Test(arguments, all)
{
    struct ringmqd_arguments arguments;
    cr_assert_eq(parse(LIST("ringmqd", "-c", "a", "--set", "x=1", "--config=b", "--set=y=2", "--check"), &arguments), -1);
    cr_assert_eq(arguments.action, RINGMQD_CHECK);
    cr_assert_eq(arguments.files_count, 2);
    cr_assert_str_eq(arguments.files[1], "b");
    cr_assert_eq(arguments.sets_count, 2);
    cr_assert_str_eq(arguments.sets[1], "y=2");
    ringmqd_arguments_release(&arguments);
    cr_assert_eq(parse(LIST("ringmqd"), &arguments), -1);
    cr_assert_eq(arguments.action, RINGMQD_RUN);
    ringmqd_arguments_release(&arguments);
}

Test(arguments, ends)
{
    struct ringmqd_arguments arguments;
    static const char *const said[] = {"--help", "-h", "--version", "--print-sample", "--print-config-docs", "--print-config-man", "--help=man", "--help=bash", "--help=zsh"};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        cr_assert_eq(parse(LIST("ringmqd", said[i]), &arguments), 0, "%s", said[i]);
    static const char *const wrong[] = {"--nope", "file.conf", "--set", "--set=x", "-c"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_assert_eq(parse(LIST("ringmqd", wrong[i]), &arguments), RINGMQD_EXIT_USAGE, "%s", wrong[i]);
}

Test(arguments, usual_file)
{
    struct ringmqd_arguments arguments = {0};
    struct config *config;
    file_write("other.conf", "node.shards = 5");
    file_write("ringmq.conf", "node.shards = 4");
    freopen("/dev/null", "w", stderr);
    cr_assert(ringmqd_config_load(&arguments, &config));
    cr_assert_eq(config_settings(config)->node.shards, 4);
    config_release(config);
    const char *other = "other.conf";
    arguments = (struct ringmqd_arguments){.files = &other, .files_count = 1};
    cr_assert(ringmqd_config_load(&arguments, &config));
    cr_assert_eq(config_settings(config)->node.shards, 5);
    config_release(config);
    const char *exposed = "listeners.tcp.default.bind=1883";
    arguments = (struct ringmqd_arguments){.sets = &exposed, .sets_count = 1};
    cr_assert_not(ringmqd_config_load(&arguments, &config));
    file_write("ringmq.conf", "node.shards = x");
    arguments = (struct ringmqd_arguments){0};
    cr_assert_not(ringmqd_config_load(&arguments, &config));
}
