/* The condition, as Python sees it: what the core calls a queue of waiters, together with a lock. */
#include "objects.h"

#include "../condition.h"

typedef struct {
    SharedObject shared;
    pn_condition condition;
    /* Found at the first use in the attribute _lock, which travels with a pickle; NULL: not yet. */
    SharedObject *lock;
    PyObject *acquire, *release, *enter, *exit; /* its bound methods */
} ConditionObject;

static int
init(ConditionObject *self, PyObject *args, PyObject *kwargs)
{
    return pn_shared_init(&self->shared, args, kwargs, PN_OBJECT_CONDITION, "Condition");
}

static int
traverse(ConditionObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->lock);
    Py_VISIT(self->acquire);
    Py_VISIT(self->release);
    Py_VISIT(self->enter);
    Py_VISIT(self->exit);
    return 0;
}

static int
clear(ConditionObject *self)
{
    Py_CLEAR(self->lock);
    Py_CLEAR(self->acquire);
    Py_CLEAR(self->release);
    Py_CLEAR(self->enter);
    Py_CLEAR(self->exit);
    return 0;
}

static void
dealloc(ConditionObject *self)
{
    PyObject_GC_UnTrack(self);
    clear(self);
    pn_shared_dealloc(&self->shared);
}

/* Its lock, -1 with an exception. */
static int
bind(ConditionObject *self)
{
    if (self->lock != NULL) {
        return 0;
    }
    pn_state *state = pn_state_of((PyObject *)self);
    if (state == NULL || !pn_shared_made(&self->shared)) {
        return -1;
    }
    PyObject *lock = PyObject_GetAttrString((PyObject *)self, "_lock");
    if (lock == NULL) {
        return -1;
    }
    if (!PyObject_TypeCheck(lock, state->lock_type) &&
        !PyObject_TypeCheck(lock, state->rlock_type) &&
        !PyObject_TypeCheck(lock, state->mutex_type)) {
        PyErr_Format(PyExc_TypeError,
                     "a Condition needs a Lock, RLock or Mutex of ours, not %.100s",
                     Py_TYPE(lock)->tp_name);
        Py_DECREF(lock);
        return -1;
    }
    if (!pn_shared_made((SharedObject *)lock)) {
        Py_DECREF(lock);
        return -1;
    }
    Py_XSETREF(self->acquire, PyObject_GetAttrString(lock, "acquire"));
    Py_XSETREF(self->release, PyObject_GetAttrString(lock, "release"));
    Py_XSETREF(self->enter, PyObject_GetAttrString(lock, "__enter__"));
    Py_XSETREF(self->exit, PyObject_GetAttrString(lock, "__exit__"));
    if (self->acquire == NULL || self->release == NULL || self->enter == NULL ||
        self->exit == NULL) {
        Py_DECREF(lock);
        return -1;
    }
    pn_condition_open(&self->condition, self->shared.domain, self->shared.offset);
    self->lock = (SharedObject *)lock;
    return 0;
}

/* Bound, and its lock held by the caller? -1 with an exception. */
static int
check_held(ConditionObject *self, const char *what)
{
    if (bind(self) < 0) {
        return -1;
    }
    if (!pn_lock_is_held(self->lock)) {
        pn_raise_named("procession._base.errors", "NotOwner",
                       "%s() of Condition '%s' needs its lock: call it inside `with condition:`",
                       what, pn_shared_cell(&self->shared)->name);
        return -1;
    }
    return 0;
}

/* ---- the lock's own methods ---------------------------------------------------------- */

static PyObject *
condition_acquire(ConditionObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return bind(self) < 0 ? NULL : PyObject_Vectorcall(self->acquire, args, (size_t)count, names);
}

static PyObject *
condition_release(ConditionObject *self, PyObject *Py_UNUSED(none))
{
    return bind(self) < 0 ? NULL : PyObject_CallNoArgs(self->release);
}

static PyObject *
condition_enter(ConditionObject *self, PyObject *Py_UNUSED(none))
{
    return bind(self) < 0 ? NULL : PyObject_CallNoArgs(self->enter);
}

static PyObject *
condition_exit(ConditionObject *self, PyObject *const *args, Py_ssize_t count)
{
    return bind(self) < 0 ? NULL : PyObject_Vectorcall(self->exit, args, (size_t)count, NULL);
}

/* ---- waiting ----------------------------------------------------------------------------- */

/* Is it notified? Or -1 with an exception; the line is there if it is notified, and gone otherwise. */
static int
wait_for_turn(ConditionObject *self, pn_waiter *line, int64_t deadline)
{
    pn_status status;
    pn_before_sleep();
    do {
        Py_BEGIN_ALLOW_THREADS
        status = pn_condition_sleep(&self->condition, line, deadline);
        Py_END_ALLOW_THREADS
    } while (status == PN_INTERRUPTED && PyErr_CheckSignals() == 0);
    if (status == PN_INTERRUPTED) {
        pn_condition_pass_on(&self->condition, line);
        return -1;
    }
    return status == PN_OK || pn_condition_withdraw(&self->condition, line);
}

