/* Dictionaries as the core sees them: a number as the key, an item (items.h) with a number as the value. */
#ifndef TESTS_PAIRS_H
#define TESTS_PAIRS_H

#include "dict.h"
#include "items.h"

typedef struct {
    pn_dict_key key;
    uint32_t number;
} pair;

/* What was read of several. */
#define PAIRS 8192
typedef struct {
    uint32_t count;
    uint32_t key[PAIRS], value[PAIRS];
} pair_walk;

/* A new one, which this process holds. */
pn_dict pair_dict(pn_domain *domain);
void pair_begin(pair *pair, uint32_t key);
/* Do it, sleeping if it must be. */
pn_status pair_do(pn_dict *dict, pn_dict_op *op);

/* A value of one word; of `length` bytes, 4 or more; one that names an object. */
pn_status pair_set(pn_dict *dict, uint32_t key, uint32_t value);
pn_status pair_set_bytes(pn_dict *dict, uint32_t key, uint32_t value, uint32_t length);
pn_status pair_set_object(pn_dict *dict, uint32_t key, uint32_t value, uint64_t object);
/* PN_NOTHING: the value is not whole. What it names is let go of. */
pn_status pair_get(pn_dict *dict, uint32_t key, uint32_t *value);
/* `value` NULL: it is not read. */
pn_status pair_remove(pn_dict *dict, uint32_t key, uint32_t *value);
pn_status pair_pop_last(pn_dict *dict, uint32_t *key, uint32_t *value);
pn_status pair_clear(pn_dict *dict);
/* Add what a scan has read, so many at a time. False: a value is not whole. */
void pair_unpack(const pn_sink *sink, pair_walk *walk);
bool pair_read_all(pn_dict *dict, uint64_t most, pair_walk *walk);

#endif
