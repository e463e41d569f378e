/* Pickled items, and the large buffers that travel beside a pickle (protocol 5).
 *
 * What pickling sets aside is not written into the pickle: bytes of a shared Buffer are named, all
 * others are copied once, into one new buffer for the item. The receiver unpickles with views of
 * these buffers. The payload of such a record (PN_RECORD_BESIDE), before the pickle itself:
 *   {u32 count, u32 0} {u32 which of the record's handles, u32 0, u64 begin, u64 length}...
 */
#include "codec.h"

#include "../buffer.h"

#define ALIGNMENT 64 /* bytes; of whatever stands beside a pickle */

typedef struct {
    uint32_t handle, zero;
    uint64_t begin, length;
} place;

typedef struct {
    uint32_t count, zero;
    place places[];
} table;

/* What is written into one record. */
typedef struct {
    Py_buffer pickle;
    Py_buffer *beside; /* `count` of them are open */
    table *table;
    size_t table_size;
    uint32_t count;
    pn_names names;
    uint64_t made_size; /* bytes of the new buffer; 0: none is needed */
} parcel;

#define MADE UINT32_MAX /* a place in the new buffer, which will be handle 0 */

static uint64_t
aligned(uint64_t size)
{
    return (size + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
}

/* ---- encode ----------------------------------------------------------------------- */

static int
open_all(parcel *item, PyObject *list)
{
    size_t count = (size_t)PyList_GET_SIZE(list);
    item->table_size = sizeof(table) + count * sizeof(place);
    item->beside = PyMem_Calloc(count, sizeof(*item->beside));
    item->table = PyMem_Calloc(1, item->table_size);
    if (item->beside == NULL || item->table == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    while (item->count < count) {
        if (PyObject_GetBuffer(PyList_GET_ITEM(list, item->count), &item->beside[item->count],
                               PyBUF_FULL_RO) < 0) {
            return -1;
        }
        item->count++;
    }
    item->table->count = item->count;
    return 0;
}

static void
close_all(parcel *item)
{
    for (uint32_t i = 0; i < item->count; i++) {
        PyBuffer_Release(&item->beside[i]);
    }
    PyMem_Free(item->beside);
    PyMem_Free(item->table);
    PyBuffer_Release(&item->pickle);
}

/* Which of them are named, and where the others come to stand in the new buffer. */
static void
find_places(pn_state *state, SharedObject *ring, parcel *item)
{
    for (uint32_t i = 0; i < item->count; i++) {
        place *at = &item->table->places[i];
        const char *begin, *end;
        SharedObject *shared = pn_extent(&item->beside[i], &begin, &end)
                                   ? pn_registry_find(&state->registry, begin, end)
                                   : NULL;
        at->length = (uint64_t)item->beside[i].len;
        if (shared != NULL && shared->domain == ring->domain) {
            at->handle = pn_names_add(&item->names, shared->offset);
            at->begin = (uint64_t)(begin - pn_buffer_bytes(shared->domain, shared->offset));
        } else {
            at->handle = MADE;
            at->begin = item->made_size;
            item->made_size += aligned(at->length);
        }
    }
}

/* The new buffer comes first of the handles. */
static void
number_handles(parcel *item, bool has_made)
{
    for (uint32_t i = 0; i < item->count; i++) {
        place *at = &item->table->places[i];
        at->handle = at->handle == MADE ? 0 : at->handle + has_made;
    }
}

/* Copy what is not named, and the payload if it is to stand there too. The GIL is let go: the
 * open buffers keep their memory, and whoever changes it meanwhile gets a mixture, as with any copy. */
static void
fill(char *made, const parcel *item, uint64_t payload_at)
{
    Py_BEGIN_ALLOW_THREADS
    for (uint32_t i = 0; i < item->count; i++) {
        const place *at = &item->table->places[i];
        if (at->handle == 0) {
            memcpy(made + at->begin, item->beside[i].buf, at->length);
        }
    }
    if (payload_at != UINT64_MAX) {
        memcpy(made + payload_at, item->table, item->table_size);
        memcpy(made + payload_at + item->table_size, item->pickle.buf, (size_t)item->pickle.len);
    }
    Py_END_ALLOW_THREADS
}

static int
encode_beside(pn_state *state, SharedObject *ring, pn_writer *out, size_t start, parcel *item)
{
    find_places(state, ring, item);
    if (pn_names_check(&item->names) < 0) {
        return -1;
    }
    size_t payload = item->table_size + (size_t)item->pickle.len;
    bool is_inline =
        sizeof(pn_record) + pn_names_size(&item->names, true) + payload <= PN_RING_INLINE;
    uint64_t payload_at = is_inline ? UINT64_MAX : item->made_size;
    uint64_t size = item->made_size + (is_inline ? 0 : payload), made = 0;
    if (size > 0) {
        made = pn_make_buffer(ring, size);
        if (made == 0) {
            return -1;
        }
    }
    number_handles(item, made != 0);
    if (made != 0) {
        fill(pn_buffer_bytes(ring->domain, made), item, payload_at);
    }
    int result = pn_append_names(out, &item->names, made, size);
    if (result == 0 && !is_inline) {
        pn_payload_ref ref = {.offset = payload_at, .length = payload};
        result = pn_append_raw(out, &ref, sizeof(ref));
    } else if (result == 0) {
        result = pn_append_raw(out, item->table, item->table_size);
        result = result ? result : pn_append_raw(out, item->pickle.buf, (size_t)item->pickle.len);
    }
    if (result == 0) {
        result = pn_finish_record(out, ring, start, PN_RECORD_BESIDE,
                                  PN_RECORD_HANDLES | (is_inline ? 0 : PN_RECORD_BUFFER));
    }
    if (result < 0 && made != 0) {
        pn_object_drop(ring->domain, made);
    }
    return result;
}

/* An item without anything beside its pickle. */
static int
encode_plain(SharedObject *ring, pn_writer *out, size_t start, const parcel *item)
{
    return pn_append_payload(out, ring, start, PN_RECORD_PICKLE, &item->names, item->pickle.buf,
                             (size_t)item->pickle.len);
}

static int
take_names(pn_names *names, PyObject *objects)
{
    PyObject *key, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(objects, &at, &key, &value)) {
        uint64_t offset = PyLong_AsUnsignedLongLong(key);
        if (PyErr_Occurred()) {
            return -1;
        }
        pn_names_add(names, offset);
    }
    return pn_names_check(names);
}

static int
encode_parts(pn_state *state, SharedObject *ring, pn_writer *out, size_t start, PyObject *parts)
{
    PyObject *pickle, *objects, *list;
    parcel item = {.count = 0};
    int once;
    if (!PyArg_ParseTuple(parts, "OO!O!p", &pickle, &PyDict_Type, &objects, &PyList_Type, &list,
                          &once) ||
        PyObject_GetBuffer(pickle, &item.pickle, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    int result = take_names(&item.names, objects);
    if (result == 0 && PyList_GET_SIZE(list) == 0) {
        result = encode_plain(ring, out, start, &item);
    } else if (result == 0) {
        result = open_all(&item, list);
        result = result ? result : encode_beside(state, ring, out, start, &item);
    }
    close_all(&item);
    if (result == 0 && once) {
        ((pn_record *)(out->bytes + start))->flags |= PN_RECORD_ONCE;
    }
    return result;
}

int
pn_encode_pickled(pn_state *state, SharedObject *ring, pn_writer *out, size_t start, PyObject *obj)
{
    if (state->dumps == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no serializer: import procession first");
        return -1;
    }
    if (pn_teach_arrays(state) < 0) {
        return -1;
    }
    PyObject *parts =
        PyObject_CallFunctionObjArgs(state->dumps, obj, (PyObject *)ring->domain_object, NULL);
    if (parts == NULL) {
        return -1;
    }
    int result = encode_parts(state, ring, out, start, parts);
    Py_DECREF(parts);
    return result;
}

/* ---- decode ----------------------------------------------------------------------- */

/* loads(view), loads(view, buffers=list); the view's bytes go away, so nobody may keep it. */
static PyObject *
load(pn_state *state, const char *bytes, size_t length, PyObject *buffers)
{
    if (state->loads == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no serializer: import procession first");
        return NULL;
    }
    PyObject *view = PyMemoryView_FromMemory((char *)bytes, (Py_ssize_t)length, PyBUF_READ);
    if (view == NULL) {
        return NULL;
    }
    PyObject *args[] = {view, buffers};
    PyObject *result =
        PyObject_Vectorcall(state->loads, args, 1, buffers ? state->buffers_name : NULL);
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

PyObject *
pn_decode_pickle(pn_state *state, const char *bytes, size_t length)
{
    return load(state, bytes, length, NULL);
}

/* memoryview(buffer)[begin:begin + length] */
static PyObject *
view_of(PyObject *buffer, const place *at)
{
    PyObject *whole = PyMemoryView_FromObject(buffer);
    PyObject *begin = PyLong_FromUnsignedLongLong(at->begin);
    PyObject *end = PyLong_FromUnsignedLongLong(at->begin + at->length);
    PyObject *slice = begin && end ? PySlice_New(begin, end, NULL) : NULL;
    PyObject *result = whole && slice ? PyObject_GetItem(whole, slice) : NULL;
    Py_XDECREF(slice);
    Py_XDECREF(end);
    Py_XDECREF(begin);
    Py_XDECREF(whole);
    return result;
}

static PyObject *
views_of(pn_state *state, SharedObject *ring, const table *table, const pn_handles *handles)
{
    PyObject *buffers[PN_HANDLES_LIMIT + 1] = {NULL}; /* one object for each handle */
    PyObject *list = PyList_New(table->count);
    for (uint32_t i = 0; list != NULL && i < table->count; i++) {
        const place *at = &table->places[i];
        PyObject *view = NULL;
        if (handles == NULL || at->handle >= handles->count || at->handle > PN_HANDLES_LIMIT) {
            pn_broken_record();
        } else {
            PyObject **buffer = &buffers[at->handle];
            if (*buffer == NULL) {
                *buffer = (PyObject *)pn_buffer_object(state, ring, handles->offset[at->handle]);
            }
            view = *buffer ? view_of(*buffer, at) : NULL;
        }
        if (view == NULL) {
            Py_CLEAR(list);
        } else {
            PyList_SET_ITEM(list, i, view);
        }
    }
    for (uint32_t i = 0; i <= PN_HANDLES_LIMIT; i++) {
        Py_XDECREF(buffers[i]);
    }
    return list;
}

PyObject *
pn_decode_beside(pn_state *state, SharedObject *ring, const pn_handles *handles, const char *bytes,
                 size_t length)
{
    const table *table = (const void *)bytes;
    if (length < sizeof(*table) || (length - sizeof(*table)) / sizeof(place) < table->count) {
        return pn_broken_record();
    }
    size_t size = sizeof(*table) + table->count * sizeof(place);
    PyObject *views = views_of(state, ring, table, handles);
    if (views == NULL) {
        return NULL;
    }
    PyObject *result = load(state, bytes + size, length - size, views);
    Py_DECREF(views);
    return result;
}
