/* The queue with task_done(), join() and redelivery, as Python sees it. */
#include "objects.h"

static int
leased_init(RingObject *self, PyObject *args, PyObject *kwargs)
{
    return pn_ring_init(self, args, kwargs, true);
}

PyDoc_STRVAR(task_done_doc,
             "task_done($self)\n--\n\n"
             "Say that an item taken with get() is done.\n\n"
             "It ends the oldest item that this thread has in hand, else the oldest of this\n"
             "process, else of any process. Called before a get, it counts for an item that\n"
             "is still to be taken. Raises ValueError if nothing is unfinished.");

static PyObject *
leased_task_done(RingObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_status status = pn_ring_task_done(&self->ring, false);
    if (status == PN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        status = pn_ring_task_done(&self->ring, true);
        Py_END_ALLOW_THREADS
    }
    if (status == PN_NOTHING) {
        PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
        return NULL;
    }
    if (status != PN_OK) {
        return pn_ring_raise(self, status);
    }
    Py_RETURN_NONE;
}

static PyObject *
leased_mark_join(RingObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    return PyLong_FromUnsignedLong(pn_ring_join_mark(&self->ring));
}

PyDoc_STRVAR(join_doc, "join($self, timeout=None)\n--\n\n"
                       "Wait until every item that was put is done; False if that did not come\n"
                       "within `timeout` seconds.");

static PyObject *
leased_join(RingObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:join", names, &timeout) ||
        !pn_shared_made(&self->shared) || pn_deadline(timeout, &deadline) < 0) {
        return NULL;
    }
    pn_status status;
    PN_SLEEP(status, pn_ring_join(&self->ring, deadline));
    if (status == PN_OK || status == PN_TIMEOUT) {
        return PyBool_FromLong(status == PN_OK);
    }
    return status == PN_INTERRUPTED ? NULL : pn_ring_raise(self, status);
}

/* The exception of an item that does not unpickle says which one it is: `item_id`, where it has room for attributes. */
static void
name_item(uint64_t id)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *number = PyLong_FromUnsignedLongLong(id);
    if (number == NULL || value == NULL || PyObject_SetAttrString(value, "item_id", number) < 0) {
        PyErr_Clear();
    }
    Py_XDECREF(number);
    PyErr_Restore(type, value, traceback);
}

PyDoc_STRVAR(get_item_doc,
             "_get_item($self, block=True, timeout=None)\n--\n\n"
             "get(): (item, id, deliveries). An exception of its unpickling has `item_id`.");

static PyObject *
leased_get_item(RingObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_sink sink = {.bytes = (char *)stack, .capacity = sizeof(stack), .limit = 1};
    PyObject *result = NULL;
    if (pn_ring_take_for(self, args, count, names, &sink) == 0) {
        PyObject *item = pn_decode(self->state, &self->shared, (const pn_record *)sink.bytes);
        if (item != NULL) {
            result = Py_BuildValue("NKI", item, (unsigned long long)sink.id, sink.deliveries);
        } else {
            name_item(sink.id);
        }
    }
    pn_sink_free(&sink);
    return result;
}

/* One line of _leases(). */
static PyObject *
line_of(const pn_lease_view *view)
{
    PyObject *name =
        PyUnicode_DecodeUTF8(view->name, (Py_ssize_t)strnlen(view->name, PN_LEASE_NAME), "replace");
    return name == NULL
               ? NULL
               : Py_BuildValue("KINIII", (unsigned long long)view->id, view->deliveries, name,
                               view->pid, view->whose == PN_LEASE_DEAD, view->reason);
}

PyDoc_STRVAR(leases_doc,
             "_leases($self)\n--\n\n"
             "(unfinished, leased, waiting, lines): lines are those left by consumers that ended\n"
             "cleanly, and the dead letters: (id, deliveries, process, pid, dead, reason).");

