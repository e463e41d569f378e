#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "dict.h"

#include <stdlib.h>
#include <string.h>

#include "dict_table.h"
#include "heap.h"
#include "patience.h"
#include "ring_private.h"
#include "slots.h"
#include "sweep.h"
#include "waits.h"

/* ---- making -------------------------------------------------------------------- */

pn_status
pn_dict_new(pn_domain *domain, const char *name, uint64_t *offset, uint32_t *generation)
{
    pn_status status = pn_object_new(domain, PN_OBJECT_DICT, name, offset, generation);
    if (status != PN_OK) {
        return status;
    }
    uint64_t block;
    status = pn_heap_alloc(domain, PN_DICT_LEAST, PN_BLOCK_SEGMENT, *offset, &block);
    if (status != PN_OK) {
        pn_object_drop(domain, *offset);
        return status;
    }
    pn_dict_cell *cell = pn_at(domain, *offset);
    pn_dict_lay_out(pn_at(domain, block), PN_DICT_LEAST, PN_DICT_LEAST_ROWS, 0);
    memcpy(&cell->seed, domain->header->uuid, sizeof(cell->seed)); /* random */
    cell->seed ^= *offset ^ (uint64_t)*generation << 32;
    atomic_store(&cell->table, block); /* COMMIT */
    return PN_OK;
}

void
pn_dict_open(pn_dict *dict, pn_domain *domain, uint64_t offset)
{
    *dict = (pn_dict){.domain = domain, .cell = pn_at(domain, offset), .offset = offset};
}

/* ---- names --------------------------------------------------------------------- */

void
pn_dict_note_names(const pn_record *record, pn_collect_list *list)
{
    const pn_handles *handles = pn_record_handles(record);
    for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
        pn_collect_later(list, handles->offset[i]);
    }
}

bool
pn_dict_copy_record(pn_dict *dict, const pn_record *record, pn_sink *sink)
{
    uint64_t size = pn_record_size(record);
    if (!pn_sink_reserve(sink, size)) {
        return false;
    }
    if (record->flags & PN_RECORD_HANDLES) {
        pn_ring_answer_for(dict->domain, record);
    }
    memcpy(sink->bytes + sink->used, record, size);
    sink->used += size;
    sink->count++;
    return true;
}

/* ---- acts ------------------------------------------------------------------------ */

/* What pn_dict_swap needs to know that it is still the same value. */
static void
remember(pn_dict_op *op, pn_dict_entry *entry)
{
    op->stamp = entry->stamp;
    memcpy(&op->word, pn_dict_value(entry), sizeof(op->word));
}

pn_status
pn_dict_get(pn_dict *dict, pn_dict_op *op)
{
    pn_dict_place place = pn_dict_find(dict, op->key);
    if (!place.found) {
        return PN_EMPTY;
    }
    remember(op, place.entry);
    bool copied =
        op->sink == NULL || pn_dict_copy_record(dict, pn_dict_value(place.entry), op->sink);
    return copied ? PN_OK : PN_NO_MEMORY;
}

pn_status
pn_dict_set(pn_dict *dict, pn_dict_op *op)
{
    pn_dict_place place = pn_dict_find(dict, op->key);
    return pn_dict_write(dict, op, &place, op->record);
}

pn_status
pn_dict_add_new(pn_dict *dict, pn_dict_op *op)
{
    pn_dict_place place = pn_dict_find(dict, op->key);
    op->found = place.found;
    if (place.found) {
        return pn_dict_copy_record(dict, pn_dict_value(place.entry), op->sink) ? PN_OK
                                                                               : PN_NO_MEMORY;
    }
    return pn_dict_write(dict, op, &place, op->record);
}

pn_status
pn_dict_swap(pn_dict *dict, pn_dict_op *op)
{
    pn_dict_place place = pn_dict_find(dict, op->key);
    if (!place.found) {
        return PN_EMPTY;
    }
    pn_dict_op now = {0};
    remember(&now, place.entry);
    if (now.stamp != op->stamp || now.word != op->word) {
        return PN_STALE;
    }
    return pn_dict_write(dict, op, &place, op->record);
}

pn_status
pn_dict_change(pn_dict *dict, pn_dict_op *op)
{
    pn_dict_place place = pn_dict_find(dict, op->key);
    uint64_t value[PN_DICT_EDITED];
    if (!op->edit(place.found ? pn_dict_value(place.entry) : NULL, value, op->context)) {
        return PN_NOTHING;
    }
    return pn_dict_write(dict, op, &place, (const pn_record *)value);
}

pn_status
pn_dict_remove(pn_dict *dict, pn_dict_op *op)
{
    pn_dict_place place = pn_dict_find(dict, op->key);
    if (!place.found) {
        return PN_EMPTY;
    }
    if (op->sink != NULL && !pn_dict_copy_record(dict, pn_dict_value(place.entry), op->sink)) {
        return PN_NO_MEMORY;
    }
    pn_dict_take_away(dict, place.row, op->sink != NULL ? NULL : &op->given_up);
    return PN_OK;
}

/* ---- the lock -------------------------------------------------------------------- */

static pn_status
entered(pn_dict *dict, pn_status status)
{
    if (status == PN_OWNER_DIED) {
        pn_dict_repair(dict);
        status = PN_OK;
    }
    if (status == PN_OK) {
        atomic_store_explicit(&dict->cell->lock.holder, dict->domain->slot + 1,
                              memory_order_relaxed);
    }
    return status;
}

