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

/* The pickler learns of shared arrays before there is one to be pickled: as soon as this process has a shared
 * Buffer and numpy. A program of ctypes values never needs numpy, and does not import it. */
int
pn_teach_arrays(pn_state *state)
{
    if (state->array_reducer != NULL || state->teach == NULL || state->registry.used == 0) {
        return 0;
    }
    PyObject *numpy = PyImport_GetModule(state->numpy_name);
    if (numpy == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    Py_DECREF(numpy);
    state->array_reducer = PyObject_CallNoArgs(state->teach);
    return state->array_reducer == NULL ? -1 : 0;
}

PyObject *
pn_py_teach_arrays(PyObject *module, PyObject *Py_UNUSED(none))
{
    if (pn_teach_arrays(PyModule_GetState(module)) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static int
list_shared(pn_state *state, BufferObject *self)
{
    const char *bytes = pn_buffer_bytes(self->shared.domain, self->shared.offset);
    uint64_t length = pn_buffer_length(self->shared.domain, self->shared.offset);
    /* An empty one is found as well. */
    if (pn_registry_add(&state->registry, &self->shared, bytes, length ? length : 1) < 0) {
        return -1;
    }
    self->is_listed = true;
    return pn_teach_arrays(state);
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
    pn_ring_cell *cell = pn_at(ring->domain, ring->offset);
    return atomic_load(&cell->object.type) == PN_OBJECT_RING && cell->leases.kept;
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

/* What the caller asks for; `what`: the type that a user knows it by. */
typedef struct {
    const char *name, *what, *form;
    Py_ssize_t length, form_length;
    int shared;
} wish;

static int
make(SharedObject *self, DomainObject *domain, const wish *wish)
{
    const char *name = wish->name;
    uint64_t offset, flags = wish->shared ? PN_BUFFER_SHARED : 0;
    uint64_t length = (uint64_t)wish->length + (uint64_t)wish->form_length;
    uint32_t generation;
    pn_status status;
    Py_BEGIN_ALLOW_THREADS /* new pages are cleared: 1 GiB takes a third of a second */
    status = pn_buffer_new(domain->domain, length, flags, &offset, &generation);
    Py_END_ALLOW_THREADS
    if (pn_shared_take(self, domain, status, offset, generation, wish->what, name) < 0) {
        return -1;
    }
    if (wish->form_length > 0) {
        pn_buffer_describe(domain->domain, offset, wish->form, (uint64_t)wish->form_length);
    }
    pn_object_set_name(domain->domain, offset, name); /* after the form: now it is found */
    return wish->shared ? list_shared(pn_state_of((PyObject *)self), (BufferObject *)self) : 0;
}

static int
buffer_init(SharedObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "nbytes", "name", "shared", "what", "form", NULL};
    PyObject *domain_object;
    wish wish = {.name = "", .what = "Buffer", .form = ""};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "On|spss#", names, &domain_object, &wish.length,
                                     &wish.name, &wish.shared, &wish.what, &wish.form,
                                     &wish.form_length)) {
        return -1;
    }
    DomainObject *domain = pn_domain_for(self, domain_object);
    if (domain == NULL) {
        return -1;
    }
    if (wish.length < 0) {
        PyErr_Format(PyExc_ValueError, "nbytes must be 0 or more, not %zd", wish.length);
        return -1;
    }
    return make(self, domain, &wish);
}

/* ---- names ----------------------------------------------------------------------------- */

PyDoc_STRVAR(publish_doc, "_publish($self)\n--\n\n_find() finds it by its name, which keeps it. "
                          "FileExistsError if it finds another one.");

static PyObject *
buffer_publish(SharedObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(self)) {
        return NULL;
    }
    pn_status status = pn_buffer_publish(self->domain, self->offset);
    const char *name = pn_shared_cell(self)->name;
    if (status == PN_EXISTS) {
        PyErr_Format(PyExc_FileExistsError, "there is one named '%s' in this program already",
                     name);
        return NULL;
    }
    if (status != PN_OK) {
        return pn_raise(status, self->domain, "Buffer", name);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(find_doc,
             "_find($type, domain, name, /)\n--\n\nHold the one that was published under that "
             "name; None: there is none.");

static PyObject *
buffer_find(PyTypeObject *type, PyObject *args)
{
    PyObject *domain_object;
    const char *name;
    if (!PyArg_ParseTuple(args, "Os:_find", &domain_object, &name)) {
        return NULL;
    }
    SharedObject *self = (SharedObject *)type->tp_alloc(type, 0);
    DomainObject *domain = self ? pn_domain_check((PyObject *)self, domain_object) : NULL;
    if (domain == NULL) {
        Py_XDECREF(self);
        return NULL;
    }
    uint64_t offset;
    uint32_t generation;
    pn_status status = pn_buffer_find(domain->domain, name, &offset, &generation);
    if (status != PN_OK) {
        Py_DECREF(self);
        if (status == PN_NOTHING) {
            Py_RETURN_NONE;
        }
        return pn_raise(status, domain->domain, "Buffer", name);
    }
    pn_shared_set(self, domain, offset, generation);
    return (PyObject *)pn_buffer_attached(pn_state_of((PyObject *)self), self);
}

PyDoc_STRVAR(
    unlink_doc,
    "_unlink($type, domain, offset, generation, /)\n--\n\nTake its name away; False: it has "
    "none any more. It is freed when nobody holds it.");

static PyObject *
buffer_unlink(PyTypeObject *type, PyObject *args)
{
    PyObject *domain_object;
    unsigned long long offset;
    unsigned int generation;
    PyObject *module = PyType_GetModuleByDef(type, &pn_module);
    pn_state *state = module ? PyModule_GetState(module) : NULL;
    if (state == NULL || !PyArg_ParseTuple(args, "O!KI:_unlink", state->domain_type, &domain_object,
                                           &offset, &generation)) {
        return NULL;
    }
    pn_domain *domain = ((DomainObject *)domain_object)->domain;
    pn_status status = pn_buffer_unlink(domain, offset, generation);
    if (status != PN_OK && status != PN_NOTHING) {
        return pn_raise(status, domain, "Buffer", "?");
    }
    return PyBool_FromLong(status == PN_OK);
}

PyDoc_STRVAR(clear_doc, "_clear($self)\n--\n\nAll its bytes become 0.");

static PyObject *
buffer_clear(SharedObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(self)) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    memset(pn_buffer_bytes(self->domain, self->offset), 0,
           pn_buffer_length(self->domain, self->offset));
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

PyDoc_STRVAR(seal_doc, "_seal($self)\n--\n\nNobody is given a writable view any more.");

static PyObject *
buffer_seal(SharedObject *self, PyObject *Py_UNUSED(none))
{
    if (!pn_shared_made(self)) {
        return NULL;
    }
    atomic_fetch_or(&pn_buffer_at(self->domain, self->offset)->flags, PN_BUFFER_READONLY);
    Py_RETURN_NONE;
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
get_form(SharedObject *self, void *Py_UNUSED(closure))
{
    if (!pn_shared_made(self)) {
        return NULL;
    }
    const char *bytes = pn_buffer_bytes(self->domain, self->offset);
    uint64_t text = atomic_load(&pn_buffer_at(self->domain, self->offset)->form);
    return PyUnicode_DecodeUTF8(bytes + pn_buffer_length(self->domain, self->offset),
                                (Py_ssize_t)text, "replace");
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

static PyMethodDef methods[] = {
    {"_find", (PyCFunction)buffer_find, METH_VARARGS | METH_CLASS, find_doc},
    {"_unlink", (PyCFunction)buffer_unlink, METH_VARARGS | METH_CLASS, unlink_doc},
    {"_publish", (PyCFunction)buffer_publish, METH_NOARGS, publish_doc},
    {"_clear", (PyCFunction)buffer_clear, METH_NOARGS, clear_doc},
    {"_seal", (PyCFunction)buffer_seal, METH_NOARGS, seal_doc},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"nbytes", (getter)get_nbytes, NULL, "how many bytes it has", NULL},
    {"_form", (getter)get_form, NULL, "what stands in it, in its maker's words", NULL},
    {"readonly", (getter)get_readonly, NULL, "are its views read-only?", NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_dealloc, buffer_dealloc},
    {Py_tp_init, buffer_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_bf_getbuffer, buffer_get},
    {Py_tp_doc,
     "Buffer(domain, nbytes, name=\"\", shared=False, what=\"Buffer\", form=\"\")\n--\n\n"
     "Bytes in shared memory, whatever stands in them; every view keeps them alive."},
    {0, NULL},
};

PyType_Spec pn_buffer_spec = {
    .name = "procession._core.Buffer",
    .basicsize = sizeof(BufferObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
