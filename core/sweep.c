#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sweep.h"

#include "collect.h"
#include "kind.h"
#include "listen.h"
#include "slots.h"
#include "waits.h"

#define SWEEP_EVERY_NS 1000000000LL

/* Free the blocks of a dead process that no object names; its last words only `with_report`. */
static void
sweep_blocks(pn_domain *domain, uint64_t owner, bool with_report)
{
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        uint64_t state = atomic_load(&block->state);
        uint32_t kind = pn_block_kind_of(state);
        if (kind <= PN_BLOCK_SLAB_LARGE || atomic_load(&block->owner) != owner ||
            (kind == PN_BLOCK_REPORT && !with_report)) {
            continue;
        }
        bool is_named = pn_object_names_block(domain, atomic_load(&block->queue), at);
        if (atomic_load(&block->owner) != owner) {
            continue; /* a segment not named, because a taker has passed it meanwhile */
        }
        if (is_named) {
            uint64_t dead = owner; /* unless a taker has just made itself the owner */
            atomic_compare_exchange_strong(&block->owner, &dead, 0);
        } else {
            pn_heap_free_locked(domain, at);
        }
    }
}

/* Every object, without the bit of a dead process. */
static void
sweep_objects(pn_domain *domain, pn_block_kind kind, uint32_t slot)
{
    for (uint64_t at = pn_slab_next_cell(domain, kind, 0); at != 0;
         at = pn_slab_next_cell(domain, kind, at)) {
        pn_object *object = pn_at(domain, at);
        uint64_t bit = UINT64_C(1) << slot % 64;
        if (atomic_load(&object->holders[slot / 64]) & bit) { /* most are not its */
            atomic_fetch_and(&object->holders[slot / 64], ~bit);
        }
        pn_collect_mark(domain, at); /* not only what it held: see object.h */
    }
}

/* What a dead process had of every object. False: something could not be given back just now. */
static bool
bury(pn_domain *domain, pn_block_kind kind, uint32_t slot, bool awaited)
{
    uint32_t generation = atomic_load(&domain->slots[slot].generation);
    bool complete = true;
    for (uint64_t at = pn_slab_next_cell(domain, kind, 0); at != 0;
         at = pn_slab_next_cell(domain, kind, at)) {
        const pn_kind *of = pn_kind_of(pn_at(domain, at));
        complete &= of->bury == NULL || of->bury(domain, at, slot, generation, awaited);
        /* It may be ready now; or it was made ready, and whoever did it died before he told. */
        pn_notify(domain, at, PN_FOR_ANY);
    }
    return complete;
}

static void
sweep_waits(pn_domain *domain, uint32_t slot)
{
    for (uint32_t i = 0; i < PN_WAITS; i++) {
        pn_wait *wait = &domain->waits[i];
        uint64_t owner = atomic_load(&wait->owner);
        if (owner >> 32 == (uint64_t)slot + 1) {
            atomic_store(&wait->object, 0);
            atomic_store(&wait->owner, 0);
        }
    }
}

typedef enum {
    AWAITED, /* the line stays, with its report, until its parent has read how the process ended */
    REAPED,
    DISCARDED /* the line is freed in any case */
} fate;

/* Has the guardian to look for what this dead process ran? */
static bool
is_guardians(pn_domain *domain, pn_slot *slot)
{
    uint32_t nobodys = PN_SLOT_LEFT | PN_SLOT_PLAIN | PN_SLOT_FOREIGN;
    return atomic_load(&domain->header->guarded) && !(atomic_load(&slot->flags) & nobodys) &&
           atomic_load(&slot->parent_slot) < PN_SLOTS;
}

