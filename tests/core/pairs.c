#include "pairs.h"

#include <stdlib.h>
#include <string.h>

pn_dict
pair_dict(pn_domain *domain)
{
    uint64_t offset;
    uint32_t generation;
    pn_dict dict;
    if (pn_dict_new(domain, "dict", &offset, &generation) != PN_OK) {
        abort();
    }
    pn_dict_open(&dict, domain, offset);
    return dict;
}

void
pair_begin(pair *pair, uint32_t key)
{
    pair->number = key;
    pair->key = (pn_dict_key){.bytes = (const char *)&pair->number, .length = sizeof(key)};
}

pn_status
pair_do(pn_dict *dict, pn_dict_op *op)
{
    pn_status status = pn_dict_try(dict, op);
    if (status != PN_BUSY && status != PN_NEED_TABLE) {
        return status;
    }
    do {
        status = pn_dict_run(dict, op, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    return status;
}

static pn_status
set(pn_dict *dict, uint32_t key, const parcel *value)
{
    pair pair;
    pair_begin(&pair, key);
    pn_dict_op op = {
        .act = pn_dict_set, .key = &pair.key, .record = (const pn_record *)value->bytes};
    return pair_do(dict, &op);
}

pn_status
pair_set(pn_dict *dict, uint32_t key, uint32_t value)
{
    static _Thread_local parcel parcel;
    parcel_clear(&parcel);
    parcel_add(&parcel, value);
    return set(dict, key, &parcel);
}

pn_status
pair_set_bytes(pn_dict *dict, uint32_t key, uint32_t value, uint32_t length)
{
    static _Thread_local parcel parcel;
    parcel_clear(&parcel);
    parcel_add_bytes(&parcel, value, length);
    return set(dict, key, &parcel);
}

pn_status
pair_set_object(pn_dict *dict, uint32_t key, uint32_t value, uint64_t object)
{
    static _Thread_local parcel parcel;
    parcel_clear(&parcel);
    parcel_add_object(&parcel, value, object);
    return set(dict, key, &parcel);
}

/* The number of a value, which is let go of. */
static pn_status
read_value(pn_domain *domain, const pn_record *record, uint32_t *value)
{
    bool is_whole = item_is_whole(domain, record);
    *value = item_id(record);
    if (item_object(record) != 0) {
        pn_object_drop(domain, item_object(record));
    }
    return is_whole ? PN_OK : PN_NOTHING;
}

static pn_status
read(pn_dict *dict, pn_dict_act act, uint32_t key, uint32_t *value)
{
    uint64_t room[512];
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room)};
    pair pair;
    pair_begin(&pair, key);
    pn_dict_op op = {.act = act, .key = &pair.key, .sink = value != NULL ? &sink : NULL};
    pn_status status = pair_do(dict, &op);
    if (status == PN_OK && value != NULL) {
        status = read_value(dict->domain, (const pn_record *)sink.bytes, value);
    }
    if (sink.on_heap) {
        free(sink.bytes);
    }
    return status;
}

pn_status
pair_get(pn_dict *dict, uint32_t key, uint32_t *value)
{
    return read(dict, pn_dict_get, key, value);
}

pn_status
pair_remove(pn_dict *dict, uint32_t key, uint32_t *value)
{
    return read(dict, pn_dict_remove, key, value);
}

pn_status
pair_pop_last(pn_dict *dict, uint32_t *key, uint32_t *value)
{
    uint64_t room[512];
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room)};
    pn_dict_op op = {.act = pn_dict_pop_last, .sink = &sink};
    pn_status status = pair_do(dict, &op);
    if (status == PN_OK) {
        memcpy(key, sink.bytes + sizeof(pn_dict_image), sizeof(*key));
        status = read_value(dict->domain,
                            (const pn_record *)(sink.bytes + sizeof(pn_dict_image) + 8), value);
    }
    if (sink.on_heap) {
        free(sink.bytes);
    }
    return status;
}

pn_status
pair_clear(pn_dict *dict)
{
    pn_dict_op op = {.act = pn_dict_clear};
    return pair_do(dict, &op);
}

void
pair_unpack(const pn_sink *sink, pair_walk *walk)
{
    for (uint64_t at = 0; at < sink->used;) {
        if (walk->count == PAIRS) {
            abort();
        }
        memcpy(&walk->key[walk->count], sink->bytes + at + sizeof(pn_dict_image), 4);
        const pn_record *record = (const pn_record *)(sink->bytes + at + sizeof(pn_dict_image) + 8);
        walk->value[walk->count++] = item_id(record);
        at += sizeof(pn_dict_image) + 8 + pn_record_size(record);
    }
}

bool
pair_read_all(pn_dict *dict, uint64_t most, pair_walk *walk)
{
    pn_dict_op op = {.act = pn_dict_scan, .most = most, .more = true};
    bool is_whole = true;
    while (op.more) {
        char none[8];
        pn_sink sink = {.bytes = none};
        op.sink = &sink;
        if (pair_do(dict, &op) == PN_OK) {
            uint32_t first = walk->count;
            pair_unpack(&sink, walk);
            const char *at = sink.bytes;
            for (uint32_t i = first; i < walk->count; i++) {
                const pn_record *record = (const pn_record *)(at + sizeof(pn_dict_image) + 8);
                uint32_t value;
                is_whole &= read_value(dict->domain, record, &value) == PN_OK;
                at = (const char *)record + pn_record_size(record);
            }
        }
        if (sink.on_heap) {
            free(sink.bytes);
        }
    }
    return is_whole;
}
