/* Semaphore, bounded or not: permits that come back when a process that has some dies. */
#include "objects.h"

#include "../bell.h"
#include "../semaphore.h"
#include "../sweep.h"
#include "../waits.h"

typedef struct {
    SharedObject shared;
    pn_word pauses_in_vain; /* of this process's waits */
} SemaphoreObject;

/* False with an exception if it was not made. */
static bool
open_it(SemaphoreObject *self, pn_semaphore *semaphore)
{
    if (!pn_shared_made(&self->shared)) {
        return false;
    }
    pn_semaphore_open(semaphore, self->shared.domain, self->shared.offset);
    return true;
}

static const char *
kind_of(const pn_semaphore *semaphore)
{
    return semaphore->cell->flags & PN_SEMAPHORE_BOUNDED ? "BoundedSemaphore" : "Semaphore";
}

static PyObject *
raise_for(const pn_semaphore *semaphore, pn_status status)
{
    return pn_raise(status, semaphore->domain, kind_of(semaphore), semaphore->cell->object.name);
}

static int
semaphore_init(SharedObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "name", "value", "bounded", "keep", NULL};
    PyObject *domain_object;
    const char *name = "";
    long long value = 1;
    int bounded = 0, keep = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|sLpp", names, &domain_object, &name, &value,
                                     &bounded, &keep)) {
        return -1;
    }
    DomainObject *domain = pn_domain_for(self, domain_object);
    if (domain == NULL) {
        return -1;
    }
    if (value < 0 || value > PN_PERMITS_MOST) {
        PyErr_Format(PyExc_ValueError, "value must be between 0 and %d, not %lld",
                     (int)PN_PERMITS_MOST, value);
        return -1;
    }
    uint32_t flags = (bounded ? PN_SEMAPHORE_BOUNDED : 0) | (keep ? PN_SEMAPHORE_KEEP : 0);
    uint64_t offset;
    uint32_t generation;
    pn_status status =
        pn_semaphore_new(domain->domain, name, (uint32_t)value, flags, &offset, &generation);
    return pn_shared_take(self, domain, status, offset, generation, "semaphore", name);
}

/* ---- acquiring -------------------------------------------------------------- */

/* It cannot be had at once, or somebody is just changing it, who may have been stopped there. With the
 * GIL let go; looks for signals after every slice. */
static pn_status
wait_for(SemaphoreObject *self, pn_semaphore *semaphore, bool block, int64_t deadline)
{
    pn_status status;
    pn_before_sleep();
    for (;;) {
        Py_BEGIN_ALLOW_THREADS
        status = block ? pn_semaphore_wait(semaphore, deadline, &self->pauses_in_vain)
                       : pn_semaphore_take(semaphore, deadline);
        Py_END_ALLOW_THREADS
        if (status != PN_INTERRUPTED || PyErr_CheckSignals() != 0) {
            return status;
        }
    }
}

#define MOMENT_NS (20 * 1000000LL) /* how long acquire(False) waits for somebody who was stopped */

static pn_status
try_now(SemaphoreObject *self, pn_semaphore *semaphore)
{
    pn_status status = pn_semaphore_try(semaphore);
    return status == PN_BUSY ? wait_for(self, semaphore, false, pn_now() + MOMENT_NS) : status;
}

static PyObject *
semaphore_acquire(SemaphoreObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call = PN_CALL;
    if ((count || names) && pn_parse_acquire(args, count, names, &call) < 0) {
        return NULL;
    }
    pn_semaphore semaphore;
    if (!open_it(self, &semaphore)) {
        return NULL;
    }
    pn_status status = call.block ? pn_semaphore_try(&semaphore) : try_now(self, &semaphore);
    if (call.block && (status == PN_EMPTY || status == PN_BUSY)) {
        status = wait_for(self, &semaphore, true, call.deadline);
    } else if (status == PN_EMPTY) {
        pn_sweep_sometimes(
            semaphore.domain); /* who only asks again and again finds those of the dead, too */
        status = try_now(self, &semaphore);
    }
    pn_bell_settle(semaphore.domain, semaphore.offset);
    if (status == PN_OK) {
        Py_RETURN_TRUE;
    }
    if (status == PN_EMPTY || status == PN_TIMEOUT) {
        Py_RETURN_FALSE;
    }
    return status == PN_INTERRUPTED ? NULL : raise_for(&semaphore, status);
}

static PyObject *
semaphore_enter(SemaphoreObject *self, PyObject *Py_UNUSED(none))
{
    return semaphore_acquire(self, NULL, 0, NULL);
}

/* ---- releasing --------------------------------------------------------------- */

