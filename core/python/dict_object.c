/* The dictionary as a Python type: what of it must be quick, or must be one step. */
#include "dict_parts.h"

#include "../waits.h"

#define LOOK_NS (20 * 1000000LL) /* how long statistics() waits for the lock */

static PyObject *
dict_open(DictObject *self, PyObject *Py_UNUSED(none))
{
    self->state = pn_state_of((PyObject *)self);
    if (self->state == NULL || !pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_dict_open(&self->dict, self->shared.domain, self->shared.offset);
    Py_RETURN_NONE;
}

static int
dict_init(DictObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "name", NULL};
    PyObject *domain_object;
    const char *name = "";
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|s", names, &domain_object, &name)) {
        return -1;
    }
    DomainObject *domain = pn_domain_for(&self->shared, domain_object);
    if (domain == NULL) {
        return -1;
    }
    uint64_t offset;
    uint32_t generation;
    pn_status status = pn_dict_new(domain->domain, name, &offset, &generation);
    if (pn_shared_take(&self->shared, domain, status, offset, generation, "SharedDict", name) < 0) {
        return -1;
    }
    PyObject *opened = dict_open(self, NULL);
    Py_XDECREF(opened);
    return opened ? 0 : -1;
}

/* ---- the mapping --------------------------------------------------------------------- */

/* A KeyError with that key as its only argument, even if it is a tuple. */
static PyObject *
raise_key(PyObject *key)
{
    PyObject *args = PyTuple_Pack(1, key);
    if (args != NULL) {
        PyErr_SetObject(PyExc_KeyError, args);
        Py_DECREF(args);
    }
    return NULL;
}

/* Read, or take out, the value of a key. NULL with an exception, or without one if there is none. */
static PyObject *
read_value(DictObject *self, PyObject *key, pn_dict_act act)
{
    pn_dict_call call;
    PyObject *result = NULL;
    pn_dict_begin(&call, act);
    call.op.sink = &call.sink;
    if (pn_dict_set_key(self, &call, key) == 0 && pn_dict_answer(self, &call) == PN_OK) {
        result = pn_dict_decode(self, &call);
    }
    pn_dict_finish(self, &call);
    return result;
}

static Py_ssize_t
dict_length(DictObject *self)
{
    pn_dict_call call;
    pn_dict_begin(&call, pn_dict_look);
    return pn_shared_made(&self->shared) && pn_dict_answer(self, &call) == PN_OK
               ? (Py_ssize_t)call.op.items
               : -1;
}

static PyObject *
dict_subscript(DictObject *self, PyObject *key)
{
    PyObject *result = read_value(self, key, pn_dict_get);
    return result != NULL || PyErr_Occurred() ? result : raise_key(key);
}

/* 0 done, 1 it is not there, -1 with an exception. */
static int
assign(DictObject *self, PyObject *key, PyObject *value)
{
    pn_dict_call call;
    pn_status status = PN_SYSTEM;
    pn_dict_begin(&call, value ? pn_dict_set : pn_dict_remove);
    if (pn_dict_set_key(self, &call, key) == 0 &&
        (value == NULL || pn_dict_set_value(self, &call, value) == 0)) {
        status = pn_dict_answer(self, &call);
    }
    pn_dict_finish(self, &call);
    return status == PN_OK ? 0 : status == PN_EMPTY ? 1 : -1;
}

static int
dict_assign(DictObject *self, PyObject *key, PyObject *value)
{
    int result = assign(self, key, value);
    if (result > 0) {
        raise_key(key);
    }
    return result == 0 ? 0 : -1;
}

static int
dict_contains(DictObject *self, PyObject *key)
{
    pn_dict_call call;
    pn_status status = PN_SYSTEM;
    pn_dict_begin(&call, pn_dict_get);
    if (pn_dict_set_key(self, &call, key) == 0) {
        status = pn_dict_answer(self, &call);
    }
    pn_dict_finish(self, &call);
    return status == PN_OK ? 1 : status == PN_EMPTY ? 0 : -1;
}

