/* Step-kill: who makes a lock, an event, a semaphore or room ready beside a listener, and whose death nobody sweeps.
 *
 * A janitor sweeps at once, and the sweep wakes all listeners. Where there is none, what the dead one has not told is found at the end of
 * the listener's slice: those scenarios are late, on purpose, and must not be more than that. */
#include <stdlib.h>

#include "audit.h"
#include "event.h"
#include "items.h"
#include "many.h"
#include "priority_private.h"
#include "semaphore.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

#define SLICE_NS (300 * INT64_C(1000000))     /* longer than what is called late */
#define NO_NET_NS (600 * INT64_C(1000000000)) /* that no test sees the end of */

/* What differs: `a` of a scenario is an index into these. */
typedef struct {
    uint32_t want;
    void (*make)(world *world);       /* what is there; not ready */
    void (*before)(world *world);     /* the victim, before it is stepped */
    void (*make_ready)(world *world); /* what is stepped */
    void (*instead)(world *world);    /* who else can do that; NULL: the death gives it back */
} kind;

static const kind *kind_of(world *world);

/* ---- a lock ----------------------------------------------------------------------- */

static void
make_lock(world *world, pn_object_type type)
{
    if (pn_object_new(world->domain, type, "lock", &world->object, &world->generation) != PN_OK) {
        abort();
    }
}

static pn_lock *
lock_of(world *world)
{
    return &((pn_lock_cell *)pn_at(world->domain, world->object))->lock;
}

static void
make_mutex(world *world)
{
    make_lock(world, PN_OBJECT_MUTEX);
}

static void
make_ledger_lock(world *world)
{
    make_lock(world, PN_OBJECT_LOCK);
}

static void
take_mutex(world *world)
{
    pn_lock_try(lock_of(world));
}

static void
take_ledger_lock(world *world)
{
    pn_ledger_try(lock_of(world), world->domain->slot);
}

/* As lock_object.c does. */
static void
release_mutex(world *world)
{
    pn_lock_release(lock_of(world));
    pn_fence_after_exchange();
    pn_notify(world->domain, world->object, PN_FOR_GET);
}

static void
release_ledger_lock(world *world)
{
    pn_ledger_release(lock_of(world));
    pn_fence_after_exchange();
    pn_notify(world->domain, world->object, PN_FOR_GET);
}

/* ---- an event, a semaphore, room ---------------------------------------------------- */

static void
make_event(world *world)
{
    make_lock(world, PN_OBJECT_EVENT);
}

static void
set_event(world *world)
{
    pn_event event;
    pn_event_open(&event, world->domain, world->object);
    pn_event_set(&event);
}

/* One permit, which the victim takes. */
static void
make_semaphore(world *world)
{
    if (pn_semaphore_new(world->domain, "seats", 1, 0, &world->object, &world->generation) !=
        PN_OK) {
        abort();
    }
}

static void
take_permit(world *world)
{
    pn_semaphore semaphore;
    pn_semaphore_open(&semaphore, world->domain, world->object);
    pn_semaphore_try(&semaphore);
}

static void
release_permit(world *world)
{
    pn_semaphore semaphore;
    pn_semaphore_open(&semaphore, world->domain, world->object);
    pn_semaphore_release(&semaphore, true);
}

static void
make_full_ring(world *world)
{
    ring_make(world, 1, 0);
    put_one(&world->ring, 1);
}

static void
make_empty_ring(world *world)
{
    ring_make(world, 0, 0);
}

static void
take_item(world *world)
{
    uint64_t room[8];
    uint32_t id;
    get_one(&world->ring, room, sizeof(room), 0, &id);
}

static void
put_item(world *world)
{
    put_one(&world->ring, 1);
}

static pn_priority queue; /* the same offset in everybody, who is forked after it was made */

static void
make_priority(world *world)
{
    if (pn_priority_new(world->domain, "queue", 0, &world->object, &world->generation) != PN_OK) {
        abort();
    }
    pn_priority_open(&queue, world->domain, world->object);
}

static void
put_ranked(world *world)
{
    pn_record record = {.value = 1, .kind = PN_RECORD_INT32};
    uint64_t entry;
    if (pn_entry_new(&queue, (const uint8_t *)"1", 1, &record, &entry) == PN_OK) {
        pn_priority_put(&queue, entry, 0);
        pn_object_drop(world->domain, entry);
    }
}

static void
nothing_before(world *world)
{
    (void)world;
}

enum { MUTEX, LEDGER, EVENT, SEMAPHORE, ROOM, ITEM, RANKED };

