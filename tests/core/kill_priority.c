/* Step-kill: the priority queue. Put, taken, made larger, put in order after a death, given up. */
#include <stdlib.h>

#include "audit.h"
#include "priority_private.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

#define VICTIMS 5u /* what the victim puts */
#define ROOM (PN_PAGE / 16)

static pn_priority queue; /* the same offset in everybody, who is forked after it was made */

static uint64_t
make_entry(world *world, uint32_t id)
{
    pn_record record = {.value = id, .kind = PN_RECORD_INT32};
    uint8_t key = (uint8_t)id;
    uint64_t entry;
    (void)world;
    if (pn_entry_new(&queue, &key, 1, &record, &entry) != PN_OK) {
        abort();
    }
    return entry;
}

static pn_status
put(world *world, uint32_t id)
{
    uint64_t entry = make_entry(world, id);
    pn_status status;
    do {
        status = pn_priority_put(&queue, entry, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    pn_object_drop(world->domain, entry);
    return status;
}

static pn_status
get(uint32_t *id, int64_t deadline)
{
    pn_record record = {.value = 0};
    pn_sink sink = {.bytes = (char *)&record, .capacity = sizeof(record), .limit = 1};
    pn_status status;
    do {
        status = pn_priority_get(&queue, &sink, deadline);
    } while (status == PN_INTERRUPTED);
    *id = record.value;
    return status;
}

/* ---- what is there ------------------------------------------------------------- */

static void
build(world *world, uint64_t most, uint32_t items)
{
    if (pn_priority_new(world->domain, "queue", most, &world->object, &world->generation) !=
        PN_OK) {
        abort();
    }
    pn_priority_open(&queue, world->domain, world->object);
    world->base_put = items;
    world->base_got = 1;
    uint32_t id;
    put(world, 9); /* a cell that was used, and a take that is over */
    get(&id, PN_FOREVER);
    for (uint32_t i = 0; i < items; i++) {
        put(world, 10 + i % 100);
    }
    atomic_store(&world->domain->header->last_sweep, pn_now()); /* a sweep is one of its own */
}

static void
build_empty(world *world)
{
    build(world, 0, 0);
}

static void
build_some(world *world)
{
    build(world, 0, 3);
}

static void
build_full(world *world)
{
    build(world, 3, 3);
}

static void
build_to_the_brim(world *world)
{
    build(world, 0, ROOM);
}

/* One void entry, one that was taken, and an index that is not in order. */
static void
half_a_change(world *world)
{
    pn_entry_cell *entry = pn_entry_at(world->domain, make_entry(world, 1));
    uint64_t first = pn_index_first(&queue);
    atomic_store(&queue.cell->changing, 1);
    atomic_store(&entry->sequence, atomic_load(&queue.cell->puts));
    atomic_store(&entry->queue, queue.offset);
    atomic_fetch_or(&entry->object.flags, PN_OBJECT_KEPT);
    atomic_store(&queue.cell->taking_sequence,
                 atomic_load(&pn_entry_at(world->domain, first)->sequence));
    atomic_store(&queue.cell->taking_number, atomic_load(&queue.cell->takes) + 1);
    atomic_fetch_add(&queue.cell->takes, 1);
}

static void
build_broken(world *world)
{
    build(world, 0, 3);
    live_and_die(world, half_a_change);
}

/* ---- the victim ------------------------------------------------------------------ */

static void
op_put_one(world *world)
{
    put(world, VICTIMS);
}

static void
op_get_one(world *world)
{
    uint32_t id;
    (void)world;
    get(&id, PN_FOREVER);
}

static uint64_t own;

static void
ready_with_queue(world *world)
{
    uint32_t generation;
    pn_priority shared = queue;
    if (pn_priority_new(world->domain, "own", 0, &own, &generation) != PN_OK) {
        abort();
    }
    pn_priority_open(&queue, world->domain, own);
    put(world, 1);
    put(world, 2);
    queue = shared;
}

static void
op_give_up(world *world)
{
    pn_object_drop(world->domain, own);
}

static void
op_shut(world *world)
{
    (void)world;
    pn_priority_shut(&queue, false);
}

/* ---- the others ------------------------------------------------------------------- */

static void
take_all(world *world, actor *me)
{
    uint32_t id;
    pn_status status;
    (void)world;
    while ((status = get(&id, PN_FOREVER)) == PN_OK) {
        actor_note(me, id);
    }
    atomic_store(&me->status, status);
}

static void
put_some(world *world, actor *me)
{
    const role *role = &world->scenario->cast[me - world->stage->actors];
    for (uint32_t i = 0; i < role->count; i++) {
        if (put(world, role->first + i) != PN_OK) {
            return;
        }
        actor_note(me, role->first + i);
    }
}

/* ---- afterwards ------------------------------------------------------------------- */

static bool
nothing_waits(world *world)
{
    (void)world;
    return pn_priority_count(&queue) == 0;
}

static bool
putters_are_through(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        const role *role = &world->scenario->cast[i];
        if (role->play == put_some &&
            atomic_load(&world->stage->actors[i].state) != ACTOR_FINISHED) {
            return false;
        }
    }
    return true;
}

/* Who slept goes on by itself, if what it waits for was committed. */
static void
sleepers_go_on(world *world)
{
    bool committed_take = atomic_load(&queue.cell->takes) > world->base_got;
    if (world->scenario->cast[0].when != BEFORE) {
        return;
    }
    if (world->scenario->cast[0].play == take_all) {
        crew_wait(world, nothing_waits, "a taker sleeps, though an item is in");
    } else if (committed_take) {
        crew_wait(world, putters_are_through, "a putter sleeps, though there is room");
    }
    world->delay = pn_now() - world->died_at;
}

static void
count_items(world *world)
{
    static uint32_t times[256];
    uint32_t got = 0, puts = (uint32_t)atomic_load(&queue.cell->puts);
    for (int id = 0; id < 256; id++) {
        times[id] = 0;
    }
    for (int i = 0; i < ACTORS; i++) {
        const actor *actor = &world->stage->actors[i];
        if (world->scenario->cast[i].play != take_all) {
            continue;
        }
        uint32_t progress = atomic_load(&actor->progress);
        got += progress;
        for (uint32_t k = 0; k < progress && k < LOG; k++) {
            uint32_t id = atomic_load(&actor->log[k]);
            times[id % 256]++;
            if (world->base_put < 100 && times[id % 256] > 1) {
                blame(world, "doubled", "item %u came twice", id);
            }
        }
    }
    uint32_t others =
        world->scenario->a; /* takes of the victim and of the dead before it, at most */
    if (puts - got > others + world->base_got) {
        blame(world, "lost", "%u items were put, %u came", puts, got);
    }
    if (got > puts) {
        blame(world, "doubled", "%u items were put, %u came", puts, got);
    }
}

static void
survive(world *world)
{
    sleepers_go_on(world);
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL && world->scenario->cast[i].when == AFTER) {
            actor_start(world, i);
        }
    }
    if (!crew_wait(world, putters_are_through, "a put does not end") ||
        !crew_wait(world, nothing_waits, "items are not taken")) {
        return;
    }
    pn_priority_shut(&queue, false);
    if (!crew_wait(world, all_finished, "takers do not see the end")) {
        return;
    }
    count_items(world);
    audit_after(world);
}