static bool
sweep_locked(pn_domain *domain, uint32_t index, fate fate)
{
    pn_slot *slot = &domain->slots[index];
    pn_collect_soon(domain);
    atomic_store(&slot->state, PN_SLOT_DEAD);
    if (fate != AWAITED) {
        atomic_fetch_or(&slot->flags, PN_SLOT_REAPED);
    }
    uint64_t owner = pn_owner_word(index, atomic_load(&slot->generation));
    sweep_waits(domain, index);
    pn_listen_sweep(domain, index);
    sweep_objects(domain, PN_BLOCK_SLAB_SMALL, index);
    sweep_objects(domain, PN_BLOCK_SLAB_LARGE, index);
    bool complete = bury(domain, PN_BLOCK_SLAB_SMALL, index, fate == AWAITED);
    complete &= bury(domain, PN_BLOCK_SLAB_LARGE, index, fate == AWAITED);
    sweep_blocks(domain, owner, fate != AWAITED);
    if (fate == AWAITED || !complete) {
        return false; /* stays DEAD, with its report; the next sweep tries again */
    }
    if (fate == REAPED && is_guardians(domain, slot)) {
        atomic_fetch_or(&slot->flags, PN_SLOT_SWEPT);
        return false;
    }
    atomic_store(&slot->state, PN_SLOT_FREE);
    return true;
}

static int
sweep_all(pn_domain *domain, bool hard)
{
    int freed = 0;
    bool any_dead = false;
    bool is_dead[PN_SLOTS];
    fate fates[PN_SLOTS];
    /* Liveness first, outside the lock: it reads /proc. */
    for (uint32_t i = 0; i < PN_SLOTS; i++) {
        pn_slot *slot = &domain->slots[i];
        bool is_done = !hard && (atomic_load(&slot->flags) & PN_SLOT_SWEPT);
        is_dead[i] = i != domain->slot && atomic_load(&slot->state) != PN_SLOT_FREE && !is_done &&
                     !pn_slot_alive(domain, i);
        fates[i] = is_dead[i] && pn_slot_awaited(domain, i) ? AWAITED : hard ? DISCARDED : REAPED;
        any_dead |= is_dead[i];
    }
    if (!any_dead && !pn_collect_needed(domain)) {
        return 0; /* once a second somebody asks, and others want the lock */
    }
    if (pn_domain_enter(domain) != PN_OK) {
        return 0;
    }
    for (uint32_t i = 0; i < PN_SLOTS; i++) {
        if (is_dead[i] && atomic_load(&domain->slots[i].state) != PN_SLOT_FREE &&
            !pn_slot_alive(domain, i)) {
            freed += sweep_locked(domain, i, fates[i]);
        }
    }
    pn_collect_all(domain);
    pn_domain_leave(domain);
    return freed;
}

int
pn_sweep(pn_domain *domain)
{
    return sweep_all(domain, false);
}

int
pn_sweep_hard(pn_domain *domain)
{
    return sweep_all(domain, true);
}

static void
sweep_one(pn_domain *domain, uint32_t index, uint32_t generation, fate fate)
{
    pn_slot *slot = &domain->slots[index];
    if (pn_domain_enter(domain) != PN_OK) {
        return;
    }
    if (atomic_load(&slot->generation) == generation && atomic_load(&slot->state) != PN_SLOT_FREE) {
        sweep_locked(domain, index, fate);
        pn_collect_all(domain);
    }
    pn_domain_leave(domain);
}

void
pn_sweep_reaped(pn_domain *domain, uint32_t index, uint32_t generation)
{
    sweep_one(domain, index, generation, REAPED);
}

void
pn_sweep_slot(pn_domain *domain, uint32_t index, uint32_t generation)
{
    sweep_one(domain, index, generation, DISCARDED);
}

void
pn_sweep_sometimes(pn_domain *domain)
{
    int64_t now = pn_now();
    _Atomic int64_t *last = &domain->header->last_sweep;
    if (now - atomic_load_explicit(last, memory_order_relaxed) > SWEEP_EVERY_NS) {
        atomic_store_explicit(last, now, memory_order_relaxed);
        pn_sweep(domain);
    }
}
