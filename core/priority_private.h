/* What the files of the priority queue share: priority.c puts and takes, priority_index.c keeps the
 * order, priority_sleep.c waits. */
#ifndef PN_PRIORITY_PRIVATE_H
#define PN_PRIORITY_PRIVATE_H

#include "priority.h"

static inline pn_entry_cell *
pn_entry_at(const pn_domain *domain, uint64_t offset)
{
    return pn_at(domain, offset);
}

static inline char *
pn_entry_bytes(const pn_domain *domain, uint64_t offset)
{
    uint64_t block =
        atomic_load_explicit(&pn_entry_at(domain, offset)->block, memory_order_relaxed);
    return pn_at(domain, block != 0 ? block : offset + PN_ENTRY_INSIDE);
}

static inline const pn_record *
pn_entry_record(const pn_domain *domain, uint64_t offset)
{
    uint64_t key_length = pn_entry_at(domain, offset)->key_length;
    return (const pn_record *)(pn_entry_bytes(domain, offset) + ((key_length + 7) & ~UINT64_C(7)));
}

/* --- priority_index.c: all under the queue's lock, with `changing` set --- */

/* How many entries it has room for. */
uint64_t pn_index_capacity(pn_priority *queue);
void pn_index_add(pn_priority *queue, uint64_t count, uint64_t entry);
/* The smallest of `count`. */
uint64_t pn_index_first(pn_priority *queue);
void pn_index_remove_first(pn_priority *queue, uint64_t count);
uint64_t pn_index_entry(pn_priority *queue, uint64_t number);
/* Twice the room, with no lock held; PN_OK also if another one did it. PN_INTERRUPTED. */
pn_status pn_index_grow(pn_priority *queue);
/* Build it anew after a death, with no lock held. PN_INTERRUPTED: not just now. */
pn_status pn_index_rebuild(pn_priority *queue);

/* --- priority.c --- */

/* Take the lock, with what a dead owner left repaired. PN_TIMEOUT, PN_INTERRUPTED. */
pn_status pn_priority_enter(pn_priority *queue, int64_t deadline);
/* With the lock held; lets it go. */
pn_status pn_priority_put_and_unlock(pn_priority *queue, uint64_t entry);
pn_status pn_priority_get_and_unlock(pn_priority *queue, pn_sink *sink);
bool pn_priority_is_full(const pn_priority *queue);

#endif
