/* Mutex, RLock (robust: the kernel marks a dead owner's) and Lock (any process may
 * release it: owned by a process, not by a thread). */
#include "objects.h"

#include "../bell.h"
#include "../waits.h"

/* NULL with an exception if it was not made. */
static pn_lock *
lock_of(SharedObject *self)
{
    return pn_shared_made(self) ? &((pn_lock_cell *)pn_shared_cell(self))->lock : NULL;
}

PyObject *
pn_lock_raise(SharedObject *self, pn_status status)
{
    const char *what = strrchr(Py_TYPE(self)->tp_name, '.');
    what = what ? what + 1 : Py_TYPE(self)->tp_name;
    return pn_raise(status, self->domain, what, pn_shared_cell(self)->name);
}

static int
mutex_init(SharedObject *self, PyObject *args, PyObject *kwargs)
{
    return pn_shared_init(self, args, kwargs, PN_OBJECT_MUTEX, "lock");
}

static int
rlock_init(SharedObject *self, PyObject *args, PyObject *kwargs)
{
    return pn_shared_init(self, args, kwargs, PN_OBJECT_RLOCK, "lock");
}

static int
lock_init(SharedObject *self, PyObject *args, PyObject *kwargs)
{
    return pn_shared_init(self, args, kwargs, PN_OBJECT_LOCK, "lock");
}

/* ---- acquiring ------------------------------------------------------------ */

bool
pn_lock_is_ledger(SharedObject *self)
{
    return atomic_load_explicit(&pn_shared_cell(self)->type, memory_order_relaxed) ==
           PN_OBJECT_LOCK;
}

pn_status
pn_lock_sleep(SharedObject *self, pn_lock *lock, int64_t deadline, bool ledger)
{
    pn_domain *domain = self->domain;
    pn_status status;
    pn_before_sleep();
    for (;;) {
        Py_BEGIN_ALLOW_THREADS
        pn_wait *wait = pn_wait_begin(domain, self->offset, PN_WAIT_LOCK);
        status = ledger ? pn_ledger_wait(lock, domain->slot, deadline, pn_slot_owner_alive, domain)
                        : pn_lock_wait(lock, deadline, pn_slot_owner_alive, domain);
        pn_wait_end(wait);
        Py_END_ALLOW_THREADS
        if (status != PN_INTERRUPTED || PyErr_CheckSignals() != 0) {
            return status;
        }
    }
}

void
pn_lock_tell(SharedObject *self)
{
    pn_fence_after_exchange(); /* after the lock's compare-and-swap */
    pn_notify(self->domain, self->offset, PN_FOR_GET);
}

/* 1 taken, 0 not in time, -1 with an exception. */
static int
acquire(SharedObject *self, bool block, int64_t deadline, pn_status *status)
{
    pn_lock *lock = lock_of(self);
    if (lock == NULL) {
        return -1;
    }
    bool ledger = pn_lock_is_ledger(self);
    *status = ledger ? pn_ledger_try(lock, self->domain->slot) : pn_lock_try(lock);
    if (*status == PN_BUSY) {
        if (!block) {
            pn_bell_settle(self->domain, self->offset);
            return 0;
        }
        *status = pn_lock_sleep(self, lock, deadline, ledger);
    }
    if (*status == PN_OK || *status == PN_OWNER_DIED) {
        atomic_store_explicit(&lock->holder, self->domain->slot + 1, memory_order_relaxed);
        pn_bell_settle(self->domain, self->offset);
        return 1;
    }
    if (*status == PN_TIMEOUT) {
        return 0;
    }
    if (*status != PN_INTERRUPTED) {
        pn_lock_raise(self, *status);
    }
    return -1;
}

PyDoc_STRVAR(acquire_doc,
             "acquire($self, block=True, timeout=None)\n--\n\n"
             "Take it; True if taken, False if not within `timeout` seconds.\n\n"
             "Ctrl-C reaches a waiter at once. A lock whose owner died comes back by itself.");