/* ---- methods -------------------------------------------------------------------------- */

/* (key, default=None) by position, the second by the name `default` too. */
static int
parse_default(const char *function, PyObject *const *args, Py_ssize_t count, PyObject *names,
              PyObject **second)
{
    Py_ssize_t keywords = names ? PyTuple_GET_SIZE(names) : 0;
    if (count < 1 || count + keywords > 2 ||
        (keywords && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "default"))) {
        PyErr_Format(PyExc_TypeError, "%s() takes a key and a default", function);
        return -1;
    }
    if (count + keywords == 2) {
        *second = args[1];
    }
    return 0;
}

PyDoc_STRVAR(get_doc, "get($self, key, default=None)\n--\n\nThe value of the key, or the default.");

static PyObject *
dict_get(DictObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *otherwise = Py_None;
    if (parse_default("get", args, count, names, &otherwise) < 0) {
        return NULL;
    }
    PyObject *result = read_value(self, args[0], pn_dict_get);
    return result != NULL || PyErr_Occurred() ? result : Py_NewRef(otherwise);
}

PyDoc_STRVAR(
    pop_doc,
    "pop($self, key, default=<unrepresentable>)\n--\n\n"
    "Remove the key and return its value: one step, so that one of several callers gets it.\n\n"
    "Without it the default, or KeyError if none was given.");

static PyObject *
dict_pop(DictObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *otherwise = NULL;
    if (parse_default("pop", args, count, names, &otherwise) < 0) {
        return NULL;
    }
    PyObject *result = read_value(self, args[0], pn_dict_remove);
    if (result != NULL || PyErr_Occurred()) {
        return result;
    }
    return otherwise ? Py_NewRef(otherwise) : raise_key(args[0]);
}

PyDoc_STRVAR(
    setdefault_doc,
    "setdefault($self, key, default=None)\n--\n\n"
    "The value of the key; if there is none, insert the default and return it, in one step.");

static PyObject *
dict_setdefault(DictObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *value = Py_None, *result = NULL;
    pn_dict_call call;
    if (parse_default("setdefault", args, count, names, &value) < 0) {
        return NULL;
    }
    pn_dict_begin(&call, pn_dict_add_new);
    call.op.sink = &call.sink;
    if (pn_dict_set_key(self, &call, args[0]) == 0 && pn_dict_set_value(self, &call, value) == 0 &&
        pn_dict_answer(self, &call) == PN_OK) {
        result = call.op.found ? pn_dict_decode(self, &call) : Py_NewRef(value);
    }
    pn_dict_finish(self, &call);
    return result;
}

PyDoc_STRVAR(clear_doc, "clear($self)\n--\n\nRemove all items, in one step.");

static PyObject *
dict_clear(DictObject *self, PyObject *Py_UNUSED(none))
{
    pn_dict_call call;
    pn_dict_begin(&call, pn_dict_clear);
    if (!pn_shared_made(&self->shared) || pn_dict_answer(self, &call) != PN_OK) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- changes that depend on what is there ------------------------------------------------ */

PyDoc_STRVAR(compare_and_set_doc,
             "compare_and_set($self, key, old, new, /)\n--\n\n"
             "Set the value to `new` if it equals `old`, in one step; was it so?\n\n"
             "Equal is what == says, which is asked in this process, of a copy. False if the key "
             "is not there;\n"
             "setdefault() inserts.");

static PyObject *
dict_compare_and_set(DictObject *self, PyObject *const *args, Py_ssize_t count)
{
    pn_dict_call call;
    int equal = -1;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError,
                        "compare_and_set() takes a key, the old and the new value");
        return NULL;
    }
    pn_dict_begin(&call, pn_dict_get);
    if (pn_dict_set_key(self, &call, args[0]) == 0 &&
        pn_dict_set_value(self, &call, args[2]) == 0) {
        pn_status status;
        do { /* once more whenever another one has changed it in between */
            status = PN_OK;
            PyObject *current = pn_dict_look_up(self, &call);
            if (current == NULL) {
                equal = PyErr_Occurred() ? -1 : 0;
                break;
            }
            PyObject *answer = PyObject_RichCompare(current, args[1], Py_EQ);
            equal = answer ? PyObject_IsTrue(answer) : -1;
            Py_XDECREF(answer);
            Py_DECREF(current);
            if (equal == 1) {
                call.op.act = pn_dict_swap;
                call.op.sink = NULL;
                status = pn_dict_answer(self, &call);
                equal = status == PN_OK ? 1 : status == PN_EMPTY ? 0 : -1;
            }
        } while (status == PN_STALE);
    }
    pn_dict_finish(self, &call);
    return equal < 0 ? NULL : PyBool_FromLong(equal);
}

