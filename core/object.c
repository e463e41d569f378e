#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "object.h"

#include <stdlib.h>
#include <string.h>

#include "heap.h"
#include "ring.h"
#include "slots.h"
#include "sweep.h"

static const uint32_t SMALL_CELL = 512, LARGE_CELL = 2048;

_Static_assert(sizeof(pn_lock_cell) <= 512, "a lock fits the small cell");
_Static_assert(sizeof(pn_ring_cell) <= 2048, "a ring fits the large cell");

/* ---- what this process holds ------------------------------------------- */

static pn_held *
find_held(pn_domain *domain, uint64_t offset)
{
    for (size_t i = 0; i < domain->held_used; i++) {
        if (domain->held[i].offset == offset) {
            return &domain->held[i];
        }
    }
    return NULL;
}

static void
set_bit(pn_domain *domain, uint64_t offset, uint32_t slot)
{
    pn_object *object = pn_at(domain, offset);
    /* In this order: who reads the new `moves` finds the bit, or it was given up again. */
    atomic_fetch_or(&object->holders[slot / 64], UINT64_C(1) << slot % 64);
    atomic_fetch_add(&object->moves, 1);
}

/* True if the process had no reference before. */
static bool
count_up(pn_domain *domain, uint64_t offset)
{
    pthread_mutex_lock(&domain->mutex);
    pn_held *held = find_held(domain, offset);
    bool is_first = held == NULL;
    if (is_first) {
        if (domain->held_used == domain->held_capacity) {
            size_t capacity = domain->held_capacity ? domain->held_capacity * 2 : 16;
            pn_held *larger = realloc(domain->held, capacity * sizeof(*larger));
            if (larger == NULL) {
                abort(); /* 16 bytes an object: the process is beyond help */
            }
            domain->held = larger;
            domain->held_capacity = capacity;
        }
        held = &domain->held[domain->held_used++];
        *held = (pn_held){.offset = offset};
    }
    held->count++;
    if (is_first && domain->slot != PN_SLOTS) {
        set_bit(domain, offset, domain->slot);
    }
    pthread_mutex_unlock(&domain->mutex);
    return is_first;
}

static bool
is_robust_lock(pn_object *object)
{
    uint32_t type = atomic_load(&object->type);
    return type == PN_OBJECT_MUTEX || type == PN_OBJECT_RLOCK;
}

/* True if that was the last reference of this process. */
static bool
count_down(pn_domain *domain, uint64_t offset)
{
    bool is_last = false;
    pthread_mutex_lock(&domain->mutex);
    pn_held *held = find_held(domain, offset);
    if (held != NULL && --held->count == 0) {
        is_last = true;
        *held = domain->held[--domain->held_used];
        pn_object *object = pn_at(domain, offset);
        if (is_robust_lock(object) && pn_lock_mine(&((pn_lock_cell *)object)->lock)) {
            /* Nobody can release it any more: as if its owner had died. Before the bit
             * goes: after it another thread may make something else of the cell. */
            pn_lock_release_marked(&((pn_lock_cell *)object)->lock);
        }
        if (domain->slot != PN_SLOTS) {
            atomic_fetch_and(&object->holders[domain->slot / 64],
                             ~(UINT64_C(1) << domain->slot % 64));
        }
    }
    pthread_mutex_unlock(&domain->mutex);
    return is_last;
}

bool
pn_object_held(pn_domain *domain, uint64_t offset)
{
    pthread_mutex_lock(&domain->mutex);
    bool is_held = find_held(domain, offset) != NULL;
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
    if (!count_down(domain, offset)) {
        return;
    }
    if (pn_domain_enter(domain) == PN_OK) {
        pn_object_collect(domain, offset);
        pn_domain_leave(domain);
    }
}

void
pn_object_hold_for(pn_domain *domain, uint64_t offset, uint32_t slot)
{
    if (slot != PN_SLOTS) { /* a process that found the table full has no bit */
        set_bit(domain, offset, slot);
    }
}

void
pn_object_hold_all_for(pn_domain *domain, uint32_t slot)
{
    for (size_t i = 0; i < domain->held_used; i++) {
        set_bit(domain, domain->held[i].offset, slot);
    }
}

/* ---- slabs -------------------------------------------------------------- */

static pn_status
find_cell(pn_domain *domain, pn_block_kind kind, uint64_t *slab_offset, uint32_t *index)
{
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        if (pn_block_kind_of(atomic_load(&block->state)) != (uint32_t)kind) {
            continue;
        }
        pn_slab *slab = pn_at(domain, at);
        for (uint32_t i = 0; i < slab->cells; i++) {
            if (!(atomic_load(&slab->used[i / 64]) >> i % 64 & 1)) {
                *slab_offset = at;
                *index = i;
                return PN_OK;
            }
        }
    }
    /* A new slab is never freed: its cells keep their generations. Its header is
     * written before the block's kind says that it is one. */
    uint64_t at;
    pn_status status =
        pn_heap_alloc_locked(domain, PN_SLAB_PAGES * PN_PAGE, PN_BLOCK_PAYLOAD, 0, &at);
    if (status != PN_OK) {
        return status;
    }
    pn_slab *slab = pn_at(domain, at);
    memset(slab, 0, PN_SLAB_PAGES * PN_PAGE);
    slab->cell_size = kind == PN_BLOCK_SLAB_SMALL ? SMALL_CELL : LARGE_CELL;
    slab->cells = PN_SLAB_PAGES * PN_PAGE / slab->cell_size - 1;
    pn_block *entry = pn_block_at(domain, at);
    uint64_t state = atomic_load(&entry->state);
    /* Before it a payload of ours, which the sweep frees; after it everybody's, whatever the
     * owner says. */
    atomic_store(&entry->state, (state & ~UINT64_C(0xff)) | kind); /* COMMIT */
    atomic_store(&entry->owner, 0);
    *slab_offset = at;
    *index = 0;
    return PN_OK;
}

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

