/* api/native/native.h - cairn's own API under /api/cairn/v1/, and /metrics: what an operator needs, and charts.
 * The work behind each route is a function here too, because commands do the same on a store that no server has open.
 * Tokens, checks and backups are for operators: a caller with a token, or one that shows the token of the data folder
 * (api->local), whatever the mode of authentication.
 * Thread rule: tables are immutable; the functions run where their view belongs. */
#ifndef CAIRN_API_NATIVE_NATIVE_H
#define CAIRN_API_NATIVE_NATIVE_H

#include "api/call.h"
#include "gen/native/native.h"

extern const struct tongue native_tongue;
/* The routes of each file. */
extern const struct route native_registry_routes[];
extern const size_t native_registry_routes_n;
extern const struct route native_chart_routes[];
extern const size_t native_chart_routes_n;
extern const struct route native_checkpoint_routes[];
extern const size_t native_checkpoint_routes_n;
extern const struct route native_artifact_routes[];
extern const size_t native_artifact_routes_n;
extern const struct route native_upload_routes[];
extern const size_t native_upload_routes_n;
extern const struct route native_emit_routes[];
extern const size_t native_emit_routes_n;
extern const struct route native_keep_routes[];
extern const size_t native_keep_routes_n;
extern const struct route native_run_routes[];
extern const size_t native_run_routes_n;
extern const struct route native_inspect_routes[];
extern const size_t native_inspect_routes_n;
extern const struct route native_lineage_routes[];
extern const struct route native_lineage_methods[]; /* the same over gRPC */
extern const size_t native_lineage_methods_n;
extern const size_t native_lineage_routes_n;
extern const struct route native_step_routes[];
extern const size_t native_step_routes_n;
extern const struct route native_step_methods[]; /* the same over gRPC */
extern const size_t native_step_methods_n;
extern const struct route native_trash_routes[];
extern const size_t native_trash_routes_n;

/* Adds the methods that are served over gRPC as well; for api/grpc. */
enum status native_methods(struct router *r, struct err *err);
/* Adds the routes; prefix as router_add(). metrics: also GET /metrics. */
enum status native_routes(struct router *r, const char *prefix, bool metrics, struct err *err);

enum status native_version(struct view *v, struct cairn_v1_version_answer *out, struct err *err);
enum status native_tokens(struct view *v, struct cairn_v1_token_list *out, struct err *err);
enum status native_backup(struct view *v, struct str path, struct cairn_v1_backup_answer *out,
                          struct err *err);
enum status native_check(struct view *v, struct cairn_v1_check_answer *out, struct err *err);
/* The place of a path of a run, a logged model or, without both, of the proxy. */
struct artifact_place;
enum status native_artifact_place(const struct api *api, struct view *v, struct str run_id,
                                  struct str model_id, struct str path, struct artifact_place *out,
                                  struct err *err);
/* OK for an operator; see above. */
enum status native_need_operator(const struct call *c, struct err *err);
enum status native_emit(struct view *v, struct cairn_v1_emit_answer *out, struct err *err);
void native_gc(struct collector *collector, struct cairn_v1_gc_answer *out);
enum status native_gc_plan(struct view *v, struct cairn_v1_gc_answer *out, struct err *err);
void native_compaction(struct view *v, struct cairn_v1_compact_answer *out);
void native_repack(struct view *v, struct cairn_v1_repack_answer *out);
enum status native_scrub(struct view *v, bool findings, struct cairn_v1_scrub_answer *out,
                         struct err *err);
/* Fills the operation for a new token, and the answer. access: NULL for the store alone. */
enum status native_token_add(struct token_add *t, struct access *access, struct arena *a,
                             const struct cairn_v1_token_add *in, struct cairn_v1_token_added *out,
                             struct err *err);

#endif
