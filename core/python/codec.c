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
void
pn_copy(char *target, const char *source, size_t length)
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

/* Named by a record that is not put yet: this process holds it until pn_release_records, whatever
 * becomes of the item meanwhile. */
static void
retain_names(SharedObject *ring, const pn_record *record)
{
    const pn_handles *handles = pn_record_handles(record);
    /* The first is new, and held, if the record has a weight of its own. */
    for (uint32_t i = handles->weight != 0; i < handles->count; i++) {
        pn_object_retain(ring->domain, handles->offset[i]);
    }
}

int
pn_finish_record(pn_writer *out, SharedObject *ring, size_t start, uint8_t kind, uint8_t flags)
{
    size_t length = out->used - start - sizeof(pn_record);
    size_t pad = padded(length) - length;
    char *at = room(out, pad);
    if (at == NULL) {
        return -1;
    }
    memset(at, 0, pad);
    out->used += pad;
    pn_record *record = (pn_record *)(out->bytes + start);
    *record = (pn_record){.value = (uint32_t)length, .kind = kind, .flags = flags};
    if (flags & PN_RECORD_HANDLES) {
        retain_names(ring, record);
    }
    return 0;
}

int
pn_append_raw(pn_writer *out, const void *bytes, size_t length)
{
    char *at = room(out, length);
    if (at == NULL) {
        return -1;
    }
    memcpy(at, bytes, length);
    out->used += length;
    return 0;
}

uint32_t
pn_names_add(pn_names *names, uint64_t offset)
{
    uint32_t stored = names->count < PN_HANDLES_LIMIT ? names->count : PN_HANDLES_LIMIT;
    for (uint32_t i = 0; i < stored; i++) {
        if (names->offset[i] == offset) {
            return i;
        }
    }
    if (names->count < PN_HANDLES_LIMIT) {
        names->offset[names->count] = offset;
    }
    return names->count++;
}

int
pn_names_check(const pn_names *names)
{
    if (names->count > PN_HANDLES_LIMIT) {
        PyErr_Format(PyExc_ValueError,
                     "one item names %u shared objects; at most %d may travel together. Put "
                     "them in several items.",
                     names->count, (int)PN_HANDLES_LIMIT);
        return -1;
    }
    return 0;
}

size_t
pn_names_size(const pn_names *names, bool has_made)
{
    size_t count = names->count + has_made;
    return count ? sizeof(pn_handles) + count * sizeof(uint64_t) : 0;
}

/* The handles section; the first of the objects is `made` if that is not 0. */
int
pn_append_names(pn_writer *out, const pn_names *names, uint64_t made, uint64_t weight)
{
    pn_handles head = {.count = names->count + (made != 0), .weight = weight};
    if (head.count == 0) {
        return 0;
    }
    if (pn_append_raw(out, &head, sizeof(head)) < 0 ||
        (made != 0 && pn_append_raw(out, &made, sizeof(made)) < 0)) {
        return -1;
    }
    return pn_append_raw(out, names->offset, names->count * sizeof(uint64_t));
}

/* A new buffer for an item, which this process holds; 0 with an exception. */
uint64_t
pn_make_buffer(SharedObject *ring, size_t length)
{
    uint64_t offset;
    uint32_t generation;
    pn_status status = pn_buffer_new(ring->domain, length, 0, &offset, &generation);
    if (status != PN_OK) {
        bool is_dict = atomic_load(&pn_shared_cell(ring)->type) == PN_OBJECT_DICT;
        pn_raise(status, ring->domain, is_dict ? "SharedDict" : "Queue",
                 pn_shared_cell(ring)->name);
        return 0;
    }
    return offset;
}

/* The rest of a record whose payload stands in the buffer `made` already. */
static int
finish_with_buffer(pn_writer *out, SharedObject *ring, size_t start, uint8_t kind,
                   const pn_names *names, uint64_t made, size_t length)
{
    pn_payload_ref ref = {.offset = 0, .length = length};
    if (pn_append_names(out, names, made, length) < 0 ||
        pn_append_raw(out, &ref, sizeof(ref)) < 0 ||
        pn_finish_record(out, ring, start, kind, PN_RECORD_HANDLES | PN_RECORD_BUFFER) < 0) {
        pn_object_drop(ring->domain, made);
        return -1;
    }
    return 0;
}

static const pn_names no_names = {.count = 0};

int
pn_append_payload(pn_writer *out, SharedObject *ring, size_t start, uint8_t kind,
                  const pn_names *names, const char *bytes, size_t length)
{
    if (sizeof(pn_record) + pn_names_size(names, false) + length <= PN_RING_INLINE) {
        if (pn_append_names(out, names, 0, 0) < 0 || pn_append_raw(out, bytes, length) < 0) {
            return -1;
        }
        return pn_finish_record(out, ring, start, kind, names->count ? PN_RECORD_HANDLES : 0);
    }
    uint64_t made = pn_make_buffer(ring, length);
    if (made == 0) {
        return -1;
    }
    pn_copy(pn_buffer_bytes(ring->domain, made), bytes, length);
    return finish_with_buffer(out, ring, start, kind, names, made, length);
}

