/* base/inbox.h - a queue whose owner sleeps in a poll: other threads post, the owner is woken by a descriptor.
 * Only the post that finds the queue empty wakes. A thread that answers many at once holds its wake-ups back, so that each
 * owner wakes once, when everything is there.
 * Ownership: the owner makes and frees; a thread that is posting keeps the inbox alive until it has done so, even when what it
 * posted made the owner free it. Thread rule: inbox_post, inbox_hold, inbox_release: any thread; all else: the owner's. */
#ifndef CAIRN_BASE_INBOX_H
#define CAIRN_BASE_INBOX_H

#include "base/exec.h"

struct inbox;

enum status inbox_new(struct inbox **out, struct err *err);
/* Nothing may be posted from now on. NULL-safe. */
void inbox_free(struct inbox *i);
/* Readable while something has been posted that was not taken; for the owner's poll. */
int inbox_fd(const struct inbox *i);
void inbox_post(struct inbox *i, struct mpsc_node *n);
/* Everything posted so far, oldest first, linked by next; NULL if nothing. */
struct mpsc_node *inbox_take(struct inbox *i);

/* What this thread posts between the two calls wakes nobody before the second one. Not nested; little may happen between. */
void inbox_hold(void);
void inbox_release(void);

/* The owner, between the two calls: what it posts itself does not wake it, since inbox_served() returns it, with whatever others
 * have posted; the descriptor may stay readable. Not nested. */
void inbox_serve(struct inbox *i);
struct mpsc_node *inbox_served(struct inbox *i);

#endif
