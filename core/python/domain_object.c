/* The domain as Python sees it: making, attaching, what is in it. */
#include "domain_parts.h"

#include "../buffer.h"
#include "../find.h"
#include "../heap.h"

#include <structmember.h>
#include <sys/random.h>
#include <unistd.h>

static PyObject *
wrap(PyTypeObject *type, pn_domain *domain)
{
    DomainObject *self = (DomainObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        pn_domain_close(domain);
        return NULL;
    }
    self->domain = domain;
    return (PyObject *)self;
}

static void
domain_dealloc(DomainObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->weak != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    if (self->domain != NULL) {
        pn_domain_close(self->domain);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(create_doc, "create($type, size=0, max_bytes=0)\n--\n\n"
                         "Make a domain of `size` bytes of address space (0: as much as the "
                         "limits let it), of which `max_bytes` may be used (0: half of memory).");

static PyObject *
domain_create(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"size", "max_bytes", NULL};
    unsigned long long size = 0, max_bytes = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|KK", names, &size, &max_bytes)) {
        return NULL;
    }
    uint8_t uuid[16];
    if (getrandom(uuid, sizeof(uuid), 0) != (ssize_t)sizeof(uuid)) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    pn_domain *domain;
    pn_status status = pn_domain_create(&domain, size, max_bytes, uuid);
    return status == PN_OK ? wrap(type, domain) : pn_raise(status, NULL, "domain", "");
}

PyDoc_STRVAR(attach_doc, "attach($type, fd, slot=None, generation=0, visitor=False)\n--\n\n"
                         "Map the domain behind a descriptor, which becomes the domain's own, and "
                         "claim the slot that the parent reserved (None: reserve one). A visitor "
                         "belongs to another program, and gives its slot up with the Domain.");

/* It was mapped in vain: the descriptor stays the caller's, as after every failure. */
static PyObject *
give_up(pn_domain *domain)
{
    domain->fd = -1;
    pn_domain_close(domain);
    return NULL;
}

static PyObject *
domain_attach(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "slot", "generation", "visitor", NULL};
    int fd, visitor = 0;
    PyObject *slot = Py_None;
    unsigned int generation = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i|OIp", names, &fd, &slot, &generation,
                                     &visitor)) {
        return NULL;
    }
    pn_domain *domain;
    pn_status status = pn_domain_attach(&domain, fd);
    if (status != PN_OK) {
        return pn_raise(status, NULL, "domain", "");
    }
    status = PN_STALE;
    domain->visitor = visitor;
    if (slot != Py_None) {
        uint32_t index = (uint32_t)PyLong_AsUnsignedLong(slot);
        if (PyErr_Occurred()) {
            return give_up(domain);
        }
        status = pn_slot_claim(domain, index, generation);
    }
    if (status == PN_STALE) {
        status = pn_slot_take(domain, visitor ? PN_SLOT_VISITOR : PN_SLOT_FOREIGN);
    }
    if (status != PN_OK) {
        pn_raise(status, domain, "domain", "");
        return give_up(domain);
    }
    return wrap(type, domain);
}

PyDoc_STRVAR(watch_doc, "watch($type, fd, /)\n--\n\nMap it without taking a slot (the guardian).");

static PyObject *
domain_watch(PyTypeObject *type, PyObject *argument)
{
    int fd = (int)PyLong_AsLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    pn_domain *domain;
    pn_status status = pn_domain_attach(&domain, fd);
    return status == PN_OK ? wrap(type, domain) : pn_raise(status, NULL, "domain", "");
}

PyDoc_STRVAR(identify_doc,
             "identify(fd, /)\n--\n\n"
             "(uuid, layout version, inode of the pid namespace) of the domain behind "
             "a descriptor, which stays the caller's; None: it is no domain.");

static PyObject *
domain_identify(PyObject *Py_UNUSED(type), PyObject *argument)
{
    int fd = (int)PyLong_AsLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    pn_identity identity;
    pn_status status = pn_domain_identify(fd, &identity);
    if (status == PN_LAYOUT) {
        Py_RETURN_NONE;
    }
    if (status != PN_OK) {
        return pn_raise(status, NULL, "domain", "");
    }
    return Py_BuildValue("y#IK", identity.uuid, (Py_ssize_t)sizeof(identity.uuid), identity.version,
                         (unsigned long long)identity.pid_namespace);
}

/* ---- objects by name --------------------------------------------------------------- */

