/* fuzz/http1/oracle.h - how http-parser reads a message. Apart from our own headers, whose names it shares. */
#ifndef CAIRN_FUZZ_HTTP1_ORACLE_H
#define CAIRN_FUZZ_HTTP1_ORACLE_H

#include "base/buf.h"

enum { ORACLE_FIELDS = 64 };

struct oracle {
    bool accepted; /* the whole message */
    const char *method;
    unsigned version; /* 10, 11 */
    struct str url, names[ORACLE_FIELDS], values[ORACLE_FIELDS];
    size_t field_n;
    bool head_done;
    struct buf body;
};

/* Reads one message from the front of in. */
void oracle_read(struct str in, struct oracle *o);

#endif
