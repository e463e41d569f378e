/* Objects to records and back.
 *
 * Plain values (None, bool, int, float, str, bytes, tuples of them, and one list or dict of
 * them at the top) have a form of their own, ten times faster than pickle. Only exact
 * types, and mutable ones only at the top, so that identity and aliasing inside an
 * item can make no difference. Everything else is pickled by the callable `dumps`.
 *
 * Tree form, little endian, unaligned:
 *   N T F           None True False          i int32   l int64   d float64
 *   a/A length      ASCII str, u8/u32        s/S  UTF-8 str     b/B  bytes
 *   t/( count       tuple, u8/u32            [ u32 list          { u32 dict: key, value...
 */
#include "objects.h"

#include "../heap.h"

#define DEPTH_LIMIT 6 /* of nested tuples: deeper ones are pickled */
/* Bytes: larger trees are pickled, which writes only once what an item names many times. */
#define TREE_LIMIT ((size_t)1 << 20)

enum { PLAIN = 0, FAILED = -1, NOT_PLAIN = 1 };

static int
grow(pn_buffer *buffer, size_t more)
{
    size_t capacity = (buffer->used + more) * 2;
    char *larger =
        buffer->on_heap ? PyMem_RawRealloc(buffer->bytes, capacity) : PyMem_RawMalloc(capacity);
    if (larger == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (!buffer->on_heap) {
        memcpy(larger, buffer->bytes, buffer->used);
    }
    buffer->bytes = larger;
    buffer->capacity = capacity;
    buffer->on_heap = true;
    return 0;
}

/* Room for `more` bytes at the end, not yet counted as used. */
static inline char *
room(pn_buffer *buffer, size_t more)
{
    if (buffer->used + more > buffer->capacity && grow(buffer, more) < 0) {
        return NULL;
    }
    return buffer->bytes + buffer->used;
}

void
pn_buffer_free(pn_buffer *buffer)
{
    if (buffer->on_heap) {
        PyMem_RawFree(buffer->bytes);
    }
}

/* ---- the tree form ---------------------------------------------------------- */

static inline int
append(pn_buffer *buffer, char tag, const void *bytes, size_t length)
{
    char *at = room(buffer, length + 1);
    if (at == NULL) {
        return FAILED;
    }
    *at = tag;
    memcpy(at + 1, bytes, length);
    buffer->used += length + 1;
    return PLAIN;
}

/* A tag for short and one for long, the length, the bytes. */
static inline int
append_sized(pn_buffer *buffer, char small, char large, const void *bytes, size_t length)
{
    if (length > UINT32_MAX) {
        return NOT_PLAIN;
    }
    char *at = room(buffer, length + 5);
    if (at == NULL) {
        return FAILED;
    }
    if (length < 256) {
        at[0] = small;
        at[1] = (char)(unsigned char)length;
        memcpy(at + 2, bytes, length);
        buffer->used += length + 2;
    } else {
        uint32_t wide = (uint32_t)length;
        at[0] = large;
        memcpy(at + 1, &wide, 4);
        memcpy(at + 5, bytes, length);
        buffer->used += length + 5;
    }
    return PLAIN;
}

static int
encode_long(pn_buffer *buffer, PyObject *obj)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (overflow) {
        return NOT_PLAIN;
    }
    if (value == -1 && PyErr_Occurred()) {
        return FAILED;
    }
    if (value == (int32_t)value) {
        int32_t narrow = (int32_t)value;
        return append(buffer, 'i', &narrow, 4);
    }
    return append(buffer, 'l', &value, 8);
}

/* Points into the string itself; NOT_PLAIN for what UTF-8 cannot say (surrogates). */
static int
string_bytes(PyObject *obj, const char **bytes, Py_ssize_t *length, bool *ascii)
{
    *ascii = PyUnicode_IS_COMPACT_ASCII(obj);
    if (*ascii) {
        *bytes = (const char *)PyUnicode_1BYTE_DATA(obj);
        *length = PyUnicode_GET_LENGTH(obj);
        return PLAIN;
    }
    *bytes = PyUnicode_AsUTF8AndSize(obj, length);
    if (*bytes == NULL) {
        PyErr_Clear();
        return NOT_PLAIN;
    }
    return PLAIN;
}

static int
encode_str(pn_buffer *buffer, PyObject *obj)
{
    const char *bytes;
    Py_ssize_t length;
    bool ascii;
    int result = string_bytes(obj, &bytes, &length, &ascii);
    if (result != PLAIN) {
        return result;
    }
    return ascii ? append_sized(buffer, 'a', 'A', bytes, (size_t)length)
                 : append_sized(buffer, 's', 'S', bytes, (size_t)length);
}

