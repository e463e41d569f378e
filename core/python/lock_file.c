/* Taking the lock of an open file: the calls that wait, for the FileLock of _sync/filelock.py. */
#include "objects.h"

#include "../filelock.h"

/* Seen in the domain's table meanwhile, if the process has a domain. PN_INTERRUPTED: a signal handler raised. */
static pn_status
sleep_for(PyObject *file, int fd, int64_t deadline, DomainObject *domain)
{
    pn_status status;
    do {
        Py_BEGIN_ALLOW_THREADS
        pn_wait *wait = domain != NULL ? pn_wait_begin_file(domain->domain, fd) : NULL;
        status = pn_file_lock_wait(fd, deadline);
        pn_wait_end(wait);
        Py_END_ALLOW_THREADS
        if (status == PN_INTERRUPTED &&
            (PyErr_CheckSignals() != 0 || (fd = PyObject_AsFileDescriptor(file)) < 0)) {
            break; /* a handler raised, or forked, and a forked child has closed the file */
        }
    } while (status == PN_INTERRUPTED);
    return status;
}

PyObject *
pn_py_lock_file(PyObject *module, PyObject *args)
{
    PyObject *file, *timeout = Py_None, *domain = Py_None;
    int64_t deadline;
    pn_state *state = PyModule_GetState(module);
    if (!PyArg_ParseTuple(args, "O|OO:lock_file", &file, &timeout, &domain) ||
        pn_deadline(timeout, &deadline) < 0) {
        return NULL;
    }
    if (domain != Py_None && !PyObject_TypeCheck(domain, state->domain_type)) {
        PyErr_Format(PyExc_TypeError, "expected a Domain or None, not %.100s",
                     Py_TYPE(domain)->tp_name);
        return NULL;
    }
    int fd = PyObject_AsFileDescriptor(file);
    if (fd < 0) {
        return NULL;
    }
    pn_status status;
    Py_BEGIN_ALLOW_THREADS /* a server may be asked */
    status = pn_file_lock_try(fd);
    Py_END_ALLOW_THREADS
    if (status == PN_BUSY || status == PN_INTERRUPTED) {
        status = sleep_for(file, fd, deadline, domain != Py_None ? (DomainObject *)domain : NULL);
    }
    if (status == PN_SYSTEM) {
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return PyErr_Occurred() ? NULL : PyBool_FromLong(status == PN_OK);
}
