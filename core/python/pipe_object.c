/* A connection: one end of a pipe, as Python sees it, with the methods of multiprocessing.connection.Connection.
 *
 * As with queues everything is encoded before a lock is taken and decoded after it is let go. What the
 * standard library calls a message is a record of kind MESSAGE, or an object whose pickle it would be. */
#include "pipe_parts.h"

#include "../waits.h"

/* ---- open, in use, closed ------------------------------------------------------------- */

static void
release(ConnectionObject *self)
{
    if (self->shared.offset != 0) {
        self->shared.offset = 0;
        pn_end_drop(&self->end);
    }
}

static void
connection_dealloc(ConnectionObject *self)
{
    release(self);
    pn_shared_dealloc(&self->shared);
}

static PyObject *
raise_closed(void)
{
    PyErr_SetString(PyExc_OSError, "handle is closed");
    return NULL;
}

/* False with an exception: closed, or not made. Else its objects stay until `leave`. */
static bool
keep(ConnectionObject *self)
{
    if (self->closed) {
        raise_closed();
        return false;
    }
    if (!pn_shared_made(&self->shared)) {
        return false;
    }
    self->busy++;
    return true;
}

/* The same, as somebody who uses it. */
static bool
enter(ConnectionObject *self)
{
    if (!keep(self)) {
        return false;
    }
    pn_end_use(&self->end);
    return true;
}

void
pn_connection_leave(ConnectionObject *self)
{
    if (--self->busy == 0 && self->closed) {
        release(self);
    }
}

static bool
is_readable(const ConnectionObject *self)
{
    return self->end.in.cell != NULL && !self->is_unreadable;
}

bool
pn_connection_enter_to_read(ConnectionObject *self)
{
    if (!self->closed && self->shared.offset != 0 && !is_readable(self)) {
        PyErr_SetString(PyExc_OSError, "connection is write-only");
        return false;
    }
    return enter(self);
}

bool
pn_connection_enter_to_write(ConnectionObject *self)
{
    if (!self->closed && self->shared.offset != 0 && self->end.out.cell == NULL) {
        PyErr_SetString(PyExc_OSError, "connection is read-only");
        return false;
    }
    return enter(self);
}

void
pn_connection_shut(ConnectionObject *self)
{
    if (self->closed || self->shared.offset == 0) {
        self->closed = true;
        return;
    }
    self->closed = true;
    if (self->busy == 0) {
        release(self);
    } else {
        pn_end_close(&self->end);
    }
}

bool
pn_connection_goes_on(ConnectionObject *self, pn_status status)
{
    return status == PN_INTERRUPTED && !self->closed && PyErr_CheckSignals() == 0;
}

int
pn_connection_fail(ConnectionObject *self, pn_status status)
{
    if (PyErr_Occurred()) { /* of a signal handler */
        return -1;
    }
    if (self->closed) {
        raise_closed();
    } else {
        pn_raise(status, self->shared.domain, "Connection", self->name);
    }
    return -1;
}

/* ---- making ---------------------------------------------------------------------------- */

static void
set_up(ConnectionObject *self, pn_state *state)
{
    self->state = state;
    memcpy(self->name, pn_shared_cell(&self->shared)->name, PN_NAME);
}

PyDoc_STRVAR(pair_doc, "_pair($type, domain, name, duplex, max_bytes, /)\n--\n\n"
                       "Both ends of a new pipe. Not duplex: the first reads, the second writes.");

