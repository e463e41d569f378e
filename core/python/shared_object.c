/* The base type of everything that lives in a domain. */
#include "objects.h"

#include <structmember.h>

pn_state *
pn_state_of(PyObject *instance)
{
    PyObject *module = PyType_GetModuleByDef(Py_TYPE(instance), &pn_module);
    return module ? PyModule_GetState(module) : NULL;
}

DomainObject *
pn_domain_check(PyObject *self, PyObject *domain)
{
    pn_state *state = pn_state_of(self);
    if (state == NULL) {
        return NULL;
    }
    if (!PyObject_TypeCheck(domain, state->domain_type)) {
        PyErr_Format(PyExc_TypeError, "expected a Domain, not %.100s", Py_TYPE(domain)->tp_name);
        return NULL;
    }
    return (DomainObject *)domain;
}

void
pn_shared_set(SharedObject *self, DomainObject *domain, uint64_t offset, uint32_t generation)
{
    Py_INCREF(domain);
    Py_XSETREF(self->domain_object, domain);
    self->domain = domain->domain;
    self->offset = offset;
    self->generation = generation;
}

DomainObject *
pn_domain_for(SharedObject *self, PyObject *domain_object)
{
    DomainObject *domain = pn_domain_check((PyObject *)self, domain_object);
    if (domain != NULL && self->offset != 0) {
        PyErr_SetString(PyExc_RuntimeError, "made already");
        return NULL;
    }
    return domain;
}

int
pn_shared_take(SharedObject *self, DomainObject *domain, pn_status status, uint64_t offset,
               uint32_t generation, const char *what, const char *name)
{
    if (status != PN_OK) {
        pn_raise(status, domain->domain, what, name);
        return -1;
    }
    pn_shared_set(self, domain, offset, generation);
    return 0;
}

int
pn_shared_init(SharedObject *self, PyObject *args, PyObject *kwargs, pn_object_type type,
               const char *what)
{
    static char *names[] = {"domain", "name", NULL};
    PyObject *domain_object;
    const char *name = "";
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|s", names, &domain_object, &name)) {
        return -1;
    }
    DomainObject *domain = pn_domain_for(self, domain_object);
    if (domain == NULL) {
        return -1;
    }
    uint64_t offset;
    uint32_t generation;
    pn_status status = pn_object_new(domain->domain, type, name, &offset, &generation);
    return pn_shared_take(self, domain, status, offset, generation, what, name);
}

void
pn_shared_dealloc(SharedObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->offset != 0) {
        pn_object_drop(self->domain, self->offset);
    }
    Py_XDECREF(self->domain_object);
    type->tp_free(self);
    Py_DECREF(type);
}

/* Does the object at the handle have the type that `self` is of? */
static bool
type_fits(pn_state *state, PyTypeObject *type, uint32_t kind)
{
    PyTypeObject *wanted = kind < PN_OBJECT_TYPES ? state->kinds[kind] : NULL;
    return wanted != NULL && PyType_IsSubtype(type, wanted);
}

PyDoc_STRVAR(attach_doc, "_attach($type, domain, offset, generation, /)\n--\n\n"
                         "Hold the object of a handle. Raises StaleHandle if it was freed.");

