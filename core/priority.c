#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <string.h>

#include "heap.h"
#include "priority_private.h"
#include "ring_private.h"
#include "slots.h"
#include "sweep.h"

/* ---- making --------------------------------------------------------------------- */

pn_status
pn_priority_new(pn_domain *domain, const char *name, uint64_t max_items, uint64_t *offset,
                uint32_t *generation)
{
    pn_status status = pn_object_new(domain, PN_OBJECT_PRIORITY, name, offset, generation);
    if (status != PN_OK) {
        return status;
    }
    uint64_t block;
    status = pn_heap_alloc(domain, PN_PAGE, PN_BLOCK_PAYLOAD, *offset, &block);
    if (status != PN_OK) {
        pn_object_drop(domain, *offset);
        return status;
    }
    pn_priority_cell *cell = pn_at(domain, *offset);
    cell->max_items = max_items;
    atomic_store(&cell->taking_number, UINT64_MAX);
    /* Before it the block is ours, after it the cell's, whatever the owner says. */
    atomic_store(&cell->index, block); /* COMMIT */
    atomic_store(&pn_block_at(domain, block)->owner, 0);
    return PN_OK;
}

void
pn_priority_open(pn_priority *queue, pn_domain *domain, uint64_t offset)
{
    *queue = (pn_priority){.domain = domain, .cell = pn_at(domain, offset), .offset = offset};
}

static pn_status
new_entry_locked(pn_domain *domain, uint64_t length, uint64_t *offset)
{
    uint32_t generation;
    pn_status status = pn_object_new_locked(domain, PN_OBJECT_ENTRY, "", offset, &generation);
    if (status == PN_OK && length > PN_ENTRY_SMALL) {
        uint64_t block;
        status = pn_heap_alloc_locked(domain, length, PN_BLOCK_PAYLOAD, *offset, &block);
        if (status == PN_OK) {
            atomic_store(&pn_entry_at(domain, *offset)->block, block); /* COMMIT */
            atomic_store(&pn_block_at(domain, block)->owner, 0);
        }
    }
    return status;
}

pn_status
pn_entry_new(pn_priority *queue, const void *key, uint32_t key_length, const pn_record *record,
             uint64_t *offset)
{
    pn_domain *domain = queue->domain;
    uint64_t record_at = (key_length + UINT64_C(7)) & ~UINT64_C(7);
    uint64_t length = record_at + pn_record_size(record);
    pn_status status = pn_domain_enter(domain);
    if (status != PN_OK) {
        return status;
    }
    *offset = 0;
    status = new_entry_locked(domain, length, offset);
    pn_domain_leave(domain);
    if (status != PN_OK) {
        if (*offset != 0) {
            pn_object_drop(domain, *offset);
        }
        return status;
    }
    pn_entry_cell *entry = pn_entry_at(domain, *offset);
    entry->key_length = key_length;
    entry->length = length;
    char *bytes = pn_entry_bytes(domain, *offset);
    memcpy(bytes, key, key_length);
    memcpy(bytes + record_at, record, pn_record_size(record));
    return PN_OK;
}

/* ---- the lock ------------------------------------------------------------------- */

/* With it held: is all in order? Else it is let go, and put in order. */
static pn_status
repaired(pn_priority *queue)
{
    if (atomic_load_explicit(&queue->cell->changing, memory_order_relaxed) == 0) {
        return PN_OK;
    }
    pn_lock_release(&queue->cell->lock);
    pn_status status = pn_index_rebuild(queue);
    return status == PN_OK ? PN_BUSY : status; /* take it again */
}

pn_status
pn_priority_enter(pn_priority *queue, int64_t deadline)
{
    for (;;) {
        pn_status status =
            pn_lock_wait(&queue->cell->lock, deadline, pn_slot_owner_alive, queue->domain);
        if (status != PN_OK && status != PN_OWNER_DIED) {
            return status;
        }
        status = repaired(queue);
        if (status != PN_BUSY) {
            return status;
        }
    }
}

static pn_status
try_enter(pn_priority *queue)
{
    pn_status status = pn_lock_try(&queue->cell->lock);
    return status == PN_OK || status == PN_OWNER_DIED ? repaired(queue) : status;
}

/* ---- put ------------------------------------------------------------------------ */

