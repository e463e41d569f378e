/* Keys of dictionaries as bytes. Two keys are equal, as Python has it, if and only if their canonical forms are the
 * same bytes: a bool or a float that is an integer is written as that integer. What a key looked like is kept in a
 * second form, which is written only where it differs.
 *
 *   N T F          None True False       i int64    d float64
 *   I length hex   a larger int          s length UTF-8, with surrogates    b length bytes
 *   t count        tuple
 * Lengths and counts are u32; little endian, unaligned.
 */
#include "codec.h"

#include <math.h>

typedef struct {
    pn_writer *out;
    bool canonical;
    bool differs; /* the canonical form is not the one that is shown */
} encoder;

static int
put(encoder *to, char tag, const void *bytes, size_t length)
{
    char *at = room(to->out, length + 1);
    if (at == NULL) {
        return -1;
    }
    *at = tag;
    memcpy(at + 1, bytes, length);
    to->out->used += length + 1;
    return 0;
}

static int
put_sized(encoder *to, char tag, const char *bytes, Py_ssize_t length)
{
    uint32_t wide = (uint32_t)length;
    if (length > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "a key of %zd bytes is too long: at most %d", length,
                     (int)INT32_MAX);
        return -1;
    }
    return put(to, tag, &wide, sizeof(wide)) < 0 ? -1 : pn_append_raw(to->out, bytes, wide);
}

static int
put_long(encoder *to, PyObject *key)
{
    int overflow;
    int64_t value = PyLong_AsLongLongAndOverflow(key, &overflow);
    if (!overflow) {
        return value == -1 && PyErr_Occurred() ? -1 : put(to, 'i', &value, sizeof(value));
    }
    PyObject *hex = PyNumber_ToBase(key, 16);
    if (hex == NULL) {
        return -1;
    }
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(hex, &length);
    int result = bytes ? put_sized(to, 'I', bytes, length) : -1;
    Py_DECREF(hex);
    return result;
}

static int
put_float(encoder *to, PyObject *key)
{
    double value = PyFloat_AS_DOUBLE(key);
    if (isnan(value)) {
        PyErr_SetString(PyExc_ValueError, "a key of a SharedDict cannot be NaN: it is equal to "
                                          "nothing, so it would never be found");
        return -1;
    }
    if (!to->canonical || isinf(value) || floor(value) != value) {
        return put(to, 'd', &value, sizeof(value));
    }
    to->differs = true;
    if (value >= -0x1p63 && value < 0x1p63) {
        int64_t integer = (int64_t)value;
        return put(to, 'i', &integer, sizeof(integer));
    }
    PyObject *integer = PyLong_FromDouble(value);
    int result = integer ? put_long(to, integer) : -1;
    Py_XDECREF(integer);
    return result;
}

static int
put_bool(encoder *to, PyObject *key)
{
    if (!to->canonical) {
        return put(to, key == Py_True ? 'T' : 'F', "", 0);
    }
    int64_t integer = key == Py_True;
    to->differs = true;
    return put(to, 'i', &integer, sizeof(integer));
}

static int
put_str(encoder *to, PyObject *key)
{
    Py_ssize_t length;
    if (PyUnicode_IS_COMPACT_ASCII(key)) {
        return put_sized(to, 's', (const char *)PyUnicode_1BYTE_DATA(key),
                         PyUnicode_GET_LENGTH(key));
    }
    const char *bytes = PyUnicode_AsUTF8AndSize(key, &length);
    if (bytes != NULL) {
        return put_sized(to, 's', bytes, length);
    }
    if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        return -1;
    }
    PyErr_Clear();
    PyObject *encoded = PyUnicode_AsEncodedString(key, "utf-8", "surrogatepass");
    int result =
        encoded ? put_sized(to, 's', PyBytes_AS_STRING(encoded), PyBytes_GET_SIZE(encoded)) : -1;
    Py_XDECREF(encoded);
    return result;
}

static int put_key(encoder *to, PyObject *key);

static int
put_tuple(encoder *to, PyObject *key)
{
    Py_ssize_t count = PyTuple_GET_SIZE(key);
    uint32_t wide = (uint32_t)count;
    if (count > INT32_MAX) {
        PyErr_SetString(PyExc_ValueError, "a key with so many elements is too long");
        return -1;
    }
    if (put(to, 't', &wide, sizeof(wide)) < 0 ||
        Py_EnterRecursiveCall(" in a key of a SharedDict")) {
        return -1;
    }
    int result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < count; i++) {
        result = put_key(to, PyTuple_GET_ITEM(key, i));
    }
    Py_LeaveRecursiveCall();
    return result;
}

