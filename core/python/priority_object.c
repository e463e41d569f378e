/* PriorityQueue: the smallest first. Encode before any lock is taken, decode after it is let go, as in
 * ring_object.c. */
#include "objects.h"

#include "../leader.h"
#include "../priority.h"
#include "../sweep.h"
#include "../waits.h"

typedef struct {
    SharedObject shared;
    pn_priority queue;
    pn_state *state;
    bool closed; /* by this process */
} PriorityObject;

static PyObject *
raise_for(PriorityObject *self, pn_status status)
{
    return pn_raise(status, self->shared.domain, "PriorityQueue",
                    pn_shared_cell(&self->shared)->name);
}

static PyObject *
priority_open(PriorityObject *self, PyObject *Py_UNUSED(none))
{
    self->state = pn_state_of((PyObject *)self);
    if (self->state == NULL || !pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_priority_open(&self->queue, self->shared.domain, self->shared.offset);
    Py_RETURN_NONE;
}

static int
priority_init(PriorityObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "name", "maxsize", NULL};
    PyObject *domain_object;
    const char *name = "";
    unsigned long long maxsize = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|sK", names, &domain_object, &name,
                                     &maxsize)) {
        return -1;
    }
    DomainObject *domain = pn_domain_for(&self->shared, domain_object);
    if (domain == NULL) {
        return -1;
    }
    uint64_t offset;
    uint32_t generation;
    pn_status status = pn_priority_new(domain->domain, name, maxsize, &offset, &generation);
    if (pn_shared_take(&self->shared, domain, status, offset, generation, "PriorityQueue", name) <
        0) {
        return -1;
    }
    PyObject *opened = priority_open(self, NULL);
    Py_XDECREF(opened);
    return opened ? 0 : -1;
}

static int
check_open(PriorityObject *self)
{
    return pn_shared_open(&self->shared, self->closed, "PriorityQueue");
}

/* ---- put ---------------------------------------------------------------------------- */

static int
put_entry(PriorityObject *self, uint64_t entry, bool block, int64_t deadline)
{
    pn_status status = pn_priority_try_put(&self->queue, entry);
    if (status == PN_BUSY || status == PN_INTERRUPTED || (status == PN_FULL && block)) {
        int64_t until = block ? deadline : pn_now() + PN_NOWAIT_NS;
        PN_SLEEP(status, pn_priority_put(&self->queue, entry, until));
    }
    if (status == PN_OK) {
        return 0;
    }
    if (status != PN_INTERRUPTED || !PyErr_Occurred()) {
        raise_for(self, status == PN_TIMEOUT ? PN_FULL : status);
    }
    return -1;
}

/* An entry, which this process holds; 0 with an exception. */
static uint64_t
make_entry(PriorityObject *self, const pn_writer *key, const pn_record *record)
{
    uint64_t entry;
    pn_status status = PN_OK;
    for (int turn = 0; turn < 2; turn++) {
        status = pn_entry_new(&self->queue, key->bytes, (uint32_t)key->used, record, &entry);
        if (status == PN_OK) {
            return entry;
        }
        if (status != PN_NO_MEMORY) {
            break;
        }
        pn_sweep_sometimes(self->shared.domain); /* the dead may have some */
    }
    raise_for(self, status);
    return 0;
}

PyDoc_STRVAR(put_doc, "_put($self, key, obj, block=True, timeout=None, /)\n--\n\n"
                      "Put one item in, sorted by the key.");

static PyObject *
priority_put(PriorityObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count < 2 || count > 4) {
        PyErr_Format(PyExc_TypeError, "_put() takes 2 to 4 arguments, not %zd", count);
        return NULL;
    }
    int block = count > 2 ? PyObject_IsTrue(args[2]) : 1;
    int64_t deadline = PN_FOREVER;
    if (block < 0 || check_open(self) < 0 || (count > 3 && pn_deadline(args[3], &deadline) < 0)) {
        return NULL;
    }
    uint64_t key_stack[256 / sizeof(uint64_t)], stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_writer key = {.bytes = (char *)key_stack, .capacity = sizeof(key_stack)};
    pn_writer out = {.bytes = (char *)stack, .capacity = sizeof(stack)};
    int result = pn_encode_key(&key, args[0]);
    result = result ? result : pn_encode(self->state, (PyObject *)self, &out, args[1]);
    if (result == 0) {
        const pn_record *record = (const pn_record *)out.bytes;
        uint64_t entry = make_entry(self, &key, record);
        result = entry != 0 ? put_entry(self, entry, block, deadline) : -1;
        if (entry != 0) {
            pn_object_drop(self->shared.domain, entry);
        }
        if (record->flags) {
            pn_release_records(self->shared.domain, out.bytes, out.used);
        }
    }
    pn_writer_free(&out);
    pn_writer_free(&key);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- get ---------------------------------------------------------------------------- */

