/* The books of a ring scenario: what went in, what must come out, what the victim took along. */
#include <stdlib.h>

#include "audit.h"
#include "heap.h"
#include "items.h"
#include "stepkill.h"

void
ring_make(world *world, uint64_t max_items, uint64_t max_bytes)
{
    uint64_t offset;
    if (pn_ring_new(world->domain, "ring", max_items, max_bytes, &offset, &world->generation) !=
        PN_OK) {
        abort();
    }
    pn_ring_open(&world->ring, world->domain, offset);
    world->object = offset;
}

void
book(world *world, uint32_t id)
{
    world->in[world->in_count++] = id;
}

void
director_put(world *world, uint32_t id)
{
    pn_status status = put_one(&world->ring, id);
    if (status != PN_OK) {
        blame(world, "wrong", "the director cannot put: %d", status);
        return;
    }
    book(world, id);
}

void
director_get(world *world)
{
    static uint64_t room[PN_RING_INLINE / 8 + 16];
    uint32_t id;
    pn_status status = get_one(&world->ring, room, sizeof(room), 0, &id);
    if (status != PN_OK) {
        blame(world, "wrong", "the director cannot get: %d", status);
        return;
    }
    world->director_got++;
}

static uint32_t
count_at(const pn_mark marks[2], uint64_t position)
{
    const pn_mark *mark = &marks[atomic_load(&marks[0].position) != position];
    return (uint32_t)atomic_load(&mark->count);
}

static uint32_t
count_put(world *world)
{
    return count_at(world->ring.cell->tail_mark, atomic_load(&world->ring.cell->tail));
}

uint32_t
count_got(world *world)
{
    return count_at(world->ring.cell->head_mark, atomic_load(&world->ring.cell->head));
}

void
ring_preload(world *world, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        director_put(world, first + i);
    }
}

void
victim_puts(world *world, uint32_t first, uint32_t count)
{
    world->puts = count;
    world->put_first = first;
    world->base_put = count_put(world);
}

/* Has the victim committed? Its commit is the first after the base was taken: whoever
 * else puts or takes at this end waits until the victim is through, or dead. */
void
ring_at_stop(world *world)
{
    if (world->puts > 0) {
        uint32_t put = count_put(world) - world->base_put;
        put = put < world->puts ? put : world->puts;
        if (put != 0 && put != world->puts && world->scenario->operation != NULL) {
            blame(world, "lost", "half a batch is in: %u of %u", put, world->puts);
        }
        for (uint32_t i = 0; i < put; i++) {
            book(world, world->put_first + i);
        }
        world->victim_put += put;
        world->put_first += 100; /* a second victim's ids */
        world->base_put = count_put(world);
        if (atomic_load(&world->stage->ended) && atomic_load(&world->stage->status) == PN_OK &&
            put == 0) {
            blame(world, "lost", "put returned and is not in");
        }
    } else {
        uint32_t got = count_got(world) - world->base_got - world->director_got;
        uint32_t most = world->scenario->a ? world->scenario->a : 1;
        world->victim_got += got < most ? got : most;
        world->base_got += got < most ? got : most;
    }
}

static uint32_t
logged(world *world, bool takers)
{
    uint32_t sum = 0;
    for (int i = 0; i < ACTORS; i++) {
        const role *role = &world->scenario->cast[i];
        if (role->play != NULL && (role->first == 0) == takers) {
            sum += atomic_load(&world->stage->actors[i].progress);
        }
    }
    return sum;
}

/* What others than the actors have put in and taken out. */
static uint32_t
left_for_actors(world *world)
{
    return world->in_count - world->victim_got - world->director_got;
}

static bool
sleepers_are_through(world *world)
{
    const role *cast = world->scenario->cast;
    uint32_t consumers = 0, producers = 0;
    for (int i = 0; i < ACTORS; i++) {
        if (cast[i].play != NULL && cast[i].when != AFTER) {
            producers += cast[i].first != 0 ? cast[i].count : 0;
            consumers += cast[i].first == 0;
        }
    }
    uint32_t in = left_for_actors(world);
    if (consumers > 0) {
        return logged(world, true) >= in + logged(world, false);
    }
    uint64_t limit = world->ring.cell->max_items;
    uint32_t room = limit > in ? (uint32_t)limit - in : 0;
    return logged(world, false) >= (producers < room ? producers : room);
}

static bool
all_is_moved(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].first != 0 &&
            atomic_load(&world->stage->actors[i].state) != ACTOR_FINISHED) {
            return false;
        }
    }
    return logged(world, true) >= left_for_actors(world) + logged(world, false);
}

/* Each id once, no id of nowhere, per consumer in the order of its producer; what is
 * missing is what the victim had taken: the oldest. */
static void
compare(world *world)
{
    uint8_t seen[1024] = {0};
    for (int i = 0; i < ACTORS; i++) {
        actor *actor = &world->stage->actors[i];
        uint32_t count = atomic_load(&actor->progress), last[11] = {0};
        if (world->scenario->cast[i].play == NULL) {
            continue;
        }
        if (atomic_load(&actor->broken)) {
            blame(world, "wrong", "an item is broken: line %u", atomic_load(&actor->broken));
        }
        for (uint32_t k = 0; k < count && k < LOG; k++) {
            uint32_t id = atomic_load(&actor->log[k]);
            if (world->scenario->cast[i].first != 0) {
                book(world, id);
                continue;
            }
            if (id >= sizeof(seen)) {
                blame(world, "wrong", "an item %u that nobody put", id);
                continue;
            }
            if (seen[id]++) {
                blame(world, "doubled", "item %u", id);
            }
            if (id <= last[id / 100]) {
                blame(world, "wrong", "item %u came after %u", id, last[id / 100]);
            }
            last[id / 100] = id;
        }
    }
    uint32_t missing = 0;
    for (uint32_t i = 0; i < world->in_count; i++) {
        if (seen[world->in[i]] == 0) {
            missing++;
            if (i < world->taken_from ||
                i >= world->taken_from + world->victim_got + world->director_got) {
                blame(world, "lost", "item %u", world->in[i]);
            }
        }
        seen[world->in[i]] = 0;
    }
    if (missing != world->victim_got + world->director_got) {
        blame(world, missing < world->victim_got + world->director_got ? "doubled" : "lost",
              "%u items are missing, %u were taken by victims", missing,
              world->victim_got + world->director_got);
    }
    for (uint32_t id = 0; id < sizeof(seen); id++) {
        if (seen[id]) {
            blame(world, "doubled", "item %u was got and its put had not been committed", id);
        }
    }
}

void
ring_survive(world *world)
{
    if (crew_wait(world, sleepers_are_through, "those who slept do not go on")) {
        world->delay = pn_now() - world->died_at;
    }
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL && world->scenario->cast[i].when != BEFORE) {
            actor_start(world, i);
        }
    }
    bool moved = crew_wait(world, all_is_moved, "a fresh producer and consumer do not go on");
    const char *wrong = moved ? audit_ring(world->domain, world->ring.offset) : NULL;
    if (wrong != NULL) {
        blame(world, "wrong", "%s", wrong);
    }
    if (moved && pn_ring_count(&world->ring) != 0) {
        blame(world, "wrong", "the count is %lu, not 0",
              (unsigned long)pn_ring_count(&world->ring));
    }
    pn_ring_shut(&world->ring, false);
    if (moved && crew_wait(world, all_finished, "shutdown does not wake all")) {
        compare(world);
        audit_after(world);
    }
}
