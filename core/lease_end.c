#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdio.h>
#include <string.h>

#include "heap.h"
#include "lease_parts.h"
#include "slots.h"

#define LOOK_NS (20 * 1000000LL) /* how long the sweep waits for a ring's lock */

/* ---- after a death ------------------------------------------------------------------ */

static void
write_name(pn_lease *lease, const pn_slot *slot)
{
    lease->pid = atomic_load(&slot->pid);
    snprintf(lease->name, sizeof(lease->name), "%.*s", (int)sizeof(lease->name) - 1, slot->name);
}

/* May its item be handed out again? */
static pn_letter
letter_for(pn_leases *leases, const pn_lease *lease)
{
    if (pn_lease_record(lease)->flags & PN_RECORD_ONCE) {
        return PN_LETTER_ONCE;
    }
    uint32_t most = leases->max_deliveries;
    return most != 0 && pn_lease_deliveries(lease) >= most ? PN_LETTER_TOO_OFTEN : PN_LETTER_NONE;
}

static uint64_t
next_of(pn_ring *ring, uint64_t at, uint32_t slot, uint32_t generation)
{
    while (at != 0 && !pn_lease_is(pn_lease_at(ring, at), slot, generation)) {
        at = pn_lease_at(ring, at)->next;
    }
    return at;
}

/* What will not be redelivered: LEFT after a clean end, else the dead letters. Each one is a
 * store; killed in between, the next sweep does the rest. */
static void
set_aside(pn_ring *ring, uint32_t slot, uint32_t generation, bool is_clean)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_thread *self = pn_self();
    pn_pending_wake(self, &leases->done);
    pn_lease_announce(leases);
    uint64_t next;
    for (uint64_t at = leases->busy.first; at != 0; at = next) {
        pn_lease *lease = pn_lease_at(ring, at);
        next = lease->next;
        if (!pn_lease_is(lease, slot, generation)) {
            continue;
        }
        pn_letter letter = is_clean ? PN_LETTER_NONE : letter_for(leases, lease);
        if (!is_clean && letter == PN_LETTER_NONE) {
            continue;
        }
        write_name(lease, &ring->domain->slots[slot]);
        lease->reason = letter;
        uint32_t whose = is_clean ? PN_LEASE_LEFT : PN_LEASE_DEAD;
        atomic_store(&lease->state,
                     pn_lease_state(whose, pn_lease_deliveries(lease), 0)); /* COMMIT */
        if (!is_clean) {
            pn_lease_remove(ring, &leases->busy, at);
            pn_lease_append(ring, &leases->dead, at);
        }
    }
    pn_lease_wake_joiners(ring);
    pn_pending_clear(self);
}

/* What is left of its leases waits for another consumer. */
static void
give_up(pn_ring *ring, uint32_t slot, uint32_t generation)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_thread *self = pn_self();
    uint64_t at = next_of(ring, leases->busy.first, slot, generation);
    if (at == 0) {
        return;
    }
    pn_pending_wake(self, &ring->cell->not_empty);
    /* First, so that no consumer sleeps beside an entry that waits; too early does no harm, as
     * consumers need the lock to find out. */
    atomic_store(&leases->orphans, 1);
    while (at != 0) {
        pn_lease *lease = pn_lease_at(ring, at);
        uint64_t next = next_of(ring, lease->next, slot, generation);
        write_name(lease, &ring->domain->slots[slot]);
        atomic_store(&lease->state, pn_lease_state(0, pn_lease_deliveries(lease), 0)); /* COMMIT */
        pn_lease_remove(ring, &leases->busy, at);
        pn_lease_append(ring, &leases->orphaned, at);
        at = next;
    }
    pn_lease_sort(ring, &leases->orphaned);
    pn_wake_leader(&ring->cell->not_empty);
    pn_pending_clear(self);
}

bool
pn_lease_sweep(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation, bool awaited)
{
    pn_ring ring;
    pn_ring_open(&ring, domain, offset);
    pn_leases *leases = pn_leases_of(&ring);
    if (!leases->kept) {
        return true;
    }
    if (pn_head_wait(&ring, pn_now() + LOOK_NS) != PN_OK) {
        return false;
    }
    pn_end end = PN_END_CLEAN;
    if (next_of(&ring, leases->busy.first, slot, generation) != 0) {
        end = pn_slot_end(domain, slot, awaited);
    }
    if (end != PN_END_UNKNOWN) {
        set_aside(&ring, slot, generation, end == PN_END_CLEAN);
        give_up(&ring, slot, generation);
        /* After shutdown(immediate=True) nobody will fetch it; and a sweeper may have died between. */
        pn_lease_wake_joiners(&ring);
    }
    pn_lock_release(&ring.cell->head_lock);
    return end != PN_END_UNKNOWN;
}

