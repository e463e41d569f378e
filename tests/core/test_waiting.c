/* Events, conditions and barriers from C: what they answer, and what a death costs. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "barrier.h"
#include "condition.h"
#include "event.h"
#include "heap.h"
#include "slots.h"
#include "sweep.h"
#include "waits.h"

static pn_domain *domain;

static uint64_t
make(pn_object_type type)
{
    uint64_t offset;
    uint32_t generation;
    CHECK(pn_object_new(domain, type, "waited for", &offset, &generation) == PN_OK);
    return offset;
}

static int64_t
soon(void)
{
    return pn_now() + 1000000;
}

/* A process that does it and ends well. */
#define IN_PROCESS(pid, ...)                                                                       \
    pid_t pid = fork();                                                                            \
    if (pid == 0) {                                                                                \
        __VA_ARGS__;                                                                               \
        _exit(0);                                                                                  \
    }

static void
ends_well(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void
is_killed(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

/* ---- events ---------------------------------------------------------------------- */

static pn_status
wait_for_event(pn_event *event, uint32_t since)
{
    pn_status status;
    do {
        status = pn_event_wait(event, since, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    return status;
}

static void
an_event_is_set_and_cleared(void)
{
    pn_event event = {.pauses_in_vain = 0};
    pn_event_open(&event, domain, make(PN_OBJECT_EVENT));
    CHECK(!pn_event_is_set(&event) && pn_event_sets(&event) == 0);
    CHECK(pn_event_wait(&event, 0, soon()) == PN_TIMEOUT);
    CHECK(pn_event_wait(&event, 0, 0) == PN_TIMEOUT);
    pn_event_set(&event);
    pn_event_set(&event);
    CHECK(pn_event_is_set(&event) && pn_event_sets(&event) == 1);
    CHECK(pn_event_wait(&event, 1, soon()) == PN_OK);
    pn_event_clear(&event);
    CHECK(!pn_event_is_set(&event));
    CHECK(pn_event_wait(&event, 0, soon()) == PN_OK); /* it has been set since */
    CHECK(pn_event_wait(&event, 1, soon()) == PN_TIMEOUT);
    pn_object_drop(domain, event.offset);
}

static void
a_pulse_wakes_all_that_sleep(void)
{
    pn_event event = {.pauses_in_vain = 0};
    pn_event_open(&event, domain, make(PN_OBJECT_EVENT));
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        IN_PROCESS(pid, CHECK(wait_for_event(&event, 0) == PN_OK));
        pids[i] = pid;
    }
    while (pn_wait_count(domain, event.offset) < 4) {
        usleep(100);
    }
    pn_event_set(&event);
    pn_event_clear(&event);
    for (int i = 0; i < 4; i++) {
        ends_well(pids[i]);
    }
    pn_object_drop(domain, event.offset);
}

/* ---- conditions ------------------------------------------------------------------- */

static void
wait_in_line(pn_condition *condition)
{
    pn_waiter *line;
    pn_status status;
    CHECK(pn_condition_enlist(condition, &line) == PN_OK);
    do {
        status = pn_condition_sleep(condition, line, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    CHECK(status == PN_OK);
    pn_condition_consume(line);
}

static uint32_t
waiting(pn_condition *condition)
{
    uint32_t waiting, notified;
    pn_condition_count(condition, &waiting, &notified);
    return waiting;
}

static pn_condition
make_condition(void)
{
    pn_condition condition = {.pauses_in_vain = 0};
    pn_condition_open(&condition, domain, make(PN_OBJECT_CONDITION));
    return condition;
}

static void
the_oldest_is_notified_first(void)
{
    pn_condition condition = make_condition();
    pn_waiter *one, *two, *three;
    CHECK(pn_condition_notify(&condition, 1) == PN_OK); /* nobody is there */
    CHECK(pn_condition_enlist(&condition, &one) == PN_OK);
    CHECK(pn_condition_enlist(&condition, &two) == PN_OK);
    CHECK(pn_condition_enlist(&condition, &three) == PN_OK);
    CHECK(pn_condition_sleep(&condition, one, 0) == PN_TIMEOUT);
    CHECK(pn_condition_notify(&condition, 1) == PN_OK);
    CHECK(pn_condition_sleep(&condition, one, 0) == PN_OK);
    CHECK(pn_condition_sleep(&condition, two, soon()) == PN_TIMEOUT);
    pn_condition_pass_on(&condition, one); /* so the next one has it */
    CHECK(pn_condition_sleep(&condition, two, 0) == PN_OK);
    CHECK(pn_condition_withdraw(&condition, two)); /* too late */
    pn_condition_consume(two);
    CHECK(!pn_condition_withdraw(&condition, three));
    CHECK(waiting(&condition) == 0);
    pn_object_drop(domain, condition.offset);
}

static void
the_notification_of_the_dead_goes_on(void)
{
    pn_condition condition = make_condition();
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    IN_PROCESS(first, {
        pn_waiter *line;
        CHECK(pn_condition_enlist(&condition, &line) == PN_OK);
        CHECK(write(pipes[1], "x", 1) == 1);
        pause();
    });
    char byte;
    CHECK(read(pipes[0], &byte, 1) == 1);
    IN_PROCESS(second, wait_in_line(&condition));
    while (waiting(&condition) < 2) {
        usleep(100);
    }
    CHECK(pn_condition_notify(&condition, 1) == PN_OK);
    CHECK(waiting(&condition) == 1);
    is_killed(first);
    pn_sweep(domain);
    ends_well(second);
    CHECK(waiting(&condition) == 0);
    close(pipes[0]);
    close(pipes[1]);
    pn_object_drop(domain, condition.offset);
}

static void
lines_come_as_they_are_needed_and_go_with_the_object(void)
{
    pn_condition condition = make_condition();
    enum { MANY = 700 };
    static pn_waiter *line[MANY];
    uint64_t before = pn_heap_used(domain, PN_BLOCK_PAYLOAD);
    for (int i = 0; i < MANY; i++) {
        CHECK(pn_condition_enlist(&condition, &line[i]) == PN_OK);
        for (int k = 0; k < i; k += 97) {
            CHECK(line[k] != line[i]);
        }
    }
    CHECK(waiting(&condition) == MANY);
    CHECK(pn_heap_used(domain, PN_BLOCK_PAYLOAD) > before);
    CHECK_SOUND(audit_domain(domain));
    CHECK(pn_condition_notify(&condition, 500) == PN_OK);
    CHECK(waiting(&condition) == MANY - 500);
    for (int i = 0; i < MANY; i++) {
        CHECK(pn_condition_sleep(&condition, line[i], 0) == (i < 500 ? PN_OK : PN_TIMEOUT));
        pn_condition_consume(line[i]);
    }
    pn_object_drop(domain, condition.offset);
    CHECK(pn_heap_used(domain, PN_BLOCK_PAYLOAD) == before);
    CHECK_SOUND(audit_domain(domain));
}

static void
no_memory_for_a_line_is_told(void)
{
    pn_condition condition = make_condition();
    uint64_t all = atomic_load(&domain->header->max_bytes);
    pn_waiter *line;
    pn_status status = PN_OK;
    atomic_store(&domain->header->max_bytes, atomic_load(&domain->header->committed));
    for (uint32_t i = 0; i <= PN_WAITERS_INLINE + 2000 && status == PN_OK; i++) {
        status = pn_condition_enlist(&condition, &line);
    }
    CHECK(status == PN_NO_MEMORY);
    atomic_store(&domain->header->max_bytes, all);
    CHECK(pn_condition_enlist(&condition, &line) == PN_OK);
    pn_object_drop(domain, condition.offset);
}

static void
a_process_without_a_line_of_the_table_is_missed_too(void)
{
    pn_condition condition = make_condition();
    uint32_t slot = domain->slot;
    IN_DEAD_PROCESS({
        pn_waiter *line;
        domain->slot = PN_SLOTS;
        CHECK(pn_condition_enlist(&condition, &line) == PN_OK);
    });
    CHECK(domain->slot == slot);
    pn_waiter *line;
    CHECK(pn_condition_enlist(&condition, &line) == PN_OK);
    CHECK(pn_condition_notify(&condition, 1) == PN_OK); /* the dead one's */
    pn_status status;
    do { /* at the end of a slice it is looked for */
        status = pn_condition_sleep(&condition, line, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    CHECK(status == PN_OK);
    pn_condition_consume(line);
    pn_object_drop(domain, condition.offset);
}

/* ---- barriers ---------------------------------------------------------------------- */

static pn_barrier
make_barrier(uint32_t parties)
{
    pn_barrier barrier = {.pauses_in_vain = 0};
    pn_barrier_open(&barrier, domain, make(PN_OBJECT_BARRIER));
    atomic_store(&barrier.cell->parties, parties);
    return barrier;
}

static pn_status
wait_at(pn_barrier *barrier, pn_party *party)
{
    pn_status status = pn_barrier_arrive(barrier, false, party);
    while (status == PN_BUSY || status == PN_INTERRUPTED) {
        status = pn_barrier_sleep(barrier, party, PN_FOREVER);
    }
    return status;
}

static void
a_round_is_passed(void)
{
    pn_barrier barrier = make_barrier(2);
    pn_party one, two, third;
    CHECK(pn_barrier_arrive(&barrier, false, &one) == PN_BUSY && one.index == 0);
    CHECK(pn_barrier_sleep(&barrier, &one, soon()) == PN_TIMEOUT);
    CHECK(pn_barrier_waiting(&barrier) == 1);
    CHECK(pn_barrier_arrive(&barrier, true, &two) == PN_BUSY && two.index == 1 && two.must_act);
    CHECK(pn_barrier_arrive(&barrier, true, &third) == PN_BUSY && third.line == NULL);
    CHECK(pn_barrier_give_up(&barrier, &one, PN_BARRIER_TIMED_OUT) == PN_BUSY);
    CHECK(pn_barrier_acted(&barrier, &two, true) == PN_OK);
    CHECK(pn_barrier_sleep(&barrier, &one, PN_FOREVER) == PN_OK);
    CHECK(pn_barrier_sleep(&barrier, &third, PN_FOREVER) == PN_BUSY);
    CHECK(pn_barrier_rounds(&barrier) == 1 && pn_barrier_waiting(&barrier) == 0);
    pn_object_drop(domain, barrier.offset);
}

static void
what_breaks_it_is_told(void)
{
    pn_barrier barrier = make_barrier(2);
    pn_party one, two;
    CHECK(pn_barrier_arrive(&barrier, false, &one) == PN_BUSY);
    CHECK(pn_barrier_give_up(&barrier, &one, PN_BARRIER_TIMED_OUT) == PN_BROKEN);
    CHECK(one.end == PN_BARRIER_TIMED_OUT && one.pid == (uint32_t)getpid());
    CHECK(pn_barrier_arrive(&barrier, false, &two) == PN_BROKEN);
    CHECK(two.end == PN_BARRIER_TIMED_OUT && pn_barrier_is_broken(&barrier));
    CHECK(pn_barrier_reset(&barrier) == PN_OK && !pn_barrier_is_broken(&barrier));
    CHECK(pn_barrier_arrive(&barrier, false, &one) == PN_BUSY);
    CHECK(pn_barrier_reset(&barrier) == PN_OK);
    CHECK(pn_barrier_sleep(&barrier, &one, PN_FOREVER) == PN_BROKEN && one.end == PN_BARRIER_RESET);
    CHECK(!pn_barrier_is_broken(&barrier));
    CHECK(pn_barrier_arrive(&barrier, true, &one) == PN_BUSY);
    CHECK(pn_barrier_arrive(&barrier, true, &two) == PN_BUSY && two.must_act);
    CHECK(pn_barrier_acted(&barrier, &two, false) == PN_BROKEN && two.end == PN_BARRIER_ACTION);
    CHECK(pn_barrier_sleep(&barrier, &one, PN_FOREVER) == PN_BROKEN);
    pn_object_drop(domain, barrier.offset);
}

static void
a_death_breaks_it_for_all(void)
{
    pn_barrier barrier = make_barrier(3);
    IN_PROCESS(other, {
        pn_party party;
        CHECK(wait_at(&barrier, &party) == PN_BROKEN && party.end == PN_BARRIER_DIED);
    });
    IN_PROCESS(victim, {
        pn_party party;
        wait_at(&barrier, &party);
    });
    while (pn_barrier_waiting(&barrier) < 2) {
        usleep(100);
    }
    is_killed(victim); /* nobody sweeps: the other one finds out at the end of a slice */
    ends_well(other);
    pn_party late;
    CHECK(pn_barrier_arrive(&barrier, false, &late) == PN_BROKEN && late.pid == (uint32_t)victim);
    pn_object_drop(domain, barrier.offset);
}

enum { PARTIES = 5, ROUNDS = 300 };

typedef struct {
    pn_barrier *barrier;
    _Atomic uint32_t *step;
    int mine;
} marcher;

static void *
march(void *argument)
{
    marcher *self = argument;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        pn_party party;
        atomic_store(&self->step[self->mine], round);
        CHECK(wait_at(self->barrier, &party) == PN_OK);
        for (int i = 0; i < PARTIES; i++) {
            uint32_t step = atomic_load(&self->step[i]);
            CHECK(step == round || step == round + 1);
        }
    }
    return NULL;
}

static void
nobody_is_a_round_ahead(void)
{
    pn_barrier barrier = make_barrier(PARTIES);
    static _Atomic uint32_t step[PARTIES];
    marcher marchers[PARTIES];
    pthread_t threads[PARTIES];
    for (int i = 0; i < PARTIES; i++) {
        marchers[i] = (marcher){&barrier, step, i};
        CHECK(pthread_create(&threads[i], NULL, march, &marchers[i]) == 0);
    }
    for (int i = 0; i < PARTIES; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(pn_barrier_rounds(&barrier) == ROUNDS);
    pn_object_drop(domain, barrier.offset);
}

int
main(void)
{
    domain = make_domain(UINT64_C(128) << 20);
    RUN(an_event_is_set_and_cleared);
    RUN(a_pulse_wakes_all_that_sleep);
    RUN(the_oldest_is_notified_first);
    RUN(the_notification_of_the_dead_goes_on);
    RUN(lines_come_as_they_are_needed_and_go_with_the_object);
    RUN(no_memory_for_a_line_is_told);
    RUN(a_process_without_a_line_of_the_table_is_missed_too);
    RUN(a_round_is_passed);
    RUN(what_breaks_it_is_told);
    RUN(a_death_breaks_it_for_all);
    RUN(nobody_is_a_round_ahead);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
    return 0;
}
