/* A lock that a Condition lets go of while it waits, and takes back. */
#include "objects.h"

#include "../patience.h"

bool
pn_lock_is_held(SharedObject *self)
{
    pn_lock *lock = &((pn_lock_cell *)pn_shared_cell(self))->lock;
    if (pn_lock_is_ledger(self)) {
        return (atomic_load(&lock->word) & PN_OWNER) == (PN_LEDGER | self->domain->slot);
    }
    return pn_lock_mine(lock);
}

uint32_t
pn_lock_let_go(SharedObject *self)
{
    pn_lock *lock = &((pn_lock_cell *)pn_shared_cell(self))->lock;
    if (pn_lock_is_ledger(self)) {
        pn_ledger_release(lock);
        pn_lock_tell(self);
        return 0;
    }
    uint32_t depth = lock->depth;
    lock->depth = 0;
    if (self->unrepaired) {
        pn_lock_release_marked(lock);
    } else {
        pn_lock_release(lock);
    }
    pn_lock_tell(self);
    return depth;
}

/* For pn_look_again. */
static bool
looks_free(void *context)
{
    pn_lock *lock = context;
    return (atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_OWNER) == 0;
}

/* Whoever notified us holds it just now, and lets go of it soon. */
static pn_status
take_soon(SharedObject *self, pn_lock *lock, pn_word *pauses_in_vain)
{
    bool ledger = pn_lock_is_ledger(self);
    pn_status status = ledger ? pn_ledger_try(lock, self->domain->slot) : pn_lock_try(lock);
    if (status == PN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        if (pn_look_again(pauses_in_vain, looks_free, lock)) {
            status = ledger ? pn_ledger_try(lock, self->domain->slot) : pn_lock_try(lock);
        }
        Py_END_ALLOW_THREADS
    }
    return status;
}

int
pn_lock_take_back(SharedObject *self, uint32_t depth, pn_word *pauses_in_vain)
{
    pn_lock *lock = &((pn_lock_cell *)pn_shared_cell(self))->lock;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    pn_status status = take_soon(self, lock, pauses_in_vain);
    while (status == PN_BUSY || status == PN_INTERRUPTED) {
        status = pn_lock_sleep(self, lock, PN_FOREVER, pn_lock_is_ledger(self));
        if (status == PN_INTERRUPTED) { /* a signal handler raised */
            if (type != NULL) {
                break; /* the second: somebody really wants to get out of here */
            }
            PyErr_Fetch(&type, &value, &traceback);
        }
    }
    bool is_taken = status == PN_OK || status == PN_OWNER_DIED;
    if (is_taken) {
        atomic_store_explicit(&lock->holder, self->domain->slot + 1, memory_order_relaxed);
        self->owner_died = status == PN_OWNER_DIED;
        self->unrepaired = false;
        if (depth != 0) {
            lock->depth = depth;
        }
    } else if (status != PN_INTERRUPTED) {
        pn_lock_raise(self, status);
    }
    bool is_marked = is_taken && status == PN_OWNER_DIED &&
                     atomic_load(&pn_shared_cell(self)->type) == PN_OBJECT_MUTEX;
    if (is_marked) {
        PyObject *result = PyObject_CallMethod((PyObject *)self, "_owner_died", NULL);
        self->unrepaired = result == NULL;
        Py_XDECREF(result);
    }
    if (PyErr_Occurred()) { /* comes in place of the one that was kept */
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return -1;
    }
    PyErr_Restore(type, value, traceback);
    return is_taken && type == NULL ? 0 : -1;
}
