/* The domain as Python sees it: making, attaching, and the process table in it. */
#include "objects.h"

#include "../buffer.h"
#include "../filelock.h"
#include "../find.h"
#include "../heap.h"
#include "../sweep.h"

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

/* ---- slots ------------------------------------------------------------------------ */

static PyObject *
domain_reserve_slot(DomainObject *self, PyObject *args)
{
    const char *name;
    unsigned int flags = 0;
    if (!PyArg_ParseTuple(args, "s|I", &name, &flags)) {
        return NULL;
    }
    uint32_t index, generation;
    pn_status status = pn_slot_reserve(self->domain, name, flags, &index, &generation);
    if (status != PN_OK) {
        return pn_raise(status, self->domain, "process", name);
    }
    return Py_BuildValue("II", index, generation);
}

/* (index, generation) of the arguments; -1 with an exception. */
static int
parse_slot(PyObject *args, const char *format, unsigned int *index, unsigned int *generation,
           unsigned int *extra)
{
    if (!PyArg_ParseTuple(args, format, index, generation, extra)) {
        return -1;
    }
    if (*index >= PN_SLOTS) {
        PyErr_Format(PyExc_ValueError, "slot %u: there are %d", *index, (int)PN_SLOTS);
        return -1;
    }
    return 0;
}

