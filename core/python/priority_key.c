/* Keys of a PriorityQueue: bytes whose order, as memcmp has it, is the order that Python has for the items.
 *
 *   number   tag (sign), exponent 2 bytes, mantissa 8 bytes, 0; a longer mantissa: 1, the rest, 0 0.
 *            All after the tag is complemented if it is negative. int and float alike: 1 == 1.0 == True.
 *   str      tag, UTF-8 with every 0 as 0 255, 0 0; bytes alike
 *   tuple    tag, its elements, 0; a list has a tag of its own
 *
 * A key ends at the first element that has no such form: items that are equal up to there come in
 * the order of their puts. So do those whose keys agree in PN_KEY_LIMIT bytes: the rest is cut off. */
#include "codec.h"

#include <math.h>

#include "../priority.h"

enum {
    END = 0,
    UNKNOWN, /* here comes what has no such form: (1,) comes before (1, object()) */
    NEGATIVE_INFINITY = 0x10,
    NEGATIVE,
    ZERO,
    POSITIVE,
    POSITIVE_INFINITY,
    TEXT = 0x20,
    BYTES,
    TUPLE = 0x30,
    LIST
};

enum { GOES_ON, STOPS = 1 }; /* beside FAILED */

#define BIAS 0x8000 /* of an exponent */
#define NESTED 64   /* tuples in tuples */

static int
append(pn_writer *out, const void *bytes, size_t length)
{
    return pn_append_raw(out, bytes, length);
}

static int
append_byte(pn_writer *out, uint8_t byte)
{
    return append(out, &byte, 1);
}

/* With every 0 as 0 255, and 0 0 at the end: a prefix comes before what is longer. */
static int
append_escaped(pn_writer *out, const char *bytes, size_t length)
{
    while (length > 0) {
        const char *zero = memchr(bytes, 0, length < PN_KEY_LIMIT ? length : PN_KEY_LIMIT);
        size_t plain = zero                    ? (size_t)(zero - bytes)
                       : length < PN_KEY_LIMIT ? length
                                               : PN_KEY_LIMIT;
        if (append(out, bytes, plain) < 0 || (zero != NULL && append(out, "\0\377", 2) < 0)) {
            return FAILED;
        }
        if (out->used > PN_KEY_LIMIT) {
            return STOPS;
        }
        bytes += plain + (zero != NULL);
        length -= plain + (zero != NULL);
    }
    return append(out, "\0\0", 2);
}

/* mantissa / 2^64 * 2^exponent, and `more` bytes of the mantissa behind these. */
static int
append_number(pn_writer *out, bool is_negative, int exponent, uint64_t mantissa, const char *more,
              size_t length)
{
    uint32_t biased = (uint32_t)(exponent + BIAS);
    uint8_t head[11] = {is_negative ? NEGATIVE : POSITIVE, (uint8_t)(biased >> 8), (uint8_t)biased};
    for (int i = 0; i < 8; i++) {
        head[3 + i] = (uint8_t)(mantissa >> (56 - 8 * i));
    }
    size_t start = out->used + 1;
    if (append(out, head, sizeof(head)) < 0 || append_byte(out, length != 0) < 0) {
        return FAILED;
    }
    int result = length != 0 ? append_escaped(out, more, length) : GOES_ON;
    for (size_t at = start; is_negative && at < out->used; at++) {
        out->bytes[at] = (char)~out->bytes[at];
    }
    return result;
}

static int
append_small(pn_writer *out, long long value)
{
    if (value == 0) {
        return append_byte(out, ZERO);
    }
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    int zeros = __builtin_clzll(size);
    return append_number(out, value < 0, 64 - zeros, size << zeros, NULL, 0);
}

/* An int of more than 64 bits: abs(value) << (8 * count - bits), as bytes. */
static int
append_large(pn_writer *out, PyObject *value, bool is_negative)
{
    PyObject *size = PyNumber_Absolute(value);
    PyObject *length = size ? PyObject_CallMethod(size, "bit_length", NULL) : NULL;
    long long bits = length ? PyLong_AsLongLong(length) : -1;
    int result = FAILED;
    if (bits >= BIAS) {
        PyErr_Format(PyExc_OverflowError, "a priority of %lld bits is too large; at most %d", bits,
                     BIAS - 1);
    } else if (bits > 0) {
        Py_ssize_t count = (Py_ssize_t)(bits + 7) / 8;
        PyObject *shift = PyLong_FromSsize_t(8 * count - (Py_ssize_t)bits);
        PyObject *left = shift ? PyNumber_Lshift(size, shift) : NULL;
        PyObject *bytes = left ? PyObject_CallMethod(left, "to_bytes", "ns", count, "big") : NULL;
        if (bytes != NULL) {
            const char *all = PyBytes_AS_STRING(bytes);
            uint64_t mantissa = 0;
            for (int i = 0; i < 8; i++) {
                mantissa = mantissa << 8 | (uint8_t)all[i];
            }
            while (count > 8 && all[count - 1] == 0) {
                count--; /* so that an equal float has the same form */
            }
            result =
                append_number(out, is_negative, (int)bits, mantissa, all + 8, (size_t)count - 8);
        }
        Py_XDECREF(bytes);
        Py_XDECREF(left);
        Py_XDECREF(shift);
    }
    Py_XDECREF(length);
    Py_XDECREF(size);
    return result;
}

