/* Completion for bash and zsh: data from the tables of options, a fixed part that uses it.
 *
 * bash gets associative arrays, keyed by the words that name a program ("ringmq pub"):
 *   _ringmq_options[WHO]    its options          _ringmq_values["WHO OPTION"]   what the option's value may be, see value_kind()
 *   _ringmq_first[WHO]      the first word that is no option                    _ringmq_others[WHO]   those behind it
 * zsh gets a function of _arguments lines for each. */
#include <stdio.h>
#include <string.h>

#include "cmd/ringmq.h"
#include "cmd/ringmq_manual.h"

#define CHOICES_MAX 8 /* a number with no more values than that is a list of words */

static bool has_commands(void)
{
    return strchr(say_who, ' ') != NULL; /* "ringmq pub" is a part of a script, "ringmqd" is one of its own */
}

/* ---- bash ------------------------------------------------------------------------------------------------------- */

/* FILE, DIRECTORY, HOST and KEY=VALUE become @file …; words between | words; anything else @text: nothing to offer. "[SECONDS]",
 * which may be left out, is nothing. */
static void print_bash_kind(const char *value, const struct option *option)
{
    static const char *const kinds[][2] = {{"FILE", "@file"}, {"DIRECTORY", "@directory"}, {"HOST", "@host"}, {"KEY=VALUE", "@key"}};
    if (option && option->kind == OPTION_NUMBER && option->max - option->min < CHOICES_MAX) {
        for (uint32_t number = option->min; number <= option->max; number++)
            printf("%s%u", number > option->min ? " " : "", number);
        return;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(value, kinds[i][0]) != 0) continue;
        fputs(kinds[i][1], stdout);
        return;
    }
    if (!strchr(value, '|')) {
        fputs("@text", stdout);
        return;
    }
    for (; *value; value++)
        putchar(*value == '|' ? ' ' : *value);
}

static bool of_every_program(const struct option *option)
{
    return option->name && (strcmp(option->name, "help") == 0 || strcmp(option->name, "version") == 0);
}

static void print_bash_data(const struct option_program *program)
{
    const char *who = has_commands() ? strchr(say_who, ' ') + 1 : say_who;
    printf("_ringmq_options[%s]='", who);
    for (uint32_t g = 0; g < program->groups_count; g++)
        for (uint32_t i = 0; i < program->groups[g].count; i++) {
            const struct option *option = &program->groups[g].options[i];
            if (option->name && !of_every_program(option)) printf("--%s ", option->name);
            if (option->letter) printf("-%c ", option->letter);
        }
    puts("--help --version'");
    for (uint32_t g = 0; g < program->groups_count; g++)
        for (uint32_t i = 0; i < program->groups[g].count; i++) {
            const struct option *option = &program->groups[g].options[i];
            if (!option->value || option->value[0] == '[') continue;
            for (int form = 0; form < 2; form++) {
                if (form == 0 ? !option->letter : !option->name) continue;
                printf("_ringmq_values[%s ", who);
                if (form == 0)
                    printf("-%c", option->letter);
                else
                    printf("--%s", option->name);
                fputs("]='", stdout);
                print_bash_kind(option->value, option);
                puts("'");
            }
        }
    const char *const words[][2] = {{"first", program->first}, {"others", program->others}};
    for (size_t i = 0; i < 2; i++) {
        if (!words[i][1]) continue;
        printf("_ringmq_%s[%s]='", words[i][0], who);
        print_bash_kind(words[i][1], NULL);
        puts("'");
    }
}

static const char bash_head[] =
    "# bash completion for %s, made by the program itself\n"
    "declare -gA _ringmq_options _ringmq_values _ringmq_first _ringmq_others\n";