static bool
is_free(void *context)
{
    pn_lock *lock = context;
    return (atomic_load_explicit(&lock->word, memory_order_relaxed) & PN_OWNER) == 0;
}

pn_status
pn_dict_enter(pn_dict *dict, int64_t deadline)
{
    pn_lock *lock = &dict->cell->lock;
    pn_status status = pn_lock_try(lock);
    if (status == PN_BUSY && pn_look_again(&dict->looks_in_vain, is_free, lock)) {
        status = pn_lock_try(lock);
    }
    if (status == PN_BUSY) {
        pn_wait *wait = pn_wait_begin(dict->domain, dict->offset, PN_WAIT_LOCK);
        status = pn_lock_wait(lock, deadline, pn_slot_owner_alive, dict->domain);
        pn_wait_end(wait);
    }
    return entered(dict, status);
}

static void
leave(pn_dict *dict)
{
    pn_lock_release(&dict->cell->lock);
}

/* ---- one call --------------------------------------------------------------------- */

/* No lock is held: what takes the domain's can be done now. */
static void
finish(pn_dict *dict, pn_dict_op *op)
{
    if (op->spare != 0) {
        pn_heap_free(dict->domain, op->spare);
        op->spare = 0;
    }
    pn_collect_list *list = &op->given_up;
    for (size_t i = 0; i < list->used; i++) {
        pn_collect_if_free(dict->domain, list->offset[i]);
    }
    if (list->is_short) {
        pn_collect_soon(dict->domain);
    }
    free(list->offset);
    *list = (pn_collect_list){0};
}

void
pn_dict_give_up(pn_dict *dict, pn_dict_op *op)
{
    finish(dict, op);
}

/* A spare block for what there was no room for. */
static pn_status
prepare(pn_dict *dict, pn_dict_op *op, uint64_t plan, uint64_t tight_plan)
{
    pn_domain *domain = dict->domain;
    if (op->spare != 0) { /* too small by now */
        pn_heap_free(domain, op->spare);
        op->spare = 0;
    }
    pn_status status;
    for (int turn = 0; turn < 2; turn++) {
        status = pn_heap_alloc(domain, plan, PN_BLOCK_SEGMENT, dict->offset, &op->spare);
        if (status == PN_NO_MEMORY || status == PN_TOO_BIG) {
            status = pn_heap_alloc(domain, tight_plan, PN_BLOCK_SEGMENT, dict->offset, &op->spare);
        }
        if (status != PN_NO_MEMORY) {
            break;
        }
        pn_sweep_sometimes(domain); /* the dead may have some */
    }
    return status;
}

/* Give back most of a table that is nearly empty: a wish, for which nobody waits. Asked at each power of two on
 * the way down, so that it costs little where it cannot be had. */
static void
shrink(pn_dict *dict, uint64_t plan)
{
    pn_dict_op op = {.key = NULL};
    if (pn_heap_alloc(dict->domain, plan, PN_BLOCK_SEGMENT, dict->offset, &op.spare) != PN_OK) {
        return;
    }
    pn_status status = entered(dict, pn_lock_try(&dict->cell->lock));
    if (status == PN_OK) {
        if (pn_dict_is_wide(pn_dict_table_of(dict))) {
            pn_dict_rebuild(dict, &op, 0);
        }
        leave(dict);
    }
    finish(dict, &op);
}

typedef struct {
    uint64_t plan, tight; /* PN_NEED_TABLE: how large it must be */
    uint64_t smaller;     /* not 0: most of it is empty */
} advice;

/* With the lock held; lets it go. */
static pn_status
act(pn_dict *dict, pn_dict_op *op, advice *advice)
{
    uint64_t before = pn_dict_table_of(dict)->items;
    pn_status status = op->act(dict, op);
    pn_dict_table *table = pn_dict_table_of(dict);
    advice->smaller = 0;
    if (status == PN_NEED_TABLE) {
        advice->plan = pn_dict_plan(table, op->need, false);
        advice->tight = pn_dict_plan(table, op->need, true);
    } else if (table->items < before && (table->items & (table->items - 1)) == 0 &&
               pn_dict_is_wide(table)) {
        advice->smaller = pn_dict_plan(table, 0, false);
    }
    leave(dict);
    return status;
}

static pn_status
end(pn_dict *dict, pn_dict_op *op, const advice *advice, pn_status status)
{
    if (op->spare != 0 || op->given_up.offset != NULL || op->given_up.is_short) {
        finish(dict, op);
    }
    if (advice->smaller != 0) {
        shrink(dict, advice->smaller);
    }
    return status;
}

pn_status
pn_dict_try(pn_dict *dict, pn_dict_op *op)
{
    pn_status status = entered(dict, pn_lock_try(&dict->cell->lock));
    if (status != PN_OK) {
        return status;
    }
    advice advice;
    status = act(dict, op, &advice);
    return status == PN_NEED_TABLE ? status : end(dict, op, &advice, status);
}

pn_status
pn_dict_run(pn_dict *dict, pn_dict_op *op, int64_t deadline)
{
    for (;;) {
        advice advice = {0};
        pn_status status = pn_dict_enter(dict, deadline);
        if (status == PN_INTERRUPTED) {
            return status;
        }
        if (status == PN_OK) {
            status = act(dict, op, &advice);
        }
        if (status == PN_NEED_TABLE) {
            status = prepare(dict, op, advice.plan, advice.tight);
            if (status == PN_OK) {
                continue;
            }
        }
        return end(dict, op, &advice, status);
    }
}