static int
append_float(pn_writer *out, double value)
{
    if (isnan(value)) {
        PyErr_SetString(PyExc_ValueError, "NaN is no priority: it comes neither before nor after a "
                                          "number");
        return FAILED;
    }
    if (isinf(value)) {
        return append_byte(out, value < 0 ? NEGATIVE_INFINITY : POSITIVE_INFINITY);
    }
    if (value == 0) {
        return append_byte(out, ZERO);
    }
    int exponent;
    double fraction = frexp(fabs(value), &exponent); /* from 0.5 to 1 */
    return append_number(out, value < 0, exponent, (uint64_t)ldexp(fraction, 64), NULL, 0);
}

static int
append_text(pn_writer *out, PyObject *text)
{
    Py_ssize_t length;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &length);
    PyObject *encoded = NULL;
    if (bytes == NULL) { /* lone surrogates: their form has the right order, too */
        PyErr_Clear();
        encoded = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
        if (encoded == NULL) {
            return FAILED;
        }
        bytes = PyBytes_AS_STRING(encoded);
        length = PyBytes_GET_SIZE(encoded);
    }
    int result = append_byte(out, TEXT);
    result = result ? result : append_escaped(out, bytes, (size_t)length);
    Py_XDECREF(encoded);
    return result;
}

static int append_any(pn_writer *out, PyObject *item, int depth);

static int
append_elements(pn_writer *out, PyObject *sequence, int depth)
{
    if (append_byte(out, PyTuple_Check(sequence) ? TUPLE : LIST) < 0) {
        return FAILED;
    }
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(sequence); i++) {
        PyObject *item = Py_NewRef(PySequence_Fast_GET_ITEM(sequence, i));
        int result = depth > 0 ? append_any(out, item, depth - 1) : STOPS;
        Py_DECREF(item);
        if (result != GOES_ON) {
            return result;
        }
    }
    return append_byte(out, END);
}

static int
append_any(pn_writer *out, PyObject *item, int depth)
{
    if (PyFloat_Check(item)) {
        return append_float(out, PyFloat_AS_DOUBLE(item));
    }
    if (PyUnicode_Check(item)) {
        return append_text(out, item);
    }
    if (PyBytes_Check(item)) {
        int result = append_byte(out, BYTES);
        return result
                   ? result
                   : append_escaped(out, PyBytes_AS_STRING(item), (size_t)PyBytes_GET_SIZE(item));
    }
    if (PyTuple_Check(item) || PyList_Check(item)) {
        return append_elements(out, item, depth);
    }
    if (!PyIndex_Check(item)) {
        return STOPS;
    }
    PyObject *value = PyNumber_Index(item);
    if (value == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_TypeError)) {
            return FAILED;
        }
        PyErr_Clear(); /* an array of several numbers has the slot as well */
        return STOPS;
    }
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    int result = overflow ? append_large(out, value, overflow < 0) : append_small(out, number);
    Py_DECREF(value);
    return result;
}

/* What decides first: itself, or the first of the first of a tuple. */
static PyObject *
first_of(PyObject *item)
{
    while ((PyTuple_Check(item) || PyList_Check(item)) && PySequence_Fast_GET_SIZE(item) > 0) {
        item = PySequence_Fast_GET_ITEM(item, 0);
    }
    return item;
}

/* Is there nothing but the tags of tuples? */
static bool
is_bare(const pn_writer *out)
{
    size_t at = 0;
    while (at < out->used && (out->bytes[at] == TUPLE || out->bytes[at] == LIST)) {
        at++;
    }
    return at == out->used;
}

int
pn_encode_key(pn_writer *out, PyObject *item)
{
    int result = append_any(out, item, NESTED);
    if (result == STOPS && is_bare(out)) {
        PyErr_Format(
            PyExc_TypeError,
            "a PriorityQueue sorts by numbers, str, bytes, and tuples and lists that begin with "
            "such, not by %.100s; put (priority, item), or give the queue key=",
            Py_TYPE(first_of(item))->tp_name);
        return FAILED;
    }
    if (result == STOPS) {
        result = append_byte(out, UNKNOWN);
    }
    if (out->used > PN_KEY_LIMIT) {
        out->used = PN_KEY_LIMIT;
    }
    return result == FAILED ? FAILED : 0;
}