static int
append_count(pn_buffer *buffer, char tag, Py_ssize_t count)
{
    uint32_t wide = (uint32_t)count;
    return count > UINT32_MAX ? NOT_PLAIN : append(buffer, tag, &wide, 4);
}

/* The tree begins at `start` of the buffer. */
static int
encode_tree(pn_buffer *buffer, size_t start, PyObject *obj, int depth)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (buffer->used - start > TREE_LIMIT) {
        return NOT_PLAIN;
    }
    if (type == &PyLong_Type) {
        return encode_long(buffer, obj);
    }
    if (type == &PyUnicode_Type) {
        return encode_str(buffer, obj);
    }
    if (obj == Py_None || type == &PyBool_Type) {
        return append(buffer, obj == Py_None ? 'N' : obj == Py_True ? 'T' : 'F', "", 0);
    }
    if (type == &PyFloat_Type) {
        double value = PyFloat_AS_DOUBLE(obj);
        return append(buffer, 'd', &value, 8);
    }
    if (type == &PyBytes_Type) {
        return append_sized(buffer, 'b', 'B', PyBytes_AS_STRING(obj),
                            (size_t)PyBytes_GET_SIZE(obj));
    }
    if (type == &PyTuple_Type && depth < DEPTH_LIMIT) {
        Py_ssize_t count = PyTuple_GET_SIZE(obj);
        unsigned char narrow = (unsigned char)count;
        int result =
            count < 256 ? append(buffer, 't', &narrow, 1) : append_count(buffer, '(', count);
        for (Py_ssize_t i = 0; i < count && result == PLAIN; i++) {
            result = encode_tree(buffer, start, PyTuple_GET_ITEM(obj, i), depth + 1);
        }
        return result;
    }
    if (depth > 0) {
        return NOT_PLAIN;
    }
    if (type == &PyList_Type) {
        Py_ssize_t count = PyList_GET_SIZE(obj);
        int result = append_count(buffer, '[', count);
        for (Py_ssize_t i = 0; i < count && result == PLAIN; i++) {
            result = i < PyList_GET_SIZE(obj)
                         ? encode_tree(buffer, start, PyList_GET_ITEM(obj, i), 1)
                         : NOT_PLAIN;
        }
        return result;
    }
    if (type == &PyDict_Type) {
        int result = append_count(buffer, '{', PyDict_GET_SIZE(obj));
        PyObject *key, *value;
        Py_ssize_t at = 0;
        while (result == PLAIN && PyDict_Next(obj, &at, &key, &value)) {
            result = encode_tree(buffer, start, key, 1);
            if (result == PLAIN) {
                result = encode_tree(buffer, start, value, 1);
            }
        }
        return result;
    }
    return NOT_PLAIN;
}

typedef struct {
    const unsigned char *at, *end;
} reader;

static PyObject *
broken(void)
{
    PyErr_SetString(PyExc_SystemError, "a record of the queue is not readable; please report it");
    return NULL;
}

static bool
read_bytes(reader *in, void *target, size_t length)
{
    if ((size_t)(in->end - in->at) < length) {
        return false;
    }
    memcpy(target, in->at, length);
    in->at += length;
    return true;
}

static PyObject *
ascii_str(const void *bytes, Py_ssize_t length)
{
    PyObject *result = PyUnicode_New(length, 127);
    if (result != NULL && length > 0) {
        memcpy(PyUnicode_1BYTE_DATA(result), bytes, (size_t)length);
    }
    return result;
}

static PyObject *decode_tree(reader *in);

static PyObject *
decode_sequence(reader *in, char tag, uint32_t count)
{
    if (count > (size_t)(in->end - in->at)) {
        return broken(); /* an element is one byte at least */
    }
    PyObject *result = tag == '[' ? PyList_New(count) : PyTuple_New(count);
    for (uint32_t i = 0; result != NULL && i < count; i++) {
        PyObject *item = decode_tree(in);
        if (item == NULL) {
            Py_CLEAR(result);
        } else if (tag == '[') {
            PyList_SET_ITEM(result, i, item);
        } else {
            PyTuple_SET_ITEM(result, i, item);
        }
    }
    return result;
}