static PyObject *
shared_attach(PyTypeObject *type, PyObject *args)
{
    PyObject *domain_object;
    unsigned long long offset;
    unsigned int generation;
    if (!PyArg_ParseTuple(args, "OKI:_attach", &domain_object, &offset, &generation)) {
        return NULL;
    }
    SharedObject *self = (SharedObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    DomainObject *domain = pn_domain_check((PyObject *)self, domain_object);
    if (domain == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    pn_status status = pn_object_attach(domain->domain, offset, generation);
    if (status != PN_OK) {
        pn_raise(status, domain->domain, type->tp_name, "?");
        Py_DECREF(self);
        return NULL;
    }
    pn_shared_set(self, domain, offset, generation);
    if (!type_fits(pn_state_of((PyObject *)self), type, atomic_load(&pn_shared_cell(self)->type))) {
        PyErr_Format(PyExc_TypeError, "the handle names another kind of object than %.100s",
                     type->tp_name);
        Py_DECREF(self);
        return NULL;
    }
    uint32_t kind = atomic_load(&pn_shared_cell(self)->type);
    if (kind == PN_OBJECT_RING || kind == PN_OBJECT_DICT || kind == PN_OBJECT_PRIORITY ||
        kind == PN_OBJECT_END) {
        PyObject *opened = PyObject_CallMethod((PyObject *)self, "_open", NULL);
        if (opened == NULL) {
            Py_DECREF(self);
            return NULL;
        }
        Py_DECREF(opened);
    }
    if (kind == PN_OBJECT_BUFFER) {
        return (PyObject *)pn_buffer_attached(pn_state_of((PyObject *)self), self);
    }
    return (PyObject *)self;
}

PyDoc_STRVAR(hold_for_doc, "_hold_for($self, slot, /)\n--\n\n"
                           "Keep the object alive for a process that is about to start.");

static PyObject *
shared_hold_for(SharedObject *self, PyObject *argument)
{
    unsigned long slot = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (!pn_shared_made(self)) {
        return NULL;
    }
    if (slot >= PN_SLOTS) {
        PyErr_SetString(PyExc_ValueError, "no such slot");
        return NULL;
    }
    pn_object_hold_for(self->domain, self->offset, (uint32_t)slot);
    Py_RETURN_NONE;
}

static PyObject *
shared_set_mate(SharedObject *self, PyObject *argument)
{
    pn_state *state = pn_state_of((PyObject *)self);
    if (state == NULL || !pn_shared_made(self)) {
        return NULL;
    }
    if (!PyObject_TypeCheck(argument, state->shared_type) ||
        ((SharedObject *)argument)->domain != self->domain) {
        Py_RETURN_FALSE;
    }
    SharedObject *mate = (SharedObject *)argument;
    pn_object *object = pn_shared_cell(self);
    atomic_store(&object->mate_generation, mate->generation);
    atomic_store(&object->mate, mate->offset);
    Py_RETURN_TRUE;
}

/* (type, offset, generation): what _attach needs. */
static PyObject *
get_mate(SharedObject *self, void *Py_UNUSED(closure))
{
    pn_state *state = pn_state_of((PyObject *)self);
    if (state == NULL || !pn_shared_made(self)) {
        return NULL;
    }
    uint64_t mate = atomic_load(&pn_shared_cell(self)->mate);
    if (mate == 0) {
        Py_RETURN_NONE;
    }
    uint32_t kind = atomic_load(&((pn_object *)pn_at(self->domain, mate))->type);
    PyTypeObject *type = kind < PN_OBJECT_TYPES ? state->kinds[kind] : NULL;
    return Py_BuildValue("OKI", type != NULL ? (PyObject *)type : Py_None, (unsigned long long)mate,
                         atomic_load(&pn_shared_cell(self)->mate_generation));
}

static PyObject *
shared_be_part(SharedObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(self)) {
        return NULL;
    }
    atomic_fetch_or(&pn_shared_cell(self)->flags, PN_OBJECT_PART);
    Py_RETURN_NONE;
}

static PyObject *
get_name(SharedObject *self, void *Py_UNUSED(closure))
{
    if (self->offset == 0) {
        Py_RETURN_NONE;
    }
    const char *name = pn_shared_cell(self)->name;
    return PyUnicode_DecodeUTF8(name, (Py_ssize_t)strnlen(name, PN_NAME), "replace");
}

static PyObject *
get_handle(SharedObject *self, void *Py_UNUSED(closure))
{
    if (!pn_shared_made(self)) {
        return NULL;
    }
    return Py_BuildValue("(KI)", (unsigned long long)self->offset, self->generation);
}

static PyObject *
get_parts(SharedObject *self, void *Py_UNUSED(closure))
{
    return pn_shared_made(self) ? Py_BuildValue("(K)", (unsigned long long)self->offset) : NULL;
}

static PyObject *
get_domain(SharedObject *self, void *Py_UNUSED(closure))
{
    return pn_shared_made(self) ? Py_NewRef((PyObject *)self->domain_object) : NULL;
}

static PyMethodDef methods[] = {
    {"_attach", (PyCFunction)shared_attach, METH_VARARGS | METH_CLASS, attach_doc},
    {"_hold_for", (PyCFunction)shared_hold_for, METH_O, hold_for_doc},
    {"_set_mate", (PyCFunction)shared_set_mate, METH_O,
     "_set_mate($self, lock, /)\n--\n\n"
     "Who finds it by its name shall find this with it; False: it is of another domain, or none."},
    {"_be_part", (PyCFunction)shared_be_part, METH_NOARGS,
     "_be_part($self)\n--\n\nIt belongs to another object, which is found by its name instead."},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"_label", (getter)get_name, NULL, "the name given to it", NULL},
    {"_handle", (getter)get_handle, NULL, "(offset, generation)", NULL},
    {"_mate", (getter)get_mate, NULL, "(type, offset, generation) of its lock, None: none", NULL},
    {"_parts", (getter)get_parts, NULL, "offsets of all objects that it consists of", NULL},
    {"_domain", (getter)get_domain, NULL, "the Domain it lives in", NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, pn_shared_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_doc, "Base of all objects that live in a domain."},
    {0, NULL},
};

PyType_Spec pn_shared_spec = {
    .name = "procession._core.Shared",
    .basicsize = sizeof(SharedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
