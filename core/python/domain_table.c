/* The process table of a domain as Python sees it: who is there, who waits, how one ends. */
#include "domain_parts.h"

#include "../filelock.h"
#include "../sweep.h"

/* ---- slots ------------------------------------------------------------------------ */

PyObject *
pn_table_reserve_slot(DomainObject *self, PyObject *args)
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

PyObject *
pn_table_release_slot(DomainObject *self, PyObject *args)
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

PyObject *
pn_table_slots(DomainObject *self, PyObject *Py_UNUSED(none))
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

PyObject *
pn_table_waits(DomainObject *self, PyObject *Py_UNUSED(none))
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

PyObject *
pn_table_sweep(DomainObject *self, PyObject *Py_UNUSED(none))
{
    int freed;
    Py_BEGIN_ALLOW_THREADS
    freed = pn_sweep(self->domain);
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(freed);
}

/* ---- last words -------------------------------------------------------------------- */

PyObject *
pn_table_set_report(DomainObject *self, PyObject *argument)
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

PyObject *
pn_table_leave(DomainObject *self, PyObject *Py_UNUSED(none))
{
    pn_domain *domain = self->domain;
    pn_slot_mark(domain, domain->slot, domain->generation, PN_SLOT_LEFT);
    Py_RETURN_NONE;
}

PyObject *
pn_table_judge(DomainObject *self, PyObject *argument)
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

PyObject *
pn_table_mark_orphan(DomainObject *self, PyObject *args)
{
    unsigned int index, generation;
    if (parse_slot(args, "II", &index, &generation, NULL) < 0) {
        return NULL;
    }
    pn_slot_mark(self->domain, index, generation, PN_SLOT_ORPHANED);
    Py_RETURN_NONE;
}

PyObject *
pn_table_slot_flags(DomainObject *self, PyObject *args)
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

PyObject *
pn_table_claim_guardian(DomainObject *self, PyObject *argument)
{
    unsigned long fd = PyLong_AsUnsignedLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(pn_guardian_claim(self->domain, (uint32_t)fd));
}

PyObject *
pn_table_guardian(DomainObject *self, PyObject *Py_UNUSED(none))
{
    pn_header *header = self->domain->header;
    return Py_BuildValue("IKI", atomic_load(&header->guardian_pid),
                         (unsigned long long)atomic_load(&header->guardian_start),
                         atomic_load(&header->guardian_fd));
}
