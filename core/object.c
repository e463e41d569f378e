#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "object.h"

#include <string.h>

#include "collect.h"
#include "held.h"
#include "kind.h"
#include "listen.h"
#include "slots.h"
#include "sweep.h"

/* ---- what this process holds ------------------------------------------- */

static void
set_bit(pn_domain *domain, uint64_t offset, uint32_t slot)
{
    pn_object *object = pn_at(domain, offset);
    if (slot != PN_SLOTS) {
        atomic_fetch_or(&object->holders[slot / 64], UINT64_C(1) << slot % 64);
    } else {
        atomic_fetch_add(&object->unseen, 1); /* the table was full: it has no bit */
    }
    /* In this order: who reads the new `moves` finds the bit, or it was given up again. */
    atomic_fetch_add(&object->moves, 1);
}

static void
clear_bit(pn_domain *domain, uint64_t offset, uint32_t slot)
{
    pn_object *object = pn_at(domain, offset);
    if (slot != PN_SLOTS) {
        atomic_fetch_and(&object->holders[slot / 64], ~(UINT64_C(1) << slot % 64));
    } else {
        atomic_fetch_sub(&object->unseen, 1);
    }
}

static void
count_up(pn_domain *domain, uint64_t offset)
{
    pthread_mutex_lock(&domain->mutex);
    pn_held *held = pn_held_find(domain, offset);
    if (held == NULL) {
        held = pn_held_add(domain, offset);
        set_bit(domain, offset, domain->slot);
    }
    held->count++;
    pthread_mutex_unlock(&domain->mutex);
}

/* True if that was the last reference of this process. */
static bool
count_down(pn_domain *domain, uint64_t offset)
{
    bool is_last = false;
    pthread_mutex_lock(&domain->mutex);
    pn_held *held = pn_held_find(domain, offset);
    if (held != NULL && --held->count == 0) {
        is_last = true;
        pn_held_remove(domain, held);
        pn_object *object = pn_at(domain, offset);
        if (pn_kind_of(object)->is_robust_lock && pn_lock_mine(&((pn_lock_cell *)object)->lock)) {
            /* Nobody can release it any more: as if its owner had died. Before the bit
             * goes: after it another thread may make something else of the cell. */
            pn_lock_release_marked(&((pn_lock_cell *)object)->lock);
            pn_fence_after_exchange();
            pn_notify(domain, offset, PN_FOR_GET);
        }
        if (pn_kind_of(object)->given_up != NULL) {
            pn_kind_of(object)->given_up(domain, offset);
        }
        clear_bit(domain, offset, domain->slot);
    }
    pthread_mutex_unlock(&domain->mutex);
    return is_last;
}

bool
pn_object_held(pn_domain *domain, uint64_t offset)
{
    pthread_mutex_lock(&domain->mutex);
    bool is_held = pn_held_find(domain, offset) != NULL;
    pthread_mutex_unlock(&domain->mutex);
    return is_held;
}

void
pn_object_retain(pn_domain *domain, uint64_t offset)
{
    count_up(domain, offset);
}

void
pn_object_drop(pn_domain *domain, uint64_t offset)
{
    if (count_down(domain, offset)) {
        pn_collect_if_free(domain, offset);
    }
}

void
pn_object_hold_for(pn_domain *domain, uint64_t offset, uint32_t slot)
{
    set_bit(domain, offset, slot);
}

void
pn_object_hold_all_for(pn_domain *domain, uint32_t slot)
{
    for (size_t i = 0; i < domain->held_capacity; i++) {
        if (domain->held[i].offset != 0) {
            set_bit(domain, domain->held[i].offset, slot);
            const pn_kind *kind = pn_kind_of(pn_at(domain, domain->held[i].offset));
            if (domain->held[i].is_handed && kind->arrives != NULL) {
                kind->arrives(domain, domain->held[i].offset, slot);
            }
        }
    }
}

void
pn_object_hold_again(pn_domain *domain)
{
    if (pn_domain_enter(domain) != PN_OK) {
        return;
    }
    size_t i = 0;
    while (i < domain->held_capacity) {
        uint64_t offset = domain->held[i].offset;
        if (offset != 0 && !pn_object_valid(domain, offset)) {
            pn_held_remove(domain, &domain->held[i]); /* which may move another one here */
            continue;
        }
        if (offset != 0) {
            set_bit(domain, offset, domain->slot);
        }
        i++;
    }
    pn_domain_leave(domain);
}

