/* Step-kill: put and get, one and many, with and without sleepers. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "audit.h"
#include "heap.h"
#include "items.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

/* ---- roles ------------------------------------------------------------------ */

static pn_status
put_waiting(pn_ring *ring, uint32_t id, uint32_t count)
{
    parcel parcel;
    parcel_clear(&parcel);
    for (uint32_t i = 0; i < count; i++) {
        parcel_add(&parcel, id + i);
    }
    pn_batch batch = parcel_batch(&parcel);
    pn_status status;
    do {
        status = pn_ring_put(ring, &batch, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    return status;
}

void
produce(world *world, actor *me)
{
    const role *role = &world->scenario->cast[me - world->stage->actors];
    for (uint32_t i = 0; i < role->count; i++) {
        pn_status status = put_waiting(&world->ring, role->first + i, 1);
        atomic_store(&me->status, status);
        if (status != PN_OK) {
            return;
        }
        actor_note(me, role->first + i);
    }
}

/* What came in the item: blocks are ours to free, objects to let go. */
static void
receive(world *world, actor *me, const pn_record *record)
{
    ACTOR_CHECK(me, item_is_whole(world->domain, record));
    const pn_block_ref *ref = item_block(record);
    if (ref != NULL) {
        pn_heap_free(world->domain, ref->offset);
    }
    uint64_t object = item_object(record);
    if (object != 0) {
        pn_object_retain(world->domain, object);
        ACTOR_CHECK(me, pn_object_valid(world->domain, object));
        pn_object_drop(world->domain, object);
    }
    actor_note(me, item_id(record));
}

static void
consume_up_to(world *world, actor *me, uint32_t most)
{
    static uint64_t room[PN_RING_INLINE / 8 + 16];
    uint32_t id;
    for (uint32_t taken = 0; taken < most;) {
        pn_status status = get_one(&world->ring, room, sizeof(room), PN_FOREVER, &id);
        if (status == PN_OK) {
            receive(world, me, (const pn_record *)room);
            taken++;
        } else if (status != PN_INTERRUPTED) {
            atomic_store(&me->status, status);
            return;
        }
    }
}

void
consume(world *world, actor *me)
{
    consume_up_to(world, me, UINT32_MAX);
}

void
consume_some(world *world, actor *me)
{
    consume_up_to(world, me, world->scenario->cast[me - world->stage->actors].count);
}

/* ---- books ------------------------------------------------------------------- */

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

static uint32_t
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

/* Everybody is gone: sweep, and look whether anything is left of them. */
void
audit_after(world *world)
{
    pn_domain *domain = world->domain;
    crew_end(world);
    pn_sweep(domain);
    pn_sweep(domain); /* what records of a discarded ring named */
    const char *wrong = audit_domain(domain);
    if (wrong == NULL && count_slots(domain) != 1) {
        wrong = "slots of the dead are left";
    }
    if (wrong != NULL) {
        blame(world, "wrong", "after the sweep: %s", wrong);
    }
    if (world->object != 0) {
        pn_object_drop(domain, world->object);
    }
    if (world->object_two != 0) {
        pn_object_drop(domain, world->object_two);
    }
    pn_sweep(domain);
    wrong = audit_domain(domain);
    if (wrong == NULL && count_objects(domain) != 0) {
        wrong = "an object is left that nobody holds";
    }
    if (wrong == NULL &&
        pn_heap_used(domain, PN_BLOCK_SEGMENT) + pn_heap_used(domain, PN_BLOCK_PAYLOAD) != 0) {
        wrong = "a block is left that nobody needs";
    }
    if (wrong != NULL) {
        blame(world, "wrong", "at the end: %s", wrong);
    }
}

/* ---- scenarios ------------------------------------------------------------------ */

static void
build_empty(world *world)
{
    ring_make(world, 0, 0);
    victim_puts(world, 100, world->scenario->b);
}

/* Holds 4 items at most; `b` says how many are in. */
static void
build_preloaded(world *world)
{
    ring_make(world, 4, 0);
    ring_preload(world, 1, world->scenario->b);
}

static void
build_full(world *world)
{
    ring_make(world, 2, 0);
    ring_preload(world, 1, 2);
    victim_puts(world, 100, 1);
}

void
op_put(world *world)
{
    atomic_store(&world->stage->status, put_one(&world->ring, world->put_first));
}

void
op_put_blocking(world *world)
{
    atomic_store(&world->stage->status, put_waiting(&world->ring, world->put_first, 1));
}

static void
op_put_many(world *world)
{
    atomic_store(&world->stage->status,
                 put_waiting(&world->ring, world->put_first, world->scenario->b));
}

void
op_get(world *world)
{
    static uint64_t room[PN_RING_INLINE / 8 + 16];
    uint32_t id;
    atomic_store(&world->stage->status, get_one(&world->ring, room, sizeof(room), 0, &id));
}

static void
op_get_blocking(world *world)
{
    uint64_t room[8];
    uint32_t id;
    pn_status status;
    do {
        status = get_one(&world->ring, room, sizeof(room), PN_FOREVER, &id);
    } while (status == PN_INTERRUPTED);
    atomic_store(&world->stage->status, status);
}

static void
op_get_many(world *world)
{
    uint64_t room[64];
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = world->scenario->a};
    atomic_store(&world->stage->status, pn_ring_get(&world->ring, &sink, PN_FOREVER));
}

/* The victim leads; actor 0 comes and follows; then two items arrive. */
static void
follow_consumer(world *world, int time)
{
    if (time == 1) {
        actor_start_asleep(world, 0);
        director_put(world, 1);
        director_put(world, 2);
    }
}

static void
follow_producer(world *world, int time)
{
    if (time == 1) {
        actor_start_asleep(world, 0);
        director_get(world);
        director_get(world);
    }
}

/* The victim follows actor 0, is handed the leadership, and another follows it. */
static void
inherit_consumer(world *world, int time)
{
    if (time == 1) {
        director_put(world, 1);
        crew_wait(world, before_finished, "the leader does not take its item");
        world->base_got = world->taken_from = count_got(world);
    } else {
        actor_start_asleep(world, 1);
        director_put(world, 2);
        director_put(world, 3);
    }
}

static pn_lock *
tail_lock(world *world)
{
    return &world->ring.cell->tail_lock;
}

static pn_lock *
head_lock(world *world)
{
    return &world->ring.cell->head_lock;
}

const scenario ring_scenarios[] = {
    {.name = "put",
     .build = build_empty,
     .operation = op_put,
     .b = 1,
     .cast = {COMING(produce, 301, 2), COMING(consume, 0, 0)},
     RING_RULES},
    {.name = "put, a consumer sleeps",
     .build = build_empty,
     .operation = op_put,
     .b = 1,
     .cast = {SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "put blocking, a consumer and a follower sleep",
     .build = build_empty,
     .operation = op_put_blocking,
     .b = 1,
     .cast = {SLEEPING(consume, 0, 0), SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "put_many, consumers sleep",
     .build = build_empty,
     .operation = op_put_many,
     .b = 5,
     .cast = {SLEEPING(consume, 0, 0), SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "get",
     .build = build_preloaded,
     .operation = op_get,
     .b = 3,
     .cast = {COMING(produce, 301, 2), COMING(consume, 0, 0)},
     RING_RULES},
    {.name = "get, a producer sleeps",
     .build = build_preloaded,
     .operation = op_get,
     .b = 4,
     .cast = {SLEEPING(produce, 201, 1), COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "get_many, producers sleep",
     .build = build_preloaded,
     .operation = op_get_many,
     .a = 3,
     .b = 4,
     .cast = {SLEEPING(produce, 201, 1), SLEEPING(produce, 251, 2), COMING(consume, 0, 0),
              COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "leading consumer, a follower sleeps",
     .build = build_preloaded,
     .operation = op_get_blocking,
     .on_sleep = follow_consumer,
     .cast = {LATECOMER(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "leading producer, a follower sleeps",
     .build = build_full,
     .operation = op_put_blocking,
     .on_sleep = follow_producer,
     .cast = {LATECOMER(produce, 201, 1), COMING(produce, 301, 2), COMING(consume, 0, 0)},
     RING_RULES},
    {.name = "following consumer inherits the lead",
     .build = build_preloaded,
     .operation = op_get_blocking,
     .on_sleep = inherit_consumer,
     .cast = {SLEEPING(consume_some, 0, 1), LATECOMER(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "two deaths: put, then put",
     .build = build_empty,
     .dies_with = tail_lock,
     .sampled = true,
     .first = op_put,
     .operation = op_put,
     .b = 1,
     .cast = {SLEEPING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "two deaths: get, then get",
     .build = build_preloaded,
     .dies_with = head_lock,
     .sampled = true,
     .first = op_get,
     .operation = op_get,
     .b = 4,
     .cast = {SLEEPING(produce, 201, 1), COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = NULL},
};
