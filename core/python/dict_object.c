/* The dictionary as a Python type: what of it must be quick, or must be one step.
 *
 * As with the queue: keys and values are encoded before the lock is taken and decoded after it is let go. The first
 * attempt keeps the GIL; sleeping and rebuilding let it go, and the lock is never held while waiting for it. */
#include "codec.h"

#include "../dict.h"

#define STACK_KEY 256
#define STACK_VALUE 1024
#define LOOK_NS (20 * 1000000LL) /* how long statistics() waits for the lock */

typedef struct {
    SharedObject shared;
    pn_dict dict;
    pn_state *state;
} DictObject;

static PyObject *
dict_open(DictObject *self, PyObject *Py_UNUSED(none))
{
    self->state = pn_state_of((PyObject *)self);
    if (self->state == NULL || !pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_dict_open(&self->dict, self->shared.domain, self->shared.offset);
    Py_RETURN_NONE;
}

static int
dict_init(DictObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"domain", "name", NULL};
    PyObject *domain_object;
    const char *name = "";
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|s", names, &domain_object, &name)) {
        return -1;
    }
    DomainObject *domain = pn_domain_for(&self->shared, domain_object);
    if (domain == NULL) {
        return -1;
    }
    uint64_t offset;
    uint32_t generation;
    pn_status status = pn_dict_new(domain->domain, name, &offset, &generation);
    if (pn_shared_take(&self->shared, domain, status, offset, generation, "SharedDict", name) < 0) {
        return -1;
    }
    PyObject *opened = dict_open(self, NULL);
    Py_XDECREF(opened);
    return opened ? 0 : -1;
}

/* ---- one operation ------------------------------------------------------------------ */

/* The key, the value and what is read, in private memory. */
typedef struct {
    pn_dict_op op;
    pn_dict_key key;
    pn_writer key_writer, value_writer;
    pn_sink sink;
    uint64_t key_bytes[STACK_KEY / sizeof(uint64_t)];
    uint64_t value_bytes[STACK_VALUE / sizeof(uint64_t)];
    uint64_t sink_bytes[STACK_VALUE / sizeof(uint64_t)];
} call;

static void
begin(call *call, pn_dict_act act)
{
    call->op = (pn_dict_op){.act = act};
    call->key_writer =
        (pn_writer){.bytes = (char *)call->key_bytes, .capacity = sizeof(call->key_bytes)};
    call->value_writer =
        (pn_writer){.bytes = (char *)call->value_bytes, .capacity = sizeof(call->value_bytes)};
    call->sink = (pn_sink){.bytes = (char *)call->sink_bytes, .capacity = sizeof(call->sink_bytes)};
}

static void
release_value(DictObject *self, call *call)
{
    if (call->value_writer.used != 0) {
        pn_release_records(self->shared.domain, call->value_writer.bytes, call->value_writer.used);
        call->value_writer.used = 0;
    }
}

static void
finish(DictObject *self, call *call)
{
    release_value(self, call);
    pn_writer_free(&call->key_writer);
    pn_writer_free(&call->value_writer);
    pn_sink_free(&call->sink);
}

static int
set_key(DictObject *self, call *call, PyObject *key)
{
    if (!pn_shared_made(&self->shared) ||
        pn_key_encode(&call->key_writer, key, &call->key.length, &call->key.shown) < 0) {
        return -1;
    }
    call->key.bytes = call->key_writer.bytes;
    call->op.key = &call->key;
    return 0;
}

static int
set_value(DictObject *self, call *call, PyObject *value)
{
    release_value(self, call);
    if (pn_encode(self->state, (PyObject *)self, &call->value_writer, value) < 0) {
        return -1;
    }
    const pn_record *record = (const pn_record *)call->value_writer.bytes;
    if (record->flags & PN_RECORD_ONCE) {
        PyErr_Format(PyExc_TypeError,
                     "a value of SharedDict '%s' cannot carry a file descriptor (a socket, a "
                     "connection): it could be read once only. Send it through a queue.",
                     pn_shared_cell(&self->shared)->name);
        return -1;
    }
    call->op.record = record;
    return 0;
}

static pn_status
run_sleeping(DictObject *self, call *call)
{
    pn_status status;
    PN_SLEEP(status, pn_dict_run(&self->dict, &call->op, PN_FOREVER));
    if (status == PN_INTERRUPTED) {
        pn_dict_give_up(&self->dict, &call->op);
    }
    return status;
}

/* What the act answers; PN_INTERRUPTED with a signal handler's exception. Anything else that is no answer of an act
 * has an exception too: then it is PN_SYSTEM. */
