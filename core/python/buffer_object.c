/* A buffer of shared memory as an object with the buffer protocol. A view keeps the object, which keeps
 * the domain mapped: the bytes outlive the queue that they came in. */
#include "objects.h"

#include "../buffer.h"

#include <sys/mman.h>

typedef struct {
    SharedObject shared;
    bool is_listed; /* in the registry */
    char *own;      /* a private view of its bytes, NULL: they are seen as they are */
} BufferObject;

static bool
is_shared(const SharedObject *self)
{
    return atomic_load(&pn_buffer_at(self->domain, self->offset)->flags) & PN_BUFFER_SHARED;
}

/* ---- shared ones: one object for each, found by address ---------------------------- */

/* The pickler learns of shared arrays before there is one to be pickled. */
static int
teach(pn_state *state)
{
    if (state->array_reducer != NULL || state->teach == NULL) {
        return 0;
    }
    state->array_reducer = PyObject_CallNoArgs(state->teach);
    return state->array_reducer == NULL ? -1 : 0;
}

static int
list_shared(pn_state *state, BufferObject *self)
{
    const char *bytes = pn_buffer_bytes(self->shared.domain, self->shared.offset);
    uint64_t length = pn_buffer_length(self->shared.domain, self->shared.offset);
    /* An empty one is found as well. */
    if (teach(state) < 0 ||
        pn_registry_add(&state->registry, &self->shared, bytes, length ? length : 1) < 0) {
        return -1;
    }
    self->is_listed = true;
    return 0;
}

/* The object that this process has already, borrowed. */
static SharedObject *
find_listed(pn_state *state, pn_domain *domain, uint64_t offset)
{
    const char *bytes = pn_buffer_bytes(domain, offset);
    return pn_registry_find(&state->registry, bytes, bytes + 1);
}

SharedObject *
pn_buffer_attached(pn_state *state, SharedObject *self)
{
    if (!is_shared(self)) {
        return self;
    }
    SharedObject *listed = find_listed(state, self->domain, self->offset);
    if (listed != NULL) {
        Py_INCREF(listed);
        Py_DECREF(self);
        return listed;
    }
    if (list_shared(state, (BufferObject *)self) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    return self;
}

/* Copy on write: an item of a queue with leases may be delivered again, as it was put. The kernel
 * copies a page when it is written, so whoever only reads copies nothing. */
static int
view_privately(BufferObject *self)
{
    pn_domain *domain = self->shared.domain;
    pn_buffer_cell *cell = pn_buffer_at(domain, self->shared.offset);
    void *own = mmap(NULL, atomic_load(&cell->length), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_NORESERVE, domain->fd, (off_t)atomic_load(&cell->block));
    if (own == MAP_FAILED) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    self->own = own;
    return 0;
}

/* May somebody else be given what came from there, as it was put: from a queue with leases, or a dictionary? */
static bool
is_read_again(SharedObject *ring)
{
    if (atomic_load(&pn_shared_cell(ring)->type) == PN_OBJECT_DICT) {
        return true;
    }
    const pn_ring_cell *cell = pn_at(ring->domain, ring->offset);
    return cell->leases.kept;
}

SharedObject *
pn_buffer_object(pn_state *state, SharedObject *ring, uint64_t offset)
{
    pn_buffer_cell *cell = pn_buffer_at(ring->domain, offset);
    bool is_shared = atomic_load_explicit(&cell->flags, memory_order_relaxed) & PN_BUFFER_SHARED;
    if (is_shared) {
        SharedObject *listed = find_listed(state, ring->domain, offset);
        if (listed != NULL) {
            Py_INCREF(listed);
            return listed;
        }
    }
    SharedObject *self = (SharedObject *)state->buffer_type->tp_alloc(state->buffer_type, 0);
    if (self == NULL) {
        return NULL;
    }
    pn_object_retain(ring->domain, offset);
    pn_shared_set(self, ring->domain_object, offset, atomic_load(&cell->object.generation));
    if (is_shared) {
        return pn_buffer_attached(state, self);
    }
    if (is_read_again(ring) && view_privately((BufferObject *)self) < 0) {
        Py_CLEAR(self);
    }
    return self;
}

static void
buffer_dealloc(BufferObject *self)
{
    if (self->is_listed) {
        pn_state *state = pn_state_of((PyObject *)self);
        pn_registry_remove(&state->registry, &self->shared,
                           pn_buffer_bytes(self->shared.domain, self->shared.offset));
    }
    if (self->own != NULL) {
        munmap(self->own, pn_buffer_length(self->shared.domain, self->shared.offset));
    }
    pn_shared_dealloc(&self->shared);
}

/* ---- making ------------------------------------------------------------------------- */

static int
make(SharedObject *self, DomainObject *domain, const char *name, Py_ssize_t length, int shared)
{
    uint64_t offset, flags = shared ? PN_BUFFER_SHARED : 0;
    uint32_t generation;
    pn_status status;
    Py_BEGIN_ALLOW_THREADS /* new pages are cleared: 1 GiB takes a third of a second */
    status = pn_buffer_new(domain->domain, (uint64_t)length, flags, &offset, &generation);
    Py_END_ALLOW_THREADS
    if (status != PN_OK) {
        pn_raise(status, domain->domain, shared ? "shared_array" : "Buffer", name);
        return -1;
    }
    pn_shared_set(self, domain, offset, generation);
    pn_object_set_name(domain->domain, offset, name);
    return shared ? list_shared(pn_state_of((PyObject *)self), (BufferObject *)self) : 0;
}

static int
buffer_init(SharedObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "nbytes", "name", "shared", NULL};
    PyObject *domain_object;
    Py_ssize_t length;
    const char *name = "";
    int shared = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "On|sp", names, &domain_object, &length, &name,
                                     &shared)) {
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
    return make(self, domain, name, length, shared);
}

/* ---- looking --------------------------------------------------------------------------- */

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
    char *own = ((BufferObject *)self)->own;
    char *bytes = own != NULL ? own : pn_buffer_bytes(self->domain, self->offset);
    return PyBuffer_FillInfo(view, (PyObject *)self, bytes,
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
    {Py_tp_dealloc, buffer_dealloc},
    {Py_tp_init, buffer_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_getset, getset},
    {Py_bf_getbuffer, buffer_get},
    {Py_tp_doc, "Buffer(domain, nbytes, name=\"\", shared=False)\n--\n\n"
                "Bytes in shared memory, whatever stands in them; every view keeps them alive."},
    {0, NULL},
};

PyType_Spec pn_buffer_spec = {
    .name = "procession._core.Buffer",
    .basicsize = sizeof(BufferObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
