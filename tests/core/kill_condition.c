/* Step-kill: getting in line, being notified, and handing on what the dead were notified of.
 *
 * The books: so many were in line, so many notifications were committed; a waiter that was not killed goes on for each
 * of them, no more and no less. */
#include <stdlib.h>
#include <unistd.h>

#include "condition.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

static pn_condition
condition_of(world *world)
{
    pn_condition condition = {.pauses_in_vain = 0};
    pn_condition_open(&condition, world->domain, world->object);
    return condition;
}

static void
build_condition(world *world)
{
    if (pn_object_new(world->domain, PN_OBJECT_CONDITION, "condition", &world->object,
                      &world->generation) != PN_OK) {
        abort();
    }
}

/* ---- what is done -------------------------------------------------------------- */

static pn_waiter *
get_in_line(world *world)
{
    pn_condition condition = condition_of(world);
    pn_waiter *line;
    if (pn_condition_enlist(&condition, &line) != PN_OK) {
        abort();
    }
    return line;
}

static void
op_wait(world *world)
{
    pn_condition condition = condition_of(world);
    pn_waiter *line = get_in_line(world);
    while (pn_condition_sleep(&condition, line, PN_FOREVER) == PN_INTERRUPTED) {
    }
    pn_condition_consume(line);
}

static void
wait_once(world *world, actor *me)
{
    op_wait(world);
    actor_note(me, 1);
}

/* Notify `a` of them. */
static void
op_notify(world *world)
{
    pn_condition condition = condition_of(world);
    pn_condition_notify(&condition, world->scenario->a);
}

static void
op_time_out(world *world)
{
    pn_condition condition = condition_of(world);
    pn_waiter *line = get_in_line(world);
    if (pn_condition_sleep(&condition, line, pn_now()) == PN_TIMEOUT &&
        !pn_condition_withdraw(&condition, line)) {
        return;
    }
    pn_condition_consume(line);
}

static pn_waiter *victims_line;

static void
ready_in_line(world *world)
{
    victims_line = get_in_line(world);
}

/* All that are in line so far are notified; those that sleep are woken, but the victim does not look. */
static void
notify_the_victim(world *world)
{
    pn_condition condition = condition_of(world);
    pn_condition_notify(&condition, 1);
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].when == LATER) {
            actor_start_asleep(world, i);
        }
    }
}

static void
op_pass_on(world *world)
{
    pn_condition condition = condition_of(world);
    pn_condition_pass_on(&condition, victims_line);
}

/* What a sweep does to it for each of the dead. */
static uint64_t dead[4];

static void
ready_to_bury(world *world)
{
    pn_condition condition = condition_of(world);
    pn_waiter_walk walk = pn_waiters_walk(world->domain, &condition.cell->waiters);
    pn_waiter *line;
    for (int i = 0; i < 4 && (line = pn_waiter_next(&walk)) != NULL; i++) {
        dead[i] = pn_waiter_is_dead(world->domain, line) ? atomic_load(&line->owner) : 0;
    }
}

static void
op_bury(world *world)
{
    for (int i = 0; i < 4; i++) {
        if (dead[i] != 0) {
            pn_condition_bury(world->domain, world->object, (uint32_t)(dead[i] >> 32) - 1,
                              (uint32_t)dead[i], false);
        }
    }
}

/* ---- what is there ------------------------------------------------------------- */

static void
enlist_and_die(world *world)
{
    get_in_line(world);
}

/* `a` notified ones are dead, and nobody has swept yet. */
static void
build_dead(world *world)
{
    build_condition(world);
    for (uint32_t i = 0; i < world->scenario->a; i++) {
        live_and_die(world, enlist_and_die);
    }
    op_notify(world);
    live_and_die(world, enlist_and_die); /* and one that was not */
}

static void
build_full(world *world)
{
    build_condition(world);
    for (uint32_t i = 0; i < PN_WAITERS_INLINE; i++) {
        get_in_line(world);
    }
}

/* One chunk is there, and nobody in line. */
static void
build_chunk(world *world)
{
    build_full(world);
    get_in_line(world);
    pn_condition condition = condition_of(world);
    pn_waiter_walk walk = pn_waiters_walk(world->domain, &condition.cell->waiters);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        pn_condition_consume(line);
    }
}

