/* Items of the dictionary as they were written: many of one instant, or the last one. */
#include "dict_parts.h"

enum { KEYS = 0, VALUES = 1, ITEMS = 2 };

/* Read one image (and its record) at `*at`, which moves behind it. The record's objects are let go in any case. */
static PyObject *
decode_image(DictObject *self, const char **at, int what)
{
    const pn_dict_image *image = (const pn_dict_image *)*at;
    const char *bytes = *at + sizeof(*image);
    const pn_record *record =
        (const pn_record *)(bytes + pn_dict_padded((uint64_t)image->length + image->shown));
    PyObject *key = NULL, *value = NULL, *result = NULL;
    *at = (const char *)record + (what == KEYS ? 0 : pn_record_size(record));
    if (what != KEYS) {
        value = pn_decode(self->state, &self->shared, record);
    }
    if (what != VALUES && (what == KEYS || value != NULL)) {
        key = image->shown ? pn_key_decode(bytes + image->length, image->shown)
                           : pn_key_decode(bytes, image->length);
    }
    if (what == ITEMS) {
        result = key && value ? PyTuple_Pack(2, key, value) : NULL;
        Py_XDECREF(key);
        Py_XDECREF(value);
    } else {
        result = what == KEYS ? key : value;
    }
    return result;
}

/* Let go of what the records from `at` on name, which nobody will decode. */
static void
let_go_of_rest(DictObject *self, const char *at, const char *end)
{
    while (at < end) {
        const pn_dict_image *image = (const pn_dict_image *)at;
        const pn_record *record =
            (const pn_record *)(at + sizeof(*image) +
                                pn_dict_padded((uint64_t)image->length + image->shown));
        pn_let_go(&self->shared, record);
        at = (const char *)record + pn_record_size(record);
    }
}

static PyObject *
decode_images(DictObject *self, const pn_sink *sink, int what)
{
    const char *at = sink->bytes, *end = at + sink->used;
    PyObject *list = PyList_New(0);
    while (list != NULL && at < end) {
        PyObject *item = decode_image(self, &at, what);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    if (list == NULL && what != KEYS) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        let_go_of_rest(self, at, end);
        PyErr_Restore(type, value, traceback);
    }
    return list;
}

const char pn_dict_popitem_doc[] = PyDoc_STR(
    "popitem($self)\n--\n\n"
    "Remove the item that was inserted last, and return (key, value). KeyError if there is none.");

PyObject *
pn_dict_popitem(DictObject *self, PyObject *Py_UNUSED(none))
{
    pn_dict_call call;
    PyObject *result = NULL;
    pn_dict_begin(&call, pn_dict_pop_last);
    call.op.sink = &call.sink;
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_status status = pn_dict_answer(self, &call);
    if (status == PN_OK) {
        const char *at = call.sink.bytes;
        result = decode_image(self, &at, ITEMS);
    } else if (status == PN_EMPTY) {
        PyErr_Format(PyExc_KeyError, "popitem(): SharedDict '%s' is empty",
                     pn_shared_cell(&self->shared)->name);
    }
    pn_dict_finish(self, &call);
    return result;
}

const char pn_dict_scan_doc[] =
    PyDoc_STR("_scan($self, what, most, table, row, born, /)\n--\n\n"
              "(list, table, row, born, more): the next `most` keys (what=0), values (1) "
              "or items (2), 0: all of "
              "one instant; and where to go on.");

PyObject *
pn_dict_scan_items(DictObject *self, PyObject *args)
{
    int what;
    unsigned long long most, table, row, born;
    if (!PyArg_ParseTuple(args, "iKKKK:_scan", &what, &most, &table, &row, &born) ||
        !pn_shared_made(&self->shared)) {
        return NULL;
    }
    if (what < KEYS || what > ITEMS) {
        PyErr_SetString(PyExc_ValueError, "what: 0, 1 or 2");
        return NULL;
    }
    pn_dict_call call;
    pn_dict_begin(&call, pn_dict_scan);
    call.op.sink = &call.sink;
    call.op.keys_only = what == KEYS;
    call.op.most = most ? most : UINT64_MAX;
    call.op.cursor = (pn_dict_cursor){.table = table, .row = row, .born = born};
    pn_status status = pn_dict_answer(self, &call);
    PyObject *result = NULL;
    if (status == PN_OK || status == PN_EMPTY) {
        PyObject *list = decode_images(self, &call.sink, what);
        pn_dict_cursor *at = &call.op.cursor;
        result = list ? Py_BuildValue("NKKKO", list, (unsigned long long)at->table,
                                      (unsigned long long)at->row, (unsigned long long)at->born,
                                      call.op.more ? Py_True : Py_False)
                      : NULL;
    } else if (what != KEYS) {
        let_go_of_rest(self, call.sink.bytes, call.sink.bytes + call.sink.used);
    }
    pn_dict_finish(self, &call);
    return result;
}
