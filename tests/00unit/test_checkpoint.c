/* test_checkpoint.c - which names are those of checkpoints, and what of a source is a secret. */
#include "base/mem.h"
#include "core/checkpoint.h"
#include "core/model_source.h"
#include "tap.h"

TEST(names_of_checkpoints)
{
    static const struct {
        const char *folder, *name, *stem, *pattern;
        int64_t step, epoch; /* -1: none */
    } cases[] = {
        { "", "epoch_3", "epoch_3", "epoch_*", 3, 3 },
        { "", "checkpoint-500", "checkpoint-500", "checkpoint-*", 500, -1 },
        { "", "epoch=3-step=500.ckpt", "epoch=3-step=500", "epoch=*-step=*.ckpt", 500, 3 },
        { "", "step_7_epoch_2", "step_7_epoch_2", "step_*_epoch_*", 7, 2 },
        { "", "global_step120", "global_step120", "global_step*", 120, -1 },
        { "", "ckpt-12.data-00000-of-00001", "ckpt-12", "ckpt-*.data-00000-of-00001", 12, -1 },
        { "", "model_ITER_000500.pt", "model_ITER_000500", "model_ITER_*.pt", 500, -1 },
        { "", "iteration.9", "iteration.9", "iteration.*", 9, -1 },
        { "", "Step 5", NULL, "Step 5", 0, 0 },
        { "", "steps-5", "steps-5", "steps-*", 5, -1 },
        { "a/checkpoints", "700", "700", "700", 700, -1 },
        { "CKPTS", "0012", "0012", "0012", 12, -1 },
        { "a", "700", NULL, "700", 0, 0 },
        { "checkpoints", "700.tmp", NULL, "700.tmp", 0, 0 },
        { "", "misstep3", NULL, "misstep3", 0, 0 },
        { "", "epoch", NULL, "epoch", 0, 0 },
        { "", "epoch_", NULL, "epoch_", 0, 0 },
        { "", "epoch_3a", NULL, "epoch_3a", 0, 0 },
        { "", "epoch__3", NULL, "epoch__3", 0, 0 },
        { "", "step_9223372036854775808", NULL, "step_9223372036854775808", 0, 0 },
        { "", "step_9223372036854775807", "step_9223372036854775807", "step_*", INT64_MAX, -1 },
        { "", "checkpoint", NULL, "checkpoint", 0, 0 },
        { "", "checkpoint_epoch_4.pt", "checkpoint_epoch_4", "checkpoint_epoch_*.pt", 4, 4 },
        { "checkpoints", "latest_checkpoint.pth", "latest_checkpoint", "latest_checkpoint.pth", -1,
          -1 },
        { "x", "latest_checkpoint.pth", NULL, "latest_checkpoint.pth", 0, 0 },
        { "", "\xc3\xa9step_3", NULL, "\xc3\xa9step_3", 0, 0 },
        { "", "", NULL, "", 0, 0 },
    };
    struct arena *a = arena_new(1 << 20);

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct str name = str_cstr(cases[i].name);
        struct checkpoint_name got;
        bool is = checkpoint_name_parse(str_cstr(cases[i].folder), name, &got);

        T_STR_EQ(checkpoint_pattern(a, name), str_cstr(cases[i].pattern));
        T_OK(is == (cases[i].stem != NULL));
        if (!is || !cases[i].stem) {
            continue;
        }
        T_STR_EQ(str_sub(name, 0, got.stem_n), str_cstr(cases[i].stem));
        T_INT(got.has_step ? got.step : -1, cases[i].step);
        T_INT(got.has_epoch ? got.epoch : -1, cases[i].epoch);
    }
    T_STR_EQ(checkpoint_pattern(a, S("checkpoints/700/epoch_3/x.pt")),
             S("checkpoints/*/epoch_*/x.pt"));
    arena_free(a);
}

/* Any text: the stem lies in the name, a pattern of a pattern is itself, and the stem alone is a name with the same numbers. */
TEST(any_name)
{
    static const char *const pieces[] = { "epoch", "_",    "step", "3", "=",          "-",
                                          "/",     "500",  "ckpt", ".", "check",      "pt",
                                          "it",    "er",   "99",   "*", "e",          "0",
                                          "S",     "\xc3", "\xa9", " ", "global_step" };
    struct arena *a = arena_new(1 << 20);

    for (int round = 0; round < 20000; round++) {
        char text[128];
        size_t n = 0;
        struct checkpoint_name got, again;
        struct str name, pattern;

        for (uint64_t k = t_rand() % 9; k > 0; k--) {
            const char *p = pieces[t_rand() % ARRAY_N(pieces)];

            memcpy(text + n, p, strlen(p));
            n += strlen(p);
        }
        name = str_of(text, n);
        arena_reset(a);
        pattern = checkpoint_pattern(a, name);
        T_OK(pattern.p != NULL);
        if (!checkpoint_name_parse(S("checkpoints"), name, &got)) {
            continue;
        }
        T_OK(got.stem_n > 0 && got.stem_n <= n);
        T_OK(checkpoint_name_parse(S("checkpoints"), str_sub(name, 0, got.stem_n), &again));
        T_OK(again.step == got.step && again.epoch == got.epoch && again.stem_n == got.stem_n);
    }
    arena_free(a);
}

TEST(secrets_of_sources)
{
    static const char *const cases[][2] = {
        { "s3://bucket/a", "s3://bucket/a" },
        { "s3://key:secret@bucket/a", "s3://key:***@bucket/a" },
        { "s3://key:se@cret@bucket/a", "s3://key:***@bucket/a" },
        { "https://token@host/a", "https://***@host/a" },
        { "HTTP://u:p@h", "HTTP://u:***@h" },
        { "sftp://user@host/a", "sftp://user@host/a" },
        { "abfss://fs@acct.dfs.core.windows.net/a", "abfss://fs@acct.dfs.core.windows.net/a" },
        { "//u:p@h/a", "//u:***@h/a" },
        { "https://h/a@b:c", "https://h/a@b:c" },
        { "https://h/a?x=1&sig=abc&y=2", "https://h/a?x=1&sig=***&y=2" },
        { "https://h/a?SIG=abc#token=def", "https://h/a?SIG=***#token=***" },
        { "https://u:p@h/a?password=x;secret=y", "https://u:***@h/a?password=***;secret=***" },
        { "https://h/a?%73ig=abc", "https://h/a?%73ig=***" },
        { "https://h/a?sig=", "https://h/a?sig=" },
        { "https://h/a?sig", "https://h/a?sig" },
        { "https://h/a?design=abc", "https://h/a?design=abc" },
        { "models:/a?token=b/1", "models:/a?token=b/1" },
        { "/data/a?token=b", "/data/a?token=b" },
        { "https://:@h/a", "https://:@h/a" },
        { "https://@h/a", "https://@h/a" },
        { "", "" },
    };
    struct arena *a = arena_new(1 << 20);

    for (size_t i = 0; i < ARRAY_N(cases); i++) {
        struct str s = str_cstr(cases[i][0]);

        T_OK(source_redact(a, &s));
        T_STR_EQ(s, str_cstr(cases[i][1]));
        T_OK(source_redact(a, &s));
        T_STR_EQ(s, str_cstr(cases[i][1]));
    }
    arena_free(a);
}
