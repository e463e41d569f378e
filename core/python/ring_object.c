/* The queue's hot path: put, get, put_many, get_many.
 *
 * Encode before any lock is taken, decode after it is let go: no Python code, no
 * allocation that could start the garbage collector, and no wait for the GIL happens
 * under a shared lock. The first attempt keeps the GIL; only sleeping lets it go. */
#include "objects.h"

#include "../bell.h"
#include "../leader.h"

PyObject *
pn_ring_raise(RingObject *self, pn_status status)
{
    return pn_raise(status, self->shared.domain, "Queue", pn_shared_cell(&self->shared)->name);
}

static PyObject *
ring_open(RingObject *self, PyObject *Py_UNUSED(none))
{
    self->state = pn_state_of((PyObject *)self);
    if (self->state == NULL || !pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_ring_open(&self->ring, self->shared.domain, self->shared.offset);
    Py_RETURN_NONE;
}

int
pn_ring_init(RingObject *self, PyObject *args, PyObject *kwargs, bool leased)
{
    static char *plain[] = {"domain", "name", "maxsize", "max_bytes", NULL};
    static char *more[] = {"domain", "name", "maxsize", "max_bytes", "max_deliveries", NULL};
    PyObject *domain_object;
    const char *name = "";
    unsigned long long maxsize = 0, max_bytes = 0;
    unsigned int max_deliveries = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, leased ? "O|sKKI" : "O|sKK",
                                     leased ? more : plain, &domain_object, &name, &maxsize,
                                     &max_bytes, &max_deliveries)) {
        return -1;
    }
    DomainObject *domain = pn_domain_for(&self->shared, domain_object);
    if (domain == NULL) {
        return -1;
    }
    uint64_t offset;
    uint32_t generation;
    pn_status status =
        leased ? pn_ring_new_leased(domain->domain, name, maxsize, max_bytes, max_deliveries,
                                    &offset, &generation)
               : pn_ring_new(domain->domain, name, maxsize, max_bytes, &offset, &generation);
    if (pn_shared_take(&self->shared, domain, status, offset, generation, "Queue", name) < 0) {
        return -1;
    }
    PyObject *opened = ring_open(self, NULL);
    Py_XDECREF(opened);
    return opened ? 0 : -1;
}

static int
ring_init(RingObject *self, PyObject *args, PyObject *kwargs)
{
    return pn_ring_init(self, args, kwargs, false);
}

static int
check_open(RingObject *self)
{
    return pn_shared_open(&self->shared, self->closed, "Queue");
}

/* ---- put ---------------------------------------------------------------------------- */

/* 0, or -1 with an exception: Full, ShutDown, DomainFull, or a signal handler's. */
static int
put_batch(RingObject *self, const pn_batch *batch, bool block, int64_t deadline)
{
    pn_status status = pn_ring_try_put(&self->ring, batch);
    if (self->ring.cell->max_items != 0 || self->ring.cell->max_bytes != 0) {
        pn_bell_settle(self->shared.domain, self->shared.offset); /* there may be no room now */
    }
    if (status == PN_OK) {
        return 0;
    }
    if (status == PN_BUSY || (status == PN_FULL && block)) {
        int64_t until = block ? deadline : pn_now() + PN_NOWAIT_NS;
        PN_SLEEP(status, pn_ring_put(&self->ring, batch, until));
    }
    if (status == PN_OK) {
        return 0;
    }
    if (status != PN_INTERRUPTED || !PyErr_Occurred()) {
        pn_ring_raise(self, status == PN_TIMEOUT ? PN_FULL : status);
    }
    return -1;
}

PyDoc_STRVAR(put_doc,
             "put($self, obj, block=True, timeout=None)\n--\n\n"
             "Put one item in; when this returns, it is committed: no death can take it back.\n\n"
             "Raises queue.Full if there was no room within `timeout` seconds, ValueError if\n"
             "closed, ShutDown after shutdown(), DomainFull if memory ran out, and what\n"
             "pickling raises; in each case nothing was put.");