static int
append_plain(pn_writer *out, SharedObject *ring, size_t start, uint8_t kind, const char *bytes,
             size_t length)
{
    return pn_append_payload(out, ring, start, kind, &no_names, bytes, length);
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
        return pn_encode_pickled(state, ring, out, start, obj);
    }
    if (result == FAILED) {
        return -1;
    }
    size_t length = out->used - start - sizeof(pn_record);
    if (length + sizeof(pn_record) <= PN_RING_INLINE) {
        return pn_finish_record(out, ring, start, PN_RECORD_TREE, 0);
    }
    /* Too large for the ring: what was written moves into a buffer. */
    uint64_t made = pn_make_buffer(ring, length);
    if (made == 0) {
        return -1;
    }
    pn_copy(pn_buffer_bytes(ring->domain, made), out->bytes + start + sizeof(pn_record), length);
    out->used = start + sizeof(pn_record);
    return finish_with_buffer(out, ring, start, PN_RECORD_TREE, &no_names, made, length);
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
        return append_plain(out, ring, start, PN_RECORD_BYTES, PyBytes_AS_STRING(obj),
                            (size_t)PyBytes_GET_SIZE(obj));
    }
    if (type == &PyUnicode_Type && PyUnicode_IS_COMPACT_ASCII(obj) &&
        PyUnicode_GET_LENGTH(obj) < UINT32_MAX) {
        return append_plain(out, ring, start, PN_RECORD_STR,
                            (const char *)PyUnicode_1BYTE_DATA(obj),
                            (size_t)PyUnicode_GET_LENGTH(obj));
    }
    if (pn_is_array(state, type)) {
        int result = pn_encode_array(state, ring, out, start, obj);
        return result == NOT_PLAIN ? pn_encode_pickled(state, ring, out, start, obj) : result;
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
        for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
            pn_object_drop(domain, handles->offset[i]);
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
        pn_copy(PyBytes_AS_STRING(result), bytes, length);
    }
    return result;
}

PyObject *
pn_ascii_str(const char *bytes, size_t length)
{
    PyObject *result = PyUnicode_New((Py_ssize_t)length, 127);
    if (result != NULL && length > 0) {
        pn_copy((char *)PyUnicode_1BYTE_DATA(result), bytes, length);
    }
    return result;
}

static PyObject *
decode_payload(pn_state *state, SharedObject *ring, const pn_record *record, const payload *data)
{
    switch (record->kind) {
    case PN_RECORD_BYTES:
        return decode_bytes(data->bytes, data->length);
    case PN_RECORD_STR:
        return pn_ascii_str(data->bytes, data->length);
    case PN_RECORD_TREE:
        return pn_tree_decode(data->bytes, data->length);
    case PN_RECORD_PICKLE:
    case PN_RECORD_MESSAGE:
        return pn_decode_pickle(state, data->bytes, data->length);
    case PN_RECORD_BESIDE:
        return pn_decode_beside(state, ring, data->handles, data->bytes, data->length);
    case PN_RECORD_ARRAY:
        return pn_decode_array(state, ring, data->handles, data->bytes, data->length);
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
    PyObject *result = decode_payload(state, ring, record, &data);
    pn_let_go(ring, record);
    return result;
}

/* ---- messages -------------------------------------------------------------------- */

/* Are the record's bytes a message as they stand? A pickle that names shared objects can be unpickled
 * only while the record keeps them. */
static bool
is_message(const pn_record *record)
{
    const pn_handles *handles = pn_record_handles(record);
    uint32_t made = record->flags & PN_RECORD_BUFFER ? 1 : 0;
    return record->kind == PN_RECORD_MESSAGE ||
           (record->kind == PN_RECORD_PICKLE && (handles == NULL || handles->count == made));
}

int
pn_message_open(pn_state *state, SharedObject *ring, const pn_record *record, pn_message *message)
{
    *message = (pn_message){.record = record};
    if (is_message(record)) {
        payload data = open_payload(ring->domain, record);
        message->bytes = data.bytes;
        message->length = data.length;
        return 0;
    }
    PyObject *object = pn_decode(state, ring, record);
    PyObject *module = object ? PyImport_ImportModule("multiprocessing.reduction") : NULL;
    PyObject *pickler = module ? PyObject_GetAttrString(module, "ForkingPickler") : NULL;
    PyObject *dumped = pickler ? PyObject_CallMethod(pickler, "dumps", "(O)", object) : NULL;
    message->pickle = dumped ? PyBytes_FromObject(dumped) : NULL;
    Py_XDECREF(dumped);
    Py_XDECREF(pickler);
    Py_XDECREF(module);
    Py_XDECREF(object);
    if (message->pickle == NULL) {
        return -1;
    }
    message->bytes = PyBytes_AS_STRING(message->pickle);
    message->length = (size_t)PyBytes_GET_SIZE(message->pickle);
    return 0;
}

PyObject *
pn_message_bytes(const pn_message *message)
{
    return message->pickle != NULL ? Py_NewRef(message->pickle)
                                   : decode_bytes(message->bytes, message->length);
}

void
pn_message_close(SharedObject *ring, pn_message *message)
{
    if (message->pickle != NULL) {
        Py_CLEAR(message->pickle); /* decoding has let go */
    } else {
        pn_let_go(ring, message->record);
    }
}
