#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <string.h>

#include "heap.h"
#include "listen.h"
#include "semaphore_parts.h"
#include "slots.h"
#include "sweep.h"

#define LEDGER_BYTES (PN_SLOTS * sizeof(uint64_t))
#define LOOK_NS                                                                                    \
    (20 * 1000000LL) /* how long a burial, or somebody who only looks, waits for inner */

/* ---- after a death ------------------------------------------------------------------------ */

bool
pn_semaphore_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation,
                  bool awaited)
{
    (void)generation;
    pn_semaphore semaphore;
    pn_semaphore_open(&semaphore, domain, offset);
    if (semaphore.lines == NULL) {
        return true; /* it was never made */
    }
    pn_semaphore_cell *cell = semaphore.cell;
    bool holds = held_of(read_line(&semaphore, slot)) != 0;
    /* Who buried it before may have been killed between its store and its wake. */
    bool may_wake = atomic_load(&cell->sleeper) != 0;
    /* And who gave back, between its store and the count of what is free, which whoever enters repairs. */
    bool may_count = atomic_load(&cell->inner.word) != 0;
    if (!holds && !may_wake && !may_count) {
        return true;
    }
    bool is_kept = cell->flags & PN_SEMAPHORE_KEEP;
    if (holds && !is_kept) {
        pn_end end = pn_slot_end(domain, slot, awaited); /* reads /proc: not under inner */
        if (end == PN_END_UNKNOWN) {
            return false;
        }
        is_kept = end == PN_END_CLEAN;
    }
    if (pn_semaphore_enter_until(&semaphore, pn_now() + LOOK_NS) != PN_OK) {
        return !holds && !may_wake; /* somebody who lives is in it */
    }
    announce(cell);
    uint64_t line = read_line(&semaphore, slot);
    uint32_t held = held_of(line), kept = kept_of(line);
    if (held != 0) {
        pn_semaphore_write(&semaphore, slot, line_of(0, is_kept ? kept + held : kept));
    }
    if (!is_kept) {
        atomic_store(&cell->free, atomic_load(&cell->free) + held);
    }
    if (atomic_load(&cell->free) != 0) {
        wake_leader(cell);
    }
    pn_pending_clear(pn_self());
    leave(&semaphore);
    pn_fence_after_exchange(); /* after the lock's compare-and-swap */
    pn_notify(domain, offset, PN_FOR_GET);
    return true;
}

/* ---- for those who listen ----------------------------------------------------------------- */

bool
pn_semaphore_is_ready(pn_domain *domain, uint64_t offset, uint32_t want)
{
    (void)want;
    return atomic_load(&((pn_semaphore_cell *)pn_at(domain, offset))->free) != 0;
}

void
pn_semaphore_mend(pn_domain *domain, uint64_t offset)
{
    pn_semaphore semaphore;
    pn_semaphore_open(&semaphore, domain, offset);
    pn_sweep_sometimes(domain);
    /* Somebody may have been killed before he counted what he gave back. */
    if (atomic_load(&semaphore.cell->inner.word) != 0 &&
        pn_semaphore_enter_until(&semaphore, pn_now() + LOOK_NS) == PN_OK) {
        leave(&semaphore);
    }
}

/* ---- looking -------------------------------------------------------------------------------- */

pn_status
pn_semaphore_look(pn_semaphore *semaphore, pn_semaphore_counts *counts,
                  pn_semaphore_holder *holders, uint32_t room)
{
    pn_semaphore_cell *cell = semaphore->cell;
    if (pn_semaphore_enter_until(semaphore, pn_now() + LOOK_NS) != PN_OK) {
        return PN_BUSY;
    }
    *counts = (pn_semaphore_counts){.free = atomic_load(&cell->free),
                                    .total = (uint32_t)read_word(&cell->total),
                                    .kept = (uint32_t)read_word(&cell->apart),
                                    .recovered = cell->inner.recovered,
                                    .flags = cell->flags};
    for (uint32_t slot = 0; slot < PN_SLOTS; slot++) {
        uint64_t line = read_line(semaphore, slot);
        counts->kept += kept_of(line);
        if (held_of(line) != 0) {
            if (counts->holders < room) {
                holders[counts->holders] = (pn_semaphore_holder){slot, held_of(line)};
            }
            counts->holders++;
        }
    }
    leave(semaphore);
    return PN_OK;
}

/* ---- making and freeing ----------------------------------------------------------------------- */

void
pn_semaphore_open(pn_semaphore *semaphore, pn_domain *domain, uint64_t offset)
{
    pn_semaphore_cell *cell = pn_at(domain, offset);
    uint64_t ledger = atomic_load_explicit(&cell->ledger, memory_order_relaxed);
    *semaphore = (pn_semaphore){domain, offset, cell, ledger ? pn_at(domain, ledger) : NULL};
}

static pn_status
new_locked(pn_domain *domain, const char *name, uint32_t value, uint32_t flags, uint64_t *offset,
           uint32_t *generation)
{
    pn_status status = pn_object_new_locked(domain, PN_OBJECT_SEMAPHORE, name, offset, generation);
    if (status != PN_OK) {
        return status;
    }
    pn_semaphore_cell *cell = pn_at(domain, *offset);
    cell->flags = flags;
    atomic_store(&cell->total, value);
    atomic_store(&cell->free, value);
    uint64_t block;
    status = pn_heap_alloc_locked(domain, LEDGER_BYTES, PN_BLOCK_PAYLOAD, *offset, &block);
    if (status == PN_OK) {
        memset(pn_at(domain, block), 0, LEDGER_BYTES);
        atomic_store(&cell->ledger,
                     block); /* COMMIT: before it the block is ours, then the cell's */
        atomic_store(&pn_block_at(domain, block)->owner, 0);
    }
    return status;
}

pn_status
pn_semaphore_new(pn_domain *domain, const char *name, uint32_t value, uint32_t flags,
                 uint64_t *offset, uint32_t *generation)
{
    pn_sweep_sometimes(domain);
    pn_status status = pn_domain_enter(domain);
    if (status != PN_OK) {
        return status;
    }
    *offset = 0;
    status = new_locked(domain, name, value, flags, offset, generation);
    pn_domain_leave(domain);
    if (status != PN_OK && *offset != 0) {
        pn_object_drop(domain, *offset);
    }
    return status;
}

bool
pn_semaphore_names_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    return atomic_load(&((pn_semaphore_cell *)pn_at(domain, offset))->ledger) == block;
}

void
pn_semaphore_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    (void)named;
    uint64_t block = atomic_load(&((pn_semaphore_cell *)pn_at(domain, offset))->ledger);
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