static pn_status
new_locked(pn_domain *domain, pn_object_type type, const char *name, uint64_t *offset,
           uint32_t *generation)
{
    uint64_t slab_offset;
    uint32_t index;
    pn_block_kind kind = type == PN_OBJECT_RING ? PN_BLOCK_SLAB_LARGE : PN_BLOCK_SLAB_SMALL;
    pn_status status = find_cell(domain, kind, &slab_offset, &index);
    if (status != PN_OK) {
        return status;
    }
    pn_slab *slab = pn_at(domain, slab_offset);
    *offset = pn_slab_cell(slab_offset, slab, index);
    pn_object *object = pn_at(domain, *offset);
    *generation = atomic_load(&object->generation) + 1;
    memset((char *)object + sizeof(*object), 0, slab->cell_size - sizeof(*object));
    for (uint32_t i = 0; i < PN_SLOTS / 64; i++) {
        atomic_store(&object->holders[i], 0);
    }
    object->flags = 0;
    object->slab = slab_offset;
    set_name(object, name);
    atomic_store(&object->generation, *generation);
    atomic_store(&object->type, type);
    count_up(domain, *offset);
    atomic_fetch_or(&slab->used[index / 64], UINT64_C(1) << index % 64); /* COMMIT */
    return PN_OK;
}

pn_status
pn_object_new(pn_domain *domain, pn_object_type type, const char *name, uint64_t *offset,
              uint32_t *generation)
{
    pn_sweep_sometimes(domain);
    pn_status status = pn_domain_enter(domain);
    if (status == PN_OK) {
        status = new_locked(domain, type, name, offset, generation);
        pn_domain_leave(domain);
    }
    return status;
}

/* Under lock: the slab bit of a cell. */
static bool
is_used(pn_domain *domain, uint64_t offset, pn_slab **slab, uint32_t *index)
{
    pn_object *object = pn_at(domain, offset);
    *slab = pn_at(domain, object->slab);
    *index = (uint32_t)((offset - object->slab) / (*slab)->cell_size) - 1;
    return *index < 128 && (atomic_load(&(*slab)->used[*index / 64]) >> *index % 64 & 1);
}

bool
pn_object_valid(pn_domain *domain, uint64_t offset)
{
    pn_header *header = domain->header;
    if (offset % SMALL_CELL != 0 || offset < header->heap_offset ||
        offset >= header->heap_offset + header->top * PN_PAGE) {
        return false;
    }
    pn_object *object = pn_at(domain, offset);
    uint64_t slab = object->slab;
    if (slab % PN_PAGE != 0 || slab < header->heap_offset || slab >= offset ||
        offset - slab >= PN_SLAB_PAGES * PN_PAGE) {
        return false;
    }
    uint32_t kind = pn_block_kind_of(atomic_load(&pn_block_at(domain, slab)->state));
    pn_slab *head;
    uint32_t index;
    return (kind == PN_BLOCK_SLAB_SMALL || kind == PN_BLOCK_SLAB_LARGE) &&
           is_used(domain, offset, &head, &index);
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

static bool
has_holder(pn_object *object)
{
    for (uint32_t i = 0; i < PN_SLOTS / 64; i++) {
        if (atomic_load(&object->holders[i]) != 0) {
            return true;
        }
    }
    return false;
}

bool
pn_object_collect(pn_domain *domain, uint64_t offset)
{
    pn_object *object = pn_at(domain, offset);
    pn_slab *slab;
    uint32_t index;
    if (!is_used(domain, offset, &slab, &index)) {
        return false;
    }
    if (atomic_load(&domain->header->unseen)) {
        return false; /* a process without a line may have it */
    }
    if (is_robust_lock(object) && (atomic_load(&((pn_lock_cell *)object)->lock.word) & PN_OWNER)) {
        return false; /* the cell is linked into the list of a thread that lives */
    }
    uint32_t moves = atomic_load(&object->moves);
    if (has_holder(object) || pn_ring_any_names_object(domain, offset) ||
        atomic_load(&object->moves) != moves) {
        return false;
    }
    bool was_ring = atomic_load(&object->type) == PN_OBJECT_RING;
    if (was_ring) {
        pn_ring_discard(domain, offset); /* its blocks; what its records named is swept later */
    }
    atomic_fetch_add(&object->generation, 1);
    atomic_store(&object->type, PN_OBJECT_FREE);
    atomic_fetch_and(&slab->used[index / 64], ~(UINT64_C(1) << index % 64)); /* COMMIT */
    return true;
}
