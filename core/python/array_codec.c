/* Arrays without pickle: an exact numpy.ndarray of plain numbers that stands alone in an item.
 *
 * Its record says what the bytes are (type, shape, order) and in which Buffer they stand. A shared
 * Buffer is named as it is; of everything else a copy is made into a new one. No header of numpy
 * is needed: the bytes are had by the buffer protocol, the type by comparing dtype objects. */
#include "codec.h"

#include "../buffer.h"

/* numpy's letters; the place in this row is what travels. */
static const char CODES[] = "?bBhHiIlLqQefdgFDG";

_Static_assert(sizeof(CODES) - 1 == PN_ARRAY_DTYPES, "a dtype object for each letter");

enum { ARRAY_READ_ONLY = 1, ARRAY_FORTRAN = 2 };

typedef struct {
    uint64_t begin; /* where in the Buffer */
    uint8_t code, flags, dimensions, zero[5];
} array_body; /* then comes the shape: an int64_t for each dimension */

#define DIMENSIONS_LIMIT 64 /* numpy's own */

/* ---- numpy's objects, looked up at the first array ------------------------------ */

static int
load_numpy(pn_numpy *numpy)
{
    PyObject *module = PyImport_ImportModule("numpy");
    PyObject *copyreg = PyImport_ImportModule("copyreg");
    PyObject *table = copyreg ? PyObject_GetAttrString(copyreg, "dispatch_table") : NULL;
    PyObject *ndarray = module ? PyObject_GetAttrString(module, "ndarray") : NULL;
    PyObject *dtype = ndarray ? PyObject_GetAttrString(module, "dtype") : NULL;
    int result = dtype == NULL || table == NULL ? -1 : 0;
    for (size_t i = 0; result == 0 && i < PN_ARRAY_DTYPES; i++) {
        Py_XSETREF(numpy->dtypes[i], PyObject_CallFunction(dtype, "C", CODES[i]));
        result = numpy->dtypes[i] == NULL ? -1 : 0;
    }
    if (result == 0 && numpy->fortran == NULL) {
        numpy->dtype_name = PyUnicode_InternFromString("dtype");
        numpy->setflags_name = PyUnicode_InternFromString("setflags");
        numpy->fortran = PyUnicode_InternFromString("F");
        result = numpy->fortran == NULL || numpy->dtype_name == NULL || numpy->setflags_name == NULL
                     ? -1
                     : 0;
    }
    if (result == 0) {
        Py_XSETREF(numpy->copyreg, Py_NewRef(table));
        Py_XSETREF(numpy->ndarray,
                   (PyTypeObject *)Py_NewRef(ndarray)); /* last: says that all is there */
    }
    Py_XDECREF(dtype);
    Py_XDECREF(ndarray);
    Py_XDECREF(table);
    Py_XDECREF(copyreg);
    Py_XDECREF(module);
    return result;
}

bool
pn_is_array(pn_state *state, PyTypeObject *type)
{
    if (state->numpy.ndarray != NULL) {
        return type == state->numpy.ndarray;
    }
    if (strcmp(type->tp_name, "numpy.ndarray") != 0) {
        return false;
    }
    if (load_numpy(&state->numpy) < 0) {
        PyErr_Clear(); /* then it is pickled, which tells what is wrong */
        return false;
    }
    return type == state->numpy.ndarray;
}

