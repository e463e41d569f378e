/* The queue's hot path: put, get, put_many, get_many.
 *
 * Encode before any lock is taken, decode after it is let go: no Python code, no
 * allocation that could start the garbage collector, and no wait for the GIL happens
 * under a shared lock. The first attempt keeps the GIL; only sleeping lets it go. */
#include "objects.h"

#include "../bell.h"
#include "../leader.h"
#include "../waits.h"

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

int
pn_ring_check_open(RingObject *self)
{
    return pn_shared_open(&self->shared, self->closed, "Queue");
}

/* ---- put ---------------------------------------------------------------------------- */

int
pn_ring_put_batch(RingObject *self, const pn_batch *batch, bool block, int64_t deadline)
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
    pn_call call = PN_CALL;
    if (count == 1 && names == NULL) {
        call.first = args[0];
    } else if (pn_parse_call("put", "obj", args, count, names, &call) < 0) {
        return NULL;
    }
    if (pn_ring_check_open(self) < 0) {
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
        result = pn_ring_put_batch(self, &batch, call.block, call.deadline);
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

/* ---- get ---------------------------------------------------------------------------- */

int
pn_ring_take(RingObject *self, pn_sink *sink, bool block, int64_t deadline)
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
    pn_call call = PN_CALL;
    if ((count || names) && pn_parse_call("get", NULL, args, count, names, &call) < 0) {
        return -1;
    }
    if (pn_ring_check_open(self) < 0) {
        return -1;
    }
    return pn_ring_take(self, sink, call.block, call.deadline);
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
    if (pn_ring_check_open(self) < 0) {
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
    {"put_many", (PyCFunction)(void (*)(void))pn_ring_put_many, METH_FASTCALL | METH_KEYWORDS,
     pn_put_many_doc},
    {"get_many", (PyCFunction)(void (*)(void))pn_ring_get_many, METH_FASTCALL | METH_KEYWORDS,
     pn_get_many_doc},
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
