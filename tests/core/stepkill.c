/* SIGKILL after every single instruction of every operation.
 *
 * For each scenario and each k: a fresh domain, actors who sleep where the scenario says so, and
 * a victim that is single-stepped k instructions into one operation and killed. Then
 * the actors must go on by themselves, nothing may be lost or doubled, and after a sweep
 * every byte must be accounted for. A system call is one step; a step that falls asleep
 * is two. Where an operation is long (`sampled`) only those k are used after which the
 * domain or the robust list had changed, or a system call was made.
 *
 *   stepkill [-v] [name ...]    only scenarios whose name begins so
 */
#define _GNU_SOURCE
#include "stepkill.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit.h"
#include "heap.h"
#include "slots.h"
#include "stepper.h"

#define DOMAIN_BYTES (UINT64_C(256) << 20)
#define LEAST_POINTS 1500
#define LATE_NS (200 * 1000000LL)
#define PATIENCE_NS (3 * 1000000000LL)
#define FAULTS_SHOWN 5 /* then the scenario is given up */
#define DIRECTOR_SECONDS 600

typedef struct {
    uint32_t points, instructions, stuck, lost, doubled, wrong, late;
    int64_t worst;
    double seconds;
} tally;

typedef struct {
    uint32_t count, events;
    uint32_t at[POINTS];
} change_list;

static stage *shared_stage;
static bool verbose;

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

/* ---- has anything changed? -------------------------------------------------- */

#define WATCHED_TABLE 8192u
#define WATCHED_SLOTS 4096u
#define WATCHED_SLAB (PN_SLAB_PAGES * PN_PAGE)
#define WATCHED_SLABS 3u

typedef struct {
    change_list *list; /* of what is found, NULL: stop after `wanted` changes */
    uint32_t event, wanted, found;
    bool was_call, is_first;
    uint64_t robust[2];
    size_t used;
    char seen[PN_PAGE + WATCHED_SLOTS + PN_WAITS * sizeof(pn_wait) + WATCHED_TABLE +
              WATCHED_SLABS * WATCHED_SLAB];
} watch;

static bool
differs(watch *watch, const void *memory, size_t size)
{
    char *seen = watch->seen + watch->used;
    watch->used += size;
    if (memcmp(seen, memory, size) == 0) {
        return false;
    }
    memcpy(seen, memory, size);
    return true;
}

static bool
look(world *world, watch *watch)
{
    pn_domain *domain = world->domain;
    void **head = atomic_load(&world->stage->robust_head);
    watch->used = 0;
    bool changed = differs(watch, domain->header, PN_PAGE);
    changed |= differs(watch, domain->slots, WATCHED_SLOTS);
    changed |= differs(watch, domain->waits, PN_WAITS * sizeof(pn_wait));
    if (domain->header->table_committed >= WATCHED_TABLE) {
        changed |= differs(watch, domain->blocks, WATCHED_TABLE);
    }
    pn_block *block;
    uint32_t slabs = 0;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0 && slabs < WATCHED_SLABS;
         at = pn_heap_next(domain, at, &block)) {
        uint32_t kind = pn_block_kind_of(atomic_load(&block->state));
        if (kind == PN_BLOCK_SLAB_SMALL || kind == PN_BLOCK_SLAB_LARGE) {
            changed |= differs(watch, pn_at(domain, at), WATCHED_SLAB);
            slabs++;
        }
    }
    uint64_t robust[2] = {step_peek(world->victim, &head[0]), step_peek(world->victim, &head[2])};
    changed |= memcmp(robust, watch->robust, sizeof(robust)) != 0;
    memcpy(watch->robust, robust, sizeof(robust));
    return changed;
}