void
pn_object_hand_at_fork(pn_domain *domain, uint64_t offset, bool is_handed)
{
    pthread_mutex_lock(&domain->mutex);
    pn_held *held = pn_held_find(domain, offset);
    if (held != NULL) {
        held->is_handed = is_handed;
    }
    pthread_mutex_unlock(&domain->mutex);
}

/* ---- making and finding ------------------------------------------------- */

static void
set_name(pn_object *object, const char *name)
{
    size_t length = strlen(name);
    if (length > PN_NAME - 1) {
        length = PN_NAME - 1;
        while (length > 0 && ((unsigned char)name[length] & 0xc0) == 0x80) {
            length--; /* do not cut a UTF-8 character */
        }
    }
    memset(object->name, 0, PN_NAME);
    memcpy(object->name, name, length);
}

void
pn_object_set_name(pn_domain *domain, uint64_t offset, const char *name)
{
    set_name(pn_at(domain, offset), name);
}

pn_status
pn_object_new_locked(pn_domain *domain, pn_object_type type, const char *name, uint64_t *offset,
                     uint32_t *generation)
{
    uint64_t slab_offset;
    uint32_t index;
    pn_block_kind cells = pn_slab_kind_for(pn_kind_of_type(type)->size);
    pn_status status = pn_slab_find(domain, cells, &slab_offset, &index);
    if (status != PN_OK) {
        return status;
    }
    pn_slab *slab = pn_at(domain, slab_offset);
    *offset = pn_slab_cell(slab_offset, slab, index);
    pn_object *object = pn_at(domain, *offset);
    *generation = atomic_load(&object->generation) + 1;
    memset((char *)object + sizeof(*object), 0, slab->cell_size - sizeof(*object));
    for (uint32_t i = 0; i < PN_SLOTS / 64; i++) {
        atomic_store_explicit(&object->holders[i], 0, memory_order_relaxed);
    }
    atomic_store(&object->unseen, 0);
    atomic_store(&object->puts, 0);
    atomic_store(&object->takes, 0);
    atomic_store(&object->flags, 0);
    atomic_store(&object->mate, 0);
    object->slab = slab_offset;
    set_name(object, name);
    atomic_store(&object->generation, *generation);
    atomic_store(&object->type, type);
    count_up(domain, *offset);
    pn_slab_take(domain, slab_offset, index); /* COMMIT */
    return PN_OK;
}

pn_status
pn_object_new(pn_domain *domain, pn_object_type type, const char *name, uint64_t *offset,
              uint32_t *generation)
{
    pn_sweep_sometimes(domain);
    pn_status status = pn_domain_enter(domain);
    if (status == PN_OK) {
        status = pn_object_new_locked(domain, type, name, offset, generation);
        pn_domain_leave(domain);
    }
    return status;
}

bool
pn_object_valid(pn_domain *domain, uint64_t offset)
{
    if (!pn_slab_may_have(domain, offset)) {
        return false;
    }
    uint64_t slab = ((pn_object *)pn_at(domain, offset))->slab;
    if (slab % PN_PAGE != 0 || slab < domain->header->heap_offset || slab >= offset ||
        offset - slab >= PN_SLAB_PAGES * PN_PAGE) {
        return false;
    }
    uint32_t kind = pn_block_kind_of(atomic_load(&pn_block_at(domain, slab)->state));
    uint32_t index;
    return (kind == PN_BLOCK_SLAB_SMALL || kind == PN_BLOCK_SLAB_LARGE) &&
           pn_slab_uses(domain, slab, offset, &index);
}

bool
pn_object_names_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    if (offset == 0 || !pn_object_valid(domain, offset)) {
        return false;
    }
    const pn_kind *kind = pn_kind_of(pn_at(domain, offset));
    return kind->names_block != NULL && kind->names_block(domain, offset, block);
}

pn_status
pn_object_attach(pn_domain *domain, uint64_t offset, uint32_t generation)
{
    pn_status status = pn_domain_enter(domain);
    if (status != PN_OK) {
        return status;
    }
    if (pn_object_valid(domain, offset)) {
        pn_object *object = pn_at(domain, offset);
        bool same = atomic_load(&object->generation) == generation &&
                    atomic_load(&object->type) != PN_OBJECT_FREE;
        status = same ? PN_OK : PN_STALE;
    } else {
        status = PN_STALE;
    }
    if (status == PN_OK) {
        count_up(domain, offset);
    }
    pn_domain_leave(domain);
    return status;
}