static const kind kinds[] = {
    [MUTEX] = {PN_FOR_GET, make_mutex, take_mutex, release_mutex, NULL},
    [LEDGER] = {PN_FOR_GET, make_ledger_lock, take_ledger_lock, release_ledger_lock, NULL},
    [EVENT] = {PN_FOR_GET, make_event, nothing_before, set_event, set_event},
    [SEMAPHORE] = {PN_FOR_GET, make_semaphore, take_permit, release_permit, NULL},
    [ROOM] = {PN_FOR_PUT, make_full_ring, nothing_before, take_item, take_item},
    [ITEM] = {PN_FOR_GET, make_empty_ring, nothing_before, put_item, put_item},
    [RANKED] = {PN_FOR_GET, make_priority, nothing_before, put_ranked, put_ranked},
};

static const kind *
kind_of(world *world)
{
    return &kinds[world->scenario->a];
}

/* ---- the scenarios -------------------------------------------------------------------- */

static void
build(world *world)
{
    kind_of(world)->make(world);
    atomic_store(&world->domain->header->last_sweep,
                 pn_now()); /* the listener's own comes a second later */
}

static void
listen_with(world *world, actor *me, int64_t slice)
{
    pn_many_item item = {
        .domain = world->domain, .offset = world->object, .want = kind_of(world)->want};
    pn_many many = {.items = &item, .count = 1};
    pn_self()->slice_ns = slice;
    pn_many_begin(&many);
    while (!pn_many_look(&many)) {
        pn_many_sleep(&many, PN_FOREVER);
    }
    pn_many_end(&many);
    actor_note(me, 1);
}

static void
listen_without_net(world *world, actor *me)
{
    listen_with(world, me, NO_NET_NS);
}

static void
listen_in_slices(world *world, actor *me)
{
    listen_with(world, me, SLICE_NS);
}

static void
ready(world *world)
{
    kind_of(world)->before(world);
}

static void
operation(world *world)
{
    kind_of(world)->make_ready(world);
}

/* When the victim has what it is about to give. */
static void
the_listener_comes(world *world)
{
    actor_start_asleep(world, 0);
}

/* What only the victim could give, and had not given, others give: set, an item, room. */
static void
give_it_instead(world *world)
{
    world->died_at = pn_now();
    if (kind_of(world)->instead != NULL &&
        !pn_is_ready(world->domain, world->object, kind_of(world)->want)) {
        kind_of(world)->instead(world);
    }
}

static void
sweep_and_give(world *world)
{
    pn_sweep(world->domain);
    give_it_instead(world);
}

static void
survive(world *world)
{
    if (!crew_wait(world, all_finished, "it is ready, and a listener sleeps")) {
        return;
    }
    world->delay = pn_now() - world->died_at;
    audit_after(world);
}

#define SWEPT(title, which)                                                                        \
    {.name = "heard: " title,                                                                      \
     .build = build,                                                                               \
     .ready = ready,                                                                               \
     .operation = operation,                                                                       \
     .sampled = true,                                                                              \
     .cast = {LATECOMER(listen_without_net, 0, 0)},                                                \
     .at_start = the_listener_comes,                                                               \
     .at_death = sweep_and_give,                                                                   \
     .survive = survive,                                                                           \
     .a = which}
#define UNSWEPT(title, which)                                                                      \
    {.name = "late: " title,                                                                       \
     .build = build,                                                                               \
     .ready = ready,                                                                               \
     .operation = operation,                                                                       \
     .sampled = true,                                                                              \
     .cast = {LATECOMER(listen_in_slices, 0, 0)},                                                  \
     .at_start = the_listener_comes,                                                               \
     .at_death = give_it_instead,                                                                  \
     .survive = survive,                                                                           \
     .a = which}

const scenario heard_scenarios[] = {
    SWEPT("a mutex is released", MUTEX),
    SWEPT("a lock is released", LEDGER),
    SWEPT("an event is set", EVENT),
    SWEPT("a permit is given back", SEMAPHORE),
    SWEPT("an item is taken, and there is room", ROOM),
    SWEPT("a ranked item is put", RANKED),
    UNSWEPT("a mutex is released, nobody sweeps", MUTEX),
    UNSWEPT("a lock is released, nobody sweeps", LEDGER),
    UNSWEPT("an event is set, nobody sweeps", EVENT),
    UNSWEPT("a permit is given back, nobody sweeps", SEMAPHORE),
    UNSWEPT("an item is taken, nobody sweeps", ROOM),
    UNSWEPT("an item is put, nobody sweeps", ITEM),
    UNSWEPT("a ranked item is put, nobody sweeps", RANKED),
    {.name = "late: broken: no slices, and nobody sweeps",
     .build = build,
     .ready = ready,
     .operation = operation,
     .sampled = true,
     .cast = {LATECOMER(listen_without_net, 0, 0)},
     .at_start = the_listener_comes,
     .at_death = give_it_instead,
     .survive = survive,
     .must_show = "stuck",
     .a = ITEM},
    {.name = NULL},
};