/* (type, offset, generation, name); NULL without an exception for what its maker did not mean to be found. It may be
 * freed by now, and another one made in its cell: then the handle is refused by whoever uses it. */
static PyObject *
describe(pn_state *state, pn_domain *domain, const pn_found *found)
{
    PyTypeObject *type = found->type < PN_OBJECT_TYPES ? state->kinds[found->type] : NULL;
    if (found->type == PN_OBJECT_RING &&
        ((const pn_ring_cell *)pn_at(domain, found->offset))->leases.kept) {
        type = state->leased_type;
    } else if (found->type == PN_OBJECT_BUFFER &&
               atomic_load(&pn_buffer_at(domain, found->offset)->form) == 0) {
        type = NULL;
    } else if (found->type == PN_OBJECT_CONDITION &&
               atomic_load(&((const pn_object *)pn_at(domain, found->offset))->mate) == 0) {
        type = NULL; /* not made to its end, or its lock is of another program */
    }
    if (type == NULL) {
        return NULL;
    }
    return Py_BuildValue(
        "OKIN", (PyObject *)type, (unsigned long long)found->offset, found->generation,
        PyUnicode_DecodeUTF8(found->name, (Py_ssize_t)strlen(found->name), "replace"));
}

static PyObject *
domain_named(DomainObject *self, PyObject *Py_UNUSED(none))
{
    pn_state *state = pn_state_of((PyObject *)self);
    pn_found *found;
    size_t count;
    pn_status status;
    if (state == NULL) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    status = pn_find_named(self->domain, &found, &count);
    Py_END_ALLOW_THREADS
    if (status != PN_OK) {
        return status == PN_NO_MEMORY ? PyErr_NoMemory()
                                      : pn_raise(status, self->domain, "domain", "");
    }
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *line = describe(state, self->domain, &found[i]);
        if ((line == NULL && PyErr_Occurred()) || (line != NULL && PyList_Append(list, line) < 0)) {
            Py_CLEAR(list);
        }
        Py_XDECREF(line);
    }
    free(found);
    return list;
}

/* ---- memory ---------------------------------------------------------------------------- */

static PyObject *
domain_cool(DomainObject *self, PyObject *argument)
{
    double idle = PyFloat_AsDouble(argument);
    if (idle == -1.0 && PyErr_Occurred()) {
        return NULL;
    }
    uint64_t bytes;
    Py_BEGIN_ALLOW_THREADS
    bytes = pn_heap_cool(self->domain, pn_now() - (int64_t)(idle * 1e9));
    Py_END_ALLOW_THREADS
    return PyLong_FromUnsignedLongLong(bytes);
}

static PyObject *
domain_used(DomainObject *self, PyObject *Py_UNUSED(none))
{
    pn_domain *domain = self->domain;
    return Py_BuildValue("{sKsKsKsKsK}", "committed",
                         (unsigned long long)atomic_load(&domain->header->committed), "warm",
                         (unsigned long long)atomic_load(&domain->header->warm), "segments",
                         (unsigned long long)pn_heap_used(domain, PN_BLOCK_SEGMENT), "payloads",
                         (unsigned long long)pn_heap_used(domain, PN_BLOCK_PAYLOAD), "reports",
                         (unsigned long long)pn_heap_used(domain, PN_BLOCK_REPORT));
}

static PyObject *
domain_objects(DomainObject *self, PyObject *Py_UNUSED(none))
{
    pn_domain *domain = self->domain;
    unsigned long count = 0;
    pn_status status = pn_domain_enter(domain);
    if (status != PN_OK) {
        return pn_raise(status, domain, "Domain", "");
    }
    for (pn_block_kind kind = PN_BLOCK_SLAB_SMALL; kind <= PN_BLOCK_SLAB_LARGE; kind++) {
        for (uint64_t at = pn_slab_next_cell(domain, kind, 0); at != 0;
             at = pn_slab_next_cell(domain, kind, at)) {
            count++;
        }
    }
    pn_domain_leave(domain);
    return PyLong_FromUnsignedLong(count);
}

/* ---- attributes ------------------------------------------------------------------------ */

static PyObject *
get_fd(DomainObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->domain->fd);
}

static PyObject *
get_uuid(DomainObject *self, void *Py_UNUSED(closure))
{
    return PyBytes_FromStringAndSize((const char *)self->domain->header->uuid, 16);
}

static PyObject *
get_size(DomainObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(self->domain->size);
}

