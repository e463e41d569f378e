/* A connection: one end of a pipe, as Python sees it, with the methods of multiprocessing.connection.Connection.
 *
 * As with queues everything is encoded before a lock is taken and decoded after it is let go. What the
 * standard library calls a message is a record of kind MESSAGE, or an object whose pickle it would be. */
#include "codec.h"

#include <errno.h>
#include <unistd.h>

#include "../bell.h"
#include "../pipe.h"

typedef struct {
    SharedObject shared; /* the end's object */
    pn_pipe_end end;
    pn_state *state;
    unsigned busy; /* calls under way; under the GIL */
    bool closed;
    bool is_unreadable; /* after a message that was longer than maxlength */
    char name[PN_NAME]; /* also when it is closed */
} ConnectionObject;

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

static void
leave(ConnectionObject *self)
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

static bool
enter_to_read(ConnectionObject *self)
{
    if (!self->closed && self->shared.offset != 0 && !is_readable(self)) {
        PyErr_SetString(PyExc_OSError, "connection is write-only");
        return false;
    }
    return enter(self);
}

static bool
enter_to_write(ConnectionObject *self)
{
    if (!self->closed && self->shared.offset != 0 && self->end.out.cell == NULL) {
        PyErr_SetString(PyExc_OSError, "connection is read-only");
        return false;
    }
    return enter(self);
}

static void
close_it(ConnectionObject *self)
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

/* May a call that was interrupted go on? */
static bool
goes_on(ConnectionObject *self, pn_status status)
{
    return status == PN_INTERRUPTED && !self->closed && PyErr_CheckSignals() == 0;
}

static int
fail(ConnectionObject *self, pn_status status)
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
    pn_end_use(&self->end);
    Py_RETURN_NONE;
}

/* ---- sending ----------------------------------------------------------------------------- */

static int
send_batch(ConnectionObject *self, const pn_batch *batch)
{
    pn_status status = pn_end_try_send(&self->end, batch);
    if (status == PN_BUSY || status == PN_FULL) {
        pn_before_sleep();
        do {
            Py_BEGIN_ALLOW_THREADS
            status = pn_end_send(&self->end, batch, PN_FOREVER);
            Py_END_ALLOW_THREADS
        } while (goes_on(self, status));
    }
    if (status == PN_OK) {
        return 0;
    }
    if (status == PN_SHUT_DOWN && !self->closed && !PyErr_Occurred()) {
        PyObject *text = PyUnicode_FromFormat(
            "nobody is left at the other end of Connection '%s': it was closed, or who used it is "
            "dead",
            self->name);
        PyObject *error = text ? Py_BuildValue("(iO)", EPIPE, text) : NULL;
        if (error != NULL) {
            PyErr_SetObject(PyExc_BrokenPipeError, error);
        }
        Py_XDECREF(error);
        Py_XDECREF(text);
        return -1;
    }
    return fail(self, status);
}

/* Send what stands in `out`, one record, and let go of what was made for it. */
static int
send_record(ConnectionObject *self, const pn_writer *out)
{
    const pn_record *record = (const pn_record *)out->bytes;
    pn_batch batch = {.bytes = out->bytes,
                      .length = out->used,
                      .count = 1,
                      .weight = pn_record_weight(record),
                      .handles = record->flags & PN_RECORD_HANDLES};
    int result = send_batch(self, &batch);
    if (record->flags) {
        pn_release_records(self->shared.domain, out->bytes, out->used);
    }
    return result;
}

PyDoc_STRVAR(
    send_doc,
    "send($self, obj, /)\n--\n\n"
    "Send an object; when this returns, no death can take it back.\n\n"
    "Waits while more than the pipe's bound is under way. Raises BrokenPipeError if nobody\n"
    "is left at the other end, OSError if it is closed or read-only, DomainFull if memory\n"
    "ran out, and what pickling raises; in each case nothing was sent.");

