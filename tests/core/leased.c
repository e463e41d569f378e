#define _GNU_SOURCE
#include "leased.h"

#include "heap.h"
#include "items.h"
#include "sweep.h"

uint64_t room[PN_RING_INLINE / 8 + 16];

void
make_leased(pn_ring *ring, uint32_t max_deliveries)
{
    uint64_t offset;
    uint32_t generation;
    pn_domain *domain = make_domain(0);
    CHECK(pn_ring_new_leased(domain, "jobs", 0, 0, max_deliveries, &offset, &generation) == PN_OK);
    pn_ring_open(ring, domain, offset);
}

void
close_leased(pn_ring *ring)
{
    CHECK_SOUND(audit_domain(ring->domain));
    pn_object_drop(ring->domain, ring->offset);
    pn_sweep(ring->domain);
    CHECK(count_objects(ring->domain) == 0);
    CHECK(pn_heap_used(ring->domain, PN_BLOCK_SEGMENT) == 0);
    CHECK_SOUND(audit_heap(ring->domain));
    pn_domain_close(ring->domain);
}

void
put_some(pn_ring *ring, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        CHECK(put_one(ring, first + i) == PN_OK);
    }
}

void
check_get(pn_ring *ring, uint32_t wanted, uint64_t id, uint32_t deliveries)
{
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
    pn_status status = pn_ring_try_get(ring, &sink);
    while (status == PN_BUSY ||
           status == PN_INTERRUPTED) { /* a dead owner, not told by the kernel */
        status = pn_ring_get(ring, &sink, PN_FOREVER);
    }
    CHECK(status == PN_OK);
    CHECK(item_id((pn_record *)room) == wanted);
    CHECK(item_is_whole(ring->domain, (pn_record *)room));
    CHECK(sink.id == id && sink.deliveries == deliveries);
}

pn_status
try_get(pn_ring *ring)
{
    uint32_t id;
    return get_one(ring, room, sizeof(room), 0, &id);
}

pn_lease_counts
lease_counts(pn_ring *ring)
{
    pn_lease_counts counts;
    size_t used;
    CHECK(pn_lease_look(ring, &counts, NULL, 0, &used) == PN_OK);
    return counts;
}

void
check_unfinished(pn_ring *ring, uint64_t wanted)
{
    CHECK(lease_counts(ring).unfinished == wanted);
    pn_status joined = pn_ring_join(ring, pn_now());
    CHECK(joined == (wanted == 0 ? PN_OK : PN_TIMEOUT));
}

void
done(pn_ring *ring)
{
    CHECK(pn_ring_task_done(ring, true) == PN_OK);
}
