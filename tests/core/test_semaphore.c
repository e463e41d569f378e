/* Permits and their ledger, between processes. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>

#include "heap.h"
#include "semaphore.h"
#include "slots.h"
#include "sweep.h"
#include "waits.h"

typedef struct {
    pn_word ready, go, inside, most, turns;
} stage;

static stage *
make_stage(void)
{
    return mmap(NULL, sizeof(stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

static pn_semaphore
make(pn_domain *domain, uint32_t value, uint32_t flags)
{
    pn_semaphore semaphore;
    uint64_t offset;
    uint32_t generation;
    CHECK(pn_semaphore_new(domain, "seats", value, flags, &offset, &generation) == PN_OK);
    pn_semaphore_open(&semaphore, domain, offset);
    return semaphore;
}

static void
unmake(pn_semaphore *semaphore)
{
    pn_domain *domain = semaphore->domain;
    pn_sweep(domain);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, semaphore->offset);
    CHECK(count_objects(domain) == 0 && pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    pn_domain_close(domain);
}

static pn_semaphore_counts
look(pn_semaphore *semaphore)
{
    pn_semaphore_counts counts;
    CHECK(pn_semaphore_look(semaphore, &counts, NULL, 0) == PN_OK);
    return counts;
}

static void
take(pn_semaphore *semaphore, int times)
{
    for (int i = 0; i < times; i++) {
        CHECK(pn_semaphore_try(semaphore) == PN_OK);
    }
}

static pn_status
wait_for(pn_semaphore *semaphore)
{
    pn_word in_vain = 0;
    pn_status status;
    do {
        status = pn_semaphore_wait(semaphore, PN_FOREVER, &in_vain);
    } while (status == PN_INTERRUPTED);
    return status;
}

static void
until_asleep(pn_semaphore *semaphore, uint32_t count)
{
    while (pn_wait_count(semaphore->domain, semaphore->offset) != count) {
        usleep(200);
    }
    usleep(20000); /* most likely in the kernel by now; whatever the order, it must be right */
}

static void
join(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
}

/* ---- one process ----------------------------------------------------------------- */

static void
take_and_give_back(void)
{
    pn_word in_vain = 0;
    pn_semaphore semaphore = make(make_domain(1 << 24), 2, 0);
    take(&semaphore, 2);
    CHECK(pn_semaphore_try(&semaphore) == PN_EMPTY);
    CHECK(pn_semaphore_take(&semaphore, PN_FOREVER) == PN_EMPTY);
    CHECK(pn_semaphore_wait(&semaphore, pn_now() + 1000000, &in_vain) == PN_TIMEOUT);
    CHECK(look(&semaphore).free == 0 && look(&semaphore).holders == 1);
    CHECK(pn_semaphore_release(&semaphore, false) == PN_OK);
    CHECK(look(&semaphore).free == 1);
    CHECK(pn_semaphore_wait(&semaphore, pn_now(), &in_vain) == PN_OK);
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    CHECK(look(&semaphore).total == 2 && look(&semaphore).holders == 0);
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK); /* one more */
    CHECK(look(&semaphore).free == 3 && look(&semaphore).total == 3);
    unmake(&semaphore);
}

static void
bounds(void)
{
    pn_domain *domain = make_domain(1 << 24);
    pn_semaphore semaphore = make(domain, 1, PN_SEMAPHORE_BOUNDED);
    CHECK(pn_semaphore_release(&semaphore, false) == PN_NOTHING);
    take(&semaphore, 1);
    CHECK(pn_semaphore_release(&semaphore, false) == PN_OK);
    CHECK(pn_semaphore_release(&semaphore, false) == PN_NOTHING);
    CHECK(look(&semaphore).free == 1);
    pn_object_drop(domain, semaphore.offset);
    semaphore = make(domain, PN_PERMITS_MOST, 0);
    CHECK(pn_semaphore_release(&semaphore, false) == PN_NOTHING);
    take(&semaphore, 3);
    CHECK(look(&semaphore).free == PN_PERMITS_MOST - 3);
    unmake(&semaphore);
}