void
pn_lease_discard(pn_ring *ring, pn_lease_visitor visit, void *context)
{
    pn_leases *leases = pn_leases_of(ring);
    uint64_t taken = pn_ring_taken(ring->cell);
    for (uint64_t at = atomic_load(&leases->chunks); at != 0;) {
        const pn_lease_chunk *chunk = pn_at(ring->domain, at);
        for (uint32_t i = 0; i < chunk->count; i++) {
            pn_lease *lease = pn_lease_at(ring, at + PN_LEASE_HEAD + (uint64_t)i * chunk->size);
            if (atomic_load(&lease->id) < taken) {
                atomic_store(&lease->id, PN_LEASE_FREE); /* first: it names nothing any more */
                visit(ring->domain, ring->offset, pn_lease_record(lease), context);
            }
        }
        at = chunk->next;
    }
    /* Before the blocks are freed: then nobody walks the lists any more. */
    atomic_store(&leases->chunks, 0);
}

/* ---- looking ----------------------------------------------------------------------------- */

static void
view(const pn_lease *lease, pn_lease_view *views, size_t room, size_t *used)
{
    if (*used < room) {
        pn_lease_view *one = &views[(*used)++];
        *one = (pn_lease_view){.id = atomic_load(&lease->id),
                               .deliveries = pn_lease_deliveries(lease),
                               .whose = pn_lease_whose(lease),
                               .reason = lease->reason,
                               .pid = lease->pid};
        memcpy(one->name, lease->name, sizeof(one->name));
    }
}

pn_status
pn_lease_look(pn_ring *ring, pn_lease_counts *counts, pn_lease_view *views, size_t room,
              size_t *used)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_status status = pn_head_enter(ring);
    if (status != PN_OK) {
        return status;
    }
    *used = 0;
    *counts = (pn_lease_counts){.unfinished = pn_lease_unfinished(ring),
                                .leased = atomic_load(&leases->busy.count),
                                .waiting = atomic_load(&leases->orphaned.count),
                                .dead = atomic_load(&leases->dead.count)};
    for (uint64_t at = leases->busy.first; at != 0; at = pn_lease_at(ring, at)->next) {
        const pn_lease *lease = pn_lease_at(ring, at);
        if (pn_lease_whose(lease) == PN_LEASE_LEFT) {
            counts->left++;
            view(lease, views, room, used);
        }
    }
    for (uint64_t at = leases->dead.first; at != 0; at = pn_lease_at(ring, at)->next) {
        view(pn_lease_at(ring, at), views, room, used);
    }
    pn_lock_release(&ring->cell->head_lock);
    return PN_OK;
}

/* A lease of that list which is nobody's any more: `whose`. 0: there is none. */
static uint64_t
given_up(pn_ring *ring, const pn_lease_list *list, uint64_t id, uint32_t whose)
{
    uint64_t at = list->first;
    while (at != 0 && (atomic_load(&pn_lease_at(ring, at)->id) != id ||
                       pn_lease_whose(pn_lease_at(ring, at)) != whose)) {
        at = pn_lease_at(ring, at)->next;
    }
    return at;
}

/* End it; what is LEFT is unfinished until then, so joiners may be waiting for it. */
static uint32_t
forget_lease(pn_ring *ring, pn_lease_list *list, uint64_t at, uint64_t *objects)
{
    pn_leases *leases = pn_leases_of(ring);
    pn_thread *self = pn_self();
    pn_pending_wake(self, &leases->done);
    pn_lease_announce(leases);
    uint32_t count = pn_lease_end(ring, list, at, objects);
    pn_lease_wake_joiners(ring);
    pn_pending_clear(self);
    return count;
}

pn_status
pn_lease_read(pn_ring *ring, uint64_t id, pn_sink *sink, bool forget)
{
    pn_leases *leases = pn_leases_of(ring);
    uint64_t objects[PN_HANDLES_LIMIT];
    uint32_t count = 0;
    pn_status status = pn_head_enter(ring);
    if (status != PN_OK) {
        return status;
    }
    pn_lease_list *list = &leases->dead;
    uint64_t at = given_up(ring, list, id, PN_LEASE_DEAD);
    if (at == 0) {
        list = &leases->busy;
        at = given_up(ring, list, id, PN_LEASE_LEFT);
    }
    if (at == 0) {
        status = PN_NOTHING;
    } else {
        const pn_record *record = pn_lease_record(pn_lease_at(ring, at));
        uint64_t size = pn_record_size(record);
        if (pn_sink_reserve(sink, size)) {
            if (record->flags != 0) {
                pn_ring_answer_for(ring->domain, record);
            }
            memcpy(sink->bytes + sink->used, record, size);
            sink->used += size;
            sink->count++;
            count = forget ? forget_lease(ring, list, at, objects) : 0;
        } else {
            status = PN_NO_MEMORY;
        }
    }
    pn_lock_release(&ring->cell->head_lock);
    pn_notify(ring->domain, ring->offset, PN_FOR_JOIN);
    pn_lease_let_go(ring->domain, objects, count);
    return status;
}
