/* What the files of the codec share: records (codec.c) and the tree form (tree.c). */
#ifndef PN_CODEC_H
#define PN_CODEC_H

#include "objects.h"

enum { PLAIN = 0, FAILED = -1, NOT_PLAIN = 1 };

/* Room for `more` bytes at the end of what is written, not yet counted as used. NULL with MemoryError. */
char *pn_writer_grow(pn_writer *out, size_t more);

static inline char *
room(pn_writer *out, size_t more)
{
    return out->used + more > out->capacity ? pn_writer_grow(out, more) : out->bytes + out->used;
}

/* Append `obj` in tree form: PLAIN, NOT_PLAIN (something was appended), FAILED with an exception. */
int pn_tree_encode(pn_writer *out, PyObject *obj);
PyObject *pn_tree_decode(const char *bytes, size_t length);

PyObject *pn_ascii_str(const char *bytes, size_t length);
/* SystemError; NULL. */
PyObject *pn_broken_record(void);

#endif
