/* The one place where a core status becomes a Python exception. */
#include "objects.h"

#include <errno.h>
#include <stdarg.h>

PyObject *
pn_raise_named(const char *module, const char *exception, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    PyObject *text = PyUnicode_FromFormatV(format, args);
    va_end(args);
    if (text == NULL) {
        return NULL;
    }
    PyObject *home = PyImport_ImportModule(module);
    PyObject *type = home ? PyObject_GetAttrString(home, exception) : NULL;
    if (type != NULL) {
        PyErr_SetObject(type, text);
    }
    Py_XDECREF(type);
    Py_XDECREF(home);
    Py_DECREF(text);
    return NULL;
}

static PyObject *
ours(const char *exception, const char *format, const char *a, const char *b)
{
    return pn_raise_named("procession._base.errors", exception, format, a, b);
}

PyObject *
pn_raise(pn_status status, pn_domain *domain, const char *what, const char *name)
{
    switch (status) {
    case PN_EMPTY:
        return pn_raise_named("queue", "Empty", "%s '%s' had no item in time", what, name);
    case PN_FULL:
        return pn_raise_named("queue", "Full", "%s '%s' had no room in time", what, name);
    case PN_SHUT_DOWN:
        return ours("ShutDown", "%s '%s' was shut down: nothing more can be put", what, name);
    case PN_STALE:
        return ours("StaleHandle",
                    "the %s of this handle has been freed: nobody held it any more. "
                    "Keep a reference until the receiver has it.",
                    what, name);
    case PN_NO_MEMORY:
        return pn_raise_named(
            "procession._base.errors", "DomainFull",
            "no memory for %s '%s'; the limit that bound: %s. %s, or raise PROCESSION_MAX_BYTES.",
            what, name, domain != NULL && domain->limit[0] ? domain->limit : "private memory",
            strcmp(what, "SharedDict") == 0
                ? "Remove items that are not needed"
                : "Consume faster, give the queue maxsize= or max_bytes=");
    case PN_TOO_BIG:
        return pn_raise_named("procession._base.errors", "DomainFull",
                              "an object for %s '%s' is larger than the whole domain may be "
                              "(%llu bytes). Split it, or raise PROCESSION_MAX_BYTES.",
                              what, name,
                              (unsigned long long)atomic_load(&domain->header->max_bytes));
    case PN_NO_SLOT:
        return pn_raise_named("procession._base.errors", "DomainFull",
                              "the process table is full: %d processes use this domain already; "
                              "end some before '%s' starts",
                              (int)PN_SLOTS, name);
    case PN_NOT_OWNER:
        return pn_raise_named("procession._base.errors", "NotOwner",
                              "%s '%s' is not held by this thread, so it cannot release it", what,
                              name);
    case PN_TOO_MANY:
        PyErr_Format(PyExc_RuntimeError,
                     "this thread holds %d robust locks already; the kernel repairs no more than "
                     "that after a death. Release some before taking %s '%s'.",
                     (int)PN_ROBUST_LIMIT, what, name);
        return NULL;
    case PN_LAYOUT:
        return ours("LayoutMismatch",
                    "the %s '%s' was made by another version of procession; both programs need "
                    "the same layout",
                    what, name);
    case PN_NAMESPACE:
        return ours("LayoutMismatch",
                    "the %s '%s' lives in another pid namespace, where the owners of its locks "
                    "cannot be told; share it inside one container only",
                    what, name);
    case PN_SYSTEM:
        return PyErr_SetFromErrno(PyExc_OSError);
    default:
        PyErr_Format(PyExc_SystemError, "%s '%s': status %d; please report it", what, name,
                     (int)status);
        return NULL;
    }
}
