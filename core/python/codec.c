/* Objects to records and back. Plain values have a form of their own (tree.c), everything else is
 * pickled by the callable `dumps`. What is too large for the ring travels in a buffer.
 */
#include "codec.h"

#include "../buffer.h"

#define UNLOCKED_COPY ((size_t)64 << 10) /* bytes; from so many on others may run meanwhile */

/* ---- private memory ------------------------------------------------------------- */

char *
pn_writer_grow(pn_writer *out, size_t more)
{
    size_t capacity = (out->used + more) * 2;
    char *larger =
        out->on_heap ? PyMem_RawRealloc(out->bytes, capacity) : PyMem_RawMalloc(capacity);
    if (larger == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (!out->on_heap) {
        memcpy(larger, out->bytes, out->used);
    }
    out->bytes = larger;
    out->capacity = capacity;
    out->on_heap = true;
    return out->bytes + out->used;
}

void
pn_writer_free(pn_writer *out)
{
    if (out->on_heap) {
        PyMem_RawFree(out->bytes);
    }
}

/* A copy without the GIL, if it takes long. Nobody may change or free either side meanwhile. */
static void
copy(char *target, const char *source, size_t length)
{
    if (length < UNLOCKED_COPY) {
        memcpy(target, source, length);
        return;
    }
    Py_BEGIN_ALLOW_THREADS
    memcpy(target, source, length);
    Py_END_ALLOW_THREADS
}

/* ---- records ------------------------------------------------------------------ */

static size_t
padded(size_t length)
{
    return (length + 7) & ~(size_t)7;
}

/* Write the header of the record at `start`, whose payload has been appended, and pad. */
static int
finish(pn_writer *out, size_t start, uint8_t kind, uint8_t flags)
{
    size_t length = out->used - start - sizeof(pn_record);
    size_t pad = padded(length) - length;
    char *at = room(out, pad);
    if (at == NULL) {
        return -1;
    }
    memset(at, 0, pad);
    out->used += pad;
    *(pn_record *)(out->bytes + start) =
        (pn_record){.value = (uint32_t)length, .kind = kind, .flags = flags};
    return 0;
}

static int
append_raw(pn_writer *out, const void *bytes, size_t length)
{
    char *at = room(out, length);
    if (at == NULL) {
        return -1;
    }
    memcpy(at, bytes, length);
    out->used += length;
    return 0;
}

/* The handles section; the first of the objects is `made` if that is not 0. */
static int
append_handles(pn_writer *out, uint64_t made, uint64_t weight, PyObject *offsets)
{
    Py_ssize_t count = (offsets ? PyTuple_GET_SIZE(offsets) : 0) + (made != 0);
    if (count > (Py_ssize_t)PN_HANDLES_LIMIT) {
        PyErr_Format(PyExc_ValueError,
                     "one item names %zd shared objects; at most %d may travel together. Put "
                     "them in several items.",
                     count, (int)PN_HANDLES_LIMIT);
        return -1;
    }
    pn_handles head = {.count = (uint32_t)count, .weight = weight};
    if (append_raw(out, &head, sizeof(head)) < 0 ||
        (made != 0 && append_raw(out, &made, sizeof(made)) < 0)) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < count - (made != 0); i++) {
        uint64_t offset = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(offsets, i));
        if (PyErr_Occurred() || append_raw(out, &offset, sizeof(offset)) < 0) {
            return -1;
        }
    }
    return 0;
}

/* A new buffer for an item, which this process holds; 0 with an exception. */
static uint64_t
make_buffer(SharedObject *ring, size_t length)
{
    uint64_t offset;
    uint32_t generation;
    pn_status status = pn_buffer_new(ring->domain, length, 0, &offset, &generation);
    if (status != PN_OK) {
        pn_raise(status, ring->domain, "Queue", pn_shared_cell(ring)->name);
        return 0;
    }
    return offset;
}

