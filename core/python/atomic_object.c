/* Atomic: an integer that processes change without a lock. */
#include "objects.h"

#include "../atomic.h"

static pn_atomic_cell *
cell_of(SharedObject *self)
{
    return pn_shared_made(self) ? pn_atomic_at(self->domain, self->offset) : NULL;
}

/* 0, or -1 with OverflowError or TypeError. Anything with __index__ will do. */
static int
number_of(PyObject *argument, const char *what, int64_t *number)
{
    PyObject *whole = PyNumber_Index(argument);
    if (whole == NULL) {
        if (PyErr_ExceptionMatches(PyExc_TypeError)) {
            PyErr_Format(PyExc_TypeError, "%s must be an integer, not %.100s", what,
                         Py_TYPE(argument)->tp_name);
        }
        return -1;
    }
    int overflow;
    *number = PyLong_AsLongLongAndOverflow(whole, &overflow);
    if (overflow != 0) {
        PyErr_Format(PyExc_OverflowError, "%s must be from -2**63 to 2**63 - 1, not %S", what,
                     whole);
    }
    Py_DECREF(whole);
    return PyErr_Occurred() ? -1 : 0;
}

static int
integer_init(SharedObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "name", "value", NULL};
    PyObject *domain_object, *value_object = NULL;
    const char *name = "";
    int64_t value = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|sO", names, &domain_object, &name,
                                     &value_object) ||
        (value_object != NULL && number_of(value_object, "value", &value) < 0)) {
        return -1;
    }
    DomainObject *domain = pn_domain_for(self, domain_object);
    if (domain == NULL) {
        return -1;
    }
    uint64_t offset;
    uint32_t generation;
    pn_status status = pn_atomic_new(domain->domain, name, value, &offset, &generation);
    return pn_shared_take(self, domain, status, offset, generation, "Atomic", name);
}

PyDoc_STRVAR(load_doc, "load($self)\n--\n\nThe value at this instant.");

static PyObject *
integer_load(SharedObject *self, PyObject *Py_UNUSED(none))
{
    pn_atomic_cell *cell = cell_of(self);
    return cell ? PyLong_FromLongLong(atomic_load(&cell->value)) : NULL;
}

PyDoc_STRVAR(store_doc, "store($self, value, /)\n--\n\nSet it, whatever it was.");

static PyObject *
integer_store(SharedObject *self, PyObject *argument)
{
    pn_atomic_cell *cell = cell_of(self);
    int64_t value;
    if (cell == NULL || number_of(argument, "value", &value) < 0) {
        return NULL;
    }
    atomic_store(&cell->value, value);
    Py_RETURN_NONE;
}

static PyObject *
add(SharedObject *self, int64_t summand)
{
    pn_atomic_cell *cell = cell_of(self);
    int64_t sum;
    if (cell == NULL) {
        return NULL;
    }
    if (!pn_atomic_add(cell, summand, &sum)) {
        PyErr_Format(
            PyExc_OverflowError,
            "Atomic '%s' has 64 bits: with %lld added it would not fit. It was not changed.",
            cell->object.name, (long long)summand);
        return NULL;
    }
    return PyLong_FromLongLong(sum);
}

PyDoc_STRVAR(add_doc, "add($self, n=1, /)\n--\n\n"
                      "Add n, and return the sum: no two callers are given the same step.\n\n"
                      "OverflowError if it would not fit into 64 bits; then nothing was changed.");

static PyObject *
integer_add(SharedObject *self, PyObject *const *args, Py_ssize_t count)
{
    int64_t summand = 1;
    if (count > 1) {
        PyErr_Format(PyExc_TypeError, "add() takes one number, not %zd", count);
        return NULL;
    }
    if (count == 1 && number_of(args[0], "n", &summand) < 0) {
        return NULL;
    }
    return add(self, summand);
}

PyDoc_STRVAR(exchange_doc, "exchange($self, value, /)\n--\n\nSet it, and return what it was.");

static PyObject *
integer_exchange(SharedObject *self, PyObject *argument)
{
    pn_atomic_cell *cell = cell_of(self);
    int64_t value;
    if (cell == NULL || number_of(argument, "value", &value) < 0) {
        return NULL;
    }
    return PyLong_FromLongLong(atomic_exchange(&cell->value, value));
}

PyDoc_STRVAR(
    compare_exchange_doc,
    "compare_exchange($self, expected, desired, /)\n--\n\n"
    "Set it to `desired` if it is `expected`: True if it was, False if nothing was changed.");

static PyObject *
integer_compare_exchange(SharedObject *self, PyObject *const *args, Py_ssize_t count)
{
    pn_atomic_cell *cell = cell_of(self);
    int64_t expected, desired;
    if (cell == NULL) {
        return NULL;
    }
    if (count != 2) {
        PyErr_Format(PyExc_TypeError,
                     "compare_exchange() takes expected and desired, not %zd arguments", count);
        return NULL;
    }
    if (number_of(args[0], "expected", &expected) < 0 ||
        number_of(args[1], "desired", &desired) < 0) {
        return NULL;
    }
    return PyBool_FromLong(atomic_compare_exchange_strong(&cell->value, &expected, desired));
}

static PyObject *
get_value(SharedObject *self, void *Py_UNUSED(closure))
{
    return integer_load(self, NULL);
}

static int
set_value(SharedObject *self, PyObject *value, void *Py_UNUSED(closure))
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "the value of an Atomic cannot be deleted");
        return -1;
    }
    PyObject *done = integer_store(self, value);
    Py_XDECREF(done);
    return done != NULL ? 0 : -1;
}

static PyMethodDef methods[] = {
    {"load", (PyCFunction)integer_load, METH_NOARGS, load_doc},
    {"store", (PyCFunction)integer_store, METH_O, store_doc},
    {"add", (PyCFunction)(void (*)(void))integer_add, METH_FASTCALL, add_doc},
    {"exchange", (PyCFunction)integer_exchange, METH_O, exchange_doc},
    {"compare_exchange", (PyCFunction)(void (*)(void))integer_compare_exchange, METH_FASTCALL,
     compare_exchange_doc},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"value", (getter)get_value, (setter)set_value,
     "the value at this instant: load() and store(); `a.value += 1` is two steps, add() is one",
     NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, integer_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_doc, "Atomic(domain, name=\"\", value=0)\n--\n\nA signed 64-bit integer."},
    {0, NULL},
};

PyType_Spec pn_atomic_spec = {
    .name = "procession._core.Atomic",
    .basicsize = sizeof(SharedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
