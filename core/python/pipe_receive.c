/* A connection's messages, in; and waiting for one. */
#include "pipe_parts.h"

#include "../bell.h"

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
        } while (pn_connection_goes_on(self, status));
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
    return pn_connection_fail(self, status);
}

const char pn_recv_doc[] = PyDoc_STR(
    "recv($self)\n--\n\n"
    "Receive an object: wait for it.\n\n"
    "Raises EOFError when nothing is left and nobody is left at the other end, OSError if\n"
    "it is closed or write-only, and what unpickling raises.");

PyObject *
pn_connection_recv(ConnectionObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_connection_enter_to_read(self)) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_sink sink = {.bytes = (char *)stack, .capacity = sizeof(stack), .limit = 1};
    PyObject *result = NULL;
    if (receive(self, &sink) == 0) {
        result = pn_decode(self->state, &self->shared, (const pn_record *)sink.bytes);
    }
    pn_sink_free(&sink);
    pn_connection_leave(self);
    return result;
}

const char pn_recv_bytes_doc[] = PyDoc_STR(
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
        pn_connection_shut(self);
    }
    PyErr_SetString(PyExc_OSError, "bad message length");
    return -1;
}

PyObject *
pn_connection_recv_bytes(ConnectionObject *self, PyObject *args, PyObject *kwargs)
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
    if (!pn_connection_enter_to_read(self)) {
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
    pn_connection_leave(self);
    return result;
}

const char pn_recv_bytes_into_doc[] = PyDoc_STR(
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

PyObject *
pn_connection_recv_bytes_into(ConnectionObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"buf", "offset", NULL};
    PyObject *object;
    Py_ssize_t offset = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|n:recv_bytes_into", names, &object,
                                     &offset) ||
        !pn_connection_enter_to_read(self)) {
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
    pn_connection_leave(self);
    return result;
}

const char pn_poll_doc[] =
    PyDoc_STR("poll($self, timeout=0.0)\n--\n\n"
              "Would receiving not wait? Also true at the end (EOFError).\n\n"
              "Waits for `timeout` seconds at most; None: for ever.");

PyObject *
pn_connection_poll(ConnectionObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"timeout", NULL};
    PyObject *timeout = NULL;
    int64_t deadline = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|O:poll", names, &timeout) ||
        (timeout != NULL && pn_deadline(timeout, &deadline) < 0) ||
        !pn_connection_enter_to_read(self)) {
        return NULL;
    }
    pn_status status = pn_end_try_poll(&self->end);
    if (status == PN_EMPTY && deadline > pn_now()) {
        pn_before_sleep();
        do {
            Py_BEGIN_ALLOW_THREADS
            status = pn_end_poll(&self->end, deadline);
            Py_END_ALLOW_THREADS
        } while (pn_connection_goes_on(self, status));
    }
    PyObject *result = NULL;
    if (status == PN_OK || (status == PN_SHUT_DOWN && !self->closed)) {
        result = Py_NewRef(Py_True);
    } else if ((status == PN_EMPTY || status == PN_TIMEOUT) && !self->closed) {
        result = Py_NewRef(Py_False);
    } else {
        pn_connection_fail(self, status);
    }
    pn_connection_leave(self);
    return result;
}
