#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "kind.h"

#include "atomic.h"
#include "barrier.h"
#include "buffer.h"
#include "condition.h"
#include "dict.h"
#include "event.h"
#include "listen.h"
#include "pipe.h"
#include "priority.h"
#include "ring.h"
#include "semaphore.h"
#include "slots.h"

static bool
bury_lock(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation, bool awaited)
{
    (void)generation;
    (void)awaited;
    pn_ledger_bury(&((pn_lock_cell *)pn_at(domain, offset))->lock, slot);
    return true;
}

static bool
is_lock_free(pn_domain *domain, uint64_t offset, uint32_t want)
{
    (void)want;
    pn_lock *lock = &((pn_lock_cell *)pn_at(domain, offset))->lock;
    return (atomic_load_explicit(&lock->word, memory_order_acquire) & PN_OWNER) == 0;
}

static bool
is_rlock_free(pn_domain *domain, uint64_t offset, uint32_t want)
{
    return is_lock_free(domain, offset, want) ||
           ((want & PN_FOR_CALLER) && pn_lock_mine(&((pn_lock_cell *)pn_at(domain, offset))->lock));
}

static void
mend_lock(pn_domain *domain, uint64_t offset)
{
    pn_lock_mend(&((pn_lock_cell *)pn_at(domain, offset))->lock, pn_slot_owner_alive, domain);
}

static const pn_kind kinds[PN_OBJECT_TYPES] = {
    [PN_OBJECT_RING] = {.size = sizeof(pn_ring_cell),
                        .may_name_itself = true,
                        .bury = pn_lease_sweep,
                        .names_block = pn_ring_names_block,
                        .discard = pn_ring_discard,
                        .walk = pn_ring_walk,
                        .wants = PN_FOR_ANY,
                        .is_ready = pn_ring_is_ready},
    [PN_OBJECT_MUTEX] = {.size = sizeof(pn_lock_cell),
                         .is_robust_lock = true,
                         .wants = PN_FOR_GET,
                         .is_ready = is_lock_free,
                         .mend = mend_lock},
    [PN_OBJECT_RLOCK] = {.size = sizeof(pn_lock_cell),
                         .is_robust_lock = true,
                         .wants = PN_FOR_GET,
                         .is_ready = is_rlock_free,
                         .mend = mend_lock},
    [PN_OBJECT_LOCK] = {.size = sizeof(pn_lock_cell),
                        .bury = bury_lock,
                        .wants = PN_FOR_GET,
                        .is_ready = is_lock_free,
                        .mend = mend_lock},
    [PN_OBJECT_BUFFER] = {.size = sizeof(pn_buffer_cell),
                          .bury = pn_buffer_bury,
                          .names_block = pn_buffer_names_block,
                          .discard = pn_buffer_discard},
    [PN_OBJECT_EVENT] = {.size = sizeof(pn_event_cell),
                         .wants = PN_FOR_GET,
                         .is_ready = pn_event_is_ready},
    [PN_OBJECT_CONDITION] = {.size = sizeof(pn_condition_cell),
                             .bury = pn_condition_bury,
                             .names_block = pn_condition_names_block,
                             .discard = pn_condition_discard},
    [PN_OBJECT_BARRIER] = {.size = sizeof(pn_barrier_cell),
                           .bury = pn_barrier_bury,
                           .names_block = pn_barrier_names_block,
                           .discard = pn_barrier_discard},
    [PN_OBJECT_ATOMIC] = {.size = sizeof(pn_atomic_cell)},
    [PN_OBJECT_DICT] = {.size = sizeof(pn_dict_cell),
                        .may_name_itself = true,
                        .names_block = pn_dict_names_block,
                        .discard = pn_dict_discard,
                        .walk = pn_dict_walk},
    [PN_OBJECT_SEMAPHORE] = {.size = sizeof(pn_semaphore_cell),
                             .bury = pn_semaphore_bury,
                             .names_block = pn_semaphore_names_block,
                             .discard = pn_semaphore_discard,
                             .wants = PN_FOR_GET,
                             .is_ready = pn_semaphore_is_ready,
                             .mend = pn_semaphore_mend},
    [PN_OBJECT_PRIORITY] = {.size = sizeof(pn_priority_cell),
                            .may_name_itself = true,
                            .names_block = pn_priority_names_block,
                            .discard = pn_priority_discard,
                            .wants = PN_FOR_GET | PN_FOR_PUT,
                            .is_ready = pn_priority_is_ready},
    [PN_OBJECT_ENTRY] = {.size = sizeof(pn_entry_cell),
                         .names_block = pn_entry_names_block,
                         .discard = pn_entry_discard,
                         .walk = pn_entry_walk},
    [PN_OBJECT_PIPE] = {.size = sizeof(pn_pipe_cell), .bury = pn_pipe_bury},
    [PN_OBJECT_END] = {.size = sizeof(pn_end_cell),
                       .discard = pn_end_discard,
                       .given_up = pn_end_given_up,
                       .arrives = pn_end_give,
                       .wants = PN_FOR_GET | PN_FOR_PUT,
                       .is_ready = pn_end_is_ready,
                       .mend = pn_end_mend},
};

_Static_assert(sizeof(pn_ring_cell) <= PN_LARGE_CELL, "a ring fits the large cell");

const pn_kind *
pn_kind_of_type(uint32_t type)
{
    return &kinds[type < PN_OBJECT_TYPES ? type : PN_OBJECT_FREE];
}