static PyObject *
connection_pair(PyTypeObject *type, PyObject *args)
{
    PyObject *domain_object;
    const char *name;
    int duplex;
    unsigned long long max_bytes;
    if (!PyArg_ParseTuple(args, "OspK:_pair", &domain_object, &name, &duplex, &max_bytes)) {
        return NULL;
    }
    ConnectionObject *pair[2] = {(ConnectionObject *)type->tp_alloc(type, 0),
                                 (ConnectionObject *)type->tp_alloc(type, 0)};
    PyObject *result = NULL;
    DomainObject *domain =
        pair[0] && pair[1] ? pn_domain_check((PyObject *)pair[0], domain_object) : NULL;
    if (domain != NULL) {
        pn_pipe_end ends[2];
        uint32_t generation[2];
        pn_status status = pn_pipe_new(domain->domain, name, duplex, max_bytes, ends, generation);
        if (status != PN_OK) {
            pn_raise(status, domain->domain, "Pipe", name);
        }
        for (int i = 0; status == PN_OK && i < 2; i++) {
            pair[i]->end = ends[i];
            pn_shared_set(&pair[i]->shared, domain, ends[i].offset, generation[i]);
            set_up(pair[i], pn_state_of((PyObject *)pair[i]));
        }
        result = status == PN_OK ? PyTuple_Pack(2, pair[0], pair[1]) : NULL;
    }
    Py_XDECREF(pair[0]);
    Py_XDECREF(pair[1]);
    return result;
}

/* Of one that was attached: given to this process, so it is one of its users. */
static PyObject *
connection_open(ConnectionObject *self, PyObject *Py_UNUSED(none))
{
    pn_state *state = pn_state_of((PyObject *)self);
    if (state == NULL || !pn_shared_made(&self->shared)) {
        return NULL;
    }
    if (self->end.cell != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "open already");
        return NULL;
    }
    pn_status status = pn_end_open(&self->end, self->shared.domain, self->shared.offset);
    if (status != PN_OK) {
        self->shared.offset = 0;
        return pn_raise(status, self->shared.domain, "Connection", "?");
    }
    set_up(self, state);
    pn_end_give(self->end.domain, self->end.offset, self->end.domain->slot);
    Py_RETURN_NONE;
}

