/* cli/completion.c - completion scripts for shells, made from the table of commands. */
#include "cli/cli_int.h"
#include "cli/commands.h"

enum { SCRIPT_MAX = 1 << 20 };

/* First row of this noun? Then it stands for the noun. */
static bool is_first(const struct cli *cli, const struct cli_command *c)
{
    const struct cli_command *other;
    size_t t = 0, r = 0;

    for (other = cli_next(cli, &t, &r); other && other != c; other = cli_next(cli, &t, &r)) {
        if (strcmp(other->noun, c->noun) == 0) {
            return false;
        }
    }
    return true;
}

static void put_nouns(struct buf *b, const struct cli *cli)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        if (is_first(cli, c)) {
            buf_printf(b, "%s ", c->noun);
        }
    }
}

/* First words of the verbs of a noun. */
static void put_verbs(struct buf *b, const struct cli *cli, const char *noun)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        if (strcmp(c->noun, noun) == 0 && c->verb) {
            buf_printf(b, "%.*s ", (int)strcspn(c->verb, " "), c->verb);
        }
    }
}

static void put_flags(struct buf *b, const struct cli *cli, const char *noun)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    for (size_t i = 0; i < cli_global_rows_n; i++) {
        buf_printf(b, "--%s ", cli_global_rows[i].name);
    }
    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        for (size_t i = 0; strcmp(c->noun, noun) == 0 && i < c->opts_n; i++) {
            buf_printf(b, "--%s ", c->opts[i].name);
        }
    }
}

static void put_cases(struct buf *b, const struct cli *cli,
                      void (*put)(struct buf *b, const struct cli *cli, const char *noun))
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        if (is_first(cli, c)) {
            buf_printf(b, "        %s) words=\"", c->noun);
            put(b, cli, c->noun);
            buf_put_lit(b, "\" ;;\n");
        }
    }
}

static void put_bash(struct buf *b, const struct cli *cli)
{
    buf_put_lit(
        b, "# cairn completion bash\n"
           "_cairn() {\n"
           "    local cur=\"${COMP_WORDS[COMP_CWORD]}\" noun=\"${COMP_WORDS[1]:-}\" words=\"\"\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        words=\"");
    put_nouns(b, cli);
    buf_put_lit(b, "\"\n"
                   "    elif [ \"${cur#-}\" != \"$cur\" ]; then\n"
                   "        case $noun in\n");
    put_cases(b, cli, put_flags);
    buf_put_lit(b, "        esac\n"
                   "    elif [ \"$COMP_CWORD\" -eq 2 ]; then\n"
                   "        case $noun in\n");
    put_cases(b, cli, put_verbs);
    buf_put_lit(
        b, "        esac\n"
           "    fi\n"
           "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
           "    [ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
           "}\n"
           "complete -F _cairn cairn\n");
}

static void put_zsh(struct buf *b, const struct cli *cli)
{
    buf_put_lit(b, "#compdef cairn\n"
                   "_cairn() {\n"
                   "    local noun=\"${words[2]}\" cur=\"${words[CURRENT]}\"\n"
                   "    local words_line=\"\"\n"
                   "    pick() {\n"
                   "        local words=\"\"\n"
                   "        case $1 in\n");
    put_cases(b, cli, put_verbs);
    buf_put_lit(b, "        esac\n"
                   "        print -r -- \"$words\"\n"
                   "    }\n"
                   "    flags() {\n"
                   "        local words=\"\"\n"
                   "        case $1 in\n");
    put_cases(b, cli, put_flags);
    buf_put_lit(b, "        esac\n"
                   "        print -r -- \"$words\"\n"
                   "    }\n"
                   "    if (( CURRENT == 2 )); then\n"
                   "        words_line=\"");
    put_nouns(b, cli);
    buf_put_lit(b, "\"\n"
                   "    elif [[ $cur == -* ]]; then\n"
                   "        words_line=\"$(flags $noun)\"\n"
                   "    elif (( CURRENT == 3 )); then\n"
                   "        words_line=\"$(pick $noun)\"\n"
                   "    fi\n"
                   "    if [[ -n $words_line ]]; then compadd -- ${=words_line}; else _files; fi\n"
                   "}\n"
                   "compdef _cairn cairn\n");
}

/* Text in single quotes of fish. */
static void put_fish_text(struct buf *b, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p == '\'' || *p == '\\') {
            buf_put_u8(b, '\\');
        }
        buf_put_u8(b, (unsigned char)*p);
    }
}

static void put_fish(struct buf *b, const struct cli *cli)
{
    const struct cli_command *c;
    size_t t = 0, r = 0;

    buf_put_lit(b, "# cairn completion fish\ncomplete -c cairn -e\n");
    for (size_t i = 0; i < cli_global_rows_n; i++) {
        buf_printf(b, "complete -c cairn -l %s%s -d '", cli_global_rows[i].name,
                   opt_takes_value(&cli_global_rows[i]) ? " -r" : "");
        put_fish_text(b, cli_global_rows[i].doc);
        buf_put_lit(b, "'\n");
    }
    for (c = cli_next(cli, &t, &r); c; c = cli_next(cli, &t, &r)) {
        if (is_first(cli, c)) {
            buf_printf(b, "complete -c cairn -n __fish_use_subcommand -f -a %s\n", c->noun);
        }
        if (c->verb) {
            buf_printf(b, "complete -c cairn -n '__fish_seen_subcommand_from %s' -f -a %.*s -d '",
                       c->noun, (int)strcspn(c->verb, " "), c->verb);
            put_fish_text(b, c->summary);
            buf_put_lit(b, "'\n");
        }
        for (size_t i = 0; i < c->opts_n; i++) {
            buf_printf(b, "complete -c cairn -n '__fish_seen_subcommand_from %s' -l %s%s -d '",
                       c->noun, c->opts[i].name, opt_takes_value(&c->opts[i]) ? " -r" : "");
            put_fish_text(b, c->opts[i].doc);
            buf_put_lit(b, "'\n");
        }
    }
}

int completion(struct cli *cli)
{
    static const struct {
        const char *shell;
        void (*put)(struct buf *b, const struct cli *cli);
    } shells[] = { { "bash", put_bash }, { "zsh", put_zsh }, { "fish", put_fish } };
    struct buf b = BUF_INIT(SCRIPT_MAX);
    struct err err = ERR_INIT;
    enum status st = ST_INVALID;

    for (size_t i = 0; i < ARRAY_N(shells); i++) {
        if (strcmp(shells[i].shell, cli->args[0]) == 0) {
            shells[i].put(&b, cli);
            st = buf_status(&b, "completion", &err);
            break;
        }
    }
    if (st == ST_INVALID) {
        st = err_set(&err, ST_INVALID, "there is no completion for %s", cli->args[0]);
        err_hint(&err, "give bash, zsh or fish");
    }
    if (!st) {
        out_write(OUT_STDOUT, buf_str(&b));
    }
    buf_release(&b);
    return st ? cli_fail(cli, st, &err) : CLI_DONE;
}