/* ---- handing on --------------------------------------------------------------------- */

/* A life that ends with exit code 0, and one that fails. */
static void
live(pn_semaphore *semaphore, int permits, int code)
{
    pid_t pid = fork();
    if (pid == 0) {
        take(semaphore, permits);
        pn_slot_judge(semaphore->domain, semaphore->domain->slot, semaphore->domain->generation,
                      code == 0);
        _exit(code);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == code);
    pn_sweep(semaphore->domain);
}

static void
what_was_left_goes_first(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 4, 0);
    live(&semaphore, 2, 0);
    CHECK(look(&semaphore).kept == 2 && look(&semaphore).free == 2);
    take(&semaphore, 1);
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK); /* our own */
    CHECK(look(&semaphore).kept == 2 && look(&semaphore).free == 2);
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    CHECK(look(&semaphore).kept == 0 && look(&semaphore).free == 4 && look(&semaphore).total == 4);
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    CHECK(look(&semaphore).total == 5);
    unmake(&semaphore);
}

static void
a_permit_is_handed_to_another_process(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 1, PN_SEMAPHORE_BOUNDED);
    take(&semaphore, 1);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(pn_semaphore_release(&semaphore, true) == PN_OK ? 0 : 1);
    }
    join(pid);
    CHECK(look(&semaphore).free == 1 && look(&semaphore).holders == 0);
    unmake(&semaphore);
}

static void
a_process_without_a_line_leaves_its_permits_taken(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 3, 0);
    pn_domain *domain = semaphore.domain;
    uint32_t slot = domain->slot;
    domain->slot = PN_SLOTS;
    take(&semaphore, 2);
    CHECK(look(&semaphore).kept == 2 && look(&semaphore).holders == 0);
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    domain->slot = slot;
    CHECK(look(&semaphore).kept == 1 && look(&semaphore).free == 2);
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    CHECK(look(&semaphore).kept == 0 && look(&semaphore).total == 3);
    unmake(&semaphore);
}

/* ---- deaths ------------------------------------------------------------------------------ */

static void
permits_of_the_dead_come_back(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 5, 0);
    IN_DEAD_PROCESS(take(&semaphore, 3));
    CHECK(look(&semaphore).free == 2);
    pn_sweep(semaphore.domain);
    CHECK(look(&semaphore).free == 5 && look(&semaphore).total == 5);
    live(&semaphore, 2, 3); /* it failed */
    CHECK(look(&semaphore).free == 5);
    unmake(&semaphore);
}

static void
kept_ones_do_not(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 5, PN_SEMAPHORE_KEEP);
    IN_DEAD_PROCESS(take(&semaphore, 3));
    pn_sweep(semaphore.domain);
    CHECK(look(&semaphore).free == 2 && look(&semaphore).kept == 3);
    unmake(&semaphore);
}

static void
what_was_given_back_for_the_dead_is_not_given_back_again(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 2, 0);
    IN_DEAD_PROCESS(take(&semaphore, 2));
    CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    pn_sweep(semaphore.domain);
    CHECK(look(&semaphore).free == 2 && look(&semaphore).total == 2);
    unmake(&semaphore);
}

static void
a_line_is_used_again(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 2, 0);
    pn_domain *domain = semaphore.domain;
    for (int i = 0; i < 3; i++) {
        atomic_store(&domain->header->next_slot, 7); /* the same line each time */
        live(&semaphore, 1, 0);
        CHECK(look(&semaphore).kept == 1);
        atomic_store(&domain->header->next_slot, 7);
        IN_DEAD_PROCESS(CHECK(domain->slot == 7); take(&semaphore, 1));
        pn_sweep(domain);
        CHECK(look(&semaphore).kept == 1 && look(&semaphore).free == 1);
        CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    }
    unmake(&semaphore);
}