static const char bash_tail[] =
    "\n"
    "_ringmq_offer() { # KIND WORD\n"
    "    case $1 in\n"
    "    '' | @text) ;;\n"
    "    @file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$2\") ;;\n"
    "    @directory) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$2\") ;;\n"
    "    @host) mapfile -t COMPREPLY < <(compgen -A hostname -- \"$2\") ;;\n"
    "    @key)\n"
    "        compopt -o nospace\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(\"${COMP_WORDS[0]}\" --print-effective 2>/dev/null | sed -n 's/ = .*/=/p')\" -- \"$2\")\n"
    "        ;;\n"
    "    *) mapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$2\") ;;\n"
    "    esac\n"
    "}\n"
    "\n"
    "_ringmq_complete() {\n"
    "    local who=${1##*/} word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} first=1 at seen=0\n"
    "    COMPREPLY=()\n"
    "    if [ \"$who\" = ringmq ]; then\n"
    "        if [ \"$COMP_CWORD\" = 1 ]; then _ringmq_offer \"${_ringmq_first[ringmq]} ${_ringmq_options[ringmq]}\" \"$word\"; return; fi\n"
    "        who=${COMP_WORDS[1]} first=2\n"
    "    fi\n"
    "    [ -n \"$who\" ] || return\n"
    "    # --name=value comes as three words\n"
    "    if [ \"$word\" = = ]; then word=''; elif [ \"$before\" = = ]; then before=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
    "    # words that name a command of a command: `ringmq ctl clients list`\n"
    "    for ((at = first; at < COMP_CWORD; at++)); do\n"
    "        case ${COMP_WORDS[at]} in\n"
    "        -*) [ -n \"${_ringmq_values[$who ${COMP_WORDS[at]}]-}\" ] && at=$((at + 1)) ;;\n"
    "        *)\n"
    "            if [ -n \"${_ringmq_options[$who ${COMP_WORDS[at]}]-}${_ringmq_first[$who ${COMP_WORDS[at]}]-}\" ]; then who=\"$who ${COMP_WORDS[at]}\" seen=0\n"
    "            else seen=$((seen + 1)); fi\n"
    "            ;;\n"
    "        esac\n"
    "    done\n"
    "    if [ \"$COMP_CWORD\" -gt \"$first\" ] && [ -n \"${_ringmq_values[$who $before]-}\" ]; then\n"
    "        _ringmq_offer \"${_ringmq_values[$who $before]}\" \"$word\"\n"
    "        return\n"
    "    fi\n"
    "    case $word in -*) _ringmq_offer \"${_ringmq_options[$who]-${_ringmq_options[${who%%%% *}]-}}\" \"$word\"; return ;; esac\n"
    "    if [ \"$seen\" = 0 ]; then _ringmq_offer \"${_ringmq_first[$who]-}\" \"$word\"\n"
    "    else _ringmq_offer \"${_ringmq_others[$who]-}\" \"$word\"; fi\n"
    "}\n"
    "complete -F _ringmq_complete %s\n";

void completion_print_bash(const struct option_program *program)
{
    if (!has_commands()) printf(bash_head, say_who);
    print_bash_data(program);
    if (!has_commands()) printf(bash_tail, say_who);
}

/* ---- zsh -------------------------------------------------------------------------------------------------------- */

/* Inside '…' and [ ] of an _arguments line; only the first line of help. */
static void print_zsh_text(const char *text, bool message)
{
    for (; *text && (!message || *text != '\n'); text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr("[]:\\", *text))
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void print_zsh_value(const char *value, const struct option *option)
{
    static const char *const actions[][2] = {{"FILE", "_files"}, {"DIRECTORY", "_files -/"}, {"HOST", "_hosts"}};
    const char *action = " ";
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(value, actions[i][0]) == 0) action = actions[i][1];
    bool numbers = option && option->kind == OPTION_NUMBER && option->max - option->min < CHOICES_MAX;
    bool words = strchr(value, '|');
    putchar(':');
    if (words && !numbers)
        fputs("one of", stdout);
    else
        print_zsh_text(value, true);
    putchar(':');
    if (numbers) {
        putchar('(');
        for (uint32_t number = option->min; number <= option->max; number++)
            printf("%s%u", number > option->min ? " " : "", number);
        putchar(')');
    } else if (words) {
        putchar('(');
        for (; *value; value++)
            putchar(*value == '|' ? ' ' : *value);
        putchar(')');
    } else {
        fputs(action, stdout);
    }
}

/* "COMMAND PROPERTY VALUE" are three. */
static void print_zsh_values(const struct option *option)
{
    char value[64];
    const char *at = option->value;
    if (*at == '[') {
        snprintf(value, sizeof value, "%.*s", (int)strcspn(at + 1, "]"), at + 1);
        putchar(':'); /* one more: it may be left out */
        print_zsh_value(value, NULL);
        return;
    }
    while (*at) {
        size_t bytes = strcspn(at, " ");
        snprintf(value, sizeof value, "%.*s", (int)bytes, at);
        print_zsh_value(value, option);
        at += bytes + (at[bytes] == ' ');
    }
}

