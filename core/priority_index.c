#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <string.h>

#include "heap.h"
#include "priority_private.h"
#include "slots.h"

#define LOOK_NS (20 * 1000000LL) /* how long the domain's lock is held for a queue's */

typedef struct {
    uint64_t entry;
    uint64_t begin; /* of its key, big-endian: most comparisons end here */
} place;

static place *
places(pn_priority *queue)
{
    return pn_at(queue->domain, atomic_load_explicit(&queue->cell->index, memory_order_relaxed));
}

uint64_t
pn_index_capacity(pn_priority *queue)
{
    uint64_t block = atomic_load(&queue->cell->index);
    return pn_block_pages(atomic_load(&pn_block_at(queue->domain, block)->state)) * PN_PAGE /
           sizeof(place);
}

static place
place_of(pn_priority *queue, uint64_t entry)
{
    const pn_entry_cell *cell = pn_entry_at(queue->domain, entry);
    uint8_t begin[8] = {0};
    memcpy(begin, pn_entry_bytes(queue->domain, entry),
           cell->key_length < sizeof(begin) ? cell->key_length : sizeof(begin));
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof(begin); i++) {
        number = number << 8 | begin[i];
    }
    return (place){.entry = entry, .begin = number};
}

static bool
comes_before(pn_priority *queue, const place *a, const place *b)
{
    if (a->begin != b->begin) {
        return a->begin < b->begin;
    }
    pn_entry_cell *one = pn_entry_at(queue->domain, a->entry);
    pn_entry_cell *two = pn_entry_at(queue->domain, b->entry);
    uint32_t shorter = one->key_length < two->key_length ? one->key_length : two->key_length;
    int order = memcmp(pn_entry_bytes(queue->domain, a->entry),
                       pn_entry_bytes(queue->domain, b->entry), shorter);
    if (order == 0 && one->key_length == two->key_length) {
        return atomic_load_explicit(&one->sequence, memory_order_relaxed) <
               atomic_load_explicit(&two->sequence, memory_order_relaxed);
    }
    return order != 0 ? order < 0 : one->key_length < two->key_length;
}

void
pn_index_add(pn_priority *queue, uint64_t count, uint64_t entry)
{
    place *heap = places(queue), new = place_of(queue, entry);
    uint64_t at = count;
    while (at > 0 && comes_before(queue, &new, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = new;
}

uint64_t
pn_index_first(pn_priority *queue)
{
    return places(queue)[0].entry;
}

uint64_t
pn_index_entry(pn_priority *queue, uint64_t number)
{
    return places(queue)[number].entry;
}

void
pn_index_remove_first(pn_priority *queue, uint64_t count)
{
    place *heap = places(queue), last = heap[count - 1];
    uint64_t left = count - 1, at = 0;
    for (;;) {
        uint64_t child = 2 * at + 1;
        if (child >= left) {
            break;
        }
        if (child + 1 < left && comes_before(queue, &heap[child + 1], &heap[child])) {
            child++;
        }
        if (!comes_before(queue, &heap[child], &last)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
}

pn_status
pn_index_grow(pn_priority *queue)
{
    pn_domain *domain = queue->domain;
    pn_priority_cell *cell = queue->cell;
    uint64_t room = pn_index_capacity(queue), block, old = 0;
    pn_status status =
        pn_heap_alloc(domain, 2 * room * sizeof(place), PN_BLOCK_PAYLOAD, queue->offset, &block);
    if (status != PN_OK) {
        return status;
    }
    status = pn_priority_enter(queue, PN_FOREVER);
    if (status == PN_OK) {
        if (pn_index_capacity(queue) == room) {
            old = atomic_load(&cell->index);
            memcpy(pn_at(domain, block), pn_at(domain, old), room * sizeof(place));
            /* The old one is ours before it is named no more, the new one until it is. */
            atomic_store(&pn_block_at(domain, old)->owner,
                         pn_owner_word(domain->slot, domain->generation));
            atomic_store(&cell->index, block); /* COMMIT */
            atomic_store(&pn_block_at(domain, block)->owner, 0);
        } else {
            old = block;
        }
        pn_lock_release(&cell->lock);
    } else {
        old = block;
    }
    pn_heap_free(domain, old);
    return status;
}

/* Which of the kept entries that name the queue are in it? header.lock, and the queue's. */
static void
sort_out(pn_priority *queue)
{
    pn_domain *domain = queue->domain;
    pn_priority_cell *cell = queue->cell;
    uint64_t puts = atomic_load(&cell->puts), count = 0;
    bool was_taken = atomic_load(&cell->taking_number) == atomic_load(&cell->takes);
    for (uint64_t at = pn_slab_next_cell(domain, PN_BLOCK_SLAB_SMALL, 0); at != 0;
         at = pn_slab_next_cell(domain, PN_BLOCK_SLAB_SMALL, at)) {
        pn_entry_cell *entry = pn_entry_at(domain, at);
        if (atomic_load(&entry->object.type) != PN_OBJECT_ENTRY ||
            atomic_load(&entry->queue) != queue->offset ||
            !(atomic_load(&entry->object.flags) & PN_OBJECT_KEPT)) {
            continue;
        }
        uint64_t sequence = atomic_load(&entry->sequence);
        if (sequence >= puts || (was_taken && sequence == atomic_load(&cell->taking_sequence))) {
            atomic_fetch_and(&entry->object.flags, ~(uint32_t)PN_OBJECT_KEPT);
            pn_collect_soon(domain); /* the next sweep frees it */
        } else {
            pn_index_add(queue, count++, at);
        }
    }
}

pn_status
pn_index_rebuild(pn_priority *queue)
{
    pn_domain *domain = queue->domain;
    pn_priority_cell *cell = queue->cell;
    pn_status status = pn_domain_enter(domain);
    if (status != PN_OK) {
        return status;
    }
    /* Not for long: who has it may be stopped, and everybody wants the domain's. */
    status = pn_lock_wait(&cell->lock, pn_now() + LOOK_NS, pn_slot_owner_alive, domain);
    if (status == PN_OK || status == PN_OWNER_DIED) {
        if (atomic_load(&cell->changing) != 0) {
            sort_out(queue);
            atomic_store(&cell->changing, 0);
        }
        pn_lock_release(&cell->lock);
        status = PN_OK;
    } else if (status == PN_TIMEOUT) {
        status = PN_INTERRUPTED;
    }
    pn_domain_leave(domain);
    return status;
}