/* After each step. Only states in which `first` holds its lock count for `dies_with`. */
static void
note_change(world *world, void *context)
{
    watch *watch = context;
    bool changed = look(world, watch), is_call = step_at_call(world->victim);
    bool counts = changed || is_call || watch->was_call;
    pn_lock *(*lock)(struct world *) = world->scenario->dies_with;
    if (lock != NULL && watch->is_first) {
        counts = changed && (atomic_load(&lock(world)->word) & PN_OWNER) == (uint32_t)world->victim;
    }
    watch->event++;
    watch->was_call = is_call;
    if (!counts) {
        return;
    }
    watch->found++;
    if (watch->list == NULL) {
        world->enough = watch->found >= watch->wanted;
    } else if (watch->list->count < POINTS) {
        watch->list->at[watch->list->count++] = watch->event;
    }
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
    look(world, &watch);
    watch.wanted = changes;
    step_many(world, UINT32_MAX, note_change, &watch);
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
    look(&world, &watch);
    step_many(&world, UINT32_MAX, note_change, &watch);
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

static void
run_scenario(const scenario *scenario, tally *tally)
{
    static change_list firsts;
    if (scenario->first == NULL) {
        run_points(scenario, 0, tally);
        return;
    }
    find_changes(scenario, 0, scenario->first, &firsts);
    for (uint32_t i = 1; i < firsts.count && !given_up(tally); i++) {
        run_points(scenario, firsts.at[i], tally);
    }
}

/* ---- all scenarios, two at a time ------------------------------------------- */

typedef struct {
    const scenario *scenario;
    tally *tally;
    pid_t pid;
    int64_t began;
} job;

static bool
is_wanted(const char *name, char **wanted)
{
    if (*wanted == NULL) {
        return true;
    }
    for (; *wanted != NULL; wanted++) {
        if (strncmp(name, *wanted, strlen(*wanted)) == 0) {
            return true;
        }
    }
    return false;
}

static void
start(job *job)
{
    job->began = pn_now();
    fflush(stdout);
    job->pid = fork();
    if (job->pid == 0) {
        setpgid(0, 0);
        shared_stage =
            mmap(NULL, sizeof(stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        stepper_begin();
        run_scenario(job->scenario, job->tally);
        exit(0);
    }
}

static void
finish(job *job, int status)
{
    tally *tally = job->tally;
    tally->seconds = (double)(pn_now() - job->began) / 1e9;
    if (status != 0) {
        printf("  %s: the director ended with status %x\n", job->scenario->name, status);
        tally->stuck++;
        kill(-job->pid, SIGKILL);
    }
    job->pid = 0;
}

static bool
shows(const scenario *scenario, const tally *tally)
{
    const char *kind = scenario->must_show;
    uint32_t found = strcmp(kind, "stuck") == 0     ? tally->stuck
                     : strcmp(kind, "lost") == 0    ? tally->lost
                     : strcmp(kind, "doubled") == 0 ? tally->doubled
                                                    : tally->wrong;
    return found > 0;
}

static void
print_line(const char *name, const tally *tally)
{
    printf("%-44s %6u points of %6u steps  stuck %u lost %u doubled %u wrong %u late %u  "
           "worst %5.1f ms  %5.1f s\n",
           name, tally->points, tally->instructions, tally->stuck, tally->lost, tally->doubled,
           tally->wrong, tally->late, (double)tally->worst / 1e6, tally->seconds);
}

static bool
print_job(const job *job, tally *sum)
{
    const tally *tally = job->tally;
    if (job->scenario->must_show != NULL) {
        bool found = shows(job->scenario, tally);
        printf("%-44s %s: %s\n", job->scenario->name, job->scenario->must_show,
               found ? "found, as it must be" : "NOT FOUND: this program is blind");
        return found;
    }
    print_line(job->scenario->name, tally);
    sum->points += tally->points;
    sum->stuck += tally->stuck;
    sum->lost += tally->lost;
    sum->doubled += tally->doubled;
    sum->wrong += tally->wrong;
    sum->late += tally->late;
    sum->worst = tally->worst > sum->worst ? tally->worst : sum->worst;
    return tally->stuck + tally->lost + tally->doubled + tally->wrong == 0;
}

/* Jobs run side by side; their lines are printed in order. */
static bool
run_jobs(job *jobs, int count, int side_by_side, tally *sum)
{
    int next = 0, running = 0, printed = 0;
    bool good = true;
    while (printed < count) {
        while (running < side_by_side && next < count) {
            start(&jobs[next++]);
            running++;
        }
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        for (int i = 0; i < next; i++) {
            if (pid > 0 && jobs[i].pid == pid) {
                finish(&jobs[i], status);
                running--;
            } else if (jobs[i].pid > 0 &&
                       pn_now() - jobs[i].began > DIRECTOR_SECONDS * INT64_C(1000000000)) {
                printf("  %s: no end after %d s\n", jobs[i].scenario->name, DIRECTOR_SECONDS);
                kill(-jobs[i].pid, SIGKILL);
            }
        }
        while (printed < next && jobs[printed].pid == 0) {
            good &= print_job(&jobs[printed++], sum);
            fflush(stdout);
        }
        usleep(2000);
    }
    return good;
}

int
main(int argc, char **argv)
{
    static const scenario *const lists[] = {ring_scenarios,  segment_scenarios, shut_scenarios,
                                            block_scenarios, lock_scenarios,    heap_scenarios,
                                            sweep_scenarios, broken_scenarios};
    static job jobs[128];
    (void)argc;
    char **wanted = argv + 1;
    if (*wanted != NULL && strcmp(*wanted, "-v") == 0) {
        verbose = true;
        wanted++;
    }
    pn_platform_init();
    if (!pn_platform.robust_list || !pn_platform.pending_wake || !pn_platform.waitv) {
        printf(
            "stepkill: this kernel lacks robust lists or futex_waitv: late wakes are expected\n");
    }
    tally *tallies =
        mmap(NULL, sizeof(tally) * 128, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int count = 0;
    for (size_t list = 0; list < sizeof(lists) / sizeof(lists[0]); list++) {
        for (const scenario *s = lists[list]; s->name != NULL; s++) {
            if (is_wanted(s->name, wanted)) {
                jobs[count] = (job){.scenario = s, .tally = &tallies[count]};
                count++;
            }
        }
    }
    tally sum = {0};
    int64_t began = pn_now();
    bool good = run_jobs(jobs, count, pn_platform.cpus > 1 ? 2 : 1, &sum);
    sum.seconds = (double)(pn_now() - began) / 1e9;
    print_line("all", &sum);
    if (*wanted == NULL && sum.points < LEAST_POINTS) {
        printf("stepkill: fewer than %d points: something is not tested\n", LEAST_POINTS);
        good = false;
    }
    printf("stepkill: %s\n", good ? "nothing stuck, lost or doubled" : "FAILED");
    return good ? 0 : 1;
}