/* The place of its letter, if the dtype is one of the plain ones and no more than that; -1: it is not. */
static int
code_of(const pn_numpy *numpy, PyObject *dtype)
{
    for (int i = PN_ARRAY_DTYPES - 1; i >= 0; i--) { /* floats are the most frequent */
        if (numpy->dtypes[i] == dtype) {
            return i;
        }
    }
    /* An unpickled dtype is a copy. Equal ones may still differ in what they carry along. */
    int code = -1;
    PyObject *letter = PyObject_GetAttrString(dtype, "char");
    PyObject *metadata = letter ? PyObject_GetAttrString(dtype, "metadata") : NULL;
    const char *found = NULL;
    if (metadata == Py_None && PyUnicode_Check(letter) && PyUnicode_GET_LENGTH(letter) == 1 &&
        PyUnicode_READ_CHAR(letter, 0) < 128) {
        found = strchr(CODES, (int)PyUnicode_READ_CHAR(letter, 0));
    }
    if (found != NULL && *found != 0 &&
        PyObject_RichCompareBool(dtype, numpy->dtypes[found - CODES], Py_EQ) == 1) {
        code = (int)(found - CODES);
    }
    Py_XDECREF(letter);
    Py_XDECREF(metadata);
    if (PyErr_Occurred()) {
        PyErr_Clear(); /* it is pickled, then */
        return -1;
    }
    return code;
}

/* Has the program told pickle its own way with arrays? That way counts then. */
static bool
has_own_reducer(pn_state *state)
{
    PyObject *ndarray = (PyObject *)state->numpy.ndarray;
    PyObject *own =
        state->reducers == NULL ? NULL : PyDict_GetItemWithError(state->reducers, ndarray);
    if (own == NULL) {
        own = PyDict_GetItemWithError(state->numpy.copyreg, ndarray);
    }
    return own != NULL && own != state->array_reducer;
}

/* ---- encode ----------------------------------------------------------------------- */

static int
append_array(pn_writer *out, SharedObject *ring, size_t start, uint64_t object, uint64_t weight,
             array_body body, const Py_buffer *view)
{
    pn_handles head = {.count = 1, .weight = weight};
    int64_t shape[DIMENSIONS_LIMIT];
    body.dimensions = (uint8_t)view->ndim;
    body.flags |= view->readonly ? ARRAY_READ_ONLY : 0;
    for (int i = 0; i < view->ndim; i++) {
        shape[i] = view->shape[i];
    }
    if (pn_append_raw(out, &head, sizeof(head)) < 0 ||
        pn_append_raw(out, &object, sizeof(object)) < 0 ||
        pn_append_raw(out, &body, sizeof(body)) < 0 ||
        pn_append_raw(out, shape, (size_t)view->ndim * sizeof(*shape)) < 0) {
        return FAILED;
    }
    return pn_finish_record(out, ring, start, PN_RECORD_ARRAY, PN_RECORD_HANDLES);
}

static int
encode_copy(pn_writer *out, SharedObject *ring, size_t start, array_body body,
            const Py_buffer *view)
{
    uint64_t made = pn_make_buffer(ring, (size_t)view->len);
    if (made == 0) {
        return FAILED;
    }
    pn_copy(pn_buffer_bytes(ring->domain, made), view->buf, (size_t)view->len);
    int result = append_array(out, ring, start, made, (uint64_t)view->len, body, view);
    if (result < 0) {
        pn_object_drop(ring->domain, made);
    }
    return result;
}

/* What is neither in C nor in Fortran order becomes so first: pickle has it in C order, too. */
static int
encode_in_order(pn_state *state, SharedObject *ring, pn_writer *out, size_t start, PyObject *obj)
{
    PyObject *ordered = PyObject_CallMethod(obj, "copy", "s", "C");
    if (ordered == NULL) {
        return FAILED;
    }
    int result = pn_encode_array(state, ring, out, start, ordered);
    Py_DECREF(ordered);
    return result;
}