PyDoc_STRVAR(
    wait_doc,
    "wait($self, timeout=None)\n--\n\n"
    "Let go of the lock, wait to be notified, and take the lock again; False if nobody did\n"
    "within `timeout` seconds.\n\n"
    "RuntimeError (NotOwner) if the caller does not hold the lock. A recursive lock is let go\n"
    "altogether and taken back as often as it was held.");

static PyObject *
condition_wait(ConditionObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *timeout;
    int64_t deadline;
    pn_waiter *line;
    if (check_held(self, "wait") < 0 || pn_only_timeout("wait", args, count, names, &timeout) < 0 ||
        pn_deadline(timeout, &deadline) < 0) {
        return NULL;
    }
    pn_status status = pn_condition_enlist(&self->condition, &line);
    if (status != PN_OK) {
        return pn_raise(status, self->shared.domain, "Condition",
                        pn_shared_cell(&self->shared)->name);
    }
    uint32_t depth = pn_lock_let_go(self->lock);
    int notified = wait_for_turn(self, line, deadline);
    int taken = pn_lock_take_back(self->lock, depth, &self->condition.pauses_in_vain);
    if (notified > 0) {
        /* Only now: if we were killed on the way to the lock, another one would be notified. */
        if (pn_lock_is_held(self->lock)) {
            pn_condition_consume(line);
        } else {
            pn_condition_pass_on(&self->condition, line);
        }
    }
    return taken < 0 ? NULL : PyBool_FromLong(notified);
}

/* ---- notifying ---------------------------------------------------------------------------- */

static PyObject *
notify_up_to(ConditionObject *self, uint64_t n)
{
    pn_status status = pn_condition_notify(&self->condition, n);
    if (status != PN_OK) {
        return pn_raise(status, self->shared.domain, "Condition",
                        pn_shared_cell(&self->shared)->name);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(notify_doc, "notify($self, n=1)\n--\n\n"
                         "Wake up to n of those that wait, the longest waiting first.\n\n"
                         "RuntimeError (NotOwner) if the caller does not hold the lock.");

static PyObject *
condition_notify(ConditionObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"n", NULL};
    PyObject *n = NULL;
    if (check_held(self, "notify") < 0 ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "|O:notify", names, &n)) {
        return NULL;
    }
    int overflow = 0;
    long long number = n == NULL ? 1 : PyLong_AsLongLongAndOverflow(n, &overflow);
    if (number == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (overflow > 0) {
        return notify_up_to(self, UINT64_MAX);
    }
    return notify_up_to(self, number > 0 && overflow == 0 ? (uint64_t)number : 0);
}

PyDoc_STRVAR(notify_all_doc, "notify_all($self)\n--\n\n"
                             "Wake all that wait.\n\n"
                             "RuntimeError (NotOwner) if the caller does not hold the lock.");

static PyObject *
condition_notify_all(ConditionObject *self, PyObject *Py_UNUSED(none))
{
    return check_held(self, "notify_all") < 0 ? NULL : notify_up_to(self, UINT64_MAX);
}

PyDoc_STRVAR(look_doc, "_look($self)\n--\n\n(waiting, notified and not back yet)");

static PyObject *
condition_look(ConditionObject *self, PyObject *Py_UNUSED(none))
{
    if (bind(self) < 0) {
        return NULL;
    }
    uint32_t waiting, notified;
    pn_condition_count(&self->condition, &waiting, &notified);
    return Py_BuildValue("II", waiting, notified);
}

static PyMethodDef methods[] = {
    {"acquire", (PyCFunction)(void (*)(void))condition_acquire, METH_FASTCALL | METH_KEYWORDS,
     "acquire($self, block=True, timeout=None)\n--\n\nThat of its lock."},
    {"release", (PyCFunction)condition_release, METH_NOARGS,
     "release($self)\n--\n\nThat of its lock."},
    {"__enter__", (PyCFunction)condition_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))condition_exit, METH_FASTCALL, NULL},
    {"wait", (PyCFunction)(void (*)(void))condition_wait, METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"notify", (PyCFunction)(void (*)(void))condition_notify, METH_VARARGS | METH_KEYWORDS,
     notify_doc},
    {"notify_all", (PyCFunction)condition_notify_all, METH_NOARGS, notify_all_doc},
    {"_look", (PyCFunction)condition_look, METH_NOARGS, look_doc},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_dealloc, dealloc},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec pn_condition_spec = {
    .name = "procession._core.Condition",
    .basicsize = sizeof(ConditionObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};