static PyObject *
decode_dict(reader *in, uint32_t count)
{
    PyObject *result = PyDict_New();
    for (uint32_t i = 0; result != NULL && i < count; i++) {
        PyObject *key = decode_tree(in);
        PyObject *value = key ? decode_tree(in) : NULL;
        if (value == NULL || PyDict_SetItem(result, key, value) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return result;
}

static PyObject *
decode_tree(reader *in)
{
    unsigned char tag, narrow;
    uint32_t wide = 0;
    if (!read_bytes(in, &tag, 1)) {
        return broken();
    }
    switch (tag) {
    case 'N':
        Py_RETURN_NONE;
    case 'T':
        Py_RETURN_TRUE;
    case 'F':
        Py_RETURN_FALSE;
    case 'i': {
        int32_t value;
        return read_bytes(in, &value, 4) ? PyLong_FromLong(value) : broken();
    }
    case 'l': {
        long long value;
        return read_bytes(in, &value, 8) ? PyLong_FromLongLong(value) : broken();
    }
    case 'd': {
        double value;
        return read_bytes(in, &value, 8) ? PyFloat_FromDouble(value) : broken();
    }
    case 'a':
    case 's':
    case 'b':
    case 't':
        if (!read_bytes(in, &narrow, 1)) {
            return broken();
        }
        wide = narrow;
        break;
    default:
        if (!read_bytes(in, &wide, 4)) {
            return broken();
        }
    }
    if (tag == 't' || tag == '(' || tag == '[') {
        return decode_sequence(in, (char)tag, wide);
    }
    if (tag == '{') {
        return decode_dict(in, wide);
    }
    if (wide > (size_t)(in->end - in->at)) {
        return broken();
    }
    const char *bytes = (const char *)in->at;
    in->at += wide;
    switch (tag) {
    case 'a':
    case 'A':
        return ascii_str(bytes, wide);
    case 's':
    case 'S':
        return PyUnicode_DecodeUTF8(bytes, wide, "strict");
    case 'b':
    case 'B':
        return PyBytes_FromStringAndSize(bytes, wide);
    default:
        return broken();
    }
}

/* ---- records ------------------------------------------------------------------ */

static size_t
padded(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

/* Write the header of the record at `start`, whose payload has been appended, and pad. */
static int
finish(pn_buffer *buffer, size_t start, uint8_t kind, uint8_t flags)
{
    size_t length = buffer->used - start - sizeof(pn_record);
    size_t pad = padded(length) - length;
    char *at = room(buffer, pad);
    if (at == NULL) {
        return -1;
    }
    memset(at, 0, pad);
    buffer->used += pad;
    *(pn_record *)(buffer->bytes + start) =
        (pn_record){.value = (uint32_t)length, .kind = kind, .flags = flags};
    return 0;
}

static int
append_raw(pn_buffer *buffer, const void *bytes, size_t length)
{
    char *at = room(buffer, length);
    if (at == NULL) {
        return -1;
    }
    memcpy(at, bytes, length);
    buffer->used += length;
    return 0;
}

/* Move a payload into a heap block; append the reference to it. */
static int
append_block(pn_buffer *buffer, SharedObject *ring, const char *bytes, size_t length)
{
    pn_domain *domain = ring->domain;
    pn_block_ref ref = {.length = length};
    pn_status status;
    Py_BEGIN_ALLOW_THREADS
    status = pn_heap_alloc(domain, length, PN_BLOCK_PAYLOAD, ring->offset, &ref.offset);
    if (status == PN_OK) {
        memcpy(pn_at(domain, ref.offset), bytes, length);
    }
    Py_END_ALLOW_THREADS
    if (status != PN_OK) {
        pn_raise(status, domain, "Queue", pn_shared_cell(ring)->name);
        return -1;
    }
    if (append_raw(buffer, &ref, sizeof(ref)) < 0) {
        pn_heap_free(domain, ref.offset);
        return -1;
    }
    return 0;
}

/* Append payload bytes that stand outside of the buffer. */
static int
append_payload(pn_buffer *buffer, SharedObject *ring, size_t start, uint8_t kind, uint8_t flags,
               const char *bytes, size_t length)
{
    if (length + (buffer->used - start) + sizeof(pn_block_ref) <= PN_RING_INLINE) {
        return append_raw(buffer, bytes, length) < 0 ? -1 : finish(buffer, start, kind, flags);
    }
    if (append_block(buffer, ring, bytes, length) < 0) {
        return -1;
    }
    return finish(buffer, start, kind, flags | PN_RECORD_BLOCK);
}

/* The handles section, from a sequence of offsets. */
static int
append_handles(pn_buffer *buffer, PyObject *offsets)
{
    Py_ssize_t count = PyTuple_GET_SIZE(offsets);
    if (count > (Py_ssize_t)PN_HANDLES_LIMIT) {
        PyErr_Format(PyExc_ValueError,
                     "one item names %zd shared objects; at most %d may travel together. Put "
                     "them in several items.",
                     count, (int)PN_HANDLES_LIMIT);
        return -1;
    }
    pn_handles head = {.count = (uint32_t)count};
    if (append_raw(buffer, &head, sizeof(head)) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        uint64_t offset = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(offsets, i));
        if (PyErr_Occurred() || append_raw(buffer, &offset, sizeof(offset)) < 0) {
            return -1;
        }
    }
    return 0;
}

static int
encode_pickled(pn_state *state, SharedObject *ring, pn_buffer *buffer, size_t start, PyObject *obj)
{
    if (state->dumps == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no serializer: import procession first");
        return -1;
    }
    PyObject *pair =
        PyObject_CallFunctionObjArgs(state->dumps, obj, (PyObject *)ring->domain_object, NULL);
    if (pair == NULL) {
        return -1;
    }
    PyObject *view, *offsets;
    Py_buffer bytes;
    if (!PyArg_ParseTuple(pair, "OO!", &view, &PyTuple_Type, &offsets) ||
        PyObject_GetBuffer(view, &bytes, PyBUF_SIMPLE) < 0) {
        Py_DECREF(pair);
        return -1;
    }
    int result = 0;
    uint8_t flags = 0;
    if (PyTuple_GET_SIZE(offsets) > 0) {
        flags = PN_RECORD_HANDLES;
        result = append_handles(buffer, offsets);
    }
    if (result == 0) {
        result = append_payload(buffer, ring, start, PN_RECORD_PICKLE, flags, bytes.buf,
                                (size_t)bytes.len);
    }
    PyBuffer_Release(&bytes);
    Py_DECREF(pair);
    return result;
}

static int
encode_immediate(pn_buffer *buffer, pn_record_kind kind, uint32_t value)
{
    char *at = room(buffer, sizeof(pn_record));
    if (at == NULL) {
        return -1;
    }
    /* Written as one word: the ring copies it at once, and a load waits for the stores of
     * single fields to reach the cache. Little endian, as futex words need it anyway. */
    uint64_t word = (uint64_t)kind << 32 | value;
    memcpy(at, &word, sizeof(word));
    buffer->used += sizeof(word);
    return 0;
}

static int
encode_tree_record(pn_state *state, SharedObject *ring, pn_buffer *buffer, size_t start,
                   PyObject *obj)
{
    int result = encode_tree(buffer, start, obj, 0);
    if (result == NOT_PLAIN) {
        buffer->used = start + sizeof(pn_record);
        return encode_pickled(state, ring, buffer, start, obj);
    }
    if (result == FAILED) {
        return -1;
    }
    size_t length = buffer->used - start - sizeof(pn_record);
    if (length + sizeof(pn_record) <= PN_RING_INLINE) {
        return finish(buffer, start, PN_RECORD_TREE, 0);
    }
    /* Too large for the ring: what was written moves into a block. */
    pn_buffer tree = {.bytes = PyMem_RawMalloc(length), .used = length, .on_heap = true};
    if (tree.bytes == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    memcpy(tree.bytes, buffer->bytes + start + sizeof(pn_record), length);
    buffer->used = start + sizeof(pn_record);
    result = append_payload(buffer, ring, start, PN_RECORD_TREE, 0, tree.bytes, length);
    pn_buffer_free(&tree);
    return result;
}

static int
encode_at(pn_state *state, SharedObject *ring, pn_buffer *buffer, size_t start, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyLong_Type) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(obj, &overflow);
        if (!overflow && value == (int32_t)value) {
            return encode_immediate(buffer, PN_RECORD_INT32, (uint32_t)value);
        }
    } else if (obj == Py_None) {
        return encode_immediate(buffer, PN_RECORD_NONE, 0);
    } else if (type == &PyBool_Type) {
        return encode_immediate(buffer, obj == Py_True ? PN_RECORD_TRUE : PN_RECORD_FALSE, 0);
    }
    if (room(buffer, sizeof(pn_record)) == NULL) {
        return -1;
    }
    buffer->used += sizeof(pn_record);
    if (type == &PyBytes_Type && PyBytes_GET_SIZE(obj) < UINT32_MAX) {
        return append_payload(buffer, ring, start, PN_RECORD_BYTES, 0, PyBytes_AS_STRING(obj),
                              (size_t)PyBytes_GET_SIZE(obj));
    }
    if (type == &PyUnicode_Type && PyUnicode_IS_COMPACT_ASCII(obj) &&
        PyUnicode_GET_LENGTH(obj) < UINT32_MAX) {
        return append_payload(buffer, ring, start, PN_RECORD_STR, 0,
                              (const char *)PyUnicode_1BYTE_DATA(obj),
                              (size_t)PyUnicode_GET_LENGTH(obj));
    }
    return encode_tree_record(state, ring, buffer, start, obj);
}

int
pn_encode(pn_state *state, PyObject *ring, pn_buffer *buffer, PyObject *obj)
{
    size_t start = buffer->used;
    if (encode_at(state, (SharedObject *)ring, buffer, start, obj) < 0) {
        buffer->used = start;
        return -1;
    }
    return 0;
}

/* ---- taken records ------------------------------------------------------------- */

typedef struct {
    const pn_handles *handles; /* NULL: none */
    const char *bytes;
    size_t length;
    uint64_t block; /* 0: the payload stands in the record */
} payload;

static payload
open_payload(pn_domain *domain, const pn_record *record)
{
    payload result = {.bytes = (const char *)(record + 1), .length = record->value};
    if (record->flags & PN_RECORD_HANDLES) {
        result.handles = (const pn_handles *)result.bytes;
        size_t size = sizeof(pn_handles) + result.handles->count * sizeof(uint64_t);
        result.bytes += size;
        result.length -= size;
    }
    if (record->flags & PN_RECORD_BLOCK) {
        pn_block_ref ref;
        memcpy(&ref, result.bytes, sizeof(ref));
        result.block = ref.offset;
        result.bytes = pn_at(domain, ref.offset);
        result.length = ref.length;
    }
    return result;
}

uint64_t
pn_record_weight(const pn_record *record)
{
    uint64_t weight = pn_record_size(record);
    if (record->flags & PN_RECORD_BLOCK) {
        const char *at = (const char *)(record + 1);
        if (record->flags & PN_RECORD_HANDLES) {
            at += sizeof(pn_handles) + ((const pn_handles *)at)->count * sizeof(uint64_t);
        }
        weight += ((const pn_block_ref *)at)->length;
    }
    return weight;
}

static PyObject *
decode_pickle(pn_state *state, const payload *data)
{
    PyObject *view =
        PyMemoryView_FromMemory((char *)data->bytes, (Py_ssize_t)data->length, PyBUF_READ);
    if (view == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_CallOneArg(state->loads, view);
    /* The bytes go away: nobody may keep a view of them. */
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *released = PyObject_CallMethod(view, "release", NULL);
    if (released == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(released);
    PyErr_Restore(type, value, traceback);
    Py_DECREF(view);
    return result;
}

static PyObject *
decode_payload(pn_state *state, const pn_record *record, const payload *data)
{
    switch (record->kind) {
    case PN_RECORD_BYTES:
        return PyBytes_FromStringAndSize(data->bytes, (Py_ssize_t)data->length);
    case PN_RECORD_STR:
        return ascii_str(data->bytes, (Py_ssize_t)data->length);
    case PN_RECORD_TREE: {
        reader in = {(const unsigned char *)data->bytes,
                     (const unsigned char *)data->bytes + data->length};
        return decode_tree(&in);
    }
    case PN_RECORD_PICKLE:
        return decode_pickle(state, data);
    default:
        return broken();
    }
}

void
pn_let_go(SharedObject *ring, const pn_record *record)
{
    pn_domain *domain = ring->domain;
    if (record->kind < PN_RECORD_FIRST_WITH_PAYLOAD) {
        return;
    }
    payload data = open_payload(domain, record);
    /* The take gave this process a reference to each object named: the unpickled objects
     * have their own now. */
    for (uint32_t i = 0; data.handles != NULL && i < data.handles->count; i++) {
        pn_object_drop(domain, data.handles->offset[i]);
    }
    if (data.block != 0) {
        pn_heap_free(domain, data.block);
    }
}

PyObject *
pn_decode(pn_state *state, SharedObject *ring, const pn_record *record)
{
    switch (record->kind) {
    case PN_RECORD_NONE:
        Py_RETURN_NONE;
    case PN_RECORD_TRUE:
        Py_RETURN_TRUE;
    case PN_RECORD_FALSE:
        Py_RETURN_FALSE;
    case PN_RECORD_INT32:
        return PyLong_FromLong((int32_t)record->value);
    default:
        break;
    }
    payload data = open_payload(ring->domain, record);
    PyObject *result = decode_payload(state, record, &data);
    pn_let_go(ring, record);
    return result;
}

void
pn_discard_records(pn_domain *domain, const char *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        const pn_record *record = (const pn_record *)(bytes + at);
        if (record->flags & PN_RECORD_BLOCK) {
            pn_heap_free(domain, open_payload(domain, record).block);
        }
        at += pn_record_size(record);
    }
}