static int
take(PriorityObject *self, pn_sink *sink, bool block, int64_t deadline)
{
    pn_status status = pn_priority_try_get(&self->queue, sink);
    if (status == PN_BUSY || status == PN_INTERRUPTED || (status == PN_EMPTY && block)) {
        int64_t until = block ? deadline : pn_now() + PN_NOWAIT_NS;
        PN_SLEEP(status, pn_priority_get(&self->queue, sink, until));
    }
    if (status == PN_OK) {
        return 0;
    }
    if (status != PN_INTERRUPTED || !PyErr_Occurred()) {
        raise_for(self, status == PN_TIMEOUT ? PN_EMPTY : status);
    }
    return -1;
}

PyDoc_STRVAR(get_doc,
             "get($self, block=True, timeout=None)\n--\n\n"
             "Take the smallest item out; of equal ones the one that was put first.\n\n"
             "Raises queue.Empty if none came within `timeout` seconds, ValueError if closed,\n"
             "ShutDown when the queue was shut down and is empty. An item belongs to whoever\n"
             "took it: if that process is killed, the item is gone with it.");

static PyObject *
priority_get(PriorityObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call;
    if (pn_parse_call("get", NULL, args, count, names, &call) < 0 || check_open(self) < 0) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_sink sink = {.bytes = (char *)stack, .capacity = sizeof(stack), .limit = 1};
    PyObject *result = NULL;
    if (take(self, &sink, call.block, call.deadline) == 0) {
        result = pn_decode(self->state, &self->shared, (const pn_record *)sink.bytes);
    }
    pn_sink_free(&sink);
    return result;
}

/* ---- looking and ending -------------------------------------------------------------- */

static uint64_t
items_of(PriorityObject *self)
{
    bool is_given_up = atomic_load(&self->queue.cell->shut) & PN_SHUT_NOW;
    return is_given_up ? 0 : pn_priority_count(&self->queue);
}

static PyObject *
priority_qsize(PriorityObject *self, PyObject *Py_UNUSED(none))
{
    return pn_shared_made(&self->shared) ? PyLong_FromUnsignedLongLong(items_of(self)) : NULL;
}

static PyObject *
priority_empty(PriorityObject *self, PyObject *Py_UNUSED(none))
{
    return check_open(self) == 0 ? PyBool_FromLong(items_of(self) == 0) : NULL;
}

static PyObject *
priority_full(PriorityObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    uint64_t most = self->queue.cell->max_items;
    return PyBool_FromLong(most != 0 && items_of(self) >= most);
}

static PyObject *
priority_close(PriorityObject *self, PyObject *Py_UNUSED(none))
{
    self->closed = true;
    Py_RETURN_NONE;
}

static PyObject *
priority_shut(PriorityObject *self, PyObject *now)
{
    int immediate = PyObject_IsTrue(now);
    if (immediate < 0 || !pn_shared_made(&self->shared)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS /* it waits for a put that is under way in another process */
    pn_priority_shut(&self->queue, immediate);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyDoc_STRVAR(look_doc, "_look($self)\n--\n\n(items, bytes, maxsize, waiting, shut, closed)");

static PyObject *
priority_look(PriorityObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    uint64_t bytes;
    pn_status status;
    do {
        Py_BEGIN_ALLOW_THREADS
        status = pn_priority_bytes(&self->queue, &bytes);
        Py_END_ALLOW_THREADS
    } while (status == PN_INTERRUPTED && PyErr_CheckSignals() == 0);
    if (status != PN_OK) {
        return PyErr_Occurred() ? NULL : raise_for(self, status);
    }
    uint64_t items = items_of(self);
    return Py_BuildValue("KKKIII", (unsigned long long)items,
                         (unsigned long long)(items ? bytes : 0),
                         (unsigned long long)self->queue.cell->max_items,
                         pn_wait_count(self->shared.domain, self->shared.offset),
                         atomic_load(&self->queue.cell->shut), (unsigned)self->closed);
}

static PyMethodDef methods[] = {
    {"_put", (PyCFunction)(void (*)(void))priority_put, METH_FASTCALL, put_doc},
    {"get", (PyCFunction)(void (*)(void))priority_get, METH_FASTCALL | METH_KEYWORDS, get_doc},
    {"qsize", (PyCFunction)priority_qsize, METH_NOARGS,
     "qsize($self)\n--\n\nHow many items are in it: exact at some instant of the call."},
    {"empty", (PyCFunction)priority_empty, METH_NOARGS,
     "empty($self)\n--\n\nIs it empty just now?"},
    {"full", (PyCFunction)priority_full, METH_NOARGS,
     "full($self)\n--\n\nIs it as full as maxsize lets it be?"},
    {"_close", (PyCFunction)priority_close, METH_NOARGS, NULL},
    {"_shut", (PyCFunction)priority_shut, METH_O, NULL},
    {"_open", (PyCFunction)priority_open, METH_NOARGS, NULL},
    {"_look", (PyCFunction)priority_look, METH_NOARGS, look_doc},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, priority_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, methods},
    {Py_tp_doc,
     "Priority(domain, name=\"\", maxsize=0)\n--\n\nA queue that gives the smallest first."},
    {0, NULL},
};

PyType_Spec pn_priority_spec = {
    .name = "procession._core.Priority",
    .basicsize = sizeof(PriorityObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