static pn_status
run(DictObject *self, call *call)
{
    pn_status status = pn_dict_try(&self->dict, &call->op);
    if (status == PN_BUSY || status == PN_NEED_TABLE) {
        status = run_sleeping(self, call);
    }
    switch (status) {
    case PN_OK:
    case PN_EMPTY:
    case PN_STALE:
    case PN_NOTHING:
        return status;
    case PN_INTERRUPTED:
        return PN_SYSTEM;
    default:
        pn_raise(status, self->shared.domain, "SharedDict", pn_shared_cell(&self->shared)->name);
        return PN_SYSTEM;
    }
}

/* A KeyError with that key as its only argument, even if it is a tuple. */
static PyObject *
raise_key(PyObject *key)
{
    PyObject *args = PyTuple_Pack(1, key);
    if (args != NULL) {
        PyErr_SetObject(PyExc_KeyError, args);
        Py_DECREF(args);
    }
    return NULL;
}

static PyObject *
decode_sink(DictObject *self, call *call)
{
    return pn_decode(self->state, &self->shared, (const pn_record *)call->sink.bytes);
}

/* Read, or take out, the value of a key. NULL with an exception, or without one if there is none. */
static PyObject *
read_value(DictObject *self, PyObject *key, pn_dict_act act)
{
    call call;
    PyObject *result = NULL;
    begin(&call, act);
    call.op.sink = &call.sink;
    if (set_key(self, &call, key) == 0 && run(self, &call) == PN_OK) {
        result = decode_sink(self, &call);
    }
    finish(self, &call);
    return result;
}

/* ---- the mapping --------------------------------------------------------------------- */

static Py_ssize_t
dict_length(DictObject *self)
{
    call call;
    begin(&call, pn_dict_look);
    return pn_shared_made(&self->shared) && run(self, &call) == PN_OK ? (Py_ssize_t)call.op.items
                                                                      : -1;
}

static PyObject *
dict_subscript(DictObject *self, PyObject *key)
{
    PyObject *result = read_value(self, key, pn_dict_get);
    return result != NULL || PyErr_Occurred() ? result : raise_key(key);
}

/* 0 done, 1 it is not there, -1 with an exception. */
static int
assign(DictObject *self, PyObject *key, PyObject *value)
{
    call call;
    pn_status status = PN_SYSTEM;
    begin(&call, value ? pn_dict_set : pn_dict_remove);
    if (set_key(self, &call, key) == 0 && (value == NULL || set_value(self, &call, value) == 0)) {
        status = run(self, &call);
    }
    finish(self, &call);
    return status == PN_OK ? 0 : status == PN_EMPTY ? 1 : -1;
}

static int
dict_assign(DictObject *self, PyObject *key, PyObject *value)
{
    int result = assign(self, key, value);
    if (result > 0) {
        raise_key(key);
    }
    return result == 0 ? 0 : -1;
}

static int
dict_contains(DictObject *self, PyObject *key)
{
    call call;
    pn_status status = PN_SYSTEM;
    begin(&call, pn_dict_get);
    if (set_key(self, &call, key) == 0) {
        status = run(self, &call);
    }
    finish(self, &call);
    return status == PN_OK ? 1 : status == PN_EMPTY ? 0 : -1;
}

/* ---- methods -------------------------------------------------------------------------- */

/* (key, default=None) by position, the second by the name `default` too. */
static int
parse_default(const char *function, PyObject *const *args, Py_ssize_t count, PyObject *names,
              PyObject **second)
{
    Py_ssize_t keywords = names ? PyTuple_GET_SIZE(names) : 0;
    if (count < 1 || count + keywords > 2 ||
        (keywords && PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "default"))) {
        PyErr_Format(PyExc_TypeError, "%s() takes a key and a default", function);
        return -1;
    }
    if (count + keywords == 2) {
        *second = args[1];
    }
    return 0;
}

PyDoc_STRVAR(get_doc, "get($self, key, default=None)\n--\n\nThe value of the key, or the default.");

static PyObject *
dict_get(DictObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *otherwise = Py_None;
    if (parse_default("get", args, count, names, &otherwise) < 0) {
        return NULL;
    }
    PyObject *result = read_value(self, args[0], pn_dict_get);
    return result != NULL || PyErr_Occurred() ? result : Py_NewRef(otherwise);
}

PyDoc_STRVAR(
    pop_doc,
    "pop($self, key, default=<unrepresentable>)\n--\n\n"
    "Remove the key and return its value: one step, so that one of several callers gets it.\n\n"
    "Without it the default, or KeyError if none was given.");

static PyObject *
dict_pop(DictObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *otherwise = NULL;
    if (parse_default("pop", args, count, names, &otherwise) < 0) {
        return NULL;
    }
    PyObject *result = read_value(self, args[0], pn_dict_remove);
    if (result != NULL || PyErr_Occurred()) {
        return result;
    }
    return otherwise ? Py_NewRef(otherwise) : raise_key(args[0]);
}