bool
pn_priority_is_full(const pn_priority *queue)
{
    pn_priority_cell *cell = queue->cell;
    uint64_t takes = atomic_load_explicit(&cell->takes, memory_order_acquire);
    return cell->max_items != 0 &&
           atomic_load_explicit(&cell->puts, memory_order_acquire) - takes >= cell->max_items;
}

static pn_status
put_locked(pn_priority *queue, uint64_t offset)
{
    pn_priority_cell *cell = queue->cell;
    if (atomic_load(&cell->shut) != 0) {
        return PN_SHUT_DOWN;
    }
    if (pn_priority_is_full(queue)) {
        return PN_FULL;
    }
    uint64_t puts = atomic_load(&cell->puts), count = puts - atomic_load(&cell->takes);
    if (count == pn_index_capacity(queue)) {
        return PN_NEED_SEGMENT;
    }
    pn_entry_cell *entry = pn_entry_at(queue->domain, offset);
    const pn_record *record = pn_entry_record(queue->domain, offset);
    atomic_store(&cell->changing, 1);
    atomic_store(&entry->sequence, puts);
    atomic_store(&entry->queue, queue->offset);
    if (record->flags & PN_RECORD_HANDLES) {
        pn_record_count_puts(queue->domain, record);
        atomic_store(&entry->named, 1); /* after: who dies between leaves `puts` ahead (object.h) */
    }
    atomic_fetch_or(&entry->object.flags, PN_OBJECT_KEPT);
    pn_index_add(queue, count, offset);
    pn_commit(&cell->puts, puts + 1, &cell->not_empty); /* COMMIT */
    atomic_store(&cell->changing, 0);
    return PN_OK;
}

pn_status
pn_priority_put_and_unlock(pn_priority *queue, uint64_t entry)
{
    for (;;) {
        pn_status status = put_locked(queue, entry);
        pn_lock_release(&queue->cell->lock);
        if (status == PN_OK) {
            pn_notify(queue->domain, queue->offset, PN_FOR_GET);
        }
        if (status != PN_NEED_SEGMENT) {
            return status;
        }
        status = pn_index_grow(queue);
        if (status != PN_OK) {
            return status;
        }
        status = pn_priority_enter(queue, PN_FOREVER);
        if (status != PN_OK) {
            return status;
        }
    }
}

pn_status
pn_priority_try_put(pn_priority *queue, uint64_t entry)
{
    pn_status status = try_enter(queue);
    return status == PN_OK ? pn_priority_put_and_unlock(queue, entry) : status;
}

/* ---- get ------------------------------------------------------------------------ */

static pn_status
get_locked(pn_priority *queue, pn_sink *sink, uint64_t *taken)
{
    pn_priority_cell *cell = queue->cell;
    pn_domain *domain = queue->domain;
    uint32_t shut = atomic_load(&cell->shut);
    uint64_t takes = atomic_load(&cell->takes), count = atomic_load(&cell->puts) - takes;
    if ((shut & PN_SHUT_NOW) || count == 0) {
        return shut != 0 ? PN_SHUT_DOWN : PN_EMPTY;
    }
    uint64_t offset = pn_index_first(queue);
    const pn_record *record = pn_entry_record(domain, offset);
    uint64_t size = pn_record_size(record);
    if (!pn_sink_reserve(sink, size)) {
        return PN_NO_MEMORY; /* private memory; it stays */
    }
    memcpy(sink->bytes + sink->used, record, size);
    pn_ring_answer_for(domain, record);
    pn_object_retain(domain, offset); /* we shall free it */
    atomic_store(&cell->changing, 1);
    /* The number first: under the old one, which is `takes`, the old sequence was taken. */
    atomic_store(&cell->taking_number, takes + 1);
    atomic_store(&cell->taking_sequence, atomic_load(&pn_entry_at(domain, offset)->sequence));
    pn_commit(&cell->takes, takes + 1, &cell->not_full); /* COMMIT */
    atomic_fetch_and(&pn_entry_at(domain, offset)->object.flags, ~(uint32_t)PN_OBJECT_KEPT);
    pn_index_remove_first(queue, count);
    atomic_store(&cell->changing, 0);
    sink->used += size;
    sink->count++;
    *taken = offset;
    return PN_OK;
}