/* Killed between the store of its line and the count of what is free. */
static void
the_next_one_derives_what_the_dead_did_not_count(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 3, 0);
    pn_semaphore_cell *cell = semaphore.cell;
    IN_DEAD_PROCESS(pn_lock_enter(&cell->inner, pn_slot_owner_alive, semaphore.domain);
                    cell->busy[0] = cell->busy[1] = UINT64_MAX;
                    atomic_store(&semaphore.lines[semaphore.domain->slot], 2));
    if (pn_platform.robust_list) {
        CHECK(atomic_load(&cell->free) == 3 && look(&semaphore).free == 1);
        CHECK(look(&semaphore).recovered == 1);
    }
    while (pn_semaphore_take(&semaphore, pn_now() + 1000000000) == PN_INTERRUPTED) {
    }
    pn_sweep(semaphore.domain);
    CHECK(look(&semaphore).free == 2);
    unmake(&semaphore);
}

static void
a_death_of_which_nobody_knows_how_it_ended_is_asked_for_later(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 1, 0);
    pn_domain *domain = semaphore.domain;
    uint32_t slot, generation;
    CHECK(pn_slot_reserve(domain, "child", 0, &slot, &generation) == PN_OK);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(pn_slot_claim(domain, slot, generation) == PN_OK);
        domain->slot = slot;
        domain->generation = generation;
        take(&semaphore, 1);
        kill(getpid(), SIGKILL);
    }
    CHECK(waitpid(pid, NULL, 0) == pid);
    pn_sweep(domain); /* its parent, we, lives and has not said so yet */
    CHECK(look(&semaphore).free == 0);
    pn_slot_judge(domain, slot, generation, false);
    pn_sweep_reaped(domain, slot, generation);
    CHECK(look(&semaphore).free == 1);
    unmake(&semaphore);
}

/* ---- sleeping ------------------------------------------------------------------------------- */

static void
sleepers_get_what_is_given_back(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 0, 0);
    pid_t pids[3];
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            _exit(wait_for(&semaphore) == PN_OK ? 0 : 1);
        }
    }
    until_asleep(&semaphore, 3);
    for (int i = 0; i < 3; i++) {
        CHECK(pn_semaphore_release(&semaphore, true) == PN_OK);
    }
    for (int i = 0; i < 3; i++) {
        join(pids[i]);
    }
    pn_sweep(semaphore.domain);
    CHECK(look(&semaphore).total <= 3);
    unmake(&semaphore);
}

static void
sleepers_get_what_the_dead_had(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 2, 0);
    stage *stage = make_stage();
    pid_t holder = fork();
    if (holder == 0) {
        take(&semaphore, 2);
        atomic_store(&stage->ready, 1);
        for (;;) {
            pause();
        }
    }
    while (atomic_load(&stage->ready) == 0) {
        usleep(200);
    }
    pid_t pids[2];
    for (int i = 0; i < 2; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            _exit(wait_for(&semaphore) == PN_OK ? 0 : 1);
        }
    }
    until_asleep(&semaphore, 2);
    kill(holder, SIGKILL);
    CHECK(waitpid(holder, NULL, 0) == holder);
    join(pids[0]); /* nobody sweeps but they */
    join(pids[1]);
    pn_sweep(semaphore.domain);
    unmake(&semaphore);
}

