/* Children as Python sees them, and the few calls around starting one. */
#include "objects.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../children.h"
#include "../detached.h"
#include "../spawn.h"

enum { WORDS = 64, DESCRIPTORS = 1024 }; /* of a command; handed to a spawned child */

PyDoc_STRVAR(child_doc,
             "Child(domain, slot, generation, pid, started_ns)\n--\n\n"
             "A child of this process, watched by the janitor from now on. `started_ns`: "
             "time.monotonic_ns() just before it was forked.");

static PyObject *
watch(PyTypeObject *type, DomainObject *domain, uint32_t slot, uint32_t generation, pid_t pid,
      int64_t started)
{
    ChildObject *self = (ChildObject *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    /* With the GIL: until the janitor knows the child, no signal handler may raise. */
    pn_slot_set_pid(domain->domain, slot, generation, (uint32_t)pid);
    self->child = pn_child_watch(domain->domain, slot, generation, pid, started);
    if (self->child == NULL) {
        Py_DECREF(self);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    self->domain_object = (DomainObject *)Py_NewRef(domain);
    return (PyObject *)self;
}

static PyObject *
child_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "slot", "generation", "pid", "started_ns", NULL};
    PyObject *domain_object;
    unsigned int slot, generation;
    int pid;
    long long started;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OIIiL", names, &domain_object, &slot,
                                     &generation, &pid, &started)) {
        return NULL;
    }
    if (slot >= PN_SLOTS || pid <= 0) {
        PyErr_Format(PyExc_ValueError, "no such slot (%u) or process (%d)", slot, pid);
        return NULL;
    }
    PyObject *module = PyType_GetModule(type);
    pn_state *state = module ? PyModule_GetState(module) : NULL;
    if (state == NULL || !PyObject_TypeCheck(domain_object, state->domain_type)) {
        PyErr_SetString(PyExc_TypeError, "expected a Domain");
        return NULL;
    }
    return watch(type, (DomainObject *)domain_object, slot, generation, pid, started);
}

static void
child_dealloc(ChildObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->child != NULL) {
        Py_BEGIN_ALLOW_THREADS
        pn_child_drop(self->child);
        Py_END_ALLOW_THREADS
    }
    Py_XDECREF(self->domain_object);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(look_doc, "look($self)\n--\n\nHas it ended? It is reaped if so.");

static PyObject *
child_look(ChildObject *self, PyObject *Py_UNUSED(none))
{
    bool ended;
    Py_BEGIN_ALLOW_THREADS
    ended = pn_child_look(self->child);
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(ended);
}

PyDoc_STRVAR(wait_doc, "wait($self, timeout=None, /)\n--\n\n"
                       "Wait until it has ended; False if it did not within `timeout` seconds.");

static PyObject *
child_wait(ChildObject *self, PyObject *args)
{
    PyObject *timeout = Py_None;
    int64_t deadline;
    if (!PyArg_ParseTuple(args, "|O:wait", &timeout) || pn_deadline(timeout, &deadline) < 0) {
        return NULL;
    }
    pn_status status;
    do {
        Py_BEGIN_ALLOW_THREADS
        status = pn_child_wait(self->child, deadline);
        Py_END_ALLOW_THREADS
    } while (status == PN_INTERRUPTED && PyErr_CheckSignals() == 0);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(status == PN_OK);
}

PyDoc_STRVAR(signal_doc,
             "signal($self, number, /)\n--\n\n"
             "Send it a signal; False if it is gone. Never reaches a successor of its pid.");

static PyObject *
child_signal(ChildObject *self, PyObject *argument)
{
    int number = (int)PyLong_AsLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    if (pn_child_signal(self->child, number) == 0) {
        Py_RETURN_TRUE;
    }
    if (errno == ESRCH) {
        Py_RETURN_FALSE;
    }
    return PyErr_SetFromErrno(PyExc_OSError);
}

PyDoc_STRVAR(result_doc,
             "result($self)\n--\n\n"
             "None while it runs; then how it ended: a dict of known (False: somebody else reaped "
             "it), code, signalled, core_dumped, out_of_memory, times (ns, monotonic), max_rss "
             "(bytes) and report (bytes or None).");