/* The victim is the last that has it. */
static void
at_start_let_go(world *world)
{
    pn_object_drop(world->domain, world->object);
}

static void
op_drop(world *world)
{
    pn_object_drop(world->domain, world->object);
}

/* ---- judging -------------------------------------------------------------------- */

static uint32_t
gone_on(world *world)
{
    uint32_t sum = 0;
    for (int i = 0; i < ACTORS; i++) {
        sum += atomic_load(&world->stage->actors[i].progress);
    }
    return sum;
}

static uint32_t
sleepers(world *world)
{
    uint32_t count = 0;
    for (int i = 0; i < ACTORS; i++) {
        count += world->scenario->cast[i].play != NULL;
    }
    return count;
}

static bool
as_many_as_in_count(world *world)
{
    return gone_on(world) >= world->in_count;
}

/* `count` of the sleepers have been notified by now. */
static void
expect(world *world, uint32_t count, const char *for_what)
{
    uint32_t waiting, notified;
    pn_condition condition = condition_of(world);
    world->in_count = count;
    if (!crew_wait(world, as_many_as_in_count, for_what)) {
        return;
    }
    world->delay = pn_now() - world->died_at;
    pn_condition_count(&condition, &waiting, &notified);
    if (gone_on(world) + notified > count) {
        blame(world, "doubled", "%u of %u went on", gone_on(world) + notified, count);
    }
    if (waiting + notified + gone_on(world) != sleepers(world)) {
        blame(world, "wrong", "%u wait, %u are notified, %u went on, of %u", waiting, notified,
              gone_on(world), sleepers(world));
    }
    pn_condition_notify(&condition, UINT64_MAX);
    if (crew_wait(world, all_finished, "all were notified and somebody sleeps")) {
        audit_after(world);
    }
}

/* A notifier was killed: it has notified all that it was to notify, or nobody. */
static void
survive_notify(world *world)
{
    pn_condition condition = condition_of(world);
    uint32_t count = world->scenario->a < sleepers(world) ? world->scenario->a : sleepers(world);
    bool was_made = atomic_load(&condition.cell->served) != 0;
    expect(world, was_made ? count : 0, "the notify was made, and somebody sleeps");
}

/* The oldest in line is dead, or was: the notification is for another, wherever it was. */
static void
survive_one(world *world)
{
    pn_sweep(world->domain);
    expect(world, 1, "one was notified, and nobody goes on");
}

/* Is the victim's line there still? It was the first. */
static bool
victim_is_there(world *world)
{
    pn_condition condition = condition_of(world);
    pn_waiter_walk walk = pn_waiters_walk(world->domain, &condition.cell->waiters);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        if (atomic_load(&line->ticket) == 0) {
            return true;
        }
    }
    return false;
}

static void
note_victim(world *world)
{
    world->owned = victim_is_there(world);
}

/* It sleeps; a second one comes; one is notified, which is the victim. */
static void
notify_it(world *world, int time)
{
    if (time == 1) {
        notify_the_victim(world);
        world->flag = true;
    }
}

static void
survive_wait(world *world)
{
    pn_condition condition = condition_of(world);
    if (!world->flag) { /* killed before it slept: nobody has come yet */
        for (int i = 0; i < ACTORS; i++) {
            if (world->scenario->cast[i].when == LATER) {
                actor_start_asleep(world, i);
            }
        }
        pn_condition_notify(&condition, 1);
        pn_sweep(world->domain);
        expect(world, 1, "one was notified, and nobody goes on");
        return;
    }
    pn_sweep(world->domain);
    expect(world, world->owned ? 1 : 0, "what the victim had been told is for the next one");
}

/* It was in line or not; if it is, its line goes. */
static void
survive_time_out(world *world)
{
    pn_condition condition = condition_of(world);
    actor_start_asleep(world, 0);
    pn_condition_notify(&condition, 1);
    pn_sweep(world->domain);
    expect(world, 1, "one was notified, and nobody goes on");
}

static void
survive_crowd(world *world)
{
    pn_condition condition = condition_of(world);
    pn_waiter_walk walk = pn_waiters_walk(world->domain, &condition.cell->waiters);
    for (pn_waiter *line; (line = pn_waiter_next(&walk)) != NULL;) {
        if (atomic_load(&line->owner) == pn_waiter_me(world->domain)) {
            pn_condition_consume(line);
        }
    }
    audit_after(world);
}