static void
nobody_waits_long_for_one_that_is_stopped_in_it(void)
{
    pn_semaphore semaphore = make(make_domain(1 << 24), 2, 0);
    pn_domain *domain = semaphore.domain;
    stage *stage = make_stage();
    IN_DEAD_PROCESS(take(&semaphore, 1));
    pid_t pid = fork();
    if (pid == 0) {
        pn_lock_enter(&semaphore.cell->inner, pn_slot_owner_alive, domain);
        atomic_store(&stage->ready, 1);
        for (;;) {
            pause();
        }
    }
    while (atomic_load(&stage->ready) == 0) {
        usleep(200);
    }
    pn_semaphore_counts counts;
    CHECK(pn_semaphore_try(&semaphore) == PN_BUSY);
    CHECK(pn_semaphore_take(&semaphore, pn_now() + 1000000) == PN_TIMEOUT);
    CHECK(pn_semaphore_release(&semaphore, false) == PN_BUSY);
    CHECK(pn_semaphore_look(&semaphore, &counts, NULL, 0) == PN_BUSY);
    pn_sweep(domain); /* cannot give back what the dead one had: its line stays */
    CHECK(count_slots(domain) == 3);
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
    while (pn_semaphore_look(&semaphore, &counts, NULL, 0) ==
           PN_BUSY) { /* without robust lists it takes a slice */
    }
    pn_sweep(domain);
    CHECK(look(&semaphore).free == 2 && count_slots(domain) == 1);
    unmake(&semaphore);
}

static void
never_more_inside_than_permits(void)
{
    enum { PROCESSES = 4, TURNS = 4000, PERMITS = 2 };
    pn_semaphore semaphore = make(make_domain(1 << 24), PERMITS, PN_SEMAPHORE_BOUNDED);
    stage *stage = make_stage();
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int turn = 0; turn < TURNS; turn++) {
                if (pn_semaphore_try(&semaphore) != PN_OK && wait_for(&semaphore) != PN_OK) {
                    _exit(1);
                }
                uint32_t inside = atomic_fetch_add(&stage->inside, 1) + 1;
                uint32_t most = atomic_load(&stage->most);
                while (inside > most &&
                       !atomic_compare_exchange_weak(&stage->most, &most, inside)) {
                }
                atomic_fetch_add(&stage->turns, 1);
                atomic_fetch_sub(&stage->inside, 1);
                if (pn_semaphore_release(&semaphore, true) != PN_OK) {
                    _exit(2);
                }
            }
            _exit(0);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        join(pids[i]);
    }
    CHECK(atomic_load(&stage->turns) == PROCESSES * TURNS);
    CHECK(atomic_load(&stage->most) <= PERMITS);
    pn_sweep(semaphore.domain);
    CHECK(look(&semaphore).free == PERMITS);
    unmake(&semaphore);
}

static void
without_memory_there_is_no_semaphore(void)
{
    pn_domain *domain = make_domain(1 << 24);
    uint64_t offset, block, blocks[4096];
    uint32_t generation, used = 0;
    while (used < 4096 && pn_heap_alloc(domain, PN_PAGE, PN_BLOCK_PAYLOAD, 0, &block) == PN_OK) {
        blocks[used++] = block;
    }
    CHECK(pn_semaphore_new(domain, "seats", 1, 0, &offset, &generation) == PN_NO_MEMORY);
    while (used > 0) {
        pn_heap_free(domain, blocks[--used]);
    }
    CHECK(count_objects(domain) == 0);
    pn_semaphore semaphore = make(domain, 1, 0);
    take(&semaphore, 1);
    unmake(&semaphore);
}

int
main(void)
{
    RUN(take_and_give_back);
    RUN(bounds);
    RUN(what_was_left_goes_first);
    RUN(a_permit_is_handed_to_another_process);
    RUN(a_process_without_a_line_leaves_its_permits_taken);
    RUN(permits_of_the_dead_come_back);
    RUN(kept_ones_do_not);
    RUN(what_was_given_back_for_the_dead_is_not_given_back_again);
    RUN(a_line_is_used_again);
    RUN(the_next_one_derives_what_the_dead_did_not_count);
    RUN(a_death_of_which_nobody_knows_how_it_ended_is_asked_for_later);
    RUN(sleepers_get_what_is_given_back);
    RUN(sleepers_get_what_the_dead_had);
    RUN(nobody_waits_long_for_one_that_is_stopped_in_it);
    RUN(never_more_inside_than_permits);
    RUN(without_memory_there_is_no_semaphore);
    return 0;
}
