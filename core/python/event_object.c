/* The event, as Python sees it. */
#include "objects.h"

#include "../bell.h"
#include "../event.h"
#include "../waits.h"

typedef struct {
    SharedObject shared;
    pn_event event;
} EventObject;

/* NULL with an exception if it was not made. */
static pn_event *
event_of(EventObject *self)
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    if (self->event.cell == NULL) {
        pn_event_open(&self->event, self->shared.domain, self->shared.offset);
    }
    return &self->event;
}

static int
event_init(EventObject *self, PyObject *args, PyObject *kwargs)
{
    return pn_shared_init(&self->shared, args, kwargs, PN_OBJECT_EVENT, "Event");
}

PyDoc_STRVAR(is_set_doc, "is_set($self)\n--\n\nIs it set just now?");

static PyObject *
event_is_set(EventObject *self, PyObject *Py_UNUSED(none))
{
    pn_event *event = event_of(self);
    return event ? PyBool_FromLong(pn_event_is_set(event)) : NULL;
}

PyDoc_STRVAR(set_doc,
             "set($self)\n--\n\n"
             "Set it, and wake all that wait. Takes no lock: a signal handler may do it too.");

static PyObject *
event_set(EventObject *self, PyObject *Py_UNUSED(none))
{
    pn_event *event = event_of(self);
    if (event == NULL) {
        return NULL;
    }
    pn_event_set(event);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(clear_doc, "clear($self)\n--\n\nUnset it: whoever waits from now on, waits.");

static PyObject *
event_clear(EventObject *self, PyObject *Py_UNUSED(none))
{
    pn_event *event = event_of(self);
    if (event == NULL) {
        return NULL;
    }
    pn_event_clear(event);
    pn_bell_settle(event->domain, event->offset);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wait_doc, "wait($self, timeout=None)\n--\n\n"
                       "Wait until it is set; False if it was not within `timeout` seconds.\n\n"
                       "True as well if it was set meanwhile and is cleared again by now.");

static PyObject *
event_wait(EventObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *timeout;
    int64_t deadline;
    pn_event *event = event_of(self);
    if (event == NULL || pn_only_timeout("wait", args, count, names, &timeout) < 0 ||
        pn_deadline(timeout, &deadline) < 0) {
        return NULL;
    }
    if (pn_event_is_set(event)) {
        Py_RETURN_TRUE;
    }
    uint32_t since = pn_event_sets(event);
    pn_status status;
    PN_SLEEP(status, pn_event_wait(event, since, deadline));
    return status == PN_INTERRUPTED ? NULL : PyBool_FromLong(status == PN_OK);
}

PyDoc_STRVAR(look_doc, "_look($self)\n--\n\n(is it set, how often it was, waiters)");

static PyObject *
event_look(EventObject *self, PyObject *Py_UNUSED(none))
{
    pn_event *event = event_of(self);
    if (event == NULL) {
        return NULL;
    }
    return Py_BuildValue("NII", PyBool_FromLong(pn_event_is_set(event)), pn_event_sets(event),
                         pn_wait_count(event->domain, event->offset));
}

static PyMethodDef methods[] = {
    {"is_set", (PyCFunction)event_is_set, METH_NOARGS, is_set_doc},
    {"set", (PyCFunction)event_set, METH_NOARGS, set_doc},
    {"clear", (PyCFunction)event_clear, METH_NOARGS, clear_doc},
    {"wait", (PyCFunction)(void (*)(void))event_wait, METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"_look", (PyCFunction)event_look, METH_NOARGS, look_doc},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, event_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec pn_event_spec = {
    .name = "procession._core.Event",
    .basicsize = sizeof(EventObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
