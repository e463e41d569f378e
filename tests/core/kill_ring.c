/* Step-kill: put and get, one and many, with and without sleepers. */
#include "items.h"
#include "slots.h"
#include "stepkill.h"
#include "waits.h"

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

/* The victim sleeps alone, and is woken. */
static void
items_come(world *world, int time)
{
    if (time == 1) {
        director_put(world, 1);
    }
}

static void
room_comes(world *world, int time)
{
    if (time == 1) {
        director_get(world);
    }
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
     FROM(pn_wait_begin),
     .operation = op_get_blocking,
     .on_sleep = follow_consumer,
     .cast = {LATECOMER(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "leading producer, a follower sleeps",
     .build = build_full,
     FROM(pn_wait_begin),
     .operation = op_put_blocking,
     .on_sleep = follow_producer,
     .cast = {LATECOMER(produce, 201, 1), COMING(produce, 301, 2), COMING(consume, 0, 0)},
     RING_RULES},
    {.name = "following consumer inherits the lead",
     .build = build_preloaded,
     FROM(pn_wait_begin),
     .operation = op_get_blocking,
     .on_sleep = inherit_consumer,
     .cast = {SLEEPING(consume_some, 0, 1), LATECOMER(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "get that finds nothing, until it sleeps",
     .build = build_preloaded,
     .operation = op_get_blocking,
     .sampled = true,
     .on_sleep = items_come,
     .cast = {COMING(consume, 0, 0), COMING(produce, 301, 2)},
     RING_RULES},
    {.name = "put that finds no room, until it sleeps",
     .build = build_full,
     .operation = op_put_blocking,
     .sampled = true,
     .on_sleep = room_comes,
     .cast = {COMING(produce, 301, 2), COMING(consume, 0, 0)},
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