static int
put_key(encoder *to, PyObject *key)
{
    PyTypeObject *type = Py_TYPE(key);
    if (type == &PyUnicode_Type) {
        return put_str(to, key);
    }
    if (type == &PyLong_Type) {
        return put_long(to, key);
    }
    if (type == &PyTuple_Type) {
        return put_tuple(to, key);
    }
    if (type == &PyBytes_Type) {
        return put_sized(to, 'b', PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key));
    }
    if (type == &PyFloat_Type) {
        return put_float(to, key);
    }
    if (type == &PyBool_Type) {
        return put_bool(to, key);
    }
    if (key == Py_None) {
        return put(to, 'N', "", 0);
    }
    PyErr_Format(PyExc_TypeError,
                 "a key of a SharedDict is a str, bytes, int, float, bool, None or a tuple of "
                 "these, not %.100s: "
                 "other objects have no hash that is the same in every process",
                 type->tp_name);
    return -1;
}

int
pn_key_encode(pn_writer *out, PyObject *key, uint32_t *length, uint32_t *shown)
{
    encoder to = {.out = out, .canonical = true};
    size_t start = out->used;
    if (put_key(&to, key) < 0) {
        return -1;
    }
    size_t canonical = out->used - start;
    to.canonical = false;
    if (to.differs && put_key(&to, key) < 0) {
        return -1;
    }
    size_t both = out->used - start;
    if (both > INT32_MAX) {
        PyErr_Format(PyExc_ValueError, "a key of %zu bytes is too long: at most %d", both,
                     (int)INT32_MAX);
        return -1;
    }
    *length = (uint32_t)canonical;
    *shown = (uint32_t)(both - canonical);
    return 0;
}

/* ---- back ------------------------------------------------------------------------ */

static PyObject *get_key(pn_reader *in);

static PyObject *
get_tuple(pn_reader *in, uint32_t count)
{
    if (count > (size_t)(in->end - in->at)) {
        return pn_broken_record(); /* an element is one byte at least */
    }
    PyObject *result = PyTuple_New(count);
    for (uint32_t i = 0; result != NULL && i < count; i++) {
        PyObject *item = get_key(in);
        if (item == NULL) {
            Py_CLEAR(result);
        } else {
            PyTuple_SET_ITEM(result, i, item);
        }
    }
    return result;
}

static PyObject *
get_large(const char *bytes, uint32_t length)
{
    PyObject *text = PyUnicode_DecodeASCII(bytes, length, "strict");
    PyObject *result = text ? PyLong_FromUnicodeObject(text, 16) : NULL;
    Py_XDECREF(text);
    return result;
}

static PyObject *
get_key(pn_reader *in)
{
    char tag;
    int64_t integer;
    double value;
    uint32_t length;
    if (!pn_read(in, &tag, 1)) {
        return pn_broken_record();
    }
    switch (tag) {
    case 'N':
        Py_RETURN_NONE;
    case 'T':
        Py_RETURN_TRUE;
    case 'F':
        Py_RETURN_FALSE;
    case 'i':
        return pn_read(in, &integer, sizeof(integer)) ? PyLong_FromLongLong(integer)
                                                      : pn_broken_record();
    case 'd':
        return pn_read(in, &value, sizeof(value)) ? PyFloat_FromDouble(value) : pn_broken_record();
    default:
        break;
    }
    if (!pn_read(in, &length, sizeof(length))) {
        return pn_broken_record();
    }
    if (tag == 't') {
        return get_tuple(in, length);
    }
    if (length > (size_t)(in->end - in->at)) {
        return pn_broken_record();
    }
    const char *bytes = in->at;
    in->at += length;
    switch (tag) {
    case 's':
        return PyUnicode_DecodeUTF8(bytes, length, "surrogatepass");
    case 'b':
        return PyBytes_FromStringAndSize(bytes, length);
    case 'I':
        return get_large(bytes, length);
    default:
        return pn_broken_record();
    }
}

PyObject *
pn_key_decode(const char *bytes, size_t length)
{
    pn_reader in = {bytes, bytes + length};
    return get_key(&in);
}
