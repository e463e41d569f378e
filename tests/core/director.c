#define _GNU_SOURCE
#include "director.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "stepper.h"
#include "watch.h"

#define DOMAIN_BYTES (UINT64_C(256) << 20)
#define LATE_NS (200 * 1000000LL)
#define PATIENCE_NS (3 * 1000000000LL)
#define FAULTS_SHOWN 5 /* then the scenario is given up */

static stage *shared_stage;

/* ---- one kill point ------------------------------------------------------- */

static void
open_world(world *world, const scenario *scenario, uint32_t point)
{
    static const uint8_t uuid[16] = "stepkill";
    memset(shared_stage, 0, sizeof(*shared_stage));
    *world = (struct world){
        .scenario = scenario, .stage = shared_stage, .point = point, .patience = PATIENCE_NS};
    if (scenario->must_show != NULL) {
        world->patience = PATIENCE_NS / 6;
    }
    if (pn_domain_create(&world->domain, DOMAIN_BYTES, 4 * DOMAIN_BYTES, uuid) != PN_OK) {
        perror("a domain");
        exit(3);
    }
    pn_platform.cpus = 1;
    scenario->build(world);
    crew_fork(world);
    for (int i = 0; i < ACTORS; i++) {
        if (scenario->cast[i].play != NULL && scenario->cast[i].when == BEFORE) {
            actor_start_asleep(world, i);
        }
    }
}

static void
close_world(world *world)
{
    crew_end(world);
    pn_domain_close(world->domain);
}

static bool
to_the_start(world *world)
{
    if (!step_attach(world->victim)) {
        return false;
    }
    if (world->scenario->from != NULL) {
        return step_to(world->victim, world->scenario->from);
    }
    while (atomic_load(&world->stage->begun) == 0) {
        if (step_once(world->victim) != STEP_STOPPED) {
            return false;
        }
    }
    return true;
}

/* Step until `events` have happened, or the operation has ended: then true. */
static bool
step_many(world *world, uint32_t events, void (*after_each)(struct world *, void *), void *context)
{
    pn_word *ended = &world->stage->ended;
    int sleeps = 0;
    world->enough = false;
    for (uint32_t event = 0; event < events && !world->enough && !atomic_load(ended); event++) {
        step_result result = step_once(world->victim);
        while (result == STEP_ASLEEP) {
            if (++event >= events) {
                return false; /* the point is in its sleep */
            }
            if (world->scenario->on_sleep == NULL || sleeps >= 3) {
                blame(world, "wrong", "the victim sleeps");
                return true;
            }
            world->scenario->on_sleep(world, ++sleeps);
            int64_t until = pn_now() + world->patience;
            do {
                result = step_again(world->victim);
            } while (result == STEP_ASLEEP && pn_now() < until);
            if (result == STEP_ASLEEP) {
                blame(world, "stuck", "the victim is not woken");
                return true;
            }
        }
        if (result == STEP_GONE) {
            blame(world, "wrong", "the victim died by itself");
            return true;
        }
        if (after_each != NULL) {
            after_each(world, context);
        }
    }
    return atomic_load(ended) != 0;
}

/* Step until so many changes were seen: a process that reads /proc does not always need
 * the same number of instructions. */
static bool
step_changes(world *world, uint32_t changes)
{
    static watch watch;
    if (changes == 0) {
        return false;
    }
    memset(&watch, 0, sizeof(watch));
    watch_look(world, &watch);
    watch.wanted = changes;
    step_many(world, UINT32_MAX, watch_note, &watch);
    return atomic_load(&world->stage->ended) != 0;
}

static void
stop_and_kill(world *world)
{
    if (world->scenario->at_stop != NULL) {
        world->scenario->at_stop(world);
    }
    victim_kill(world);
    if (world->scenario->at_death != NULL) {
        world->scenario->at_death(world);
    }
}

