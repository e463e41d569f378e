/* Do the caches of a queue's leases say what its entries say? */
#include <stdio.h>

#include "audit.h"
#include "lease_parts.h"

static char said[200];

#define WRONG(...) (snprintf(said, sizeof(said), __VA_ARGS__), (const char *)said)
#define UL(value) ((unsigned long)(value))

typedef struct {
    uint64_t busy, orphaned, dead, free;
} tally;

static const char *
count_entries(pn_ring *ring, tally *tally)
{
    pn_leases *leases = &ring->cell->leases;
    uint64_t taken = pn_ring_taken(ring->cell);
    for (uint64_t at = atomic_load(&leases->chunks); at != 0;) {
        const pn_lease_chunk *chunk = pn_at(ring->domain, at);
        for (uint32_t i = 0; i < chunk->count; i++) {
            const pn_lease *lease =
                pn_lease_at(ring, at + PN_LEASE_HEAD + (uint64_t)i * chunk->size);
            uint64_t id = atomic_load(&lease->id);
            uint32_t whose = pn_lease_whose(lease);
            if (id != PN_LEASE_FREE && id >= taken) {
                return WRONG("leases: item %lu was not taken, and has a lease", UL(id));
            }
            if (id == PN_LEASE_FREE) {
                tally->free++;
            } else {
                tally->busy += whose != 0 && whose != PN_LEASE_DEAD;
                tally->orphaned += whose == 0;
                tally->dead += whose == PN_LEASE_DEAD;
            }
        }
        at = chunk->next;
    }
    return NULL;
}

static const char *
check_list(pn_ring *ring, const char *name, pn_lease_list *list, uint64_t wanted)
{
    uint64_t count = 0, before = 0;
    for (uint64_t at = list->first; at != 0; at = pn_lease_at(ring, at)->next) {
        if (pn_lease_at(ring, at)->prev != before || ++count > wanted) {
            return WRONG("leases: the list '%s' is broken after %lu entries", name, UL(count));
        }
        before = at;
    }
    if (count != wanted || atomic_load(&list->count) != wanted || list->last != before) {
        return WRONG("leases: the list '%s' has %lu of %lu entries, and counts %lu", name,
                     UL(count), UL(wanted), UL(list->count));
    }
    return NULL;
}

static const char *
check_all(pn_ring *ring)
{
    pn_leases *leases = &ring->cell->leases;
    tally tally = {0};
    const char *wrong = count_entries(ring, &tally);
    if (wrong == NULL) {
        wrong = check_list(ring, "busy", &leases->busy, tally.busy);
    }
    if (wrong == NULL) {
        wrong = check_list(ring, "orphaned", &leases->orphaned, tally.orphaned);
    }
    if (wrong == NULL) {
        wrong = check_list(ring, "dead", &leases->dead, tally.dead);
    }
    uint64_t count = 0;
    for (uint32_t size = 0; size < PN_LEASE_SIZES; size++) {
        for (uint64_t at = leases->free[size]; at != 0 && count <= tally.free;
             at = pn_lease_at(ring, at)->next) {
            count++;
        }
    }
    if (wrong == NULL && count != tally.free) {
        wrong = WRONG("leases: %lu free entries, %lu in the lists", UL(tally.free), UL(count));
    }
    if (wrong == NULL && tally.orphaned != 0 && atomic_load(&leases->orphans) == 0) {
        wrong = WRONG("leases: %lu wait for redelivery, and nobody is told", UL(tally.orphaned));
    }
    return wrong;
}

const char *
audit_leases(pn_domain *domain, uint64_t offset)
{
    pn_ring ring;
    pn_ring_open(&ring, domain, offset);
    if (!ring.cell->leases.kept) {
        return NULL;
    }
    if (pn_head_enter(&ring) != PN_OK) {
        return WRONG("leases: the lock cannot be had");
    }
    const char *wrong = check_all(&ring);
    pn_lock_release(&ring.cell->head_lock);
    return wrong;
}
