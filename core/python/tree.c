/* Plain values in a form of their own.
 *
 * None, bool, int, float, str, bytes, tuples of them, and one list or dict of them at the top: ten
 * times faster than pickle. Only exact types, and mutable ones only at the top, so that
 * identity and aliasing inside an item can make no difference.
 *
 * Little endian, unaligned:
 *   N T F           None True False          i int32   l int64   d float64
 *   a/A length      ASCII str, u8/u32        s/S  UTF-8 str     b/B  bytes
 *   t/( count       tuple, u8/u32            [ u32 list          { u32 dict: key, value...
 */
#include "codec.h"

#define DEPTH_LIMIT 6 /* of nested tuples: deeper ones are pickled */
/* Bytes: larger trees are pickled, which writes only once what an item names many times. */
#define TREE_LIMIT ((size_t)1 << 20)

static inline int
append(pn_writer *out, char tag, const void *bytes, size_t length)
{
    char *at = room(out, length + 1);
    if (at == NULL) {
        return FAILED;
    }
    *at = tag;
    memcpy(at + 1, bytes, length);
    out->used += length + 1;
    return PLAIN;
}

/* A tag for short and one for long, the length, the bytes. */
static inline int
append_sized(pn_writer *out, char small, char large, const void *bytes, size_t length)
{
    if (length > UINT32_MAX) {
        return NOT_PLAIN;
    }
    char *at = room(out, length + 5);
    if (at == NULL) {
        return FAILED;
    }
    if (length < 256) {
        at[0] = small;
        at[1] = (char)(unsigned char)length;
        memcpy(at + 2, bytes, length);
        out->used += length + 2;
    } else {
        uint32_t wide = (uint32_t)length;
        at[0] = large;
        memcpy(at + 1, &wide, 4);
        memcpy(at + 5, bytes, length);
        out->used += length + 5;
    }
    return PLAIN;
}

static int
encode_long(pn_writer *out, PyObject *obj)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(obj, &overflow);
    if (overflow) {
        return NOT_PLAIN;
    }
    if (value == -1 && PyErr_Occurred()) {
        return FAILED;
    }
    if (value == (int32_t)value) {
        int32_t narrow = (int32_t)value;
        return append(out, 'i', &narrow, 4);
    }
    return append(out, 'l', &value, 8);
}

/* Points into the string itself; NOT_PLAIN for what UTF-8 cannot say (surrogates). */
static int
string_bytes(PyObject *obj, const char **bytes, Py_ssize_t *length, bool *ascii)
{
    *ascii = PyUnicode_IS_COMPACT_ASCII(obj);
    if (*ascii) {
        *bytes = (const char *)PyUnicode_1BYTE_DATA(obj);
        *length = PyUnicode_GET_LENGTH(obj);
        return PLAIN;
    }
    *bytes = PyUnicode_AsUTF8AndSize(obj, length);
    if (*bytes == NULL) {
        PyErr_Clear();
        return NOT_PLAIN;
    }
    return PLAIN;
}

static int
encode_str(pn_writer *out, PyObject *obj)
{
    const char *bytes;
    Py_ssize_t length;
    bool ascii;
    int result = string_bytes(obj, &bytes, &length, &ascii);
    if (result != PLAIN) {
        return result;
    }
    return ascii ? append_sized(out, 'a', 'A', bytes, (size_t)length)
                 : append_sized(out, 's', 'S', bytes, (size_t)length);
}

static int
append_count(pn_writer *out, char tag, Py_ssize_t count)
{
    uint32_t wide = (uint32_t)count;
    return count > UINT32_MAX ? NOT_PLAIN : append(out, tag, &wide, 4);
}