static void
survive_drop(world *world)
{
    world->object = 0;
    audit_after(world);
}

/* Two of the dead were notified, and two of the three that sleep go on. */
static void
survive_two(world *world)
{
    pn_sweep(world->domain);
    expect(world, 2, "two that were notified are dead, and nobody goes on instead");
}

static pn_lock *
inner_lock(world *world)
{
    return &condition_of(world).cell->lock;
}

/* ---- broken on purpose ------------------------------------------------------------- */

/* Hands on without saying first what it is about to do. */
static void
op_sweep_twice(world *world)
{
    pn_condition condition = condition_of(world);
    uint64_t served = atomic_load(&condition.cell->served);
    pn_condition_notify(&condition, 1);
    if (atomic_load(&condition.cell->served) != served) {
        pn_sweep(world->domain);
    }
}

static void
op_notify_without_wake(world *world)
{
    pn_condition condition = condition_of(world);
    atomic_store(&condition.cell->served, 1);
}

#define TWO SLEEPING(wait_once, 0, 0), SLEEPING(wait_once, 0, 0)
#define THREE TWO, SLEEPING(wait_once, 0, 0)

const scenario condition_scenarios[] = {
    {.name = "condition: notify one of two",
     .build = build_condition,
     .operation = op_notify,
     .sampled = true,
     .a = 1,
     .cast = {TWO},
     .survive = survive_notify},
    {.name = "condition: notify two of three",
     .build = build_condition,
     .operation = op_notify,
     .sampled = true,
     .a = 2,
     .cast = {THREE},
     .survive = survive_notify},
    {.name = "condition: notify all of three",
     .build = build_condition,
     .operation = op_notify,
     .sampled = true,
     .a = 100,
     .cast = {THREE},
     .survive = survive_notify},
    {.name = "condition: wait, until it is notified",
     .build = build_condition,
     .operation = op_wait,
     .sampled = true,
     .on_sleep = notify_it,
     .at_stop = note_victim,
     .cast = {LATECOMER(wait_once, 0, 0), LATECOMER(wait_once, 0, 0)},
     .survive = survive_wait},
    {.name = "condition: wait, and the time runs out",
     .build = build_condition,
     .operation = op_time_out,
     .sampled = true,
     .cast = {LATECOMER(wait_once, 0, 0)},
     .survive = survive_time_out},
    {.name = "condition: pass on",
     .build = build_condition,
     .ready = ready_in_line,
     .at_start = notify_the_victim,
     .operation = op_pass_on,
     .sampled = true,
     .cast = {LATECOMER(wait_once, 0, 0), LATECOMER(wait_once, 0, 0)},
     .survive = survive_one},
    {.name = "condition: get in line, which makes lines",
     .build = build_full,
     .operation = enlist_and_die,
     .sampled = true,
     .survive = survive_crowd},
    {.name = "condition: its last holder lets go",
     .build = build_chunk,
     .at_start = at_start_let_go,
     .operation = op_drop,
     .sampled = true,
     .survive = survive_drop},
    {.name = "condition: burial of two that were notified",
     .build = build_dead,
     .ready = ready_to_bury,
     .operation = op_bury,
     .sampled = true,
     .a = 2,
     .cast = {THREE},
     .survive = survive_two},
    {.name = "condition: two deaths: burial, then burial",
     .build = build_dead,
     .ready = ready_to_bury,
     .dies_with = inner_lock,
     .first = op_bury,
     .operation = op_bury,
     .sampled = true,
     .a = 1,
     .cast = {TWO},
     .survive = survive_one},
    {.name = "condition: broken: notify without a wake",
     .build = build_condition,
     .operation = op_notify_without_wake,
     .must_show = "stuck",
     .a = 1,
     .cast = {TWO},
     .survive = survive_notify},
    {.name = "condition: broken: hands on twice",
     .build = build_dead,
     .operation = op_sweep_twice,
     .must_show = "doubled",
     .a = 2,
     .cast = {THREE},
     .survive = survive_two},
    {.name = NULL},
};
