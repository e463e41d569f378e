/* One act on the dictionary: key and value are encoded before the lock is taken, what was read is decoded after it is let
 * go. The first attempt keeps the GIL; sleeping and rebuilding let it go, and the lock is never held while waiting for it. */
#include "dict_parts.h"

void
pn_dict_begin(pn_dict_call *call, pn_dict_act act)
{
    call->op = (pn_dict_op){.act = act};
    call->key_writer =
        (pn_writer){.bytes = (char *)call->key_bytes, .capacity = sizeof(call->key_bytes)};
    call->value_writer =
        (pn_writer){.bytes = (char *)call->value_bytes, .capacity = sizeof(call->value_bytes)};
    call->sink = (pn_sink){.bytes = (char *)call->sink_bytes, .capacity = sizeof(call->sink_bytes)};
}

static void
release_value(DictObject *self, pn_dict_call *call)
{
    if (call->value_writer.used != 0) {
        pn_release_records(self->shared.domain, call->value_writer.bytes, call->value_writer.used);
        call->value_writer.used = 0;
    }
}

void
pn_dict_finish(DictObject *self, pn_dict_call *call)
{
    release_value(self, call);
    pn_writer_free(&call->key_writer);
    pn_writer_free(&call->value_writer);
    pn_sink_free(&call->sink);
}

int
pn_dict_set_key(DictObject *self, pn_dict_call *call, PyObject *key)
{
    if (!pn_shared_made(&self->shared) ||
        pn_key_encode(&call->key_writer, key, &call->key.length, &call->key.shown) < 0) {
        return -1;
    }
    call->key.bytes = call->key_writer.bytes;
    call->op.key = &call->key;
    return 0;
}

int
pn_dict_set_value(DictObject *self, pn_dict_call *call, PyObject *value)
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
run_sleeping(DictObject *self, pn_dict_call *call)
{
    pn_status status;
    PN_SLEEP(status, pn_dict_run(&self->dict, &call->op, PN_FOREVER));
    if (status == PN_INTERRUPTED) {
        pn_dict_give_up(&self->dict, &call->op);
    }
    return status;
}

pn_status
pn_dict_answer(DictObject *self, pn_dict_call *call)
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

PyObject *
pn_dict_decode(DictObject *self, pn_dict_call *call)
{
    return pn_decode(self->state, &self->shared, (const pn_record *)call->sink.bytes);
}

PyObject *
pn_dict_look_up(DictObject *self, pn_dict_call *call)
{
    call->op.act = pn_dict_get;
    call->op.sink = &call->sink;
    call->sink.used = 0;
    return pn_dict_answer(self, call) == PN_OK ? pn_dict_decode(self, call) : NULL;
}