/* The tree begins at `start` of what is written. */
static int
encode_tree(pn_writer *out, size_t start, PyObject *obj, int depth)
{
    PyTypeObject *type = Py_TYPE(obj);
    if (out->used - start > TREE_LIMIT) {
        return NOT_PLAIN;
    }
    if (type == &PyLong_Type) {
        return encode_long(out, obj);
    }
    if (type == &PyUnicode_Type) {
        return encode_str(out, obj);
    }
    if (obj == Py_None || type == &PyBool_Type) {
        return append(out, obj == Py_None ? 'N' : obj == Py_True ? 'T' : 'F', "", 0);
    }
    if (type == &PyFloat_Type) {
        double value = PyFloat_AS_DOUBLE(obj);
        return append(out, 'd', &value, 8);
    }
    if (type == &PyBytes_Type) {
        return append_sized(out, 'b', 'B', PyBytes_AS_STRING(obj), (size_t)PyBytes_GET_SIZE(obj));
    }
    if (type == &PyTuple_Type && depth < DEPTH_LIMIT) {
        Py_ssize_t count = PyTuple_GET_SIZE(obj);
        unsigned char narrow = (unsigned char)count;
        int result = count < 256 ? append(out, 't', &narrow, 1) : append_count(out, '(', count);
        for (Py_ssize_t i = 0; i < count && result == PLAIN; i++) {
            result = encode_tree(out, start, PyTuple_GET_ITEM(obj, i), depth + 1);
        }
        return result;
    }
    if (depth > 0) {
        return NOT_PLAIN;
    }
    if (type == &PyList_Type) {
        Py_ssize_t count = PyList_GET_SIZE(obj);
        int result = append_count(out, '[', count);
        for (Py_ssize_t i = 0; i < count && result == PLAIN; i++) {
            result = i < PyList_GET_SIZE(obj) ? encode_tree(out, start, PyList_GET_ITEM(obj, i), 1)
                                              : NOT_PLAIN;
        }
        return result;
    }
    if (type == &PyDict_Type) {
        int result = append_count(out, '{', PyDict_GET_SIZE(obj));
        PyObject *key, *value;
        Py_ssize_t at = 0;
        while (result == PLAIN && PyDict_Next(obj, &at, &key, &value)) {
            result = encode_tree(out, start, key, 1);
            if (result == PLAIN) {
                result = encode_tree(out, start, value, 1);
            }
        }
        return result;
    }
    return NOT_PLAIN;
}

int
pn_tree_encode(pn_writer *out, PyObject *obj)
{
    return encode_tree(out, out->used, obj, 0);
}

/* ---- back ----------------------------------------------------------------------- */

static PyObject *decode_tree(pn_reader *in);

static PyObject *
decode_sequence(pn_reader *in, char tag, uint32_t count)
{
    if (count > (size_t)(in->end - in->at)) {
        return pn_broken_record(); /* an element is one byte at least */
    }
    PyObject *result = tag == '[' ? PyList_New(count) : PyTuple_New(count);
    for (uint32_t i = 0; result != NULL && i < count; i++) {
        PyObject *item = decode_tree(in);
        if (item == NULL) {
            Py_CLEAR(result);
        } else if (tag == '[') {
            PyList_SET_ITEM(result, i, item);
        } else {
            PyTuple_SET_ITEM(result, i, item);
        }
    }
    return result;
}

static PyObject *
decode_dict(pn_reader *in, uint32_t count)
{
    PyObject *result = PyDict_New();
    for (uint32_t i = 0; result != NULL && i < count; i++) {
        PyObject *key = decode_tree(in);
        PyObject *value = key ? decode_tree(in) : NULL;
        if (value == NULL || PyDict_SetItem(result, key, value) < 0) {
            Py_CLEAR(result);
        }
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return result;
}

static PyObject *
decode_tree(pn_reader *in)
{
    unsigned char tag, narrow;
    uint32_t wide = 0;
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
    case 'i': {
        int32_t value;
        return pn_read(in, &value, 4) ? PyLong_FromLong(value) : pn_broken_record();
    }
    case 'l': {
        long long value;
        return pn_read(in, &value, 8) ? PyLong_FromLongLong(value) : pn_broken_record();
    }
    case 'd': {
        double value;
        return pn_read(in, &value, 8) ? PyFloat_FromDouble(value) : pn_broken_record();
    }
    case 'a':
    case 's':
    case 'b':
    case 't':
        if (!pn_read(in, &narrow, 1)) {
            return pn_broken_record();
        }
        wide = narrow;
        break;
    default:
        if (!pn_read(in, &wide, 4)) {
            return pn_broken_record();
        }
    }
    if (tag == 't' || tag == '(' || tag == '[') {
        return decode_sequence(in, (char)tag, wide);
    }
    if (tag == '{') {
        return decode_dict(in, wide);
    }
    if (wide > (size_t)(in->end - in->at)) {
        return pn_broken_record();
    }
    const char *bytes = in->at;
    in->at += wide;
    switch (tag) {
    case 'a':
    case 'A':
        return pn_ascii_str(bytes, wide);
    case 's':
    case 'S':
        return PyUnicode_DecodeUTF8(bytes, wide, "strict");
    case 'b':
    case 'B':
        return PyBytes_FromStringAndSize(bytes, wide);
    default:
        return pn_broken_record();
    }
}

PyObject *
pn_tree_decode(const char *bytes, size_t length)
{
    pn_reader in = {bytes, bytes + length};
    return decode_tree(&in);
}
