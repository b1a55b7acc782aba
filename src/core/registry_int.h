/* core/registry_int.h - the registry's operations as steps of other operations, inside validate(). */
#ifndef CAIRN_CORE_REGISTRY_INT_H
#define CAIRN_CORE_REGISTRY_INT_H

#include "core/registry.h"

/* What the operations of these inputs do; the outputs are set. c->op.arena is used, c->op is not looked at otherwise. */
enum status group_registered_model_create(struct group *g, struct registered_model_create *c,
                                          struct err *err);
enum status group_model_version_create(struct group *g, struct model_version_create *c,
                                       struct err *err);

#endif