static PyObject *
connection_send(ConnectionObject *self, PyObject *obj)
{
    if (!enter_to_write(self)) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_writer out = {.bytes = (char *)stack, .capacity = sizeof(stack)};
    int result = pn_encode(self->state, (PyObject *)self, &out, obj);
    if (result == 0) {
        result = send_record(self, &out);
    }
    pn_writer_free(&out);
    leave(self);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* What of the buffer is meant, as the standard library checks it. */
static int
slice(const Py_buffer *view, Py_ssize_t offset, PyObject *size_object, Py_ssize_t *size)
{
    const char *wrong = NULL;
    *size = view->len - offset;
    if (offset < 0) {
        wrong = "negative offset";
    } else if (view->len < offset) {
        wrong = "buffer length < offset";
    } else if (size_object != Py_None) {
        *size = PyNumber_AsSsize_t(size_object, PyExc_OverflowError);
        if (*size == -1 && PyErr_Occurred()) {
            return -1;
        }
        if (*size < 0) {
            wrong = "negative size";
        } else if (*size > view->len - offset) {
            wrong = "buffer length < offset + size";
        }
    }
    if (wrong != NULL) {
        PyErr_SetString(PyExc_ValueError, wrong);
        return -1;
    }
    return 0;
}

PyDoc_STRVAR(
    send_bytes_doc,
    "send_bytes($self, buf, offset=0, size=None)\n--\n\n"
    "Send the bytes of a bytes-like object, from `offset` on, `size` of them, as one message.\n\n"
    "ValueError if they do not lie in it; else as send().");

static PyObject *
connection_send_bytes(ConnectionObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"buf", "offset", "size", NULL};
    PyObject *object, *size_object = Py_None;
    Py_ssize_t offset = 0, size;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|nO:send_bytes", names, &object, &offset,
                                     &size_object) ||
        !enter_to_write(self)) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_writer out = {.bytes = (char *)stack, .capacity = sizeof(stack)};
    Py_buffer view;
    int result = PyObject_GetBuffer(object, &view, PyBUF_SIMPLE);
    if (result == 0) {
        result = slice(&view, offset, size_object, &size);
        if (result == 0) {
            out.used = sizeof(pn_record);
            pn_names none = {.count = 0};
            result = pn_append_payload(&out, &self->shared, 0, PN_RECORD_MESSAGE, &none,
                                       (const char *)view.buf + offset, (size_t)size);
        }
        PyBuffer_Release(&view);
        if (result == 0) {
            result = send_record(self, &out);
        }
    }
    pn_writer_free(&out);
    leave(self);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static int
receive(ConnectionObject *self, pn_sink *sink)
{
    pn_status status = pn_end_try_receive(&self->end, sink);
    pn_bell_settle(self->shared.domain, self->end.in.offset); /* it may be empty now */
    if (status == PN_BUSY || status == PN_EMPTY) {
        pn_before_sleep();
        do {
            Py_BEGIN_ALLOW_THREADS
            status = pn_end_receive(&self->end, sink, PN_FOREVER);
            Py_END_ALLOW_THREADS
        } while (goes_on(self, status));
        pn_bell_settle(self->shared.domain, self->end.in.offset);
    }
    if (status == PN_OK) {
        return 0;
    }
    if (status == PN_SHUT_DOWN && !self->closed && !PyErr_Occurred()) {
        PyErr_Format(PyExc_EOFError,
                     "nobody is left at the other end of Connection '%s', and nothing was left "
                     "there",
                     self->name);
        return -1;
    }
    return fail(self, status);
}

PyDoc_STRVAR(
    recv_doc,
    "recv($self)\n--\n\n"
    "Receive an object: wait for it.\n\n"
    "Raises EOFError when nothing is left and nobody is left at the other end, OSError if\n"
    "it is closed or write-only, and what unpickling raises.");

static PyObject *
connection_recv(ConnectionObject *self, PyObject *Py_UNUSED(none))
{
    if (!enter_to_read(self)) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_sink sink = {.bytes = (char *)stack, .capacity = sizeof(stack), .limit = 1};
    PyObject *result = NULL;
    if (receive(self, &sink) == 0) {
        result = pn_decode(self->state, &self->shared, (const pn_record *)sink.bytes);
    }
    pn_sink_free(&sink);
    leave(self);
    return result;
}

PyDoc_STRVAR(
    recv_bytes_doc,
    "recv_bytes($self, maxlength=None)\n--\n\n"
    "Receive a message as bytes: what send_bytes() sent, or the pickle of an object.\n\n"
    "OSError if it is longer than `maxlength`; nothing more can be read then, as with the\n"
    "standard library. Else as recv().");

/* 0, or -1 with an exception: the message is too long. */
static int
check_length(ConnectionObject *self, const pn_message *message, Py_ssize_t most)
{
    if (most < 0 || message->length <= (size_t)most) {
        return 0;
    }
    if (self->end.out.cell != NULL) {
        self->is_unreadable = true;
    } else {
        close_it(self);
    }
    PyErr_SetString(PyExc_OSError, "bad message length");
    return -1;
}

static PyObject *
connection_recv_bytes(ConnectionObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"maxlength", NULL};
    PyObject *most_object = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:recv_bytes", names, &most_object)) {
        return NULL;
    }
    Py_ssize_t most = -1;
    if (most_object != Py_None) {
        most = PyNumber_AsSsize_t(most_object, NULL);
        if (most < 0) {
            if (!PyErr_Occurred()) {
                PyErr_SetString(PyExc_ValueError, "negative maxlength");
            }
            return NULL;
        }
    }
    if (!enter_to_read(self)) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_sink sink = {.bytes = (char *)stack, .capacity = sizeof(stack), .limit = 1};
    PyObject *result = NULL;
    pn_message message;
    if (receive(self, &sink) == 0 &&
        pn_message_open(self->state, &self->shared, (const pn_record *)sink.bytes, &message) == 0) {
        if (check_length(self, &message, most) == 0) {
            result = pn_message_bytes(&message);
        }
        pn_message_close(&self->shared, &message);
    }
    pn_sink_free(&sink);
    leave(self);
    return result;
}

