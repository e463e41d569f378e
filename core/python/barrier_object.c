/* The barrier, as Python sees it. */
#include "objects.h"

#include "../barrier.h"

typedef struct {
    SharedObject shared;
    pn_barrier barrier;
} BarrierObject;

/* NULL with an exception if it was not made. */
static pn_barrier *
barrier_of(BarrierObject *self)
{
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    if (self->barrier.cell == NULL) {
        pn_barrier_open(&self->barrier, self->shared.domain, self->shared.offset);
    }
    return &self->barrier;
}

static int
init(BarrierObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "parties", "name", NULL};
    PyObject *domain;
    unsigned int parties;
    const char *name = "";
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OI|s", names, &domain, &parties, &name)) {
        return -1;
    }
    PyObject *rest = Py_BuildValue("(Os)", domain, name);
    if (rest == NULL) {
        return -1;
    }
    int result = pn_shared_init(&self->shared, rest, NULL, PN_OBJECT_BARRIER, "Barrier");
    Py_DECREF(rest);
    if (result == 0) {
        atomic_store(&barrier_of(self)->cell->parties, parties);
    }
    return result;
}

static PyObject *
raise_for(BarrierObject *self, pn_status status)
{
    return pn_raise(status, self->shared.domain, "Barrier", pn_shared_cell(&self->shared)->name);
}

/* ---- why it is broken, in words --------------------------------------------------------- */

static const char *const reasons[] = {
    [PN_BARRIER_OPEN] = "pid %u%s broke it",
    [PN_BARRIER_PASSED] = "pid %u%s broke it",
    [PN_BARRIER_RESET] = "pid %u%s called reset() while others waited",
    [PN_BARRIER_TIMED_OUT] = "pid %u%s waited longer than its timeout for the other parties",
    [PN_BARRIER_ABORTED] = "pid %u%s called abort()",
    [PN_BARRIER_ACTION] = "the action raised an exception in pid %u%s",
    [PN_BARRIER_LEFT] = "pid %u%s left it by an exception of a signal handler",
    [PN_BARRIER_DIED] = "pid %u%s died while it waited",
};

static PyObject *
reason_for(pn_barrier *barrier, uint32_t end, uint32_t pid)
{
    char name[PN_BARRIER_NAME + 4] = "";
    pn_barrier_cell *cell = barrier->cell;
    if (atomic_load(&cell->pid) == pid && end != PN_BARRIER_RESET && cell->name[0] != '\0') {
        PyOS_snprintf(name, sizeof(name), " (%.*s)", PN_BARRIER_NAME - 1, cell->name);
    }
    char text[160];
    PyOS_snprintf(text, sizeof(text), reasons[end <= PN_BARRIER_DIED ? end : PN_BARRIER_OPEN], pid,
                  name);
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
}

static PyObject *
raise_broken(pn_barrier *barrier, const pn_party *party)
{
    PyObject *reason = reason_for(barrier, party->end, party->pid);
    if (reason != NULL) {
        const char *remedy = party->end == PN_BARRIER_RESET ? "the barrier can be used again"
                                                            : "it stays broken until reset()";
        pn_raise_named("threading", "BrokenBarrierError", "Barrier '%s': %U; %s",
                       ((pn_object *)barrier->cell)->name, reason, remedy);
        Py_DECREF(reason);
    }
    return NULL;
}

/* ---- waiting ------------------------------------------------------------------------------ */

/* Run the action, as the one that arrived last. */
static pn_status
act(pn_barrier *barrier, pn_party *party, PyObject *action)
{
    PyObject *result = PyObject_CallNoArgs(action);
    pn_status status = pn_barrier_acted(barrier, party, result != NULL);
    Py_XDECREF(result);
    return status;
}

