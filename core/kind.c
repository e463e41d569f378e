#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "kind.h"

#include "atomic.h"
#include "buffer.h"
#include "priority.h"
#include "ring.h"

static bool
bury_lock(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation, bool awaited)
{
    (void)generation;
    (void)awaited;
    pn_ledger_bury(&((pn_lock_cell *)pn_at(domain, offset))->lock, slot);
    return true;
}

static const pn_kind kinds[PN_OBJECT_TYPES] = {
    [PN_OBJECT_RING] = {.size = sizeof(pn_ring_cell),
                        .may_name_itself = true,
                        .bury = pn_lease_sweep,
                        .names_block = pn_ring_names_block,
                        .discard = pn_ring_discard},
    [PN_OBJECT_MUTEX] = {.size = sizeof(pn_lock_cell), .is_robust_lock = true},
    [PN_OBJECT_RLOCK] = {.size = sizeof(pn_lock_cell), .is_robust_lock = true},
    [PN_OBJECT_LOCK] = {.size = sizeof(pn_lock_cell), .bury = bury_lock},
    [PN_OBJECT_BUFFER] = {.size = sizeof(pn_buffer_cell),
                          .bury = pn_buffer_bury,
                          .names_block = pn_buffer_names_block,
                          .discard = pn_buffer_discard},
    [PN_OBJECT_ATOMIC] = {.size = sizeof(pn_atomic_cell)},
    [PN_OBJECT_PRIORITY] = {.size = sizeof(pn_priority_cell),
                            .may_name_itself = true,
                            .names_block = pn_priority_names_block,
                            .discard = pn_priority_discard},
    [PN_OBJECT_ENTRY] = {.size = sizeof(pn_entry_cell),
                         .names_block = pn_entry_names_block,
                         .discard = pn_entry_discard},
};

_Static_assert(sizeof(pn_ring_cell) <= PN_LARGE_CELL, "a ring fits the large cell");

const pn_kind *
pn_kind_of_type(uint32_t type)
{
    return &kinds[type < PN_OBJECT_TYPES ? type : PN_OBJECT_FREE];
}