/* The rest of a record whose payload stands in the buffer `made` already. */
static int
finish_with_buffer(pn_writer *out, SharedObject *ring, size_t start, uint8_t kind,
                   PyObject *offsets, uint64_t made, size_t length)
{
    pn_payload_ref ref = {.offset = 0, .length = length};
    if (append_handles(out, made, length, offsets) < 0 || append_raw(out, &ref, sizeof(ref)) < 0 ||
        finish(out, start, kind, PN_RECORD_HANDLES | PN_RECORD_BUFFER) < 0) {
        pn_object_drop(ring->domain, made);
        return -1;
    }
    return 0;
}

/* The rest of a record: the objects that it names, and payload bytes that stand elsewhere. */
static int
append_named(pn_writer *out, SharedObject *ring, size_t start, uint8_t kind, PyObject *offsets,
             const char *bytes, size_t length)
{
    size_t names = offsets ? (size_t)PyTuple_GET_SIZE(offsets) : 0;
    size_t section = names ? sizeof(pn_handles) + names * sizeof(uint64_t) : 0;
    uint8_t flags = names ? PN_RECORD_HANDLES : 0;
    if (sizeof(pn_record) + section + length <= PN_RING_INLINE) {
        if ((names && append_handles(out, 0, 0, offsets) < 0) ||
            append_raw(out, bytes, length) < 0) {
            return -1;
        }
        return finish(out, start, kind, flags);
    }
    uint64_t made = make_buffer(ring, length);
    if (made == 0) {
        return -1;
    }
    copy(pn_buffer_bytes(ring->domain, made), bytes, length);
    return finish_with_buffer(out, ring, start, kind, offsets, made, length);
}

static int
append_payload(pn_writer *out, SharedObject *ring, size_t start, uint8_t kind, const char *bytes,
               size_t length)
{
    return append_named(out, ring, start, kind, NULL, bytes, length);
}

static int
encode_pickled(pn_state *state, SharedObject *ring, pn_writer *out, size_t start, PyObject *obj)
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
    int once;
    if (!PyArg_ParseTuple(pair, "OO!p", &view, &PyTuple_Type, &offsets, &once) ||
        PyObject_GetBuffer(view, &bytes, PyBUF_SIMPLE) < 0) {
        Py_DECREF(pair);
        return -1;
    }
    int result =
        append_named(out, ring, start, PN_RECORD_PICKLE, offsets, bytes.buf, (size_t)bytes.len);
    if (result == 0 && once) {
        ((pn_record *)(out->bytes + start))->flags |= PN_RECORD_ONCE;
    }
    PyBuffer_Release(&bytes);
    Py_DECREF(pair);
    return result;
}

static int
encode_immediate(pn_writer *out, pn_record_kind kind, uint32_t value)
{
    char *at = room(out, sizeof(pn_record));
    if (at == NULL) {
        return -1;
    }
    /* Written as one word: the ring copies it at once, and a load waits for the stores of
     * single fields to reach the cache. Little endian, as futex words need it anyway. */
    uint64_t word = (uint64_t)kind << 32 | value;
    memcpy(at, &word, sizeof(word));
    out->used += sizeof(word);
    return 0;
}

static int
encode_tree_record(pn_state *state, SharedObject *ring, pn_writer *out, size_t start, PyObject *obj)
{
    int result = pn_tree_encode(out, obj);
    if (result == NOT_PLAIN) {
        out->used = start + sizeof(pn_record);
        return encode_pickled(state, ring, out, start, obj);
    }
    if (result == FAILED) {
        return -1;
    }
    size_t length = out->used - start - sizeof(pn_record);
    if (length + sizeof(pn_record) <= PN_RING_INLINE) {
        return finish(out, start, PN_RECORD_TREE, 0);
    }
    /* Too large for the ring: what was written moves into a buffer. */
    uint64_t made = make_buffer(ring, length);
    if (made == 0) {
        return -1;
    }
    copy(pn_buffer_bytes(ring->domain, made), out->bytes + start + sizeof(pn_record), length);
    out->used = start + sizeof(pn_record);
    return finish_with_buffer(out, ring, start, PN_RECORD_TREE, NULL, made, length);
}