PyDoc_STRVAR(
    setdefault_doc,
    "setdefault($self, key, default=None)\n--\n\n"
    "The value of the key; if there is none, insert the default and return it, in one step.");

static PyObject *
dict_setdefault(DictObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *value = Py_None, *result = NULL;
    call call;
    if (parse_default("setdefault", args, count, names, &value) < 0) {
        return NULL;
    }
    begin(&call, pn_dict_add_new);
    call.op.sink = &call.sink;
    if (set_key(self, &call, args[0]) == 0 && set_value(self, &call, value) == 0 &&
        run(self, &call) == PN_OK) {
        result = call.op.found ? decode_sink(self, &call) : Py_NewRef(value);
    }
    finish(self, &call);
    return result;
}

PyDoc_STRVAR(clear_doc, "clear($self)\n--\n\nRemove all items, in one step.");

static PyObject *
dict_clear(DictObject *self, PyObject *Py_UNUSED(none))
{
    call call;
    begin(&call, pn_dict_clear);
    if (!pn_shared_made(&self->shared) || run(self, &call) != PN_OK) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* ---- changes that depend on what is there ------------------------------------------------ */

/* Read the value of call->key, and note which it was. As read_value. */
static PyObject *
look_up(DictObject *self, call *call)
{
    call->op.act = pn_dict_get;
    call->op.sink = &call->sink;
    call->sink.used = 0;
    return run(self, call) == PN_OK ? decode_sink(self, call) : NULL;
}

PyDoc_STRVAR(compare_and_set_doc,
             "compare_and_set($self, key, old, new, /)\n--\n\n"
             "Set the value to `new` if it equals `old`, in one step; was it so?\n\n"
             "Equal is what == says, which is asked in this process, of a copy. False if the key "
             "is not there;\n"
             "setdefault() inserts.");

static PyObject *
dict_compare_and_set(DictObject *self, PyObject *const *args, Py_ssize_t count)
{
    call call;
    int equal = -1;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError,
                        "compare_and_set() takes a key, the old and the new value");
        return NULL;
    }
    begin(&call, pn_dict_get);
    if (set_key(self, &call, args[0]) == 0 && set_value(self, &call, args[2]) == 0) {
        pn_status status;
        do { /* once more whenever another one has changed it in between */
            status = PN_OK;
            PyObject *current = look_up(self, &call);
            if (current == NULL) {
                equal = PyErr_Occurred() ? -1 : 0;
                break;
            }
            PyObject *answer = PyObject_RichCompare(current, args[1], Py_EQ);
            equal = answer ? PyObject_IsTrue(answer) : -1;
            Py_XDECREF(answer);
            Py_DECREF(current);
            if (equal == 1) {
                call.op.act = pn_dict_swap;
                call.op.sink = NULL;
                status = run(self, &call);
                equal = status == PN_OK ? 1 : status == PN_EMPTY ? 0 : -1;
            }
        } while (status == PN_STALE);
    }
    finish(self, &call);
    return equal < 0 ? NULL : PyBool_FromLong(equal);
}

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
    if (old == NULL) {
        add->sum = add->more;
    } else if (add->sum.is_float) {
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
add_slowly(DictObject *self, call *call, PyObject *more)
{
    for (;;) {
        PyObject *before = look_up(self, call);
        if (before == NULL && PyErr_Occurred()) {
            return NULL;
        }
        PyObject *zero = before ? NULL : PyLong_FromLong(0);
        PyObject *sum = before || zero ? PyNumber_Add(before ? before : zero, more) : NULL;
        bool is_new = before == NULL;
        Py_XDECREF(before);
        Py_XDECREF(zero);
        if (sum == NULL || set_value(self, call, sum) < 0) {
            Py_XDECREF(sum);
            return NULL;
        }
        call->op.act = is_new ? pn_dict_add_new : pn_dict_swap;
        call->sink.used = 0;
        pn_status status = run(self, call);
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

PyDoc_STRVAR(add_doc, "add($self, key, n, /)\n--\n\n"
                      "Add a number to the value of the key in one step, and return the sum; a "
                      "missing value counts as 0.\n\n"
                      "Raises TypeError, and changes nothing, if the value is not a number.");

static PyObject *
dict_add(DictObject *self, PyObject *const *args, Py_ssize_t count)
{
    call call;
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
    begin(&call, pn_dict_change);
    if (set_key(self, &call, args[0]) == 0) {
        pn_status status = PN_NOTHING;
        if (is_plain_number(args[1], &add.more)) {
            call.op.edit = add_numbers;
            call.op.context = &add;
            status = run(self, &call);
        }
        if (status == PN_OK) {
            result = add.sum.is_float ? PyFloat_FromDouble(add.sum.real)
                                      : PyLong_FromLongLong(add.sum.integer);
        } else if (status == PN_NOTHING) {
            result = add_slowly(self, &call, args[1]);
        }
    }
    finish(self, &call);
    return result;
}

/* ---- many items ---------------------------------------------------------------------------- */

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

PyDoc_STRVAR(
    popitem_doc,
    "popitem($self)\n--\n\n"
    "Remove the item that was inserted last, and return (key, value). KeyError if there is none.");

static PyObject *
dict_popitem(DictObject *self, PyObject *Py_UNUSED(none))
{
    call call;
    PyObject *result = NULL;
    begin(&call, pn_dict_pop_last);
    call.op.sink = &call.sink;
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_status status = run(self, &call);
    if (status == PN_OK) {
        const char *at = call.sink.bytes;
        result = decode_image(self, &at, ITEMS);
    } else if (status == PN_EMPTY) {
        PyErr_Format(PyExc_KeyError, "popitem(): SharedDict '%s' is empty",
                     pn_shared_cell(&self->shared)->name);
    }
    finish(self, &call);
    return result;
}

PyDoc_STRVAR(scan_doc, "_scan($self, what, most, table, row, born, /)\n--\n\n"
                       "(list, table, row, born, more): the next `most` keys (what=0), values (1) "
                       "or items (2), 0: all of "
                       "one instant; and where to go on.");

static PyObject *
dict_scan(DictObject *self, PyObject *args)
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
    call call;
    begin(&call, pn_dict_scan);
    call.op.sink = &call.sink;
    call.op.keys_only = what == KEYS;
    call.op.most = most ? most : UINT64_MAX;
    call.op.cursor = (pn_dict_cursor){.table = table, .row = row, .born = born};
    pn_status status = run(self, &call);
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
    finish(self, &call);
    return result;
}

PyDoc_STRVAR(
    look_doc,
    "_look($self)\n--\n\n"
    "(items, bytes that they take, bytes of the table, rebuilds, waiting, recoveries, pid of "
    "who is inside of a call or 0). Never waits long.");

/* Whoever looks wants to know why others wait, so he does not wait with them. */
static PyObject *
dict_look(DictObject *self, PyObject *Py_UNUSED(none))
{
    pn_dict_op op = {.act = pn_dict_look};
    if (!pn_shared_made(&self->shared)) {
        return NULL;
    }
    pn_status status = pn_dict_try(&self->dict, &op);
    if (status == PN_BUSY) {
        Py_BEGIN_ALLOW_THREADS
        status = pn_dict_run(&self->dict, &op, pn_now() + LOOK_NS);
        Py_END_ALLOW_THREADS
    }
    uint32_t pid = 0;
    if (status != PN_OK) {
        pn_dict_peek(&self->dict, &op);
        uint32_t holder = atomic_load(&self->dict.cell->lock.holder);
        pid = holder && holder <= PN_SLOTS
                  ? atomic_load(&self->shared.domain->slots[holder - 1].pid)
                  : 0;
    }
    return Py_BuildValue("KKKKIII", (unsigned long long)op.items, (unsigned long long)op.used,
                         (unsigned long long)op.bytes, (unsigned long long)op.rebuilds,
                         pn_wait_count(self->shared.domain, self->shared.offset),
                         self->dict.cell->lock.recovered, pid);
}

static PyMethodDef methods[] = {
    {"get", (PyCFunction)(void (*)(void))dict_get, METH_FASTCALL | METH_KEYWORDS, get_doc},
    {"pop", (PyCFunction)(void (*)(void))dict_pop, METH_FASTCALL | METH_KEYWORDS, pop_doc},
    {"popitem", (PyCFunction)dict_popitem, METH_NOARGS, popitem_doc},
    {"setdefault", (PyCFunction)(void (*)(void))dict_setdefault, METH_FASTCALL | METH_KEYWORDS,
     setdefault_doc},
    {"clear", (PyCFunction)dict_clear, METH_NOARGS, clear_doc},
    {"add", (PyCFunction)(void (*)(void))dict_add, METH_FASTCALL, add_doc},
    {"compare_and_set", (PyCFunction)(void (*)(void))dict_compare_and_set, METH_FASTCALL,
     compare_and_set_doc},
    {"_scan", (PyCFunction)dict_scan, METH_VARARGS, scan_doc},
    {"_look", (PyCFunction)dict_look, METH_NOARGS, look_doc},
    {"_open", (PyCFunction)dict_open, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_init, dict_init},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_methods, methods},
    {Py_mp_length, dict_length},
    {Py_mp_subscript, dict_subscript},
    {Py_mp_ass_subscript, dict_assign},
    {Py_sq_contains, dict_contains},
    {Py_tp_doc, "The dictionary in shared memory."},
    {0, NULL},
};

PyType_Spec pn_dict_spec = {
    .name = "procession._core.Dict",
    .basicsize = sizeof(DictObject),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