static PyObject *
lock_acquire(SharedObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call = PN_CALL;
    if ((count || names) && pn_parse_acquire(args, count, names, &call) < 0) {
        return NULL;
    }
    pn_status status;
    int taken = acquire(self, call.block, call.deadline, &status);
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

/* A Mutex tells its subclass that the last owner died, while the lock is held. */
static PyObject *
mutex_taken(SharedObject *self, int taken, pn_status status)
{
    if (taken > 0) {
        self->owner_died = status == PN_OWNER_DIED;
        self->unrepaired = false;
    }
    if (taken > 0 && status == PN_OWNER_DIED) {
        PyObject *result = PyObject_CallMethod((PyObject *)self, "_owner_died", NULL);
        if (result == NULL) {
            if (pn_lock_mine(lock_of(self))) {
                pn_lock_release_marked(lock_of(self));
                pn_lock_tell(self);
            }
            return NULL;
        }
        Py_DECREF(result);
    }
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

static PyObject *
mutex_acquire(SharedObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call = PN_CALL;
    if ((count || names) && pn_parse_acquire(args, count, names, &call) < 0) {
        return NULL;
    }
    pn_lock *lock = lock_of(self);
    if (lock == NULL) {
        return NULL;
    }
    if (pn_lock_mine(lock) && call.block && call.deadline == PN_FOREVER) {
        PyErr_Format(PyExc_RuntimeError,
                     "Mutex '%s' is held by this very thread: acquiring it again would wait "
                     "for ever. Use an RLock.",
                     pn_shared_cell(self)->name);
        return NULL;
    }
    pn_status status;
    int taken = acquire(self, call.block, call.deadline, &status);
    return mutex_taken(self, taken, status);
}

static PyObject *
rlock_acquire(SharedObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    pn_call call = PN_CALL;
    if ((count || names) && pn_parse_acquire(args, count, names, &call) < 0) {
        return NULL;
    }
    pn_lock *lock = lock_of(self);
    if (lock == NULL) {
        return NULL;
    }
    if (pn_lock_mine(lock)) {
        lock->depth++;
        Py_RETURN_TRUE;
    }
    pn_status status;
    int taken = acquire(self, call.block, call.deadline, &status);
    return taken < 0 ? NULL : PyBool_FromLong(taken);
}

bool
pn_is_rlock_acquire(PyObject *method)
{
    return PyCFunction_Check(method) &&
           PyCFunction_GET_FUNCTION(method) == (PyCFunction)(void (*)(void))rlock_acquire;
}

PyObject *
pn_rlock_take(SharedObject *self)
{
    return rlock_acquire(self, NULL, 0, NULL);
}

/* ---- releasing ------------------------------------------------------------- */

PyDoc_STRVAR(release_doc, "release($self)\n--\n\nGive it back.");

static PyObject *
mutex_release(SharedObject *self, PyObject *Py_UNUSED(none))
{
    pn_lock *lock = lock_of(self);
    if (lock == NULL) {
        return NULL;
    }
    bool is_marked = self->unrepaired && pn_lock_mine(lock);
    pn_status status = is_marked ? pn_lock_release_marked(lock) : pn_lock_release(lock);
    if (status != PN_OK) {
        return pn_lock_raise(self, status);
    }
    pn_lock_tell(self);
    Py_RETURN_NONE;
}

static PyObject *
rlock_release(SharedObject *self, PyObject *Py_UNUSED(none))
{
    pn_lock *lock = lock_of(self);
    if (lock == NULL) {
        return NULL;
    }
    if (!pn_lock_mine(lock)) {
        PyErr_SetString(PyExc_AssertionError,
                        "attempt to release recursive lock not owned by thread");
        return NULL;
    }
    if (lock->depth > 0) {
        lock->depth--;
        Py_RETURN_NONE;
    }
    pn_lock_release(lock);
    pn_lock_tell(self);
    Py_RETURN_NONE;
}

PyObject *
pn_rlock_give(SharedObject *self)
{
    return rlock_release(self, NULL);
}

static PyObject *
lock_release(SharedObject *self, PyObject *Py_UNUSED(none))
{
    pn_lock *lock = lock_of(self);
    if (lock == NULL) {
        return NULL;
    }
    if (pn_ledger_release(lock) != PN_OK) {
        PyErr_Format(PyExc_ValueError, "Lock '%s' released too many times: nobody holds it",
                     pn_shared_cell(self)->name);
        return NULL;
    }
    pn_lock_tell(self);
    Py_RETURN_NONE;
}

static PyObject *
mutex_exit(SharedObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count))
{
    return mutex_release(self, NULL);
}

static PyObject *
rlock_exit(SharedObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count))
{
    return rlock_release(self, NULL);
}

static PyObject *
lock_exit(SharedObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count))
{
    return lock_release(self, NULL);
}

static PyObject *
mutex_enter(SharedObject *self, PyObject *Py_UNUSED(none))
{
    return mutex_acquire(self, NULL, 0, NULL);
}