static PyObject *
semaphore_release(SemaphoreObject *self, PyObject *Py_UNUSED(none))
{
    pn_semaphore semaphore;
    if (!open_it(self, &semaphore)) {
        return NULL;
    }
    pn_status status = pn_semaphore_release(&semaphore, false);
    if (status == PN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        status = pn_semaphore_release(&semaphore, true);
        Py_END_ALLOW_THREADS
    }
    if (status == PN_OK) {
        Py_RETURN_NONE;
    }
    if (status != PN_NOTHING) {
        return raise_for(&semaphore, status);
    }
    PyErr_Format(
        PyExc_ValueError, "semaphore released too many times: all %d permits of %s '%s' are free",
        (int)atomic_load(&semaphore.cell->total), kind_of(&semaphore), semaphore.cell->object.name);
    return NULL;
}

static PyObject *
semaphore_exit(SemaphoreObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count))
{
    return semaphore_release(self, NULL);
}

/* ---- looking ------------------------------------------------------------------ */

static PyObject *
semaphore_get_value(SemaphoreObject *self, PyObject *Py_UNUSED(none))
{
    pn_semaphore semaphore;
    pn_semaphore_counts counts;
    if (!open_it(self, &semaphore)) {
        return NULL;
    }
    pn_sweep_sometimes(semaphore.domain);
    if (pn_semaphore_look(&semaphore, &counts, NULL, 0) != PN_OK) {
        /* Somebody was stopped at it; what it was before. */
        return PyLong_FromUnsignedLong(atomic_load(&semaphore.cell->free));
    }
    return PyLong_FromUnsignedLong(counts.free);
}

static PyObject *
holder_tuple(pn_domain *domain, pn_semaphore_holder holder)
{
    pn_slot *slot = &domain->slots[holder.slot];
    return Py_BuildValue("(IsI)", atomic_load(&slot->pid), slot->name, holder.permits);
}

static PyObject *
semaphore_look(SemaphoreObject *self, PyObject *Py_UNUSED(none))
{
    pn_semaphore semaphore;
    pn_semaphore_counts counts;
    pn_semaphore_holder holders[PN_SLOTS];
    if (!open_it(self, &semaphore)) {
        return NULL;
    }
    pn_sweep_sometimes(semaphore.domain);
    if (pn_semaphore_look(&semaphore, &counts, holders, PN_SLOTS) != PN_OK) {
        counts = (pn_semaphore_counts){.free = atomic_load(&semaphore.cell->free),
                                       .total = (uint32_t)atomic_load(&semaphore.cell->total),
                                       .flags = semaphore.cell->flags};
    }
    PyObject *list = PyTuple_New(counts.holders);
    for (uint32_t i = 0; list != NULL && i < counts.holders; i++) {
        PyObject *one = holder_tuple(semaphore.domain, holders[i]);
        if (one == NULL) {
            Py_CLEAR(list);
        } else {
            PyTuple_SET_ITEM(list, i, one);
        }
    }
    return list == NULL ? NULL
                        : Py_BuildValue("IIIIIIN", counts.free, counts.total, counts.kept,
                                        pn_wait_count(semaphore.domain, semaphore.offset),
                                        counts.recovered, counts.flags, list);
}

PyDoc_STRVAR(acquire_doc,
             "acquire($self, block=True, timeout=None)\n--\n\n"
             "Take a permit; True if taken, False if there was none within `timeout` seconds.\n\n"
             "Ctrl-C reaches a waiter at once.");
PyDoc_STRVAR(release_doc,
             "release($self)\n--\n\n"
             "Give a permit back; anybody may. ValueError if a bounded one has them all.");
PyDoc_STRVAR(value_doc, "get_value($self)\n--\n\nHow many permits are free just now.");
PyDoc_STRVAR(look_doc, "_look($self)\n--\n\n(free, total, kept, waiters, recoveries, flags, "
                       "((pid, name, permits) of each holder, ...))");

static PyMethodDef methods[] = {
    {"acquire", (PyCFunction)(void (*)(void))semaphore_acquire, METH_FASTCALL | METH_KEYWORDS,
     acquire_doc},
    {"release", (PyCFunction)semaphore_release, METH_NOARGS, release_doc},
    {"__enter__", (PyCFunction)semaphore_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))semaphore_exit, METH_FASTCALL, NULL},
    {"get_value", (PyCFunction)semaphore_get_value, METH_NOARGS, value_doc},
    {"_look", (PyCFunction)semaphore_look, METH_NOARGS, look_doc},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, semaphore_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec pn_semaphore_spec = {.name = "procession._core.Semaphore",
                                 .basicsize = sizeof(SemaphoreObject),
                                 .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
                                 .slots = slots};