#define QUEUED(title, with_build, with_operation, taken)                                           \
    .name = title, .build = with_build, .operation = with_operation, .sampled = true, .a = taken,  \
    .survive = survive

const scenario priority_scenarios[] = {
    {QUEUED("priority: put, a taker sleeps", build_empty, op_put_one, 0),
     .cast = {SLEEPING(take_all, 0, 0), COMING(put_some, 1, 2)}},
    {QUEUED("priority: put among others", build_some, op_put_one, 0),
     .cast = {COMING(take_all, 0, 0), COMING(put_some, 1, 2)}},
    {QUEUED("priority: put that makes the index larger", build_to_the_brim, op_put_one, 0),
     .cast = {COMING(take_all, 0, 0), COMING(put_some, 1, 2)}},
    {QUEUED("priority: get", build_some, op_get_one, 1),
     .cast = {COMING(take_all, 0, 0), COMING(put_some, 1, 2)}},
    {QUEUED("priority: get, a putter sleeps", build_full, op_get_one, 1),
     .cast = {SLEEPING(put_some, 1, 1), COMING(take_all, 0, 0)}},
    {QUEUED("priority: get after a death in a change", build_broken, op_get_one, 2),
     .cast = {COMING(take_all, 0, 0), COMING(put_some, 1, 2)}},
    {QUEUED("priority: put after a death in a change", build_broken, op_put_one, 1),
     .cast = {COMING(take_all, 0, 0), COMING(put_some, 1, 2)}},
    {QUEUED("priority: given up with items", build_some, op_give_up, 0), .ready = ready_with_queue,
     .cast = {COMING(take_all, 0, 0), COMING(put_some, 1, 2)}},
    {QUEUED("priority: shutdown, takers sleep", build_empty, op_shut, 0),
     .cast = {SLEEPING(take_all, 0, 0), SLEEPING(take_all, 0, 0)}},
    {.name = NULL},
};