static PyObject *
child_result(ChildObject *self, PyObject *Py_UNUSED(none))
{
    pn_child *child = self->child;
    pn_child_state state = atomic_load(&child->state);
    if (state == PN_CHILD_RUNNING) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue(
        "{sNsisNsNsNsNsLsLsLsLsLsLsLsy#}", "known", PyBool_FromLong(state == PN_CHILD_ENDED),
        "code", child->code, "signalled", PyBool_FromLong(child->signalled), "core_dumped",
        PyBool_FromLong(child->core_dumped), "out_of_memory", PyBool_FromLong(child->out_of_memory),
        "orphaned", PyBool_FromLong(child->orphaned), "started_ns", (long long)child->started,
        "ended_ns", (long long)child->ended, "run_ns", (long long)child->run_ns, "ready_ns",
        (long long)child->ready_ns, "user_us", (long long)child->user_us, "system_us",
        (long long)child->system_us, "max_rss", (long long)child->max_rss, "report", child->report,
        (Py_ssize_t)child->report_length);
}

static PyObject *
get_pid(ChildObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->child->pid);
}

static PyObject *
get_pidfd(ChildObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->child->pidfd);
}

static PyMethodDef methods[] = {
    {"look", (PyCFunction)child_look, METH_NOARGS, look_doc},
    {"wait", (PyCFunction)child_wait, METH_VARARGS, wait_doc},
    {"signal", (PyCFunction)child_signal, METH_O, signal_doc},
    {"result", (PyCFunction)child_result, METH_NOARGS, result_doc},
    {NULL},
};

static PyGetSetDef getset[] = {
    {"pid", (getter)get_pid, NULL, "its process id", NULL},
    {"pidfd", (getter)get_pidfd, NULL, "readable from its end on; -1: it was gone at once", NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, child_new}, {Py_tp_dealloc, child_dealloc}, {Py_tp_methods, methods},
    {Py_tp_getset, getset}, {Py_tp_doc, (void *)child_doc}, {0, NULL},
};

PyType_Spec pn_child_spec = {
    .name = "procession._core.Child",
    .basicsize = sizeof(ChildObject),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = slots,
};

/* ---- functions of the module -------------------------------------------------------- */

PyObject *
pn_py_pause_janitor(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    pn_janitor_pause(); /* with the GIL, which the janitor never needs: nobody may fork meanwhile */
    Py_RETURN_NONE;
}

PyObject *
pn_py_resume_janitor(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    pn_janitor_resume();
    Py_RETURN_NONE;
}

PyObject *
pn_py_other_threads(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(none))
{
    return PyLong_FromLong(pn_janitor_other_threads());
}

static int
parse_start(PyObject *module, PyObject *args, pn_start *start, PyObject **argv, PyObject **fds)
{
    pn_state *state = PyModule_GetState(module);
    if (!PyArg_ParseTuple(args, argv ? "OO!IIO!O!" : "OO!II", &start->holder, state->domain_type,
                          &start->domain, &start->slot, &start->generation, &PyTuple_Type, argv,
                          &PyTuple_Type, fds)) {
        return -1;
    }
    if (start->slot >= PN_SLOTS) {
        PyErr_Format(PyExc_ValueError, "slot %u: there are %d", start->slot, (int)PN_SLOTS);
        return -1;
    }
    return 0;
}

PyObject *
pn_py_hand_over(PyObject *module, const pn_start *start, pid_t pid, int64_t started)
{
    pn_state *state = PyModule_GetState(module);
    PyObject *child =
        watch(state->child_type, start->domain, start->slot, start->generation, pid, started);
    if (child == NULL || PyObject_SetAttrString(start->holder, "child", child) < 0) {
        Py_XDECREF(child);
        return NULL;
    }
    Py_DECREF(child);
    return PyLong_FromLong(pid);
}

PyObject *
pn_py_fork_child(PyObject *module, PyObject *args)
{
    pn_start start;
    if (parse_start(module, args, &start, NULL, NULL) < 0 || PySys_Audit("os.fork", NULL) < 0) {
        return NULL;
    }
    pn_domain_arm_fork(start.domain->domain, start.slot, start.generation);
    int64_t started = pn_now();
    pn_janitor_own_fork(true);
    PyOS_BeforeFork();
    pid_t pid = fork();
    int error = errno;
    if (pid == 0) {
        PyOS_AfterFork_Child();
        return PyLong_FromLong(0);
    }
    PyOS_AfterFork_Parent();
    pn_janitor_own_fork(false);
    errno = error;
    return pid < 0 ? PyErr_SetFromErrno(PyExc_OSError)
                   : pn_py_hand_over(module, &start, pid, started);
}