static PyObject *
rlock_enter(SharedObject *self, PyObject *Py_UNUSED(none))
{
    return rlock_acquire(self, NULL, 0, NULL);
}

static PyObject *
lock_enter(SharedObject *self, PyObject *Py_UNUSED(none))
{
    return lock_acquire(self, NULL, 0, NULL);
}

/* ---- looking ---------------------------------------------------------------- */

PyDoc_STRVAR(locked_doc, "locked($self)\n--\n\nIs it held by anybody just now?");

static PyObject *
lock_locked(SharedObject *self, PyObject *Py_UNUSED(none))
{
    pn_lock *lock = lock_of(self);
    return lock ? PyBool_FromLong((atomic_load(&lock->word) & PN_OWNER) != 0) : NULL;
}

PyDoc_STRVAR(look_doc,
             "_look($self)\n--\n\n(owner pid or 0, owner tid or 0, owner's name, waiters, "
             "recoveries, depth, held by this thread)");

static PyObject *
lock_look(SharedObject *self, PyObject *Py_UNUSED(none))
{
    pn_lock *lock = lock_of(self);
    if (lock == NULL) {
        return NULL;
    }
    uint32_t owner = atomic_load(&lock->word) & PN_OWNER;
    uint32_t holder = atomic_load(&lock->holder);
    if (owner & PN_LEDGER) {
        holder = (owner & ~PN_LEDGER) + 1;
    }
    uint32_t pid = 0;
    const char *name = "";
    if (owner != 0 && holder != 0 && holder <= PN_SLOTS) {
        pid = atomic_load(&self->domain->slots[holder - 1].pid);
        name = self->domain->slots[holder - 1].name;
    }
    bool mine = owner & PN_LEDGER ? holder == self->domain->slot + 1 : owner == pn_self()->tid;
    return Py_BuildValue("IIsIIIO", pid, owner & PN_LEDGER ? 0 : owner, name,
                         pn_wait_count(self->domain, self->offset), lock->recovered, lock->depth,
                         mine && owner ? Py_True : Py_False);
}

#define LOCK_METHODS(kind)                                                                         \
    {"acquire", (PyCFunction)(void (*)(void))kind##_acquire, METH_FASTCALL | METH_KEYWORDS,        \
     acquire_doc},                                                                                 \
        {"release", (PyCFunction)kind##_release, METH_NOARGS, release_doc},                        \
        {"__enter__", (PyCFunction)kind##_enter, METH_NOARGS, NULL},                               \
        {"__exit__", (PyCFunction)(void (*)(void))kind##_exit, METH_FASTCALL, NULL},               \
        {"locked", (PyCFunction)lock_locked, METH_NOARGS, locked_doc},                             \
    {                                                                                              \
        "_look", (PyCFunction)lock_look, METH_NOARGS, look_doc                                     \
    }

static PyObject *
get_owner_died(SharedObject *self, void *Py_UNUSED(closure))
{
    pn_lock *lock = lock_of(self);
    return lock ? PyBool_FromLong(self->owner_died && pn_lock_mine(lock)) : NULL;
}

static PyGetSetDef mutex_getset[] = {
    {"owner_died", (getter)get_owner_died, NULL,
     "True while this thread holds it and the holder before died holding it", NULL},
    {NULL},
};

static PyMethodDef mutex_methods[] = {LOCK_METHODS(mutex), {NULL}};
static PyMethodDef rlock_methods[] = {LOCK_METHODS(rlock), {NULL}};
static PyMethodDef lock_methods[] = {LOCK_METHODS(lock), {NULL}};

static PyType_Slot mutex_slots[] = {
    {Py_tp_init, mutex_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, mutex_methods},
    {Py_tp_getset, mutex_getset},
    {0, NULL},
};
static PyType_Slot rlock_slots[] = {
    {Py_tp_init, rlock_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, rlock_methods},
    {0, NULL},
};
static PyType_Slot lock_slots[] = {
    {Py_tp_init, lock_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, lock_methods},
    {0, NULL},
};

#define LOCK_SPEC(variable, title, slot_list)                                                      \
    PyType_Spec variable = {.name = "procession._core." title,                                     \
                            .basicsize = sizeof(SharedObject),                                     \
                            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,                     \
                            .slots = slot_list}

LOCK_SPEC(pn_mutex_spec, "Mutex", mutex_slots);
LOCK_SPEC(pn_rlock_spec, "RLock", rlock_slots);
LOCK_SPEC(pn_lock_spec, "Lock", lock_slots);
