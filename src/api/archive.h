/* api/archive.h - a folder of artifacts as one zip or tar stream.
 * Memory stays flat however large the folder is: entries are found a page at a time, bytes go through one buffer, and the index of a zip
 * file that outgrows its buffer is put aside in a file without a name.
 * Ownership and thread rule: as the call's, see call.h. */
#ifndef CAIRN_API_ARCHIVE_H
#define CAIRN_API_ARCHIVE_H

#include "api/call.h"
#include "codec/archive.h"
#include "core/artifact.h"

/* From an endpoint's read(): answers with the folder at `place` (of a file: that file alone) and returns ST_END, or the failure. name: of
 * the file that the client saves, without its ending. */
enum status archive_send(struct call *c, struct view *v, const struct artifact_place *place,
                         enum archive_kind kind, struct str name, struct err *err);

#endif
