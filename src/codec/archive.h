/* codec/archive.h - folders as one stream: zip (with zip64) and tar (with pax records).
 * Nothing is compressed: what people keep here mostly is already, and a stream that is only copied is as fast as the disk. Nothing is
 * sought either: a zip file whose bytes are not known before carries its CRC behind them.
 *
 *     archive_begin(&z, ARCHIVE_ZIP);
 *     for each file:  archive_entry(&z, out, &entry);           header
 *                     archive_bytes(&z, p, n); send p            as often as needed, entry.size bytes together
 *                     archive_entry_end(&z, out, index);         what follows the bytes; its row of the index
 *     archive_end(&z, out, index_bytes);                         after all of `index` was sent
 *
 * The index (of zip; that of tar is empty) is at most ARCHIVE_INDEX_ROW bytes and a name for each entry; the caller keeps it where it
 * likes. Names are UTF-8 with '/'; whether they are safe to extract is the caller's care.
 * Ownership: none, a struct archive is plain data. Thread rule: one thread at a time. */
#ifndef CAIRN_CODEC_ARCHIVE_H
#define CAIRN_CODEC_ARCHIVE_H

#include "base/buf.h"

enum archive_kind { ARCHIVE_TAR, ARCHIVE_ZIP };
enum { ARCHIVE_INDEX_ROW = 96, ARCHIVE_NAME_MAX = 4096 };

struct archive_entry {
    struct str name; /* "a/b.txt"; a directory without a slash at its end */
    bool is_dir;
    uint64_t size; /* of the bytes that will follow; 0 for a directory */
    int64_t mtime_ms;
    struct str
        all; /* all bytes of the file, if they are in memory already; p NULL: they come later */
};

struct archive {
    enum archive_kind kind;
    uint64_t at; /* bytes of the stream so far, without the index */
    uint64_t entries;
    /* of the entry at hand */
    struct archive_entry entry;
    uint64_t from, left;
    uint32_t crc;
    bool late; /* the CRC follows the bytes */
};

void archive_begin(struct archive *z, enum archive_kind kind);
/* The name must live until archive_entry_end(). */
void archive_entry(struct archive *z, struct buf *out, const struct archive_entry *entry);
/* Counts n bytes of the entry at hand; also those of entry.all. */
void archive_bytes(struct archive *z, const void *p, size_t n);
/* False when fewer or more bytes came than the entry's size: the archive is broken. */
bool archive_entry_end(struct archive *z, struct buf *out, struct buf *index) ATTR_CHECK;
/* The end of the stream; index_bytes were sent before it. */
void archive_end(struct archive *z, struct buf *out, uint64_t index_bytes);

#endif
