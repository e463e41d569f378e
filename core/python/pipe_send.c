/* A connection's messages, out. */
#include "pipe_parts.h"

#include <errno.h>

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
        } while (pn_connection_goes_on(self, status));
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
    return pn_connection_fail(self, status);
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

const char pn_send_doc[] = PyDoc_STR(
    "send($self, obj, /)\n--\n\n"
    "Send an object; when this returns, no death can take it back.\n\n"
    "Waits while more than the pipe's bound is under way. Raises BrokenPipeError if nobody\n"
    "is left at the other end, OSError if it is closed or read-only, DomainFull if memory\n"
    "ran out, and what pickling raises; in each case nothing was sent.");

PyObject *
pn_connection_send(ConnectionObject *self, PyObject *obj)
{
    if (!pn_connection_enter_to_write(self)) {
        return NULL;
    }
    uint64_t stack[PN_STACK_BUFFER / sizeof(uint64_t)];
    pn_writer out = {.bytes = (char *)stack, .capacity = sizeof(stack)};
    int result = pn_encode(self->state, (PyObject *)self, &out, obj);
    if (result == 0) {
        result = send_record(self, &out);
    }
    pn_writer_free(&out);
    pn_connection_leave(self);
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

const char pn_send_bytes_doc[] = PyDoc_STR(
    "send_bytes($self, buf, offset=0, size=None)\n--\n\n"
    "Send the bytes of a bytes-like object, from `offset` on, `size` of them, as one message.\n\n"
    "ValueError if they do not lie in it; else as send().");

PyObject *
pn_connection_send_bytes(ConnectionObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"buf", "offset", "size", NULL};
    PyObject *object, *size_object = Py_None;
    Py_ssize_t offset = 0, size;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|nO:send_bytes", names, &object, &offset,
                                     &size_object) ||
        !pn_connection_enter_to_write(self)) {
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
    pn_connection_leave(self);
    if (result < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
