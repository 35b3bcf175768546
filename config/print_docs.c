/* docs/configuration.md: the language in prose, the keys from the table. */
#include "config/print.h"
#include "config/types.h"

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "Made by `ringmqd --print-config-docs` from `config/schema.c`; a test fails when this file is stale.\n"
    "\n"
    "## Where values come from\n"
    "Each source wins over those before it:\n"
    "\n"
    "1. the defaults below;\n"
    "2. files: `ringmqd --config FILE`, repeatable, a later file wins. Without it `./ringmq.conf` is read if there is one, else\n"
    "   `/etc/ringmq/ringmq.conf` if there is one;\n"
    "3. the environment: `RINGMQ__NODE__SHARDS=2` is `node.shards = 2`. `__` goes a level down; case does not matter;\n"
    "4. the command line: `--set node.shards=2`, repeatable, the last wins.\n"
    "\n"
    "Values in the environment and behind `--set` need no quotes: `--set listeners.tcp.default.bind=127.0.0.1:1884`. One that begins\n"
    "with `\"`, stands in `{ }` or `[ ]`, or holds `${` is read as HOCON.\n"
    "\n"
    "| command | does |\n"
    "|---|---|\n"
    "| `ringmqd --check` | says whether the configuration is valid; lists up to 20 mistakes with file, line and column; exit status 0 or 1 |\n"
    "| `ringmqd --print-effective` | prints every key, its value and where it comes from; secrets are masked |\n"
    "| `ringmqd --print-sample` | prints a `ringmq.conf` with everything in it, commented out |\n"
    "| `ringmqd --print-config-docs` | prints this page (`--print-config-man`: as the man page ringmq.conf(5)) |\n"
    "\n"
    "## The language\n"
    "HOCON, which is JSON with less punctuation:\n"
    "\n"
    "```hocon\n"
    "# a comment; // is one, too\n"
    "node { shards = 2, name = \"edge-7\" }      # commas and new lines separate; = and : are the same\n"
    "mqtt.max_packet_size = 4MiB               # a path as a key\n"
    "mqtt { max_inflight = 64 }                # objects merge; of two values for one key the later wins\n"
    "include \"site.conf\"                       # relative to this file; a missing file is ignored\n"
    "include required(file(\"/etc/ringmq/listeners.conf\"))  # this one must exist\n"
    "node.name = \"ringmq-\"${?HOSTNAME}          # another key or a variable of the environment; ${?x} may be missing\n"
    "```\n"
    "\n"
    "- Strings need quotes when they have one of ``$ \" { } [ ] : = , + # ` ^ ? ! @ * & \\`` or `//` in them. Inside quotes `\\\"`, `\\\\`,\n"
    "  `\\n`, `\\u00e9` … stand for a character; inside `\"\"\"three\"\"\"` nothing does, and lines may end. `${x}` is never replaced inside\n"
    "  quotes: put the pieces side by side.\n"
    "- `+=` adds an item to a list. `a = ${a} more` refers to the `a` before. `null` takes a key back to its default.\n"
    "- Substitutions look at everything that was read, so a value given by `--set` counts in a file, too.\n"
    "- Left out of HOCON: `include url(…)` and `classpath(…)`, `${X[]}`, `.properties` files, and an array as the whole file.\n"
    "- Bounds: a file 4 MiB; 256 files, 16 included in one another; 64 objects and arrays in one another; 256 substitutions that\n"
    "  depend on one another; 1,048,576 values and 64 MiB in all.\n"
    "\n"
    "## Types\n"
    "| type | examples |\n"
    "|---|---|\n"
    "| boolean | `true` `false`, also `on` `off` `yes` `no` |\n"
    "| whole number | `1024` |\n"
    "| size | `1MiB` `512k` `1.5GiB` `300` (bytes). `k`, `M`, `G` and `KiB`, `MiB`, `GiB` are powers of 1024; `kB`, `MB`, `GB` powers of 1000 |\n"
    "| duration | `50us` `10ms` `5s` `2m` `1h30m` `7d` `1w`. A number without a unit is refused, except 0: it would mean milliseconds in HOCON and seconds in Mosquitto |\n"
    "| rate | `1000/s` `600/m` |\n"
    "| one of several words | in any case; `-` and `_` are the same |\n"
    "| string | `\"/var/lib/ringmq\"` |\n"
    "| secret | a string that is never printed; `\"file:///run/secrets/x\"` takes the content of that file without the newline at its end |\n"
    "\n"
    "`infinity` stands for \"no limit\" where a limit may be missing; so does 0 unless the key says otherwise.\n"
    "\n"
    "## Reload\n"
    "On SIGHUP the sources are read again. When there is a mistake nothing changes. Otherwise the keys marked *reload* take effect at\n"
    "once, and the log names those that wait for a restart.\n"
    "\n"
    "## Listening to other machines\n"
    "The default listener is reachable from this machine only. A listener on any other address is refused at start as long as no\n"
    "authentication is configured, because anybody could connect:\n"
    "\n"
    "```\n"
    "ringmq.conf:3:10: `listeners.tcp.default.bind` is \"0.0.0.0:1883\", which other machines can reach, and no authentication …\n"
    "```\n"
    "\n"
    "If that is what you want, say so: `mqtt.allow_anonymous = true`.\n";

/* Which kinds of listeners have the key, and what those called default have. */
static void print_kinds(const struct schema_key *key, FILE *file)
{
    if (!schema_of_listener(key)) return;
    const char *before = "Listeners: ";
    for (int kind = 0; kind < LISTENER_KINDS; kind++) {
        if (!(key->kinds >> kind & 1)) continue;
        fprintf(file, "%s%s", before, listener_kind_names[kind]);
        if (key->default_of_default && key->default_of_default[kind])
            fprintf(file, " (`default`: `\"%s\"`)", key->default_of_default[kind]);
        before = ", ";
    }
    fputs(". ", file);
}

static void print_key(const struct schema_key *key, FILE *file)
{
    char wanted[512];
    type_describe(key, wanted, sizeof wanted);
    fprintf(file, "\n### `%s`\n", key->path);
    fprintf(file, "%s", key->default_text ? "Default: `" : "Must be given. ");
    if (key->default_text) {
        print_default(key, NULL, file);
        fputs("`. ", file);
    }
    print_kinds(key, file);
    fprintf(file, "%c%s. *%s.*\n\n", wanted[0] >= 'a' && wanted[0] <= 'z' && key->type != TYPE_ENUM && key->type != TYPE_BOOL
                                        ? wanted[0] - 'a' + 'A' : wanted[0], wanted + 1, key->reloadable ? "reload" : "restart");
    print_wrapped(file, "", key->documentation);
}

void config_print_docs(FILE *file)
{
    fputs(introduction, file);
    const struct schema *schema = config_schema();
    for (size_t i = 0; i < schema->sections_count; i++) {
        const struct schema_section *section = &schema->sections[i];
        fprintf(file, "\n## `%s`\n", section->path);
        print_wrapped(file, "", section->documentation);
        for (size_t j = 0; j < schema->keys_count; j++)
            if (print_in_section(schema, &schema->keys[j], section)) print_key(&schema->keys[j], file);
    }
}