/* ---- looking -------------------------------------------------------------------------- */

PyDoc_STRVAR(
    look_doc,
    "_look($self)\n--\n\n"
    "(items, bytes that they take, bytes of the table, rebuilds, waiting, recoveries, pid of "
    "who is inside of a call or 0). Never waits long.");

/* Whoever looks wants to know why others wait, so he does not wait with them. */
static PyObject *
dict_look(DictObject *self, PyObject *Py_UNUSED(none))
{
    pn_dict_op op = {.act = pn_dict_look};
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_status status = pn_dict_try(&self->dict, &op);
    if (status == PN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        status = pn_dict_run(&self->dict, &op, pn_now() + LOOK_NS);
        Py_END_ALLOW_THREADS
    }
    uint32_t pid = 0;
    if (status != PN_OK) {
        pn_dict_peek(&self->dict, &op);
        uint32_t holder = atomic_load(&self->dict.cell->lock.holder);
        pid = holder && holder <= PN_SLOTS
                  ? atomic_load(&self->shared.domain->slots[holder - 1].pid)
                  : 0;
    }
    return Py_BuildValue("KKKKIII", (unsigned long long)op.items, (unsigned long long)op.used,
                         (unsigned long long)op.bytes, (unsigned long long)op.rebuilds,
                         pn_wait_count(self->shared.domain, self->shared.offset),
                         self->dict.cell->lock.recovered, pid);
}

static PyMethodDef methods[] = {
    {"get", (PyCFunction)(void (*)(void))dict_get, METH_FASTCALL | METH_KEYWORDS, get_doc},
    {"pop", (PyCFunction)(void (*)(void))dict_pop, METH_FASTCALL | METH_KEYWORDS, pop_doc},
    {"popitem", (PyCFunction)pn_dict_popitem, METH_NOARGS, pn_dict_popitem_doc},
    {"setdefault", (PyCFunction)(void (*)(void))dict_setdefault, METH_FASTCALL | METH_KEYWORDS,
     setdefault_doc},
    {"clear", (PyCFunction)dict_clear, METH_NOARGS, clear_doc},
    {"add", (PyCFunction)(void (*)(void))pn_dict_add, METH_FASTCALL, pn_dict_add_doc},
    {"compare_and_set", (PyCFunction)(void (*)(void))dict_compare_and_set, METH_FASTCALL,
     compare_and_set_doc},
    {"_scan", (PyCFunction)pn_dict_scan_items, METH_VARARGS, pn_dict_scan_doc},
    {"_look", (PyCFunction)dict_look, METH_NOARGS, look_doc},
    {"_open", (PyCFunction)dict_open, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, dict_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, methods},
    {Py_mp_length, dict_length},
    {Py_mp_subscript, dict_subscript},
    {Py_mp_ass_subscript, dict_assign},
    {Py_sq_contains, dict_contains},
    {Py_tp_doc, "The dictionary in shared memory."},
    {0, NULL},
};

PyType_Spec pn_dict_spec = {
    .name = "procession._core.Dict",
    .basicsize = sizeof(DictObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