static PyObject *
leased_leases(RingObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_lease_counts counts = {.left = 0};
    pn_lease_view *views = NULL;
    size_t used = 0, room = 0;
    pn_status status;
    do { /* until there is room for all */
        room = (size_t)(counts.left + counts.dead);
        PyMem_Free(views);
        views = PyMem_New(pn_lease_view, room ? room : 1);
        if (views == NULL) {
            return PyErr_NoMemory();
        }
        Py_BEGIN_ALLOW_THREADS
        status = pn_lease_look(&self->ring, &counts, views, room, &used);
        Py_END_ALLOW_THREADS
    } while (status == PN_OK && counts.left + counts.dead > room);
    PyObject *lines = status == PN_OK ? PyTuple_New((Py_ssize_t)used) : NULL;
    for (size_t i = 0; lines != NULL && i < used; i++) {
        PyObject *line = line_of(&views[i]);
        if (line == NULL) {
            Py_CLEAR(lines);
        } else {
            PyTuple_SET_ITEM(lines, (Py_ssize_t)i, line);
        }
    }
    PyMem_Free(views);
    if (status != PN_OK) {
        return pn_ring_raise(self, status);
    }
    return lines == NULL ? NULL
                         : Py_BuildValue("KKKN", (unsigned long long)counts.unfinished,
                                         (unsigned long long)counts.leased,
                                         (unsigned long long)counts.waiting, lines);
}

PyDoc_STRVAR(letter_doc,
             "_letter($self, id, forget, decode, /)\n--\n\n"
             "The item of a dead letter (None without `decode`) as a tuple of one; the letter is\n"
             "gone then if `forget`. None: there is none.");

static PyObject *
leased_letter(RingObject *self, PyObject *args)
{
    unsigned long long id;
    int forget, decode;
    if (!PyArg_ParseTuple(args, "Kpp:_letter", &id, &forget, &decode) ||
        !pn_shared_made(&self->shared)) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_sink sink = {.bytes = (char *)stack, .capacity = sizeof(stack), .limit = 1};
    pn_status status;
    Py_BEGIN_ALLOW_THREADS
    status = pn_lease_read(&self->ring, id, &sink, forget);
    Py_END_ALLOW_THREADS
    PyObject *item = NULL;
    if (status == PN_NOTHING) { /* no exception: the item's own unpickling may raise any */
        Py_RETURN_NONE;
    }
    if (status != PN_OK) {
        pn_ring_raise(self, status);
    } else if (decode) {
        item = pn_decode(self->state, &self->shared, (const pn_record *)sink.bytes);
    } else {
        pn_let_go(&self->shared, (const pn_record *)sink.bytes);
        item = Py_NewRef(Py_None);
    }
    pn_sink_free(&sink);
    return item != NULL ? Py_BuildValue("(N)", item) : NULL;
}

static PyMethodDef methods[] = {
    {"task_done", (PyCFunction)leased_task_done, METH_NOARGS, task_done_doc},
    {"_mark_join", (PyCFunction)leased_mark_join, METH_NOARGS,
     "_mark_join($self)\n--\n\n"
     "A number that will be another one once nothing was unfinished at some instant after this "
     "call."},
    {"join", (PyCFunction)(void (*)(void))leased_join, METH_VARARGS | METH_KEYWORDS, join_doc},
    {"_get_item", (PyCFunction)(void (*)(void))leased_get_item, METH_FASTCALL | METH_KEYWORDS,
     get_item_doc},
    {"_leases", (PyCFunction)leased_leases, METH_NOARGS, leases_doc},
    {"_letter", (PyCFunction)leased_letter, METH_VARARGS, letter_doc},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, leased_init},
    {Py_tp_methods, methods},
    {Py_tp_doc, "The queue in shared memory, with leases."},
    {0, NULL},
};

PyType_Spec pn_leased_spec = {
    .name = "procession._core.LeasedRing",
    .basicsize = sizeof(RingObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
