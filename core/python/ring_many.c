/* Many items in few commits, and in one take. */
#include "objects.h"

/* As many records from `at` on as one commit may take: not so many that a bounded queue
 * would have to be empty for them. */
static pn_batch
next_batch(const pn_writer *out, size_t at, const pn_ring_cell *cell)
{
    pn_batch batch = {.bytes = out->bytes + at};
    uint64_t most = cell->max_items ? cell->max_items / 4 : UINT64_MAX;
    uint64_t heaviest = cell->max_bytes ? cell->max_bytes / 4 : UINT64_MAX;
    while (at + batch.length < out->used) {
        const pn_record *record = (const pn_record *)(batch.bytes + batch.length);
        uint64_t size = pn_record_size(record);
        uint64_t weight = pn_record_weight(record);
        if (batch.count > 0 && (batch.length + size > PN_RING_INLINE || batch.count >= most ||
                                batch.weight + weight > heaviest)) {
            break;
        }
        batch.length += size;
        batch.weight += weight;
        batch.handles |= record->flags & PN_RECORD_HANDLES;
        batch.count++;
    }
    return batch;
}

static int
encode_all(RingObject *self, pn_writer *out, PyObject *items)
{
    PyObject *list = PySequence_Fast(items, "put_many() takes an iterable");
    if (list == NULL) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < PySequence_Fast_GET_SIZE(list); i++) {
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(list, i));
        result = pn_encode(self->state, (PyObject *)self, out, item);
        Py_DECREF(item);
    }
    Py_DECREF(list);
    return result;
}

const char pn_put_many_doc[] =
    PyDoc_STR("put_many($self, items, block=True, timeout=None)\n--\n\n"
              "Put all items in, in order, in few commits: each commit is all or nothing.\n\n"
              "All are encoded first, so an item that does not pickle raises before any is\n"
              "put. If the time runs out midway, queue.Full says how many were put.");

PyObject *
pn_ring_put_many(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call = PN_CALL;
    if (pn_parse_call("put_many", "items", args, count, names, &call) < 0 ||
        pn_ring_check_open(self) < 0) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER * 4 / sizeof(uint64_t)];
    pn_writer out = {.bytes = (char *)stack, .capacity = sizeof(stack)};
    int result = encode_all(self, &out, call.first);
    size_t at = 0;
    uint64_t done = 0;
    if (result < 0) {
        /* Raised before anything was put. */
    }
    while (result == 0 && at < out.used) {
        pn_batch batch = next_batch(&out, at, self->ring.cell);
        result = pn_ring_put_batch(self, &batch, call.block, call.deadline);
        if (result == 0) {
            if (batch.handles) {
                pn_release_records(self->shared.domain, batch.bytes, batch.length);
            }
            at += batch.length;
            done += batch.count;
        }
    }
    if (result < 0) {
        pn_release_records(self->shared.domain, out.bytes + at, out.used - at);
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        PyErr_NormalizeException(&type, &value, &traceback);
        PyObject *number = PyLong_FromUnsignedLongLong(done);
        if (number == NULL || value == NULL ||
            PyObject_SetAttrString(value, "items_put", number) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(number);
        PyErr_Restore(type, value, traceback);
    }
    pn_writer_free(&out);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* What one more item raised that does not unpickle, at the end of `errors`. */
static void
keep_error(PyObject *errors)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (value != NULL && traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    if (value == NULL || PyList_Append(errors, value) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
}

/* The first of `errors`, with what was decoded as its `items`, and the rest of them as its `others`. */
static void
raise_first(PyObject *errors, PyObject *items)
{
    PyObject *first = PyList_GET_ITEM(errors, 0);
    PyObject *others = PyList_GetSlice(
        errors, 1, PyList_GET_SIZE(errors)); /* not itself: a circle would keep it alive */
    if (PyObject_SetAttrString(first, "items", items) < 0 || others == NULL ||
        PyObject_SetAttrString(first, "others", others) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(others);
    PyErr_SetObject((PyObject *)Py_TYPE(first), first);
}

/* Decode all that was taken. An item that does not unpickle raises after the rest was
 * decoded; what was decoded comes along as the exception's `items`, and what further such items raised as its `others`. */
static PyObject *
decode_all(RingObject *self, const pn_sink *sink)
{
    PyObject *list = PyList_New(0), *errors = PyList_New(0);
    uint64_t at = 0;
    while (list != NULL && errors != NULL && at < sink->used) {
        const pn_record *record = (const pn_record *)(sink->bytes + at);
        at += pn_record_size(record);
        PyObject *item = pn_decode(self->state, &self->shared, record);
        if (item == NULL) {
            keep_error(errors);
            continue;
        }
        if (PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_DECREF(item);
    }
    if (list == NULL || errors == NULL) {
        /* No memory for the list: the items are lost, what they name is not. */
        pn_release_records(self->shared.domain, sink->bytes + at, sink->used - at);
        Py_CLEAR(list);
    } else if (PyList_GET_SIZE(errors) > 0) {
        raise_first(errors, list);
        Py_CLEAR(list);
    }
    Py_XDECREF(errors);
    return list;
}

const char pn_get_many_doc[] =
    PyDoc_STR("get_many($self, max_items, block=True, timeout=None)\n--\n\n"
              "Take what is there, one item at least and `max_items` at most, in one take.\n\n"
              "Waits, and raises, as get() does. About 256 KiB are taken at a time.");

PyObject *
pn_ring_get_many(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call = PN_CALL;
    if (pn_parse_call("get_many", "max_items", args, count, names, &call) < 0 ||
        pn_ring_check_open(self) < 0) {
        return NULL;
    }
    Py_ssize_t most = PyNumber_AsSsize_t(call.first, PyExc_OverflowError);
    if (most == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (most < 1) {
        PyErr_Format(PyExc_ValueError, "max_items must be 1 or more, not %zd", most);
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER * 4 / sizeof(uint64_t)];
    pn_sink sink = {.bytes = (char *)stack, .capacity = sizeof(stack), .limit = (uint64_t)most};
    PyObject *result = NULL;
    if (pn_ring_take(self, &sink, call.block, call.deadline) == 0) {
        result = decode_all(self, &sink);
    }
    pn_sink_free(&sink);
    return result;
}