/* ---- the rest ---------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    close_doc,
    "close($self)\n--\n\n"
    "This connection is used no more. Whoever waits at it in another thread gets OSError.");

static PyObject *
connection_close(ConnectionObject *self, PyObject *Py_UNUSED(none))
{
    pn_connection_shut(self);
    Py_RETURN_NONE;
}

static PyObject *
connection_hold_for(ConnectionObject *self, PyObject *argument)
{
    unsigned long slot = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (slot >= PN_SLOTS) {
        PyErr_SetString(PyExc_ValueError, "no such slot");
        return NULL;
    }
    if (!keep(self)) {
        return NULL;
    }
    pn_end_hand_to(&self->end, (uint32_t)slot);
    pn_connection_leave(self);
    Py_RETURN_NONE;
}

static PyObject *
connection_hand_at_fork(ConnectionObject *self, PyObject *argument)
{
    int is_handed = PyObject_IsTrue(argument);
    if (is_handed < 0 || !keep(self)) {
        return NULL;
    }
    pn_object_hand_at_fork(self->shared.domain, self->shared.offset, is_handed);
    pn_connection_leave(self);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(look_doc, "_look($self)\n--\n\n(messages and bytes to be received, sent and not yet "
                       "received, waiting, is the other end over)");

static PyObject *
connection_look(ConnectionObject *self, PyObject *Py_UNUSED(none))
{
    if (self->closed) {
        return raise_closed();
    }
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    unsigned long long counts[4] = {0};
    unsigned waiting = 0;
    pn_ring *rings[2] = {&self->end.in, &self->end.out};
    for (int i = 0; i < 2; i++) {
        if (rings[i]->cell != NULL) {
            counts[2 * i] = pn_ring_count(rings[i]);
            counts[2 * i + 1] = pn_ring_bytes(rings[i]);
            waiting += pn_wait_count(self->shared.domain, rings[i]->offset);
        }
    }
    return Py_BuildValue("KKKKIN", counts[0], counts[1], counts[2], counts[3], waiting,
                         PyBool_FromLong(pn_end_peer_is_over(&self->end)));
}

static PyObject *
get_parts(ConnectionObject *self, void *Py_UNUSED(closure))
{
    if (self->closed) {
        return raise_closed();
    }
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    uint64_t objects[4];
    uint32_t count = pn_end_objects(&self->end, objects);
    PyObject *parts = PyTuple_New(count);
    for (uint32_t i = 0; parts != NULL && i < count; i++) {
        PyObject *offset = PyLong_FromUnsignedLongLong(objects[i]);
        if (offset == NULL) {
            Py_CLEAR(parts);
        } else {
            PyTuple_SET_ITEM(parts, i, offset);
        }
    }
    return parts;
}

static PyObject *
handle_of(const pn_ring *ring)
{
    if (ring->cell == NULL) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(KI)", (unsigned long long)ring->offset,
                         atomic_load(&ring->cell->object.generation));
}

static PyObject *
get_rings(ConnectionObject *self, void *Py_UNUSED(closure))
{
    if (self->closed) {
        return raise_closed();
    }
    return pn_shared_made(&self->shared)
               ? Py_BuildValue("(NN)", handle_of(&self->end.in), handle_of(&self->end.out))
               : NULL;
}

static PyObject *
get_name(ConnectionObject *self, void *Py_UNUSED(closure))
{
    return PyUnicode_DecodeUTF8(self->name, (Py_ssize_t)strnlen(self->name, PN_NAME), "replace");
}

static PyObject *
get_closed(ConnectionObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->closed);
}

static PyObject *
get_readable(ConnectionObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(is_readable(self));
}

static PyObject *
get_writable(ConnectionObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->end.out.cell != NULL);
}

static PyMethodDef methods[] = {
    {"send", (PyCFunction)pn_connection_send, METH_O, pn_send_doc},
    {"recv", (PyCFunction)pn_connection_recv, METH_NOARGS, pn_recv_doc},
    {"send_bytes", (PyCFunction)(void (*)(void))pn_connection_send_bytes,
     METH_VARARGS | METH_KEYWORDS, pn_send_bytes_doc},
    {"recv_bytes", (PyCFunction)(void (*)(void))pn_connection_recv_bytes,
     METH_VARARGS | METH_KEYWORDS, pn_recv_bytes_doc},
    {"recv_bytes_into", (PyCFunction)(void (*)(void))pn_connection_recv_bytes_into,
     METH_VARARGS | METH_KEYWORDS, pn_recv_bytes_into_doc},
    {"poll", (PyCFunction)(void (*)(void))pn_connection_poll, METH_VARARGS | METH_KEYWORDS,
     pn_poll_doc},
    {"close", (PyCFunction)connection_close, METH_NOARGS, close_doc},
    {"_pair", (PyCFunction)connection_pair, METH_VARARGS | METH_CLASS, pair_doc},
    {"_open", (PyCFunction)connection_open, METH_NOARGS, NULL},
    {"_hold_for", (PyCFunction)connection_hold_for, METH_O,
     "_hold_for($self, slot, /)\n--\n\nGive it to a process that is about to start."},
    {"_hand_at_fork", (PyCFunction)connection_hand_at_fork, METH_O,
     "_hand_at_fork($self, is_handed, /)\n--\n\n"
     "Until it is taken back: children that are forked get it for their use."},
    {"_look", (PyCFunction)connection_look, METH_NOARGS, look_doc},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"closed", (getter)get_closed, NULL, "True if the connection is closed", NULL},
    {"readable", (getter)get_readable, NULL, "True if the connection is readable", NULL},
    {"writable", (getter)get_writable, NULL, "True if the connection is writable", NULL},
    {"_label", (getter)get_name, NULL, "the name of the pipe", NULL},
    {"_rings", (getter)get_rings, NULL,
     "handles of the rings that are read, written here; None: there is none", NULL},
    {"_parts", (getter)get_parts, NULL, "offsets of all objects that it consists of", NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, connection_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_doc, "One end of a pipe in shared memory."},
    {0, NULL},
};

PyType_Spec pn_connection_spec = {
    .name = "procession._core.Connection",
    .basicsize = sizeof(ConnectionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
