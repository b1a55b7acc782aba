/* inspect/hdf5_int.h - what lies in the dense form of HDF5: members of groups and attributes, once they are more than a few.
 * A B-tree (version 2) holds an id for each, and a fractal heap the message that the id names.
 * Thread rule: pure. Every node, record and block counts as an item of the inspection. */
#ifndef CAIRN_INSPECT_HDF5_INT_H
#define CAIRN_INSPECT_HDF5_INT_H

#include "inspect/inspect_int.h"

enum hdf5_index { HDF5_LINKS_BY_NAME = 5, HDF5_ATTRIBUTES_BY_NAME = 8 };

/* Where a message lies. */
struct hdf5_piece {
    uint64_t at, n;
};

/* The messages of a heap that its index names, in the order in which they were put into it, at most max of them: ST_TOO_BIG beyond.
 * *packed: the heap goes through filters, nothing was read. ST_CORRUPT when heap or index are not what they should be. */
enum status hdf5_dense(struct in *in, struct arena *a, uint64_t heap, uint64_t index,
                       enum hdf5_index kind, size_t max, struct hdf5_piece **out, size_t *n,
                       bool *packed, struct err *err) ATTR_CHECK;

#endif