static int
encode_view(pn_state *state, SharedObject *ring, pn_writer *out, size_t start, int code,
            PyObject *obj, const Py_buffer *view)
{
    const char *begin, *end;
    if (view->ndim > DIMENSIONS_LIMIT || !pn_extent(view, &begin, &end)) {
        return NOT_PLAIN;
    }
    SharedObject *shared = pn_registry_find(&state->registry, begin, end);
    if (shared == NULL && view->len < PN_BESIDE) {
        return NOT_PLAIN;
    }
    bool is_c = PyBuffer_IsContiguous(view, 'C');
    if (!is_c && !PyBuffer_IsContiguous(view, 'F')) {
        return shared ? NOT_PLAIN : encode_in_order(state, ring, out, start, obj);
    }
    array_body body = {.code = (uint8_t)code, .flags = is_c ? 0 : ARRAY_FORTRAN};
    if (shared == NULL) {
        return encode_copy(out, ring, start, body, view);
    }
    if (shared->domain != ring->domain) {
        return NOT_PLAIN;
    }
    body.begin = (uint64_t)(begin - pn_buffer_bytes(shared->domain, shared->offset));
    return append_array(out, ring, start, shared->offset, 0, body, view);
}

int
pn_encode_array(pn_state *state, SharedObject *ring, pn_writer *out, size_t start, PyObject *obj)
{
    if (has_own_reducer(state)) {
        return NOT_PLAIN;
    }
    PyObject *dtype = PyObject_GetAttr(obj, state->numpy.dtype_name);
    int code = dtype ? code_of(&state->numpy, dtype) : -1;
    Py_XDECREF(dtype);
    Py_buffer view;
    if (code < 0 || PyObject_GetBuffer(obj, &view, PyBUF_STRIDED_RO) < 0) {
        PyErr_Clear();
        return NOT_PLAIN;
    }
    int result = encode_view(state, ring, out, start, code, obj, &view);
    PyBuffer_Release(&view);
    return result;
}

/* ---- decode ----------------------------------------------------------------------- */

/* numpy.ndarray(shape, dtype, buffer, offset, strides, order) */
static PyObject *
make_array(pn_numpy *numpy, const array_body *body, PyObject *buffer)
{
    const int64_t *lengths = (const int64_t *)(body + 1);
    PyObject *shape = PyTuple_New(body->dimensions);
    PyObject *begin = PyLong_FromUnsignedLongLong(body->begin);
    PyObject *result = NULL;
    for (int i = 0; shape != NULL && i < body->dimensions; i++) {
        PyObject *length = PyLong_FromLongLong(lengths[i]);
        if (length == NULL) {
            Py_CLEAR(shape);
        } else {
            PyTuple_SET_ITEM(shape, i, length);
        }
    }
    if (shape != NULL && begin != NULL) {
        PyObject *args[] = {shape,         numpy->dtypes[body->code], buffer, begin, Py_None,
                            numpy->fortran};
        result = PyObject_Vectorcall((PyObject *)numpy->ndarray, args,
                                     body->flags & ARRAY_FORTRAN ? 6 : 4, NULL);
    }
    if (result != NULL && body->flags & ARRAY_READ_ONLY) {
        PyObject *args[] = {result, Py_False};
        PyObject *done = PyObject_VectorcallMethod(numpy->setflags_name, args, 2, NULL);
        Py_XDECREF(done);
        if (done == NULL) {
            Py_CLEAR(result);
        }
    }
    Py_XDECREF(shape);
    Py_XDECREF(begin);
    return result;
}

PyObject *
pn_decode_array(pn_state *state, SharedObject *ring, const pn_handles *handles, const char *bytes,
                size_t length)
{
    const array_body *body = (const array_body *)bytes;
    if (handles == NULL || length < sizeof(*body) || body->code >= PN_ARRAY_DTYPES ||
        length < sizeof(*body) + body->dimensions * sizeof(int64_t)) {
        return pn_broken_record();
    }
    if (state->numpy.ndarray == NULL && load_numpy(&state->numpy) < 0) {
        return NULL;
    }
    SharedObject *buffer = pn_buffer_object(state, ring, handles->offset[0]);
    if (buffer == NULL) {
        return NULL;
    }
    PyObject *result = make_array(&state->numpy, body, (PyObject *)buffer);
    Py_DECREF(buffer);
    return result;
}
