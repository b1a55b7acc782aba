/* base/id.c - random identifiers and readable run names. */
#include "base/id.h"
#include "base/rand.h"
#include <stdio.h>
#include <string.h>

void id_hex(const void *p, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = p;

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = 0;
}

void id_hex32(char out[33])
{
    unsigned char b[16];

    rand_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    id_hex(b, sizeof(b), out);
}

void id_timed(int64_t ms, const unsigned char random[ID_TIMED_RANDOM], char out[33])
{
    unsigned char b[16];

    for (int i = 0; i < 6; i++) {
        b[i] = (unsigned char)((uint64_t)ms >> (40 - 8 * i));
    }
    memcpy(b + 6, random, ID_TIMED_RANDOM);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x70); /* version 7 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80); /* variant of RFC 9562 */
    id_hex(b, sizeof(b), out);
}

/* At most 7 letters each: 7 + 1 + 7 + 1 + 4 = 20 characters with the number. */
static const char adjectives[][8] = {
    "amber",  "ancient", "autumn",  "bold",  "brave",  "bright", "calm",   "candid", "clear",
    "clever", "copper",  "crisp",   "deep",  "eager",  "early",  "fair",   "fleet",  "frosty",
    "gentle", "golden",  "grand",   "green", "hardy",  "hidden", "humble", "jolly",  "keen",
    "kind",   "lively",  "lofty",   "loyal", "lucid",  "merry",  "mild",   "misty",  "mossy",
    "noble",  "patient", "placid",  "proud", "quick",  "quiet",  "rapid",  "rugged", "rustic",
    "serene", "silent",  "silver",  "sober", "spruce", "steady", "stony",  "sunlit", "swift",
    "tidy",   "upbeat",  "valiant", "windy",
};
static const char nouns[][8] = {
    "alder",  "badger", "beacon", "bear",   "birch",   "boulder", "brook",   "canyon", "cedar",
    "cliff",  "comet",  "cove",   "crane",  "crest",   "delta",   "dune",    "eagle",  "falcon",
    "fern",   "fjord",  "forest", "fox",    "glacier", "glade",   "granite", "grove",  "harbor",
    "hare",   "heron",  "hill",   "island", "juniper", "lake",    "lark",    "lynx",   "maple",
    "marten", "meadow", "moor",   "oak",    "orchid",  "otter",   "owl",     "pebble", "pine",
    "raven",  "reef",   "ridge",  "river",  "slate",   "spring",  "summit",  "thrush", "tundra",
    "valley", "willow", "wolf",   "wren",
};

void id_run_name(uint64_t r, char out[24])
{
    /* That 2^64 is no multiple of their numbers does not show. */
    const char *adjective = adjectives[r % ARRAY_N(adjectives)];
    const char *noun = nouns[r / ARRAY_N(adjectives) % ARRAY_N(nouns)];

    snprintf(out, 24, "%s-%s-%u", adjective, noun, (unsigned)((r >> 32) % 1001));
}
