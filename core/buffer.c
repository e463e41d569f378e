#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "buffer.h"

#include <string.h>

#include "collect.h"
#include "slots.h"
#include "sweep.h"

static bool
is_small(uint64_t bytes, uint64_t flags)
{
    return bytes <= PN_BUFFER_SMALL && (flags & PN_BUFFER_SHARED);
}

static pn_status
new_locked(pn_domain *domain, uint64_t bytes, uint64_t flags, uint64_t *offset,
           uint32_t *generation)
{
    pn_status status = pn_object_new_locked(domain, PN_OBJECT_BUFFER, "", offset, generation);
    if (status != PN_OK) {
        return status;
    }
    pn_buffer_cell *cell = pn_buffer_at(domain, *offset);
    atomic_store(&cell->length, bytes);
    atomic_store(&cell->flags, flags);
    if (is_small(bytes, flags)) {
        return PN_OK;
    }
    uint64_t block;
    status = pn_heap_alloc_locked(domain, bytes, PN_BLOCK_PAYLOAD, *offset, &block);
    if (status == PN_OK) {
        /* Before it the block is ours, after it the cell's, whatever the owner says. */
        atomic_store(&cell->block, block); /* COMMIT */
        atomic_store(&pn_block_at(domain, block)->owner, 0);
    }
    return status;
}

pn_status
pn_buffer_new(pn_domain *domain, uint64_t bytes, uint64_t flags, uint64_t *offset,
              uint32_t *generation)
{
    pn_status status;
    for (int turn = 0; turn < 2; turn++) {
        status = pn_domain_enter(domain);
        if (status != PN_OK) {
            return status;
        }
        *offset = 0;
        status = new_locked(domain, bytes, flags, offset, generation);
        pn_domain_leave(domain);
        if (status == PN_OK) {
            return status;
        }
        if (*offset != 0) {
            pn_object_drop(domain, *offset);
        }
        if (status != PN_NO_MEMORY) {
            return status;
        }
        pn_sweep_sometimes(domain); /* the dead may have some */
    }
    return status;
}

void
pn_buffer_describe(pn_domain *domain, uint64_t offset, const char *form, uint64_t text)
{
    pn_buffer_cell *cell = pn_buffer_at(domain, offset);
    uint64_t length = atomic_load(&cell->length) - text;
    memcpy(pn_buffer_bytes(domain, offset) + length, form, text);
    atomic_store(&cell->length, length);
    atomic_store(&cell->form, text);
}

/* ---- names -------------------------------------------------------------------------- */

/* From here on it is found, and kept. Under header.lock. */
static void
give_name(pn_domain *domain, uint64_t offset)
{
    pn_buffer_cell *cell = pn_buffer_at(domain, offset);
    if (domain->slot !=
        PN_SLOTS) { /* of a process without a line nobody would know that it was killed */
        atomic_store(&cell->keeper, pn_owner_word(domain->slot, domain->generation));
        atomic_fetch_or(&cell->object.flags, PN_OBJECT_KEPT);
    }
    atomic_fetch_or(&cell->flags, PN_BUFFER_NAMED); /* COMMIT */
}

/* The offset of the one of that name, 0: there is none. Under header.lock. */
static uint64_t
find_locked(pn_domain *domain, const char *name)
{
    pn_block_kind kind = pn_slab_kind_for(sizeof(pn_buffer_cell));
    for (uint64_t at = pn_slab_next_cell(domain, kind, 0); at != 0;
         at = pn_slab_next_cell(domain, kind, at)) {
        pn_buffer_cell *cell = pn_buffer_at(domain, at);
        if (atomic_load(&cell->object.type) == PN_OBJECT_BUFFER &&
            (atomic_load(&cell->flags) & PN_BUFFER_NAMED) &&
            strncmp(cell->object.name, name, PN_NAME) == 0) {
            return at;
        }
    }
    return 0;
}

pn_status
pn_buffer_publish(pn_domain *domain, uint64_t offset)
{
    for (int turn = 0; turn < 2; turn++) {
        pn_status status = pn_domain_enter(domain);
        if (status != PN_OK) {
            return status;
        }
        bool is_free = find_locked(domain, pn_buffer_at(domain, offset)->object.name) == 0;
        if (is_free) {
            give_name(domain, offset);
        }
        pn_domain_leave(domain);
        if (is_free) {
            return PN_OK;
        }
        pn_sweep(domain); /* it may be a dead one's */
    }
    return PN_EXISTS;
}

pn_status
pn_buffer_find(pn_domain *domain, const char *name, uint64_t *offset, uint32_t *generation)
{
    pn_status status = pn_domain_enter(domain);
    if (status != PN_OK) {
        return status;
    }
    *offset = find_locked(domain, name);
    status = *offset != 0 ? PN_OK : PN_NOTHING;
    if (status == PN_OK) {
        *generation = atomic_load(&pn_buffer_at(domain, *offset)->object.generation);
        pn_object_retain(domain, *offset);
    }
    pn_domain_leave(domain);
    return status;
}

pn_status
pn_buffer_unlink(pn_domain *domain, uint64_t offset, uint32_t generation)
{
    pn_status status = pn_domain_enter(domain);
    if (status != PN_OK) {
        return status;
    }
    status = PN_NOTHING;
    pn_buffer_cell *cell = pn_buffer_at(domain, offset);
    if (pn_object_valid(domain, offset) && atomic_load(&cell->object.generation) == generation &&
        atomic_load(&cell->object.type) == PN_OBJECT_BUFFER &&
        (atomic_load(&cell->flags) & PN_BUFFER_NAMED)) {
        status = PN_OK;
        /* In this order: a death between them leaves a name that keeps nothing. */
        atomic_fetch_and(&cell->object.flags, ~(uint32_t)PN_OBJECT_KEPT);
        atomic_fetch_and(&cell->flags, ~(uint64_t)PN_BUFFER_NAMED); /* COMMIT */
        pn_object_collect(domain, offset);
    }
    pn_domain_leave(domain);
    return status;
}

bool
pn_buffer_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation, bool awaited)
{
    pn_buffer_cell *cell = pn_buffer_at(domain, offset);
    if (atomic_load(&cell->keeper) != pn_owner_word(slot, generation) ||
        !(atomic_load(&cell->object.flags) & PN_OBJECT_KEPT)) {
        return true;
    }
    pn_end end = pn_slot_end(domain, slot, awaited);
    if (end == PN_END_ABNORMAL) {
        atomic_fetch_and(&cell->object.flags, ~(uint32_t)PN_OBJECT_KEPT); /* COMMIT */
    } else if (end == PN_END_CLEAN) {
        atomic_store(&cell->keeper, 0); /* it meant to leave it */
    }
    return end != PN_END_UNKNOWN;
}

/* ---- freeing ------------------------------------------------------------------------ */

bool
pn_buffer_names_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    return atomic_load(&pn_buffer_at(domain, offset)->block) == block;
}

void
pn_buffer_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    (void)named;
    pn_buffer_cell *cell = pn_buffer_at(domain, offset);
    uint64_t block = atomic_load(&cell->block);
    if (block == 0) {
        return;
    }
    /* If somebody died after this free, the block may be another's by now. */
    pn_block *entry = pn_block_at(domain, block);
    if (pn_block_kind_of(atomic_load(&entry->state)) == PN_BLOCK_PAYLOAD &&
        atomic_load(&entry->queue) == offset) {
        pn_heap_free_locked(domain, block);
    }
}
