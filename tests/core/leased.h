/* A queue with leases, for the tests of them: making it, taking from it, ending what was taken. */
#ifndef TESTS_LEASED_H
#define TESTS_LEASED_H

#include "check.h"
#include "lease_parts.h"

extern uint64_t room[PN_RING_INLINE / 8 + 16]; /* what was taken last */

void make_leased(pn_ring *ring, uint32_t max_deliveries);
void close_leased(pn_ring *ring);
void put_some(pn_ring *ring, uint32_t first, uint32_t count);
/* Take an item, without sleeping: what it must be, which ordinal, which delivery. */
void check_get(pn_ring *ring, uint32_t wanted, uint64_t id, uint32_t deliveries);
pn_status try_get(pn_ring *ring);
pn_lease_counts lease_counts(pn_ring *ring);
void check_unfinished(pn_ring *ring, uint64_t wanted);
void done(pn_ring *ring);

#endif
