/* What the files of the dictionary's type share: dict_object.c is the type and its methods, dict_call.c one act,
 * dict_number.c adds numbers, dict_scan.c reads many. */
#ifndef PN_DICT_PARTS_H
#define PN_DICT_PARTS_H

#include "codec.h"

#include "../dict.h"

typedef struct {
    SharedObject shared;
    pn_dict dict;
    pn_state *state;
} DictObject;

/* --- dict_call.c --- */

#define PN_STACK_KEY 256

/* The key, the value and what is read, in private memory. */
typedef struct {
    pn_dict_op op;
    pn_dict_key key;
    pn_writer key_writer, value_writer;
    pn_sink sink;
    uint64_t key_bytes[PN_STACK_KEY / sizeof(uint64_t)];
    uint64_t value_bytes[PN_STACK_BUFFER / sizeof(uint64_t)];
    uint64_t sink_bytes[PN_STACK_BUFFER / sizeof(uint64_t)];
} pn_dict_call;

void pn_dict_begin(pn_dict_call *call, pn_dict_act act);
void pn_dict_finish(DictObject *self, pn_dict_call *call);
/* 0, or -1 with an exception. */
int pn_dict_set_key(DictObject *self, pn_dict_call *call, PyObject *key);
int pn_dict_set_value(DictObject *self, pn_dict_call *call, PyObject *value);
/* What the act answers. Anything that is no answer of an act has an exception, as has that of a signal handler: then
 * it is PN_SYSTEM. */
pn_status pn_dict_answer(DictObject *self, pn_dict_call *call);
/* What was read; NULL with an exception. */
PyObject *pn_dict_decode(DictObject *self, pn_dict_call *call);
/* Read the value of call->key, and note which it was. NULL with an exception, or without one if there is none. */
PyObject *pn_dict_look_up(DictObject *self, pn_dict_call *call);

/* --- dict_number.c, dict_scan.c: methods --- */
extern const char pn_dict_add_doc[], pn_dict_popitem_doc[], pn_dict_scan_doc[];
PyObject *pn_dict_add(DictObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *pn_dict_popitem(DictObject *self, PyObject *none);
PyObject *pn_dict_scan_items(DictObject *self, PyObject *args);

#endif