static PyObject *
domain_release_slot(DomainObject *self, PyObject *args)
{
    unsigned int index, generation;
    if (parse_slot(args, "II", &index, &generation, NULL) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS
    pn_sweep_slot(self->domain, index, generation);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *
domain_slots(DomainObject *self, PyObject *Py_UNUSED(none))
{
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < PN_SLOTS; i++) {
        pn_slot *slot = &self->domain->slots[i];
        uint32_t state = atomic_load(&slot->state);
        if (state == PN_SLOT_FREE) {
            continue;
        }
        PyObject *line = Py_BuildValue(
            "IIIIKIIIN", i, atomic_load(&slot->generation), state, atomic_load(&slot->pid),
            (unsigned long long)atomic_load(&slot->start_time), atomic_load(&slot->parent_slot),
            atomic_load(&slot->parent_generation), atomic_load(&slot->flags),
            PyUnicode_DecodeUTF8(slot->name, (Py_ssize_t)strnlen(slot->name, sizeof(slot->name)),
                                 "replace"));
        if (line == NULL || PyList_Append(list, line) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(line);
    }
    return list;
}

static const char *const WAIT_KINDS[PN_WAIT_KINDS] = {
    [PN_WAIT_NONE] = "nothing",     [PN_WAIT_LOCK] = "lock",
    [PN_WAIT_GET] = "get",          [PN_WAIT_PUT] = "put",
    [PN_WAIT_EVENT] = "event",      [PN_WAIT_CONDITION] = "condition",
    [PN_WAIT_BARRIER] = "barrier",  [PN_WAIT_SEMAPHORE] = "semaphore",
    [PN_WAIT_MANY] = "one of many", [PN_WAIT_FILE] = "file lock",
};

static PyObject *
describe_wait(pn_domain *domain, const pn_wait *wait)
{
    uint64_t owner = atomic_load(&wait->owner), object = atomic_load(&wait->object);
    uint32_t kind = atomic_load(&wait->kind);
    char path[4096 + 16];
    bool is_known = kind == PN_WAIT_FILE && pn_file_lock_path(domain, wait, path, sizeof(path));
    PyObject *name = is_known ? PyUnicode_DecodeFSDefault(path) : Py_NewRef(Py_None);
    return Py_BuildValue("IIsKLN", (unsigned int)(owner >> 32) - 1, (unsigned int)owner,
                         WAIT_KINDS[kind < PN_WAIT_KINDS ? kind : PN_WAIT_NONE],
                         (unsigned long long)(object != PN_WAIT_OUTSIDE ? object : 0),
                         (long long)atomic_load(&wait->since), name);
}

static PyObject *
domain_waits(DomainObject *self, PyObject *Py_UNUSED(none))
{
    PyObject *list = PyList_New(0);
    for (uint32_t i = 0; list != NULL && i < PN_WAITS; i++) {
        pn_wait wait;
        if (!pn_wait_read(self->domain, i, &wait)) {
            continue;
        }
        PyObject *line = describe_wait(self->domain, &wait);
        if (line == NULL || PyList_Append(list, line) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(line);
    }
    return list;
}

static PyObject *
domain_sweep(DomainObject *self, PyObject *Py_UNUSED(none))
{
    int freed;
    Py_BEGIN_ALLOW_THREADS
    freed = pn_sweep(self->domain);
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(freed);
}

/* ---- last words -------------------------------------------------------------------- */

static PyObject *
domain_set_report(DomainObject *self, PyObject *argument)
{
    Py_buffer bytes;
    pn_domain *domain = self->domain;
    if (domain->slot == PN_SLOTS) {
        PyErr_SetString(PyExc_RuntimeError, "this process has no slot in the domain");
        return NULL;
    }
    if (PyObject_GetBuffer(argument, &bytes, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    pn_status status = pn_slot_set_report(domain, bytes.buf, (size_t)bytes.len);
    PyBuffer_Release(&bytes);
    if (status != PN_OK) {
        return pn_raise(status, domain, "report", "");
    }
    Py_RETURN_NONE;
}

static PyObject *
domain_leave(DomainObject *self, PyObject *Py_UNUSED(none))
{
    pn_domain *domain = self->domain;
    pn_slot_mark(domain, domain->slot, domain->generation, PN_SLOT_LEFT);
    Py_RETURN_NONE;
}

static PyObject *
domain_judge(DomainObject *self, PyObject *argument)
{
    pn_domain *domain = self->domain;
    int is_clean = PyObject_IsTrue(argument);
    if (is_clean < 0) {
        return NULL;
    }
    if (domain->slot != PN_SLOTS) {
        pn_slot_judge(domain, domain->slot, domain->generation, is_clean);
    }
    Py_RETURN_NONE;
}

static PyObject *
domain_mark_orphan(DomainObject *self, PyObject *args)
{
    unsigned int index, generation;
    if (parse_slot(args, "II", &index, &generation, NULL) < 0) {
        return NULL;
    }
    pn_slot_mark(self->domain, index, generation, PN_SLOT_ORPHANED);
    Py_RETURN_NONE;
}

static PyObject *
domain_slot_flags(DomainObject *self, PyObject *args)
{
    unsigned int index, generation;
    if (parse_slot(args, "II", &index, &generation, NULL) < 0) {
        return NULL;
    }
    uint32_t flags;
    if (!pn_slot_flags(self->domain, index, generation, &flags)) {
        Py_RETURN_NONE;
    }
    return PyLong_FromUnsignedLong(flags);
}

/* ---- the guardian's line ------------------------------------------------------------- */

static PyObject *
domain_claim_guardian(DomainObject *self, PyObject *argument)
{
    unsigned long fd = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(pn_guardian_claim(self->domain, (uint32_t)fd));
}

static PyObject *
domain_guardian(DomainObject *self, PyObject *Py_UNUSED(none))
{
    pn_header *header = self->domain->header;
    return Py_BuildValue("IKI", atomic_load(&header->guardian_pid),
                         (unsigned long long)atomic_load(&header->guardian_start),
                         atomic_load(&header->guardian_fd));
}

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
    {"reserve_slot", (PyCFunction)domain_reserve_slot, METH_VARARGS, NULL},
    {"release_slot", (PyCFunction)domain_release_slot, METH_VARARGS, NULL},
    {"slots", (PyCFunction)domain_slots, METH_NOARGS, NULL},
    {"waits", (PyCFunction)domain_waits, METH_NOARGS,
     "waits($self)\n--\n\n"
     "Who sleeps on what: [(slot, tid, kind, offset of the object, since when in ns of "
     "time.monotonic_ns(), path)]; the path is that of a file lock, which is no object."},
    {"sweep", (PyCFunction)domain_sweep, METH_NOARGS, NULL},
    {"set_report", (PyCFunction)domain_set_report, METH_O, NULL},
    {"leave", (PyCFunction)domain_leave, METH_NOARGS,
     "leave($self)\n--\n\nThis process is about to end by itself."},
    {"judge", (PyCFunction)domain_judge, METH_O,
     "judge($self, clean, /)\n--\n\n"
     "It will end with exit code 0, so what it took and has not done is not redelivered; or not "
     "so."},
    {"mark_orphan", (PyCFunction)domain_mark_orphan, METH_VARARGS,
     "mark_orphan($self, index, generation, /)\n--\n\n"
     "That process is ended because its parent died."},
    {"slot_flags", (PyCFunction)domain_slot_flags, METH_VARARGS,
     "slot_flags($self, index, generation, /)\n--\n\n"
     "Flags of that process, swept or not; None if another one uses the line."},
    {"claim_guardian", (PyCFunction)domain_claim_guardian, METH_O,
     "claim_guardian($self, fd, /)\n--\n\n"
     "Become the guardian, whose doorbell is the pipe `fd`; False if another one is alive."},
    {"guardian", (PyCFunction)domain_guardian, METH_NOARGS, NULL},
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
