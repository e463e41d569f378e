/* The shared Buffers of this process, by address: whose bytes an array or a view lies in.
 *
 * Sorted, without overlap: one Buffer object for each cell, because a second arrival of the same
 * cell finds the first. Pointers are borrowed: a Buffer takes itself out before it goes, and nobody
 * can look between its last reference and that, since both need the GIL. */
#include "codec.h"

#include "../buffer.h"

/* The first span that begins above the address. */
static size_t
first_above(const pn_registry *registry, const char *address)
{
    size_t low = 0, high = registry->used;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (registry->spans[middle].begin <= address) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

SharedObject *
pn_registry_find(const pn_registry *registry, const char *begin, const char *end)
{
    size_t at = first_above(registry, begin);
    if (at == 0 || end > registry->spans[at - 1].end) {
        return NULL;
    }
    return registry->spans[at - 1].buffer;
}

int
pn_registry_add(pn_registry *registry, SharedObject *buffer, const char *begin, size_t length)
{
    if (registry->used == registry->capacity) {
        size_t capacity = registry->capacity ? registry->capacity * 2 : 16;
        pn_span *larger = PyMem_RawRealloc(registry->spans, capacity * sizeof(*larger));
        if (larger == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        registry->spans = larger;
        registry->capacity = capacity;
    }
    size_t at = first_above(registry, begin);
    memmove(&registry->spans[at + 1], &registry->spans[at],
            (registry->used - at) * sizeof(*registry->spans));
    registry->spans[at] = (pn_span){begin, begin + length, buffer};
    registry->used++;
    return 0;
}

void
pn_registry_remove(pn_registry *registry, const SharedObject *buffer, const char *begin)
{
    size_t at = first_above(registry, begin);
    if (at == 0 || registry->spans[at - 1].buffer != buffer) {
        return; /* it was never added */
    }
    registry->used--;
    memmove(&registry->spans[at - 1], &registry->spans[at],
            (registry->used - at + 1) * sizeof(*registry->spans));
}

bool
pn_extent(const Py_buffer *view, const char **begin, const char **end)
{
    const char *low = view->buf, *high = low + view->itemsize;
    if (view->len == 0 || view->suboffsets != NULL) {
        return false;
    }
    if (view->strides == NULL) {
        high = low + view->len;
    }
    for (int i = 0; view->strides != NULL && i < view->ndim; i++) {
        Py_ssize_t reach = (view->shape[i] - 1) * view->strides[i];
        if (reach < 0) {
            low += reach;
        } else {
            high += reach;
        }
    }
    *begin = low;
    *end = high;
    return true;
}

/* The shared Buffer in which an open view lies, borrowed. */
static SharedObject *
find_view(pn_state *state, const Py_buffer *view)
{
    const char *begin, *end;
    return state->registry.used != 0 && pn_extent(view, &begin, &end)
               ? pn_registry_find(&state->registry, begin, end)
               : NULL;
}

PyObject *
pn_py_find_shared(PyObject *module, PyObject *obj)
{
    Py_buffer view;
    if (PyObject_GetBuffer(obj, &view, PyBUF_STRIDED_RO) < 0) {
        /* An array whose bytes nobody may look at lies in no Buffer. */
        if (!PyErr_ExceptionMatches(PyExc_BufferError) &&
            !PyErr_ExceptionMatches(PyExc_ValueError)) {
            return NULL;
        }
        PyErr_Clear();
        Py_RETURN_NONE;
    }
    SharedObject *buffer = find_view(PyModule_GetState(module), &view);
    PyObject *result = Py_None;
    if (buffer == NULL) {
        Py_INCREF(result);
    } else {
        const char *bytes = pn_buffer_bytes(buffer->domain, buffer->offset);
        result = Py_BuildValue("On", buffer, (Py_ssize_t)((const char *)view.buf - bytes));
    }
    PyBuffer_Release(&view);
    return result;
}

PyObject *
pn_py_goes_beside(PyObject *module, PyObject *buffer)
{
    Py_buffer view;
    if (PyObject_GetBuffer(buffer, &view, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    bool beside = view.len >= PN_BESIDE || find_view(PyModule_GetState(module), &view) != NULL;
    PyBuffer_Release(&view);
    return PyBool_FromLong(beside);
}