static PyObject *
get_max_bytes(DomainObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(atomic_load(&self->domain->header->max_bytes));
}

static PyObject *
get_slot(DomainObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(self->domain->slot);
}

static PyObject *
get_generation(DomainObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(self->domain->generation);
}

static PyObject *
get_visitor(DomainObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(self->domain->visitor);
}

static PyMemberDef members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(DomainObject, weak), READONLY, NULL},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"visitor", (getter)get_visitor, NULL, "does it belong to another program?", NULL},
    {"fd", (getter)get_fd, NULL, "its memfd", NULL},
    {"uuid", (getter)get_uuid, NULL, "16 bytes that name it", NULL},
    {"size", (getter)get_size, NULL, "bytes of address space", NULL},
    {"max_bytes", (getter)get_max_bytes, NULL, "bytes that may be used", NULL},
    {"slot", (getter)get_slot, NULL, "this process's line of the table", NULL},
    {"generation", (getter)get_generation, NULL, "generation of that line", NULL},
    {NULL},
};

static PyMethodDef methods[] = {
    {"create", (PyCFunction)(void (*)(void))domain_create,
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, create_doc},
    {"attach", (PyCFunction)(void (*)(void))domain_attach,
     METH_VARARGS | METH_KEYWORDS | METH_CLASS, attach_doc},
    {"watch", (PyCFunction)domain_watch, METH_O | METH_CLASS, watch_doc},
    {"identify", (PyCFunction)domain_identify, METH_O | METH_STATIC, identify_doc},
    {"named", (PyCFunction)domain_named, METH_NOARGS,
     "named($self)\n--\n\nWhat can be found by a name: [(type, offset, generation, name)]."},
    {"reserve_slot", (PyCFunction)pn_table_reserve_slot, METH_VARARGS, NULL},
    {"release_slot", (PyCFunction)pn_table_release_slot, METH_VARARGS, NULL},
    {"slots", (PyCFunction)pn_table_slots, METH_NOARGS, NULL},
    {"waits", (PyCFunction)pn_table_waits, METH_NOARGS,
     "waits($self)\n--\n\n"
     "Who sleeps on what: [(slot, tid, kind, offset of the object, since when in ns of "
     "time.monotonic_ns(), path)]; the path is that of a file lock, which is no object."},
    {"sweep", (PyCFunction)pn_table_sweep, METH_NOARGS, NULL},
    {"set_report", (PyCFunction)pn_table_set_report, METH_O, NULL},
    {"leave", (PyCFunction)pn_table_leave, METH_NOARGS,
     "leave($self)\n--\n\nThis process is about to end by itself."},
    {"judge", (PyCFunction)pn_table_judge, METH_O,
     "judge($self, clean, /)\n--\n\n"
     "It will end with exit code 0, so what it took and has not done is not redelivered; or not "
     "so."},
    {"mark_orphan", (PyCFunction)pn_table_mark_orphan, METH_VARARGS,
     "mark_orphan($self, index, generation, /)\n--\n\n"
     "That process is ended because its parent died."},
    {"slot_flags", (PyCFunction)pn_table_slot_flags, METH_VARARGS,
     "slot_flags($self, index, generation, /)\n--\n\n"
     "Flags of that process, swept or not; None if another one uses the line."},
    {"claim_guardian", (PyCFunction)pn_table_claim_guardian, METH_O,
     "claim_guardian($self, fd, /)\n--\n\n"
     "Become the guardian, whose doorbell is the pipe `fd`; False if another one is alive."},
    {"guardian", (PyCFunction)pn_table_guardian, METH_NOARGS, NULL},
    {"cool", (PyCFunction)domain_cool, METH_O,
     "cool($self, idle, /)\n--\n\n"
     "Give back the memory of what has been free for `idle` seconds; how many bytes."},
    {"used", (PyCFunction)domain_used, METH_NOARGS, NULL},
    {"objects", (PyCFunction)domain_objects, METH_NOARGS,
     "objects($self)\n--\n\nHow many shared objects there are."},
    {NULL},
};

static PyType_Slot type_slots[] = {
    {Py_tp_dealloc, domain_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_getset, getset},
    {Py_tp_doc, "The one shared memory of a program."},
    {0, NULL},
};

PyType_Spec pn_domain_spec = {
    .name = "procession._core.Domain",
    .basicsize = sizeof(DomainObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = type_slots,
};
