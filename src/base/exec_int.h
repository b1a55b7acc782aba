/* base/exec_int.h - the seam between real threads (exec.c) and the simulator (exec_sim.c).
 * Every public call asks exec_sim_on first; the flag only changes while no other thread runs. */
#ifndef CAIRN_BASE_EXEC_INT_H
#define CAIRN_BASE_EXEC_INT_H

#include "base/exec.h"

extern bool exec_sim_on;

/* The simulator's side of the public calls of the same names. Handles it made are passed back as the same types. */
enum status sim_pool_new(struct exec_pool **out, const char *name, unsigned n_workers,
                         size_t queue_max, struct err *err);
enum status sim_pool_submit(struct exec_pool *p, struct exec_job *job);
size_t sim_pool_queued(const struct exec_pool *p);
unsigned sim_pool_workers(const struct exec_pool *p);
void sim_pool_free(struct exec_pool *p);
enum status sim_actor_new(struct exec_actor **out, const char *name, int64_t (*step)(void *ctx),
                          void *ctx, struct err *err);
void sim_actor_wake(struct exec_actor *a);
void sim_actor_free(struct exec_actor *a);

#endif