static void print_zsh_option(const struct option *option)
{
    bool repeats = option->kind == OPTION_LIST || option->kind == OPTION_CALL;
    for (int form = 0; form < 2; form++) {
        if (form == 0 ? !option->letter : !option->name) continue;
        fputs(" \\\n        '", stdout);
        if (repeats)
            putchar('*');
        else if (option->letter && option->name)
            printf("(-%c --%s)", option->letter, option->name);
        if (form == 0)
            printf("-%c%s", option->letter, option->value && option->value[0] != '[' ? "+" : "");
        else
            printf("--%s%s", option->name, option->value && option->value[0] != '[' && !strchr(option->value, ' ') ? "=" : "");
        putchar('[');
        print_zsh_text(option->help, true);
        putchar(']');
        if (option->value) print_zsh_values(option);
        putchar('\'');
    }
}

void completion_print_zsh(const struct option_program *program)
{
    if (!has_commands()) printf("#compdef %s\n# zsh completion, made by the program itself\n", say_who);
    printf("_ringmq_%s() {\n    _arguments -s -S", has_commands() ? strchr(say_who, ' ') + 1 : say_who);
    for (uint32_t g = 0; g < program->groups_count; g++)
        for (uint32_t i = 0; i < program->groups[g].count; i++)
            if (!of_every_program(&program->groups[g].options[i])) print_zsh_option(&program->groups[g].options[i]);
    fputs(" \\\n        '--help[print the help, and end]' \\\n        '--version[print the version, and end]'", stdout);
    const char *const words[] = {program->first, program->others};
    for (size_t i = 0; i < 2; i++) {
        if (!words[i]) continue;
        printf(" \\\n        '%s", i == 0 ? "1" : "*");
        print_zsh_value(words[i], NULL);
        putchar('\'');
    }
    puts("\n}");
    if (!has_commands()) printf("_ringmq_%s \"$@\"\n", say_who);
}

/* ---- ringmq itself ---------------------------------------------------------------------------------------------- */

static void print_parts(const struct manual_command *commands, uint32_t count, char *how)
{
    for (uint32_t i = 0; i < count; i++) {
        char *arguments[] = {(char *)commands[i].name, how, NULL};
        say_who = commands[i].says;
        commands[i].run(2, arguments);
    }
}

bool completion_print_commands(const char *shell, const struct manual_command *commands, uint32_t count)
{
    static const char head[] = "#compdef ringmq\n# zsh completion, made by the program itself\n";
    if (strcmp(shell, "bash") == 0) {
        printf(bash_head, "ringmq");
        fputs("_ringmq_options[ringmq]='--help --version --completion'\n_ringmq_first[ringmq]='", stdout);
        for (uint32_t i = 0; i < count; i++)
            printf("%s%s", i ? " " : "", commands[i].name);
        puts("'");
        print_parts(commands, count, "--help=bash");
        printf(bash_tail, "ringmq");
        return true;
    }
    if (strcmp(shell, "zsh") != 0) return false;
    fputs(head, stdout);
    print_parts(commands, count, "--help=zsh");
    fputs("_ringmq() {\n    local -a commands=(", stdout);
    for (uint32_t i = 0; i < count; i++) {
        printf("\n        '%s:", commands[i].name);
        print_zsh_text(commands[i].summary, true);
        putchar('\'');
    }
    fputs("\n    )\n"
          "    if ((CURRENT == 2)); then\n"
          "        _describe -t commands subcommand commands\n"
          "        _arguments '--help[print the help, and end]' '--version[print the version, and end]' \\\n"
          "            '--completion[print a script for this shell]:shell:(bash zsh)'\n"
          "    elif (($+functions[_ringmq_$words[2]])); then\n"
          "        local command=$words[2]\n"
          "        shift words\n"
          "        ((CURRENT--))\n"
          "        _ringmq_$command\n"
          "    fi\n"
          "}\n"
          "_ringmq \"$@\"\n",
          stdout);
    return true;
}