static pn_status
wait_for_end(pn_barrier *barrier, pn_party *party, int64_t deadline)
{
    pn_status status;
    pn_before_sleep();
    for (;;) {
        /* Who finds all parties there already waits for their action, however long that takes. */
        int64_t until = party->line != NULL ? deadline : PN_FOREVER;
        Py_BEGIN_ALLOW_THREADS
        status = pn_barrier_sleep(barrier, party, until);
        Py_END_ALLOW_THREADS
        if (status == PN_INTERRUPTED) {
            if (PyErr_CheckSignals() == 0) {
                continue;
            }
            if (party->line != NULL) {
                pn_barrier_give_up(barrier, party, PN_BARRIER_LEFT);
            }
            return PN_INTERRUPTED;
        }
        if (status != PN_TIMEOUT) {
            return status;
        }
        status = pn_barrier_give_up(barrier, party, PN_BARRIER_TIMED_OUT);
        if (status != PN_BUSY) {
            return status;
        }
        deadline = PN_FOREVER; /* all are there, and the action is running */
    }
}

PyDoc_STRVAR(wait_doc, "_wait($self, timeout, action, /)\n--\n\n"
                       "wait(timeout) of a Barrier with that action, which may be None.");

static PyObject *
barrier_wait(BarrierObject *self, PyObject *args)
{
    PyObject *timeout, *action;
    int64_t deadline;
    pn_party party;
    pn_barrier *barrier = barrier_of(self);
    if (barrier == NULL || !PyArg_ParseTuple(args, "OO:_wait", &timeout, &action) ||
        pn_deadline(timeout, &deadline) < 0) {
        return NULL;
    }
    pn_status status;
    do {
        status = pn_barrier_arrive(barrier, action != Py_None, &party);
        if (status == PN_BUSY) {
            status = party.must_act ? act(barrier, &party, action)
                                    : wait_for_end(barrier, &party, deadline);
        }
    } while (status == PN_BUSY);
    if (PyErr_Occurred()) { /* a signal handler's, or the action's */
        return NULL;
    }
    if (status == PN_BROKEN) {
        return raise_broken(barrier, &party);
    }
    return status == PN_OK ? PyLong_FromUnsignedLong(party.index) : raise_for(self, status);
}

PyDoc_STRVAR(reset_doc, "reset($self)\n--\n\n"
                        "Make it usable again. Who waits at it now gets BrokenBarrierError.");

static PyObject *
barrier_reset(BarrierObject *self, PyObject *Py_UNUSED(none))
{
    pn_barrier *barrier = barrier_of(self);
    pn_status status = barrier != NULL ? pn_barrier_reset(barrier) : PN_OK;
    if (barrier == NULL || status != PN_OK) {
        return barrier == NULL ? NULL : raise_for(self, status);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(abort_doc, "abort($self)\n--\n\n"
                        "Break it: who waits now, or comes later, gets BrokenBarrierError.");

static PyObject *
barrier_abort(BarrierObject *self, PyObject *Py_UNUSED(none))
{
    pn_barrier *barrier = barrier_of(self);
    pn_status status = barrier != NULL ? pn_barrier_abort(barrier) : PN_OK;
    if (barrier == NULL || status != PN_OK) {
        return barrier == NULL ? NULL : raise_for(self, status);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(look_doc,
             "_look($self)\n--\n\n"
             "(parties, waiting, broken, rounds that have ended, why it is broken or None)");

static PyObject *
barrier_look(BarrierObject *self, PyObject *Py_UNUSED(none))
{
    pn_barrier *barrier = barrier_of(self);
    if (barrier == NULL) {
        return NULL;
    }
    pn_barrier_cell *cell = barrier->cell;
    bool is_broken = pn_barrier_is_broken(barrier);
    PyObject *reason = is_broken
                           ? reason_for(barrier, atomic_load(&cell->why), atomic_load(&cell->pid))
                           : Py_NewRef(Py_None);
    if (reason == NULL) {
        return NULL;
    }
    return Py_BuildValue("IININ", atomic_load(&cell->parties), pn_barrier_waiting(barrier),
                         PyBool_FromLong(is_broken), pn_barrier_rounds(barrier), reason);
}

static PyMethodDef methods[] = {
    {"_wait", (PyCFunction)barrier_wait, METH_VARARGS, wait_doc},
    {"reset", (PyCFunction)barrier_reset, METH_NOARGS, reset_doc},
    {"abort", (PyCFunction)barrier_abort, METH_NOARGS, abort_doc},
    {"_look", (PyCFunction)barrier_look, METH_NOARGS, look_doc},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec pn_barrier_spec = {
    .name = "procession._core.Barrier",
    .basicsize = sizeof(BarrierObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