pn_status
pn_priority_get_and_unlock(pn_priority *queue, pn_sink *sink)
{
    uint64_t taken = 0;
    pn_status status = get_locked(queue, sink, &taken);
    pn_lock_release(&queue->cell->lock);
    if (taken != 0) {
        pn_notify(queue->domain, queue->offset, PN_FOR_PUT);
        pn_object_drop(queue->domain, taken);
    }
    return status;
}

pn_status
pn_priority_try_get(pn_priority *queue, pn_sink *sink)
{
    pn_priority_cell *cell = queue->cell;
    uint32_t shut = atomic_load(&cell->shut); /* before the counters: nothing is put after it */
    uint64_t takes = atomic_load(&cell->takes);
    if (atomic_load(&cell->puts) == takes) {
        return shut != 0 ? PN_SHUT_DOWN : PN_EMPTY;
    }
    pn_status status = try_enter(queue);
    return status == PN_OK ? pn_priority_get_and_unlock(queue, sink) : status;
}

pn_status
pn_priority_bytes(pn_priority *queue, uint64_t *bytes)
{
    pn_status status = pn_priority_enter(queue, PN_FOREVER);
    *bytes = 0;
    if (status == PN_OK) {
        uint64_t count = pn_priority_count(queue);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t entry = pn_index_entry(queue, i);
            *bytes += pn_record_weight(pn_entry_record(queue->domain, entry));
        }
        pn_lock_release(&queue->cell->lock);
    }
    return status;
}

/* ---- freeing, walking: under header.lock ------------------------------------------ */

bool
pn_priority_names_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    return atomic_load(&((pn_priority_cell *)pn_at(domain, offset))->index) == block;
}

static void
free_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    /* If somebody died after this free, the block may be another's by now. */
    pn_block *entry = block != 0 ? pn_block_at(domain, block) : NULL;
    if (entry != NULL && pn_block_kind_of(atomic_load(&entry->state)) == PN_BLOCK_PAYLOAD &&
        atomic_load(&entry->queue) == offset) {
        pn_heap_free_locked(domain, block);
    }
}

void
pn_priority_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    for (uint64_t at = pn_slab_next_cell(domain, PN_BLOCK_SLAB_SMALL, 0); at != 0;
         at = pn_slab_next_cell(domain, PN_BLOCK_SLAB_SMALL, at)) {
        pn_entry_cell *entry = pn_entry_at(domain, at);
        if (atomic_load(&entry->object.type) == PN_OBJECT_ENTRY &&
            atomic_load(&entry->queue) == offset) {
            atomic_fetch_and(&entry->object.flags, ~(uint32_t)PN_OBJECT_KEPT);
            pn_collect_later(named, at);
        }
    }
    free_block(domain, offset, atomic_load(&((pn_priority_cell *)pn_at(domain, offset))->index));
}

bool
pn_entry_names_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    return atomic_load(&pn_entry_at(domain, offset)->block) == block;
}

void
pn_entry_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    pn_entry_cell *entry = pn_entry_at(domain, offset);
    if (atomic_load(&entry->named) != 0) {
        const pn_record *record = pn_entry_record(domain, offset);
        const pn_handles *handles = pn_record_handles(record);
        /* Said first: who dies between leaves `takes` behind, which is safe; twice would not be. */
        atomic_store(&entry->named, 0);
        pn_record_count_takes(domain, record);
        for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
            pn_collect_later(named, handles->offset[i]);
        }
    }
    free_block(domain, offset, atomic_load(&entry->block));
}

bool
pn_entry_walk(pn_domain *domain, uint64_t offset, pn_record_visit visit, void *context)
{
    pn_entry_cell *entry = pn_entry_at(domain, offset);
    /* Whoever puts or takes it just now holds what it names; its bytes stay while we look. */
    return !((atomic_load(&entry->object.flags) & PN_OBJECT_KEPT) &&
             atomic_load(&entry->named) != 0 &&
             visit(domain, atomic_load(&entry->queue), pn_entry_record(domain, offset), context));
}

bool
pn_priority_is_ready(pn_domain *domain, uint64_t offset, uint32_t want)
{
    pn_priority queue;
    pn_priority_open(&queue, domain, offset);
    return atomic_load(&queue.cell->shut) != 0 ||
           ((want & PN_FOR_GET) && pn_priority_count(&queue) != 0) ||
           ((want & PN_FOR_PUT) && !pn_priority_is_full(&queue));
}