static PyObject *
ring_put(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call = {.block = 1};
    if (count == 1 && names == NULL) {
        call.first = args[0];
    } else if (pn_parse_call("put", "obj", args, count, names, &call) < 0) {
        return NULL;
    }
    int64_t deadline = PN_FOREVER;
    if (check_open(self) < 0 || (call.timeout && pn_deadline(call.timeout, &deadline) < 0)) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_writer out = {.bytes = (char *)stack, .capacity = sizeof(stack)};
    int result = pn_encode(self->state, (PyObject *)self, &out, call.first);
    if (result == 0) {
        const pn_record *record = (const pn_record *)out.bytes;
        pn_batch batch = {.bytes = out.bytes,
                          .length = out.used,
                          .count = 1,
                          .weight = pn_record_weight(record),
                          .handles = record->flags & PN_RECORD_HANDLES};
        result = put_batch(self, &batch, call.block, deadline);
        if (record->flags) {
            pn_release_records(self->shared.domain, out.bytes, out.used);
        }
    }
    pn_writer_free(&out);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
ring_put_nowait(RingObject *self, PyObject *obj)
{
    PyObject *args[2] = {obj, Py_False};
    return ring_put(self, args, 2, NULL);
}

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

PyDoc_STRVAR(put_many_doc,
             "put_many($self, items, block=True, timeout=None)\n--\n\n"
             "Put all items in, in order, in few commits: each commit is all or nothing.\n\n"
             "All are encoded first, so an item that does not pickle raises before any is\n"
             "put. If the time runs out midway, queue.Full says how many were put.");

static PyObject *
ring_put_many(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call = {.block = 1};
    int64_t deadline = PN_FOREVER;
    if (pn_parse_call("put_many", "items", args, count, names, &call) < 0 || check_open(self) < 0 ||
        (call.timeout && pn_deadline(call.timeout, &deadline) < 0)) {
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
        result = put_batch(self, &batch, call.block, deadline);
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

/* ---- get ---------------------------------------------------------------------------- */

static int
take(RingObject *self, pn_sink *sink, bool block, int64_t deadline)
{
    pn_status status = pn_ring_try_get(&self->ring, sink);
    pn_bell_settle(self->shared.domain, self->shared.offset); /* it may be empty now */
    if (status == PN_OK) {
        return 0;
    }
    if (status == PN_BUSY || (status == PN_EMPTY && block)) {
        int64_t until = block ? deadline : pn_now() + PN_NOWAIT_NS;
        PN_SLEEP(status, pn_ring_get(&self->ring, sink, until));
        pn_bell_settle(self->shared.domain, self->shared.offset);
    }
    if (status == PN_OK) {
        return 0;
    }
    if (status != PN_INTERRUPTED || !PyErr_Occurred()) {
        pn_ring_raise(self, status == PN_TIMEOUT ? PN_EMPTY : status);
    }
    return -1;
}

void
pn_sink_free(pn_sink *sink)
{
    if (sink->on_heap) {
        free(sink->bytes);
    }
}

PyDoc_STRVAR(get_doc,
             "get($self, block=True, timeout=None)\n--\n\n"
             "Take one item out.\n\n"
             "Raises queue.Empty if none came within `timeout` seconds, ValueError if closed,\n"
             "ShutDown when the queue was shut down and is empty. An item belongs to whoever\n"
             "took it: if that process is killed, the item is gone with it.");

static inline int
take_for(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names, pn_sink *sink)
{
    pn_call call = {.block = 1};
    int64_t deadline = PN_FOREVER;
    if ((count || names) && pn_parse_call("get", NULL, args, count, names, &call) < 0) {
        return -1;
    }
    if (check_open(self) < 0 || (call.timeout && pn_deadline(call.timeout, &deadline) < 0)) {
        return -1;
    }
    return take(self, sink, call.block, deadline);
}

int
pn_ring_take_for(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names,
                 pn_sink *sink)
{
    return take_for(self, args, count, names, sink);
}

static PyObject *
ring_get(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_sink sink = {.bytes = (char *)stack, .capacity = sizeof(stack), .limit = 1};
    PyObject *result = NULL;
    if (take_for(self, args, count, names, &sink) == 0) {
        result = pn_decode(self->state, &self->shared, (const pn_record *)sink.bytes);
    }
    pn_sink_free(&sink);
    return result;
}

static PyObject *
ring_get_nowait(RingObject *self, PyObject *Py_UNUSED(none))
{
    PyObject *args[1] = {Py_False};
    return ring_get(self, args, 1, NULL);
}

/* Decode all that was taken. An item that does not unpickle raises after the rest was
 * decoded; the others come along as the exception's `items`. */
static PyObject *
decode_all(RingObject *self, const pn_sink *sink)
{
    PyObject *list = PyList_New(0);
    PyObject *type = NULL, *value = NULL, *traceback = NULL;
    uint64_t at = 0;
    while (list != NULL && at < sink->used) {
        const pn_record *record = (const pn_record *)(sink->bytes + at);
        at += pn_record_size(record);
        PyObject *item = pn_decode(self->state, &self->shared, record);
        if (item == NULL) {
            if (type == NULL) {
                PyErr_Fetch(&type, &value, &traceback);
            } else {
                PyErr_Clear();
            }
            continue;
        }
        if (PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_DECREF(item);
    }
    if (list == NULL) {
        /* No memory for the list: the items are lost, what they name is not. */
        pn_release_records(self->shared.domain, sink->bytes + at, sink->used - at);
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    } else if (type != NULL) {
        PyErr_NormalizeException(&type, &value, &traceback);
        if (value == NULL || PyObject_SetAttrString(value, "items", list) < 0) {
            PyErr_Clear();
        }
        PyErr_Restore(type, value, traceback);
        Py_CLEAR(list);
    }
    return list;
}

PyDoc_STRVAR(get_many_doc,
             "get_many($self, max_items, block=True, timeout=None)\n--\n\n"
             "Take what is there, one item at least and `max_items` at most, in one take.\n\n"
             "Waits, and raises, as get() does. About 256 KiB are taken at a time.");

static PyObject *
ring_get_many(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call = {.block = 1};
    int64_t deadline = PN_FOREVER;
    if (pn_parse_call("get_many", "max_items", args, count, names, &call) < 0 ||
        check_open(self) < 0 || (call.timeout && pn_deadline(call.timeout, &deadline) < 0)) {
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
    if (take(self, &sink, call.block, deadline) == 0) {
        result = decode_all(self, &sink);
    }
    pn_sink_free(&sink);
    return result;
}

/* ---- looking and ending -------------------------------------------------------------- */

/* What shutdown(immediate=True) gave up waits no more, though it stands there still. */
static bool
is_given_up(RingObject *self)
{
    return atomic_load_explicit(&self->ring.cell->shut, memory_order_relaxed) & PN_SHUT_NOW;
}

/* In the ring: what maxsize bounds. */
static uint64_t
records_of(RingObject *self)
{
    return is_given_up(self) ? 0 : pn_ring_count(&self->ring);
}

/* What get() would find: also what waits to be redelivered. */
static uint64_t
items_of(RingObject *self)
{
    return is_given_up(self) ? 0 : pn_ring_count(&self->ring) + pn_lease_waiting(&self->ring);
}

static uint64_t
bytes_of(RingObject *self)
{
    return is_given_up(self) ? 0 : pn_ring_bytes(&self->ring);
}

static PyObject *
ring_qsize(RingObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(items_of(self));
}

static PyObject *
ring_empty(RingObject *self, PyObject *Py_UNUSED(none))
{
    if (check_open(self) < 0) {
        return NULL;
    }
    return PyBool_FromLong(items_of(self) == 0);
}

static PyObject *
ring_full(RingObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_ring_cell *cell = self->ring.cell;
    return PyBool_FromLong((cell->max_items && records_of(self) >= cell->max_items) ||
                           (cell->max_bytes && bytes_of(self) >= cell->max_bytes));
}

static PyObject *
ring_close(RingObject *self, PyObject *Py_UNUSED(none))
{
    self->closed = true;
    Py_RETURN_NONE;
}

static PyObject *
ring_shut(RingObject *self, PyObject *now)
{
    int immediate = PyObject_IsTrue(now);
    if (immediate < 0 || !pn_shared_made(&self->shared)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS /* it waits for a put that is under way in another process */
    pn_ring_shut(&self->ring, immediate);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyDoc_STRVAR(look_doc,
             "_look($self)\n--\n\n(items, bytes, maxsize, max_bytes, waiting, shut, closed)");

static PyObject *
ring_look(RingObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_ring_cell *cell = self->ring.cell;
    return Py_BuildValue("KKKKIII", (unsigned long long)items_of(self),
                         (unsigned long long)bytes_of(self), (unsigned long long)cell->max_items,
                         (unsigned long long)cell->max_bytes,
                         pn_wait_count(self->shared.domain, self->shared.offset),
                         atomic_load(&cell->shut), (unsigned)self->closed);
}

static PyMethodDef methods[] = {
    {"put", (PyCFunction)(void (*)(void))ring_put, METH_FASTCALL | METH_KEYWORDS, put_doc},
    {"get", (PyCFunction)(void (*)(void))ring_get, METH_FASTCALL | METH_KEYWORDS, get_doc},
    {"put_nowait", (PyCFunction)ring_put_nowait, METH_O,
     "put_nowait($self, obj, /)\n--\n\nput(obj, False)."},
    {"get_nowait", (PyCFunction)ring_get_nowait, METH_NOARGS,
     "get_nowait($self)\n--\n\nget(False)."},
    {"put_many", (PyCFunction)(void (*)(void))ring_put_many, METH_FASTCALL | METH_KEYWORDS,
     put_many_doc},
    {"get_many", (PyCFunction)(void (*)(void))ring_get_many, METH_FASTCALL | METH_KEYWORDS,
     get_many_doc},
    {"qsize", (PyCFunction)ring_qsize, METH_NOARGS,
     "qsize($self)\n--\n\nHow many items are in it: exact at some instant of the call."},
    {"empty", (PyCFunction)ring_empty, METH_NOARGS, "empty($self)\n--\n\nIs it empty just now?"},
    {"full", (PyCFunction)ring_full, METH_NOARGS,
     "full($self)\n--\n\nIs it as full as maxsize or max_bytes let it be?"},
    {"_close", (PyCFunction)ring_close, METH_NOARGS, NULL},
    {"_shut", (PyCFunction)ring_shut, METH_O, NULL},
    {"_open", (PyCFunction)ring_open, METH_NOARGS, NULL},
    {"_look", (PyCFunction)ring_look, METH_NOARGS, look_doc},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, ring_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, methods},
    {Py_tp_doc, "The queue in shared memory."},
    {0, NULL},
};

PyType_Spec pn_ring_spec = {
    .name = "procession._core.Ring",
    .basicsize = sizeof(RingObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
