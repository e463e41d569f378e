#include "objects.h"

#include <math.h>

/* A signal that arrives between the look for signals and the sleep is noticed at the
 * end of the slice; only the main thread runs handlers. */
#define MAIN_SLICE_NS (100 * 1000000LL)

int
pn_deadline(PyObject *timeout, int64_t *deadline)
{
    if (timeout == NULL || timeout == Py_None) {
        *deadline = PN_FOREVER;
        return 0;
    }
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred()) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
            return -1;
        }
        PyErr_Format(PyExc_TypeError, "timeout must be seconds (a number) or None, not %.100s",
                     Py_TYPE(timeout)->tp_name);
        return -1;
    }
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "timeout must be seconds, not NaN");
        return -1;
    }
    if (seconds < 0) {
        seconds = 0;
    }
    *deadline = seconds > 4e9 ? PN_FOREVER : pn_now() + (int64_t)(seconds * 1e9);
    return 0;
}

int
pn_only_timeout(const char *what, PyObject *const *args, Py_ssize_t count, PyObject *names,
                PyObject **timeout)
{
    Py_ssize_t keywords = names ? PyTuple_GET_SIZE(names) : 0;
    if (count + keywords > 1) {
        PyErr_Format(PyExc_TypeError, "%s() takes timeout and nothing else", what);
        return -1;
    }
    if (keywords == 1 && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout")) {
        PyErr_Format(PyExc_TypeError, "%s() got an unexpected argument '%U'", what,
                     PyTuple_GET_ITEM(names, 0));
        return -1;
    }
    *timeout = count + keywords == 1 ? args[0] : NULL;
    return 0;
}

/* `alias`: another name of `block`, or NULL. */
static int
parse_call(const char *function, const char *first_name, const char *alias, PyObject *const *args,
           Py_ssize_t count, PyObject *names, pn_call *call)
{
    const char *known[3] = {first_name, "block", "timeout"};
    PyObject *values[3] = {NULL, NULL, NULL};
    int skip = first_name == NULL;
    if (count > 3 - skip) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments", function, 3 - skip);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        values[i + skip] = args[i];
    }
    Py_ssize_t keywords = names ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t i = 0; i < keywords; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int place = -1;
        for (int k = skip; k < 3; k++) {
            if (PyUnicode_CompareWithASCIIString(name, known[k]) == 0) {
                place = k;
            }
        }
        if (alias != NULL && PyUnicode_CompareWithASCIIString(name, alias) == 0) {
            place = 1;
        }
        if (place < 0 || values[place] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected or repeated argument '%U'",
                         function, name);
            return -1;
        }
        values[place] = args[count + i];
    }
    if (!skip && values[0] == NULL) {
        PyErr_Format(PyExc_TypeError, "%s() needs the argument '%s'", function, first_name);
        return -1;
    }
    call->first = values[0];
    call->block = values[1] ? PyObject_IsTrue(values[1]) : 1;
    return call->block < 0 ? -1 : pn_deadline(values[2], &call->deadline);
}

int
pn_parse_call(const char *function, const char *first_name, PyObject *const *args, Py_ssize_t count,
              PyObject *names, pn_call *call)
{
    return parse_call(function, first_name, NULL, args, count, names, call);
}

int
pn_parse_acquire(PyObject *const *args, Py_ssize_t count, PyObject *names, pn_call *call)
{
    return parse_call("acquire", NULL, "blocking", args, count, names, call);
}

void
pn_before_sleep(void)
{
    pn_thread *self = pn_self();
    if (self->slice_ns > MAIN_SLICE_NS && self->tid == (uint32_t)getpid()) {
        self->slice_ns = MAIN_SLICE_NS;
    }
}
