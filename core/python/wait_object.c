/* Waiting for one of many objects, and doorbells: descriptors for select and event loops. */
#include "objects.h"

#include "../bell.h"
#include "../many.h"
#include "../patience.h"

/* ---- (object, what for) pairs ----------------------------------------------------------- */

static int
parse_want(SharedObject *shared, PyObject *number, uint32_t *want)
{
    unsigned long value = PyLong_AsUnsignedLong(number);
    if (value == (unsigned long)-1 && PyErr_Occurred()) {
        return -1;
    }
    if (value == 0 || (value & ~(unsigned long)PN_FOR_ANY) != 0 ||
        !pn_can_listen(shared->domain, shared->offset, (uint32_t)value)) {
        PyErr_Format(PyExc_TypeError,
                     "%.100s cannot be waited for%s: a queue, a lock, a semaphore, an event, a "
                     "connection and a process can",
                     Py_TYPE(shared)->tp_name, value == PN_FOR_GET ? "" : " like that");
        return -1;
    }
    *want = (uint32_t)value;
    return 0;
}

/* One item of a tuple of pairs; borrowed. NULL with an exception. */
static SharedObject *
parse_pair(pn_state *state, PyObject *pair, uint32_t *want)
{
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2 ||
        !PyObject_TypeCheck(PyTuple_GET_ITEM(pair, 0), state->shared_type)) {
        PyErr_SetString(PyExc_TypeError, "expected pairs (shared object, what for)");
        return NULL;
    }
    SharedObject *shared = (SharedObject *)PyTuple_GET_ITEM(pair, 0);
    if (!pn_shared_made(shared) || parse_want(shared, PyTuple_GET_ITEM(pair, 1), want) < 0) {
        return NULL;
    }
    return shared;
}

/* ---- wait_any ------------------------------------------------------------------------------ */

static bool
look(void *context)
{
    return pn_many_look(context);
}

/* -1 with an exception of a signal handler. */
static int
sleep_for(pn_many *many, int64_t deadline)
{
    static pn_word pauses_in_vain;
    if (pn_look_again(&pauses_in_vain, look, many)) {
        return 0;
    }
    pn_before_sleep();
    pn_many_begin(many);
    int result = 0;
    pn_status status;
    do {
        Py_BEGIN_ALLOW_THREADS
        do {
            status = pn_many_sleep(many, deadline);
        } while (status == PN_OK && !pn_many_look(many));
        Py_END_ALLOW_THREADS
        if (status == PN_INTERRUPTED && PyErr_CheckSignals() != 0) {
            result = -1;
        }
    } while (result == 0 && status == PN_INTERRUPTED && !pn_many_look(many));
    pn_many_end(many);
    return result;
}

static PyObject *
indices_of_ready(const pn_many *many)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < many->count; i++) {
        if (!many->items[i].ready) {
            continue;
        }
        PyObject *index = PyLong_FromSize_t(i);
        if (index == NULL || PyList_Append(list, index) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(index);
    }
    return list;
}

PyObject *
pn_py_wait_any(PyObject *module, PyObject *args)
{
    PyObject *pairs, *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTuple(args, "O!|O:wait_any", &PyTuple_Type, &pairs, &timeout) ||
        pn_deadline(timeout, &deadline) < 0) {
        return NULL;
    }
    pn_many many = {.count = (size_t)PyTuple_GET_SIZE(pairs)};
    many.items = PyMem_RawCalloc(many.count + 1, sizeof(*many.items));
    if (many.items == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *result = NULL;
    for (size_t i = 0; i < many.count; i++) {
        pn_many_item *item = &many.items[i];
        SharedObject *shared = parse_pair(PyModule_GetState(module),
                                          PyTuple_GET_ITEM(pairs, (Py_ssize_t)i), &item->want);
        if (shared == NULL) {
            goto done;
        }
        item->domain = shared->domain;
        item->offset = shared->offset;
    }
    /* The tuple keeps the objects alive meanwhile. */
    if (!pn_many_look(&many) && deadline > pn_now() && sleep_for(&many, deadline) < 0) {
        goto done;
    }
    result = indices_of_ready(&many);
done:
    PyMem_RawFree(many.items);
    return result;
}

/* ---- Bell ------------------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
    pn_bell *bell;      /* NULL: closed */
    PyObject **domains; /* of its items: what keeps the mappings */
} BellObject;

/* It holds the objects themselves, and not their Python objects: those have the bell. */
static int
hold(BellObject *self, size_t at, SharedObject *shared, uint32_t want)
{
    pn_bell_item *item = &self->bell->items[at];
    *item = (pn_bell_item){shared->domain, shared->offset, want, PN_NO_LINE, 0, NULL};
    self->domains[at] = Py_NewRef((PyObject *)shared->domain_object);
    pn_object_retain(shared->domain, shared->offset);
    return 0;
}

