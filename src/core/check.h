/* core/check.h - every invariant of a store, checked on its rows alone.
 * The rows are read on one connection; what is in the log above the watermark is decoded, not applied: a row of a run must agree
 * with the packs up to its own version. Bytes outside SQL are the blob store's to check.
 * Ownership: texts given to the reporter live until it returns. Thread rule: a pool thread or a command. */
#ifndef CAIRN_CORE_CHECK_H
#define CAIRN_CORE_CHECK_H

#include "base/arena.h"

struct sql_conn;

enum check_rule {
    CHECK_ENGINE,      /* the engine's own check of its files */
    CHECK_PART,        /* the watermark row exists and is not ahead of itself */
    CHECK_BATCH,       /* log rows decode; they name runs and keys that exist */
    CHECK_PACK,        /* packs decode; header columns are right; keys have names */
    CHECK_CHUNK,       /* chunks decode; their columns are those of their points; keys have names */
    CHECK_HEAD,        /* heads decode; keys have names; versions exist */
    CHECK_HEAD_PACKS,  /* latest values, extremes and counts agree with packs and chunks */
    CHECK_HEAD_FOLDED, /* packs newer than their head are found by a start */
    CHECK_PACK_OWNER,  /* packs belong to a run or a model series */
    CHECK_CHUNK_OWNER, /* so do chunks */
    CHECK_PACK_DRAIN,  /* no pack is newer than the last drain */
    CHECK_RUN_NODE,    /* each run is a node, each run node has a head */
    CHECK_RUN_IDENT,   /* each run has its identity */
    CHECK_RUN_EXPERIMENT, /* runs and models belong to an experiment */
    CHECK_EXPERIMENT_NODE,
    CHECK_IDENT,    /* identities and nodes know each other */
    CHECK_EDGE,     /* edges, their tags and memberships refer to what exists */
    CHECK_EDGE_LOG, /* edges are what their log says */
    CHECK_MODEL,    /* models are nodes, series belong to models */
    CHECK_COUNTER,  /* dense ids are below their counter */
    CHECK_ARTIFACT, /* artifacts refer to a root and to an object */
    CHECK_OBJECT,   /* objects have bytes, of their size */
    CHECK_COLUMN,   /* search columns at rest decode; they have what the rows of their runs have */
    CHECK_MEMORY,   /* runs and search columns in memory: core_check_memory() */
    CHECK_RULES_N
};

/* "head-packs": for output. */
const char *check_rule_name(enum check_rule rule);

/* Called for each row that breaks a rule. */
typedef void (*check_report)(void *ctx, enum check_rule rule, struct str what);

/* *found: how often report was called. Errors are those that keep it from checking (memory, the database being away). */
enum status core_check(struct sql_conn *conn, check_report report, void *ctx, size_t *found,
                       struct err *err);

#endif
