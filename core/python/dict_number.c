/* Adding to a number in the dictionary, in one step. */
#include "dict_parts.h"

/* A plain number, as the codec writes it. */
typedef struct {
    bool is_float;
    int64_t integer;
    double real;
} number;

static bool
read_number(const pn_record *record, number *result)
{
    const char *tree = (const char *)(record + 1);
    *result = (number){.is_float = false};
    switch (record->kind) {
    case PN_RECORD_INT32:
        result->integer = (int32_t)record->value;
        return true;
    case PN_RECORD_TRUE:
    case PN_RECORD_FALSE:
        result->integer = record->kind == PN_RECORD_TRUE;
        return true;
    case PN_RECORD_TREE:
        if (record->flags == 0 && record->value == 9 && tree[0] == 'l') {
            memcpy(&result->integer, tree + 1, sizeof(result->integer));
            return true;
        }
        if (record->flags == 0 && record->value == 9 && tree[0] == 'd') {
            result->is_float = true;
            memcpy(&result->real, tree + 1, sizeof(result->real));
            return true;
        }
        return false;
    default:
        return false;
    }
}

static void
write_number(const number *value, uint64_t *words)
{
    if (!value->is_float && value->integer == (int32_t)value->integer) {
        words[0] = (uint64_t)PN_RECORD_INT32 << 32 | (uint32_t)value->integer;
        return;
    }
    memset(words, 0, PN_DICT_EDITED * sizeof(*words));
    words[0] = (uint64_t)PN_RECORD_TREE << 32 | 9;
    char *tree = (char *)(words + 1);
    tree[0] = value->is_float ? 'd' : 'l';
    memcpy(tree + 1, value->is_float ? (const void *)&value->real : (const void *)&value->integer,
           8);
}

typedef struct {
    number more, sum;
} addition;

/* pn_dict_edit: what Python's + makes of two plain numbers; false where it makes something else. */
static bool
add_numbers(const pn_record *old, uint64_t *words, void *context)
{
    addition *add = context;
    number before = {.is_float = false};
    if (old != NULL && !read_number(old, &before)) {
        return false;
    }
    add->sum = (number){.is_float = before.is_float || add->more.is_float};
    if (add->sum.is_float) {
        add->sum.real = (before.is_float ? before.real : (double)before.integer) +
                        (add->more.is_float ? add->more.real : (double)add->more.integer);
    } else if (__builtin_add_overflow(before.integer, add->more.integer, &add->sum.integer)) {
        return false;
    }
    write_number(&add->sum, words);
    return true;
}

static bool
is_plain_number(PyObject *obj, number *result)
{
    int overflow = 0;
    *result = (number){.is_float = PyFloat_CheckExact(obj)};
    if (result->is_float) {
        result->real = PyFloat_AS_DOUBLE(obj);
        return true;
    }
    if (PyLong_CheckExact(obj)) {
        result->integer = PyLong_AsLongLongAndOverflow(obj, &overflow);
        return !overflow;
    }
    return false;
}

/* Any numbers: read, add, and write if nobody else has written meanwhile. */
static PyObject *
add_slowly(DictObject *self, pn_dict_call *call, PyObject *more)
{
    for (;;) {
        PyObject *before = pn_dict_look_up(self, call);
        if (before == NULL && PyErr_Occurred()) {
            return NULL;
        }
        PyObject *zero = before ? NULL : PyLong_FromLong(0);
        PyObject *sum = before || zero ? PyNumber_Add(before ? before : zero, more) : NULL;
        bool is_new = before == NULL;
        Py_XDECREF(before);
        Py_XDECREF(zero);
        if (sum == NULL || pn_dict_set_value(self, call, sum) < 0) {
            Py_XDECREF(sum);
            return NULL;
        }
        call->op.act = is_new ? pn_dict_add_new : pn_dict_swap;
        call->sink.used = 0;
        pn_status status = pn_dict_answer(self, call);
        if (status == PN_OK && is_new && call->op.found) {
            pn_let_go(&self->shared, (const pn_record *)call->sink.bytes);
            status = PN_STALE;
        }
        if (status == PN_OK) {
            return sum;
        }
        Py_DECREF(sum);
        if (status != PN_STALE && status != PN_EMPTY) {
            return NULL;
        }
    }
}

const char pn_dict_add_doc[] =
    PyDoc_STR("add($self, key, n, /)\n--\n\n"
              "Add a number to the value of the key in one step, and return the sum; a "
              "missing value counts as 0.\n\n"
              "Raises TypeError, and changes nothing, if the value is not a number.");

PyObject *
pn_dict_add(DictObject *self, PyObject *const *args, Py_ssize_t count)
{
    pn_dict_call call;
    addition add;
    PyObject *result = NULL;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "add() takes a key and a number");
        return NULL;
    }
    if (!PyNumber_Check(args[1])) {
        PyErr_Format(PyExc_TypeError, "add() adds a number, not %.100s", Py_TYPE(args[1])->tp_name);
        return NULL;
    }
    pn_dict_begin(&call, pn_dict_change);
    if (pn_dict_set_key(self, &call, args[0]) == 0) {
        pn_status status = PN_NOTHING;
        if (is_plain_number(args[1], &add.more)) {
            call.op.edit = add_numbers;
            call.op.context = &add;
            status = pn_dict_answer(self, &call);
        }
        if (status == PN_OK) {
            result = add.sum.is_float ? PyFloat_FromDouble(add.sum.real)
                                      : PyLong_FromLongLong(add.sum.integer);
        } else if (status == PN_NOTHING) {
            result = add_slowly(self, &call, args[1]);
        }
    }
    pn_dict_finish(self, &call);
    return result;
}