static void
let_go(BellObject *self)
{
    pn_bell *bell = self->bell;
    PyObject **domains = self->domains;
    self->bell = NULL;
    self->domains = NULL;
    if (bell == NULL) {
        return;
    }
    struct {
        pn_domain *domain;
        uint64_t offset;
    } few[16], *items = few;
    size_t count = bell->count;
    if (count > 16) {
        items = PyMem_RawMalloc(count * sizeof(*items));
    }
    for (size_t i = 0; items != NULL && i < count; i++) {
        items[i].domain = domains[i] ? bell->items[i].domain : NULL;
        items[i].offset = bell->items[i].offset;
    }
    pn_bell_drop(bell);
    for (size_t i = 0; items != NULL && i < count; i++) {
        if (items[i].domain != NULL) {
            pn_object_drop(items[i].domain, items[i].offset);
        }
        Py_XDECREF(domains[i]);
    }
    if (items != few) {
        PyMem_RawFree(items);
    }
    PyMem_RawFree(domains);
}

static void
bell_dealloc(BellObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    let_go(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyObject *
bell_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"items", "edge", NULL};
    PyObject *pairs;
    int edge = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!|p:Bell", names, &PyTuple_Type, &pairs,
                                     &edge)) {
        return NULL;
    }
    BellObject *self = (BellObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    size_t count = (size_t)PyTuple_GET_SIZE(pairs);
    self->domains = PyMem_RawCalloc(count + 1, sizeof(*self->domains));
    self->bell = self->domains != NULL ? pn_bell_new(count, edge) : NULL;
    if (self->bell == NULL) {
        PyMem_RawFree(self->domains);
        self->domains = NULL;
        PyErr_NoMemory();
    }
    pn_state *state = pn_state_of((PyObject *)self);
    for (size_t i = 0; self->bell != NULL && i < count; i++) {
        uint32_t want;
        SharedObject *shared = parse_pair(state, PyTuple_GET_ITEM(pairs, (Py_ssize_t)i), &want);
        if (shared == NULL || hold(self, i, shared, want) < 0) {
            break;
        }
    }
    if (PyErr_Occurred()) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static pn_bell *
bell_of(BellObject *self)
{
    if (self->bell == NULL) {
        PyErr_SetString(PyExc_ValueError, "the doorbell is closed");
    }
    return self->bell;
}

static PyObject *
bell_arm(BellObject *self, PyObject *args)
{
    int waits = 0;
    pn_bell *bell = bell_of(self);
    if (bell == NULL || !PyArg_ParseTuple(args, "|p:arm", &waits)) {
        return NULL;
    }
    int fd = pn_bell_arm(bell, waits);
    return fd >= 0 ? PyLong_FromLong(fd) : PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *
bell_disarm(BellObject *self, PyObject *Py_UNUSED(none))
{
    if (self->bell != NULL) {
        pn_bell_disarm(self->bell);
    }
    Py_RETURN_NONE;
}

static PyObject *
bell_clear(BellObject *self, PyObject *Py_UNUSED(none))
{
    pn_bell *bell = bell_of(self);
    if (bell == NULL) {
        return NULL;
    }
    pn_bell_clear(bell);
    Py_RETURN_NONE;
}

static PyObject *
bell_close(BellObject *self, PyObject *Py_UNUSED(none))
{
    let_go(self);
    Py_RETURN_NONE;
}

static PyMethodDef bell_methods[] = {
    {"arm", (PyCFunction)bell_arm, METH_VARARGS,
     "arm($self, waits=False, /)\n--\n\n"
     "Listen from now on; the descriptor, which is readable while one of the objects is ready. "
     "`waits`: the table of waits shows that somebody waits for it."},
    {"disarm", (PyCFunction)bell_disarm, METH_NOARGS,
     "disarm($self)\n--\n\nListen no more. The descriptor stays, and is not readable."},
    {"clear", (PyCFunction)bell_clear, METH_NOARGS,
     "clear($self)\n--\n\nMake it unreadable, unless an object is ready."},
    {"close", (PyCFunction)bell_close, METH_NOARGS,
     "close($self)\n--\n\nListen no more, and close the descriptor."},
    {NULL},
};

static PyType_Slot bell_slots[] = {
    {Py_tp_new, bell_new},
    {Py_tp_dealloc, bell_dealloc},
    {Py_tp_methods, bell_methods},
    {Py_tp_doc,
     "Bell(items, edge=False)\n--\n\n"
     "A descriptor for (shared object, what for) pairs. With `edge` it is readable after each "
     "change instead, until it is cleared."},
    {0, NULL},
};

PyType_Spec pn_bell_spec = {
    .name = "procession._core.Bell",
    .basicsize = sizeof(BellObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = bell_slots,
};