/* The victim stands still; another comes in between; then the victim goes on to its end. */
static void
stop_and_go_on(world *world)
{
    world->scenario->at_stop(world);
    world->died_at = pn_now();
    ptrace(PTRACE_DETACH, world->victim, NULL, NULL);
    int64_t until = pn_now() + world->patience;
    while (atomic_load(&world->stage->ended) == 0 && pn_now() < until) {
        usleep(50);
    }
    if (atomic_load(&world->stage->ended) == 0) {
        blame(world, "stuck", "the operation that was stopped does not end");
    }
}

static void
kill_first(world *world, uint32_t point)
{
    if (world->scenario->first != NULL) {
        victim_fork(world, world->scenario->first);
        to_the_start(world);
        step_many(world, point, NULL, NULL);
        stop_and_kill(world);
    }
}

static bool
run_point(const scenario *scenario, uint32_t point, uint32_t first_point, tally *tally)
{
    world world;
    open_world(&world, scenario, point);
    kill_first(&world, first_point);
    victim_fork(&world, scenario->operation);
    if (!to_the_start(&world)) {
        blame(&world, "wrong", "the victim does not start");
    }
    if (scenario->at_start != NULL) {
        scenario->at_start(&world);
    }
    bool over =
        scenario->sampled ? step_changes(&world, point) : step_many(&world, point, NULL, NULL);
    if (scenario->meet) {
        stop_and_go_on(&world);
    } else {
        stop_and_kill(&world);
    }
    scenario->survive(&world);
    tally->points++;
    tally->stuck += world.stuck;
    tally->lost += world.lost;
    tally->doubled += world.doubled;
    tally->wrong += world.wrong;
    tally->late += world.delay > LATE_NS;
    tally->worst = world.delay > tally->worst ? world.delay : tally->worst;
    close_world(&world);
    return over;
}

/* Run the operation once, without a kill, and note after which steps anything had changed. */
static void
find_changes(const scenario *scenario, uint32_t first_point, void (*operation)(struct world *),
             change_list *list)
{
    world world;
    static watch watch;
    open_world(&world, scenario, UINT32_MAX);
    if (operation != scenario->first) {
        kill_first(&world, first_point);
    }
    memset(&watch, 0, sizeof(watch));
    watch.list = list;
    watch.is_first = operation == scenario->first;
    list->count = 0;
    list->at[list->count++] = 0;
    victim_fork(&world, operation);
    to_the_start(&world);
    if (scenario->at_start != NULL) {
        scenario->at_start(&world);
    }
    watch_look(&world, &watch);
    step_many(&world, UINT32_MAX, watch_note, &watch);
    list->events = watch.event;
    close_world(&world);
}

static bool
given_up(const tally *tally)
{
    return tally->stuck + tally->lost + tally->doubled + tally->wrong >= FAULTS_SHOWN;
}

static void
run_points(const scenario *scenario, uint32_t first_point, tally *tally)
{
    static change_list changes;
    uint32_t count = scenario->most ? scenario->most : POINTS;
    if (scenario->sampled) {
        find_changes(scenario, first_point, scenario->operation, &changes);
        tally->instructions = changes.events;
        count = changes.count + 1;
    }
    bool over = false;
    for (uint32_t i = 0; !over && i < count && !given_up(tally); i++) {
        over = run_point(scenario, i, first_point, tally);
        tally->instructions = i > tally->instructions ? i : tally->instructions;
    }
}

void
direct(const scenario *scenario, tally *tally)
{
    static change_list firsts;
    shared_stage =
        mmap(NULL, sizeof(stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stepper_begin();
    if (scenario->first == NULL) {
        run_points(scenario, 0, tally);
        return;
    }
    find_changes(scenario, 0, scenario->first, &firsts);
    for (uint32_t i = 1; i < firsts.count && !given_up(tally); i++) {
        run_points(scenario, firsts.at[i], tally);
    }
}