static int
encode_at(pn_state *state, SharedObject *ring, pn_writer *out, size_t start, PyObject *obj)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (type == &PyLong_Type) {
        int overflow;
        long long value = PyLong_AsLongLongAndOverflow(obj, &overflow);
        if (!overflow && value == (int32_t)value) {
            return encode_immediate(out, PN_RECORD_INT32, (uint32_t)value);
        }
    } else if (obj == Py_None) {
        return encode_immediate(out, PN_RECORD_NONE, 0);
    } else if (type == &PyBool_Type) {
        return encode_immediate(out, obj == Py_True ? PN_RECORD_TRUE : PN_RECORD_FALSE, 0);
    }
    if (room(out, sizeof(pn_record)) == NULL) {
        return -1;
    }
    out->used += sizeof(pn_record);
    if (type == &PyBytes_Type && PyBytes_GET_SIZE(obj) < UINT32_MAX) {
        return append_payload(out, ring, start, PN_RECORD_BYTES, PyBytes_AS_STRING(obj),
                              (size_t)PyBytes_GET_SIZE(obj));
    }
    if (type == &PyUnicode_Type && PyUnicode_IS_COMPACT_ASCII(obj) &&
        PyUnicode_GET_LENGTH(obj) < UINT32_MAX) {
        return append_payload(out, ring, start, PN_RECORD_STR,
                              (const char *)PyUnicode_1BYTE_DATA(obj),
                              (size_t)PyUnicode_GET_LENGTH(obj));
    }
    return encode_tree_record(state, ring, out, start, obj);
}

int
pn_encode(pn_state *state, PyObject *ring, pn_writer *out, PyObject *obj)
{
    size_t start = out->used;
    if (encode_at(state, (SharedObject *)ring, out, start, obj) < 0) {
        out->used = start;
        return -1;
    }
    return 0;
}

void
pn_release_records(pn_domain *domain, const char *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        const pn_record *record = (const pn_record *)(bytes + at);
        const pn_handles *handles = pn_record_handles(record);
        if (handles != NULL && handles->weight != 0) {
            pn_object_drop(domain, handles->offset[0]);
        }
        at += pn_record_size(record);
    }
}

/* ---- taken records ------------------------------------------------------------- */

PyObject *
pn_broken_record(void)
{
    PyErr_SetString(PyExc_SystemError, "a record of the queue is not readable; please report it");
    return NULL;
}

typedef struct {
    const pn_handles *handles; /* NULL: none */
    const char *bytes;
    size_t length;
} payload;

static payload
open_payload(pn_domain *domain, const pn_record *record)
{
    payload result = {.bytes = (const char *)(record + 1), .length = record->value};
    result.handles = pn_record_handles(record);
    if (result.handles != NULL) {
        size_t size = sizeof(pn_handles) + result.handles->count * sizeof(uint64_t);
        result.bytes += size;
        result.length -= size;
    }
    if (record->flags & PN_RECORD_BUFFER) {
        const pn_payload_ref *ref = (const pn_payload_ref *)result.bytes;
        result.bytes = pn_buffer_bytes(domain, result.handles->offset[0]) + ref->offset;
        result.length = ref->length;
    }
    return result;
}

static PyObject *
decode_bytes(const char *bytes, size_t length)
{
    PyObject *result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
    if (result != NULL) {
        copy(PyBytes_AS_STRING(result), bytes, length);
    }
    return result;
}

PyObject *
pn_ascii_str(const char *bytes, size_t length)
{
    PyObject *result = PyUnicode_New((Py_ssize_t)length, 127);
    if (result != NULL && length > 0) {
        copy((char *)PyUnicode_1BYTE_DATA(result), bytes, length);
    }
    return result;
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
        return decode_bytes(data->bytes, data->length);
    case PN_RECORD_STR:
        return pn_ascii_str(data->bytes, data->length);
    case PN_RECORD_TREE:
        return pn_tree_decode(data->bytes, data->length);
    case PN_RECORD_PICKLE:
        return decode_pickle(state, data);
    default:
        return pn_broken_record();
    }
}

void
pn_let_go(SharedObject *ring, const pn_record *record)
{
    /* The take gave this process a reference to each object named: unpickled objects have
     * their own now, and what stood in a buffer was copied. */
    const pn_handles *handles = pn_record_handles(record);
    for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
        pn_object_drop(ring->domain, handles->offset[i]);
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
