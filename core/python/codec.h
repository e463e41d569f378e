/* What the files of the codec share: records (codec.c), the tree form (tree.c), pickles (pickled.c) and
 * arrays (array_codec.c). */
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

/* What is read back, and how far. */
typedef struct {
    const char *at, *end;
} pn_reader;

/* The next bytes; false if there are not as many. */
static inline bool
pn_read(pn_reader *in, void *target, size_t length)
{
    if ((size_t)(in->end - in->at) < length) {
        return false;
    }
    memcpy(target, in->at, length);
    in->at += length;
    return true;
}

/* --- codec.c: writing records --- */

/* The objects that an item names, each once. Too many are counted, not kept. */
typedef struct {
    uint32_t count;
    uint64_t offset[PN_HANDLES_LIMIT];
} pn_names;

/* Its place among them. */
uint32_t pn_names_add(pn_names *names, uint64_t offset);
/* -1 with ValueError if they are too many. To be asked before they are used. */
int pn_names_check(const pn_names *names);
/* Bytes of their section of a record. */
size_t pn_names_size(const pn_names *names, bool has_made);
/* Append that section: `made` (0: none) comes first, and `weight` is what it counts. */
int pn_append_names(pn_writer *out, const pn_names *names, uint64_t made, uint64_t weight);
int pn_append_raw(pn_writer *out, const void *bytes, size_t length);
/* Append names, payload and header; a payload that is too large for the ring goes into a buffer. */
int pn_append_payload(pn_writer *out, SharedObject *ring, size_t start, uint8_t kind,
                      const pn_names *names, const char *bytes, size_t length);
/* Write the header of the record at `start`, whose payload has been appended, pad, and hold what it
 * names: the last step, and nothing is held if it fails. */
int pn_finish_record(pn_writer *out, SharedObject *ring, size_t start, uint8_t kind, uint8_t flags);
/* A copy without the GIL, if it takes long. Nobody may free either side meanwhile. */
void pn_copy(char *target, const char *source, size_t length);
/* A new buffer for an item, which this process holds; 0 with an exception. */
uint64_t pn_make_buffer(SharedObject *ring, size_t length);

/* --- tree.c --- */

/* Append `obj` in tree form: PLAIN, NOT_PLAIN (something was appended), FAILED with an exception. */
int pn_tree_encode(pn_writer *out, PyObject *obj);
PyObject *pn_tree_decode(const char *bytes, size_t length);

/* --- dict_key.c --- */
/* Append the canonical form of a key, then the one that it is shown in, if that is another. 0, or -1 with TypeError or
 * ValueError. */
int pn_key_encode(pn_writer *out, PyObject *key, uint32_t *length, uint32_t *shown);
/* From the form that it is shown in. */
PyObject *pn_key_decode(const char *bytes, size_t length);

/* --- pickled.c --- */

#define PN_BESIDE                                                                                  \
    (32 << 10) /* bytes; so much and more travels beside a pickle, without a copy out */

int pn_encode_pickled(pn_state *state, SharedObject *ring, pn_writer *out, size_t start,
                      PyObject *obj);
PyObject *pn_decode_pickle(pn_state *state, const char *bytes, size_t length);
PyObject *pn_decode_beside(pn_state *state, SharedObject *ring, const pn_handles *handles,
                           const char *bytes, size_t length);

/* --- array_codec.c --- */

/* Is it numpy.ndarray itself? */
bool pn_is_array(pn_state *state, PyTypeObject *type);
/* PLAIN, NOT_PLAIN (nothing was appended), FAILED with an exception. */
int pn_encode_array(pn_state *state, SharedObject *ring, pn_writer *out, size_t start,
                    PyObject *obj);
PyObject *pn_decode_array(pn_state *state, SharedObject *ring, const pn_handles *handles,
                          const char *bytes, size_t length);

/* --- codec.c: a taken record as the message that it would be in the standard library --- */
typedef struct {
    const pn_record *record;
    const char *bytes;
    size_t length;
    PyObject *pickle; /* NULL, or what the bytes are of */
} pn_message;

/* Of an object it is a pickle, made now. 0, or -1 with an exception. */
int pn_message_open(pn_state *state, SharedObject *ring, const pn_record *record,
                    pn_message *message);
PyObject *pn_message_bytes(const pn_message *message);
/* Also lets go of what the record names. */
void pn_message_close(SharedObject *ring, pn_message *message);

PyObject *pn_ascii_str(const char *bytes, size_t length);
/* SystemError; NULL. */
PyObject *pn_broken_record(void);

#endif