PyDoc_STRVAR(
    recv_bytes_into_doc,
    "recv_bytes_into($self, buf, offset=0)\n--\n\n"
    "Receive a message into a writable bytes-like object, from `offset` on; how many bytes.\n\n"
    "Raises multiprocessing.BufferTooShort, with the message as args[0], if it does not\n"
    "fit, ValueError if `offset` lies outside. Else as recv().");

static PyObject *
raise_too_short(const pn_message *message)
{
    PyObject *bytes = pn_message_bytes(message);
    PyObject *module = bytes ? PyImport_ImportModule("multiprocessing") : NULL;
    PyObject *type = module ? PyObject_GetAttrString(module, "BufferTooShort") : NULL;
    if (type != NULL) {
        PyObject *error = PyObject_CallOneArg(type, bytes);
        if (error != NULL) {
            PyErr_SetObject(type, error);
        }
        Py_XDECREF(error);
    }
    Py_XDECREF(type);
    Py_XDECREF(module);
    Py_XDECREF(bytes);
    return NULL;
}

static PyObject *
receive_into(ConnectionObject *self, const Py_buffer *view, Py_ssize_t offset)
{
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_sink sink = {.bytes = (char *)stack, .capacity = sizeof(stack), .limit = 1};
    PyObject *result = NULL;
    pn_message message;
    if (receive(self, &sink) == 0 &&
        pn_message_open(self->state, &self->shared, (const pn_record *)sink.bytes, &message) == 0) {
        if (message.length > (size_t)(view->len - offset)) {
            raise_too_short(&message);
        } else {
            pn_copy((char *)view->buf + offset, message.bytes, message.length);
            result = PyLong_FromSize_t(message.length);
        }
        pn_message_close(&self->shared, &message);
    }
    pn_sink_free(&sink);
    return result;
}

static PyObject *
connection_recv_bytes_into(ConnectionObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"buf", "offset", NULL};
    PyObject *object;
    Py_ssize_t offset = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:recv_bytes_into", names, &object,
                                     &offset) ||
        !enter_to_read(self)) {
        return NULL;
    }
    PyObject *result = NULL;
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_WRITABLE) == 0) {
        if (offset < 0) {
            PyErr_SetString(PyExc_ValueError, "negative offset");
        } else if (offset > view.len) {
            PyErr_SetString(PyExc_ValueError, "offset too large");
        } else {
            result = receive_into(self, &view, offset);
        }
        PyBuffer_Release(&view);
    }
    leave(self);
    return result;
}

PyDoc_STRVAR(poll_doc, "poll($self, timeout=0.0)\n--\n\n"
                       "Would receiving not wait? Also true at the end (EOFError).\n\n"
                       "Waits for `timeout` seconds at most; None: for ever.");

static PyObject *
connection_poll(ConnectionObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = NULL;
    int64_t deadline = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:poll", names, &timeout) ||
        (timeout != NULL && pn_deadline(timeout, &deadline) < 0) || !enter_to_read(self)) {
        return NULL;
    }
    pn_status status = pn_end_try_poll(&self->end);
    if (status == PN_EMPTY && deadline > pn_now()) {
        pn_before_sleep();
        do {
            Py_BEGIN_ALLOW_THREADS
            status = pn_end_poll(&self->end, deadline);
            Py_END_ALLOW_THREADS
        } while (goes_on(self, status));
    }
    PyObject *result = NULL;
    if (status == PN_OK || (status == PN_SHUT_DOWN && !self->closed)) {
        result = Py_NewRef(Py_True);
    } else if ((status == PN_EMPTY || status == PN_TIMEOUT) && !self->closed) {
        result = Py_NewRef(Py_False);
    } else {
        fail(self, status);
    }
    leave(self);
    return result;
}

/* ---- the rest ---------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    close_doc,
    "close($self)\n--\n\n"
    "This connection is used no more. Whoever waits at it in another thread gets OSError.");

static PyObject *
connection_close(ConnectionObject *self, PyObject *Py_UNUSED(none))
{
    close_it(self);
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
    leave(self);
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
    leave(self);
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
    {"send", (PyCFunction)connection_send, METH_O, send_doc},
    {"recv", (PyCFunction)connection_recv, METH_NOARGS, recv_doc},
    {"send_bytes", (PyCFunction)(void (*)(void))connection_send_bytes, METH_VARARGS | METH_KEYWORDS,
     send_bytes_doc},
    {"recv_bytes", (PyCFunction)(void (*)(void))connection_recv_bytes, METH_VARARGS | METH_KEYWORDS,
     recv_bytes_doc},
    {"recv_bytes_into", (PyCFunction)(void (*)(void))connection_recv_bytes_into,
     METH_VARARGS | METH_KEYWORDS, recv_bytes_into_doc},
    {"poll", (PyCFunction)(void (*)(void))connection_poll, METH_VARARGS | METH_KEYWORDS, poll_doc},
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