/* The words of a command; they live as long as the tuple. -1 with an exception. */
static int
read_command(PyObject *command, const char *argv[], Py_ssize_t most)
{
    Py_ssize_t count = PyTuple_GET_SIZE(command);
    if (count == 0 || count > most) {
        PyErr_Format(PyExc_ValueError, "a command has 1 to %zd words", most);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        argv[i] = PyBytes_AsString(PyTuple_GET_ITEM(command, i));
        if (argv[i] == NULL) {
            return -1;
        }
    }
    argv[count] = NULL;
    return 0;
}

PyObject *
pn_py_spawn_child(PyObject *module, PyObject *args)
{
    pn_start start;
    PyObject *command, *descriptors;
    const char *argv[WORDS + 1];
    int fds[DESCRIPTORS];
    if (parse_start(module, args, &start, &command, &descriptors) < 0 ||
        read_command(command, argv, WORDS) < 0) {
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(descriptors);
    if (count > DESCRIPTORS) {
        PyErr_Format(PyExc_ValueError, "%zd descriptors; at most %d can be passed", count,
                     DESCRIPTORS);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        fds[i] = (int)PyLong_AsLong(PyTuple_GET_ITEM(descriptors, i));
        if (PyErr_Occurred()) {
            return NULL;
        }
    }
    int64_t started = pn_now();
    pid_t pid = pn_spawn(argv, fds, (size_t)count);
    if (pid < 0) {
        return PyErr_SetFromErrnoWithFilename(PyExc_OSError, argv[0]);
    }
    return pn_py_hand_over(module, &start, pid, started);
}

PyObject *
pn_py_arm_guardian(PyObject *module, PyObject *args)
{
    PyObject *domain, *command;
    if (!PyArg_ParseTuple(args, "O!O!:arm_guardian",
                          ((pn_state *)PyModule_GetState(module))->domain_type, &domain,
                          &PyTuple_Type, &command)) {
        return NULL;
    }
    const char *argv[WORDS + 1];
    if (read_command(command, argv, WORDS) < 0) {
        return NULL;
    }
    int result;
    Py_BEGIN_ALLOW_THREADS
    result = pn_guardian_arm(((DomainObject *)domain)->domain, argv);
    Py_END_ALLOW_THREADS
    if (result < 0) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyObject *
pn_py_mark_tree(PyObject *module, PyObject *args)
{
    static const char digits[] = "0123456789abcdef";
    DomainObject *object;
    PyObject *environment;
    if (!PyArg_ParseTuple(args, "O!O!:mark_tree",
                          ((pn_state *)PyModule_GetState(module))->domain_type, &object,
                          &PyDict_Type, &environment)) {
        return NULL;
    }
    const pn_domain *domain = object->domain;
    char mark[2 * sizeof(domain->header->uuid) + sizeof(":4294967295.4294967295")], *end = mark;
    for (size_t i = 0; i < sizeof(domain->header->uuid); i++) {
        *end++ = digits[domain->header->uuid[i] >> 4];
        *end++ = digits[domain->header->uuid[i] & 15];
    }
    snprintf(end, (size_t)(mark + sizeof(mark) - end), ":%u.%u", domain->slot, domain->generation);
    if (setenv(PN_TREE_MARK, mark, 1) != 0) {
        return PyErr_NoMemory();
    }
    PyObject *name = PyBytes_FromString(PN_TREE_MARK), *value = PyBytes_FromString(mark);
    int failed = name == NULL || value == NULL || PyDict_SetItem(environment, name, value) < 0;
    Py_XDECREF(name);
    Py_XDECREF(value);
    if (failed) {
        return NULL;
    }
    Py_RETURN_NONE;
}

PyObject *
pn_py_die_with(PyObject *Py_UNUSED(module), PyObject *argument)
{
    int parent = (int)PyLong_AsLong(argument);
    if (PyErr_Occurred()) {
        return NULL;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* It may have died before the call: prctl(2). */
    return PyBool_FromLong(getppid() == parent);
}
