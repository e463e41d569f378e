/* A buffer of shared memory as an object with the buffer protocol. A view keeps the object, which keeps
 * the domain mapped: the bytes outlive the queue that they came in. */
#include "objects.h"

#include "../buffer.h"

static int
buffer_init(SharedObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "nbytes", NULL};
    PyObject *domain_object;
    Py_ssize_t length;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "On", names, &domain_object, &length)) {
        return -1;
    }
    DomainObject *domain = pn_domain_check((PyObject *)self, domain_object);
    if (domain == NULL) {
        return -1;
    }
    if (self->offset != 0) {
        PyErr_SetString(PyExc_RuntimeError, "made already");
        return -1;
    }
    if (length < 0) {
        PyErr_Format(PyExc_ValueError, "nbytes must be 0 or more, not %zd", length);
        return -1;
    }
    uint64_t offset;
    uint32_t generation;
    pn_status status;
    Py_BEGIN_ALLOW_THREADS /* new pages are cleared: 1 GiB takes a third of a second */
    status = pn_buffer_new(domain->domain, (uint64_t)length, 0, &offset, &generation);
    Py_END_ALLOW_THREADS
    if (status != PN_OK) {
        pn_raise(status, domain->domain, "Buffer", "");
        return -1;
    }
    pn_shared_set(self, domain, offset, generation);
    return 0;
}

PyObject *
pn_buffer_wrap(pn_state *state, SharedObject *from, uint64_t offset)
{
    SharedObject *self = (SharedObject *)state->buffer_type->tp_alloc(state->buffer_type, 0);
    if (self == NULL) {
        pn_object_drop(from->domain, offset);
        return NULL;
    }
    const pn_object *cell = pn_at(from->domain, offset);
    pn_shared_set(self, from->domain_object, offset, atomic_load(&cell->generation));
    return (PyObject *)self;
}

static bool
is_readonly(const SharedObject *self)
{
    return atomic_load(&pn_buffer_at(self->domain, self->offset)->flags) & PN_BUFFER_READONLY;
}

static int
buffer_get(SharedObject *self, Py_buffer *view, int flags)
{
    if (!pn_shared_made(self)) {
        view->obj = NULL;
        return -1;
    }
    return PyBuffer_FillInfo(view, (PyObject *)self, pn_buffer_bytes(self->domain, self->offset),
                             (Py_ssize_t)pn_buffer_length(self->domain, self->offset),
                             is_readonly(self), flags);
}

static PyObject *
get_nbytes(SharedObject *self, void *Py_UNUSED(closure))
{
    if (!pn_shared_made(self)) {
        return NULL;
    }
    return PyLong_FromUnsignedLongLong(pn_buffer_length(self->domain, self->offset));
}

static PyObject *
get_readonly(SharedObject *self, void *Py_UNUSED(closure))
{
    return pn_shared_made(self) ? PyBool_FromLong(is_readonly(self)) : NULL;
}

static PyGetSetDef getset[] = {
    {"nbytes", (getter)get_nbytes, NULL, "how many bytes it has", NULL},
    {"readonly", (getter)get_readonly, NULL, "are its views read-only?", NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, buffer_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_getset, getset},
    {Py_bf_getbuffer, buffer_get},
    {Py_tp_doc, "Buffer(domain, nbytes)\n--\n\n"
                "Bytes in shared memory, whatever stands in them; every view keeps them alive."},
    {0, NULL},
};

PyType_Spec pn_buffer_spec = {
    .name = "procession._core.Buffer",
    .basicsize = sizeof(SharedObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
