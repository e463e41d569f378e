/* What actors of lease scenarios do, and the books: what was not done must come to another, once. */
#include "lease_roles.h"

#include <stdlib.h>

#include "items.h"
#include "lease_parts.h"
#include "sweep.h"

static uint64_t room[PN_RING_INLINE / 8 + 16];

void
leased_make(world *world, uint32_t max_deliveries)
{
    uint64_t offset;
    if (pn_ring_new_leased(world->domain, "jobs", 0, 0, max_deliveries, &offset,
                           &world->generation) != PN_OK) {
        abort();
    }
    pn_ring_open(&world->ring, world->domain, offset);
    world->object = offset;
}

void
take_one(world *world)
{
    uint32_t id;
    atomic_store(&world->stage->status, get_one(&world->ring, room, sizeof(room), 0, &id));
    if (atomic_load(&world->stage->status) == PN_OK && item_object((pn_record *)room) != 0) {
        pn_object_drop(world->domain, item_object((pn_record *)room));
    }
}

void
take_two(world *world)
{
    take_one(world);
    take_one(world);
}

/* Takes items and does them, until the ring is shut. */
void
work(world *world, actor *me)
{
    uint32_t id;
    for (;;) {
        pn_status status = get_one(&world->ring, room, sizeof(room), PN_FOREVER, &id);
        if (status == PN_OK) {
            const pn_record *record = (const pn_record *)room;
            uint64_t object = item_object(record);
            ACTOR_CHECK(me, item_is_whole(world->domain, record));
            if (object != 0) {
                ACTOR_CHECK(me, pn_object_valid(world->domain, object));
                pn_object_drop(world->domain, object);
            }
            pn_status done = pn_ring_task_done(&world->ring, true);
            ACTOR_CHECK(me, done == PN_OK || (done == PN_NOTHING && world->scenario->a == PREPAID));
            actor_note(me, id);
        } else if (status != PN_INTERRUPTED) {
            atomic_store(&me->status, status);
            return;
        }
    }
}

void
join(world *world, actor *me)
{
    pn_status status;
    do {
        status = pn_ring_join(&world->ring, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    ACTOR_CHECK(me, status == PN_OK);
}

bool
is_leased(world *world, uint64_t id)
{
    pn_ring *ring = &world->ring;
    for (uint64_t at = atomic_load(&ring->cell->leases.chunks); at != 0;) {
        const pn_lease_chunk *chunk = pn_at(world->domain, at);
        for (uint32_t i = 0; i < chunk->count; i++) {
            const pn_lease *lease =
                pn_lease_at(ring, at + PN_LEASE_HEAD + (uint64_t)i * chunk->size);
            if (atomic_load(&lease->id) == id) {
                return true;
            }
        }
        at = chunk->next;
    }
    return false;
}

/* The victim ends its lease of the item with ordinal `b`: committed by now? */
void
note_done(world *world)
{
    world->flag = world->flag || !is_leased(world, world->scenario->b);
    if (atomic_load(&world->stage->ended) && !world->flag) {
        blame(world, "wrong", "task_done returned and its lease is there still");
    }
}

static bool
is_worker(world *world, int index)
{
    return world->scenario->cast[index].play == work;
}

static uint32_t
worked(world *world)
{
    uint32_t sum = 0;
    for (int i = 0; i < ACTORS; i++) {
        sum += is_worker(world, i) ? atomic_load(&world->stage->actors[i].progress) : 0;
    }
    return sum;
}

/* How many items of the director's are for the workers: all but what is done, or a dead letter. */
static uint32_t
wanted(world *world)
{
    uint32_t letters = world->scenario->a == LETTERS ? world->scenario->b : 0;
    return world->in_count - letters - world->flag;
}

static bool
sleepers_have_all(world *world)
{
    return worked(world) >= wanted(world);
}

static bool
all_is_done(world *world)
{
    uint32_t produced = 0;
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL && !is_worker(world, i)) {
            if (atomic_load(&world->stage->actors[i].state) != ACTOR_FINISHED) {
                return false; /* a producer, or one who joins */
            }
            produced += atomic_load(&world->stage->actors[i].progress);
        }
    }
    return worked(world) >= wanted(world) + produced;
}

static void
compare(world *world)
{
    uint8_t seen[1024] = {0};
    uint32_t missing = 0;
    for (int i = 0; i < ACTORS; i++) {
        actor *actor = &world->stage->actors[i];
        if (atomic_load(&actor->broken)) {
            blame(world, "wrong", "line %u", atomic_load(&actor->broken));
        }
        uint32_t count = atomic_load(&actor->progress);
        for (uint32_t k = 0; k < count && k < LOG; k++) {
            uint32_t id = atomic_load(&actor->log[k]);
            if (!is_worker(world, i)) {
                book(world, id);
            } else if (id >= sizeof(seen) || seen[id]++) {
                blame(world, "doubled", "item %u", id);
            }
        }
    }
    for (uint32_t i = 0; i < world->in_count; i++) {
        missing += !seen[world->in[i]];
        seen[world->in[i]] = 0;
    }
    for (uint32_t id = 0; id < sizeof(seen); id++) {
        if (seen[id]) {
            blame(world, "doubled", "item %u, which nobody put", id);
        }
    }
    uint32_t letters = world->scenario->a == LETTERS ? world->scenario->b : 0;
    if (missing != letters + world->flag) {
        blame(world, missing > letters + world->flag ? "lost" : "doubled",
              "%u items did not come, %u were done", missing, letters + world->flag);
    }
}

static void
check_sums(world *world)
{
    pn_lease_counts counts;
    size_t used;
    const char *wrong = audit_leases(world->domain, world->ring.offset);
    if (wrong == NULL) {
        wrong = audit_ring(world->domain, world->ring.offset);
    }
    if (wrong != NULL) {
        blame(world, "wrong", "%s", wrong);
    }
    uint32_t letters = world->scenario->a == LETTERS ? world->scenario->b : 0;
    if (pn_lease_look(&world->ring, &counts, NULL, 0, &used) != PN_OK || counts.unfinished != 0 ||
        counts.leased + counts.waiting != 0 || counts.dead != letters) {
        blame(world, "wrong", "all is done; unfinished %lu, leased %lu, waiting %lu, dead %lu",
              (unsigned long)counts.unfinished, (unsigned long)counts.leased,
              (unsigned long)counts.waiting, (unsigned long)counts.dead);
    }
}

void
lease_survive(world *world)
{
    const role *cast = world->scenario->cast;
    bool asleep = false;
    /* As the janitor of a victim's parent does. */
    pn_sweep(world->domain);
    if (world->owned && is_leased(world, 0)) {
        pn_ring_task_done(&world->ring, true); /* the director's own, which no victim had ended */
    }
    for (int i = 0; i < ACTORS; i++) {
        asleep |= is_worker(world, i) && cast[i].when == BEFORE;
    }
    if (asleep && crew_wait(world, sleepers_have_all, "a worker that slept does not go on")) {
        world->delay = pn_now() - world->died_at;
    }
    for (int i = 0; i < ACTORS; i++) {
        if (cast[i].play != NULL && cast[i].when != BEFORE) {
            actor_start(world, i);
        }
    }
    bool done = crew_wait(world, all_is_done, "not all is done, or who joins is not woken");
    if (done) {
        check_sums(world);
    }
    pn_ring_shut(&world->ring, false);
    if (done && crew_wait(world, all_finished, "shutdown does not wake all")) {
        compare(world);
        audit_after(world);
    }
}
