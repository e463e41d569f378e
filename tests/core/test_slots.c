/* The process table, who waits, and sweeping it. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include "buffer.h"
#include "collect.h"
#include "items.h"
#include "slots.h"
#include "sweep.h"
#include "waits.h"

static void
a_line_is_reserved_claimed_and_swept(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t index, generation, mine = domain->slot;
    CHECK(pn_slot_alive(domain, mine));
    CHECK(pn_slot_reserve(domain, "child", PN_SLOT_KEEP, &index, &generation) == PN_OK);
    CHECK(index != mine && pn_slot_alive(domain, index));
    CHECK(pn_slot_claim(domain, index, generation + 1) == PN_STALE);
    CHECK(pn_slot_claim(domain, PN_SLOTS, generation) == PN_STALE);
    pn_sweep_slot(domain, index, generation + 1); /* another's: nothing happens */
    CHECK(count_slots(domain) == 2);
    pn_sweep_slot(domain, index, generation);
    CHECK(count_slots(domain) == 1);
    CHECK(pn_slot_claim(domain, index, generation) == PN_STALE);
    pn_domain_close(domain);
}

static void
who_was_reserved_and_never_began_is_given_up(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t index, generation;
    CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
    CHECK(pn_sweep(domain) == 0);
    domain->slots[index].reserved_at -= 130 * INT64_C(1000000000);
    CHECK(!pn_slot_alive(domain, index));
    pn_sweep(domain);
    pn_sweep_slot(domain, index, generation);
    CHECK(count_slots(domain) == 1);
    pn_domain_close(domain);
}

static void
a_pid_that_came_back_is_not_taken_for_the_dead(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t index, generation;
    CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
    pn_slot_set_pid(domain, index, generation, (uint32_t)getpid());
    CHECK(pn_slot_alive(domain, index));
    atomic_fetch_add(&domain->slots[index].start_time, 1);
    CHECK(!pn_slot_alive(domain, index));
    pn_domain_close(domain);
}

/* Where the kernel keeps no list of held locks, the line of a dead process with the owner's pid stands before its own. */
static void
an_owner_whose_pid_another_line_has_too_lives(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t mine = domain->slot;
    bool robust_list = pn_platform.robust_list;
    atomic_fetch_add(&domain->slots[mine].start_time, 1);
    pn_platform.robust_list = false;
    CHECK(pn_slot_take(domain, 0) == PN_OK && domain->slot > mine);
    CHECK(pn_slot_owner_alive(domain, pn_self()->tid));
    pn_platform.robust_list = robust_list;
    pn_domain_close(domain);
}

/* The guardian has no line, nor has a visitor that is about to take one: yet they hold the domain's lock. */
static void
an_owner_without_a_line_lives(void)
{
    pn_domain *domain = make_domain(0);
    bool robust_list = pn_platform.robust_list;
    pn_platform.robust_list = false;
    int ready[2];
    char byte;
    CHECK(pipe(ready) == 0);
    pid_t watcher = fork();
    if (watcher == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pn_sweep_slot(domain, domain->slot, domain->generation);
        CHECK(pn_domain_enter(domain) == PN_OK && write(ready[1], "1", 1) == 1);
        pause();
    }
    CHECK(read(ready[0], &byte, 1) == 1 && count_slots(domain) == 1);
    CHECK(pn_slot_owner_alive(domain, (uint32_t)watcher));
    kill(watcher, SIGKILL);
    waitid(P_PID, (id_t)watcher, &(siginfo_t){0}, WEXITED | WNOWAIT);
    CHECK(!pn_slot_owner_alive(domain, (uint32_t)watcher)); /* a zombie */
    CHECK(waitpid(watcher, NULL, 0) == watcher);
    CHECK(!pn_slot_owner_alive(domain, (uint32_t)watcher));
    CHECK(!pn_slot_owner_alive(domain, 1)); /* init has nothing to do with us */
    pn_platform.robust_list = robust_list;
    pn_domain_close(domain);
}

static void
a_full_table_is_swept_and_then_refuses(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t index, generation, first = PN_SLOTS;
    for (uint32_t i = 1; i < PN_SLOTS; i++) {
        CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
        first = first == PN_SLOTS ? index : first;
    }
    CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_NO_SLOT);
    atomic_store(&domain->slots[first].flags, PN_SLOT_PLAIN);
    domain->slots[first].reserved_at -= 130 * INT64_C(1000000000);
    CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
    CHECK(index == first);
    pid_t pid = fork(); /* finds the table full, and works all the same */
    if (pid == 0) {
        uint64_t offset;
        CHECK(domain->slot == PN_SLOTS);
        CHECK(pn_object_new(domain, PN_OBJECT_LOCK, "", &offset, &generation) == PN_OK);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    pn_domain_close(domain);
}

/* The child of a fork stands still before it claims its line, if there is a pipe to read from. */
static int gate = -1;

static void
stand_still(void)
{
    char byte;
    if (gate >= 0 && read(gate, &byte, 1) != 1) {
        _exit(9);
    }
}

/* Its parent was killed, and it did not run for a second: its line was given up, and with it what it holds. */
static void
a_fork_that_comes_too_late_holds_what_is_still_there(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t kept, lost;
    uint32_t generation;
    int go[2], done[2];
    char byte;
    CHECK(pipe(go) == 0 && pipe(done) == 0);
    CHECK(pn_object_new(domain, PN_OBJECT_LOCK, "kept", &kept, &generation) == PN_OK);
    pid_t parent = fork();
    if (parent == 0) {
        CHECK(pn_object_new(domain, PN_OBJECT_LOCK, "lost", &lost, &generation) == PN_OK);
        gate = go[0];
        if (fork() == 0) {
            CHECK(domain->slot != PN_SLOTS && pn_slot_alive(domain, domain->slot));
            CHECK(pn_object_held(domain, kept) && !pn_object_held(domain, lost));
            pn_object_drop(domain, lost); /* of which it knows nothing any more */
            CHECK(write(done[1], "1", 1) == 1 && read(go[0], &byte, 1) == 1);
            pn_object_drop(domain, kept);
            CHECK(write(done[1], "1", 1) == 1);
            _exit(0);
        }
        kill(getpid(), SIGKILL);
    }
    CHECK(waitpid(parent, NULL, 0) == parent);
    for (uint32_t i = 0; i < PN_SLOTS; i++) {
        domain->slots[i].reserved_at -= INT64_C(2000000000);
    }
    pn_sweep(domain);
    CHECK(count_slots(domain) == 1 && count_objects(domain) == 1);
    CHECK(write(go[1], "1", 1) == 1 && read(done[0], &byte, 1) == 1);
    pn_object_drop(domain, kept);
    CHECK(count_objects(domain) == 1); /* the child's */
    CHECK(write(go[1], "1", 1) == 1 && read(done[0], &byte, 1) == 1);
    CHECK(count_objects(domain) == 0);
    while (count_slots(domain) != 1) {
        pn_sweep(domain);
    }
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

/* It has no bit in any set of holders, and no object of its goes all the same; nor does one stay. */
static void
a_process_without_a_line_holds_objects(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset, buffer, own;
    uint32_t index, generation;
    pn_ring ring;
    parcel parcel;
    int go[2];
    CHECK(pipe(go) == 0);
    CHECK(pn_ring_new(domain, "", 0, 0, &offset, &generation) == PN_OK);
    pn_ring_open(&ring, domain, offset);
    CHECK(pn_buffer_new(domain, 5000, 0, &buffer, &generation) == PN_OK);
    memset(pn_buffer_bytes(domain, buffer), 7, 5000);
    while (pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK) {
    }
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        CHECK(domain->slot == PN_SLOTS);
        CHECK(read(go[0], &byte, 1) == 1);
        CHECK(pn_object_valid(domain, buffer) && pn_buffer_bytes(domain, buffer)[4999] == 7);
        pn_object_drop(domain, buffer);
        CHECK(!pn_object_valid(domain, buffer));
        CHECK(pn_object_new(domain, PN_OBJECT_LOCK, "", &own, &generation) == PN_OK);
        pn_sweep(domain);
        CHECK(pn_object_valid(domain, own));
        pn_object_drop(domain, own);
        parcel_clear(&parcel);
        CHECK(parcel_add_buffer(&parcel, domain, 1, 9000));
        pn_batch batch = parcel_batch(&parcel);
        CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
        pn_object_drop(domain, item_object((const pn_record *)parcel.bytes));
        pn_object_drop(domain, offset);
        _exit(0);
    }
    pn_object_drop(domain, buffer);
    CHECK(pn_object_valid(domain, buffer));
    CHECK(write(go[1], "x", 1) == 1);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    uint64_t room[64];
    uint32_t id;
    CHECK(get_one(&ring, room, sizeof(room), 0, &id) == PN_OK && id == 1);
    pn_object_drop(domain, item_object((const pn_record *)room));
    pn_object_drop(domain, offset);
    CHECK(count_objects(domain) == 0 && pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    close(go[0]);
    close(go[1]);
    pn_domain_close(domain);
}

static void
a_dead_child_leaves_nothing(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t block;
    IN_DEAD_PROCESS(CHECK(pn_heap_alloc(domain, 99999, PN_BLOCK_PAYLOAD, 0, &block) == PN_OK);
                    CHECK(pn_heap_alloc(domain, 1, PN_BLOCK_REPORT, 0, &block) == PN_OK);
                    CHECK(pn_wait_begin(domain, 8192, PN_WAIT_LOCK) != NULL));
    CHECK(count_slots(domain) == 2);
    CHECK(pn_wait_count(domain, 8192) == 1);
    CHECK(pn_sweep(domain) == 1);
    CHECK(count_slots(domain) == 1);
    CHECK(pn_wait_count(domain, 8192) == 0);
    CHECK(pn_heap_used(domain, PN_BLOCK_PAYLOAD) + pn_heap_used(domain, PN_BLOCK_REPORT) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

/* A zombie whose status the kernel keeps from us has a 0 in its place. */
static void
a_killed_process_that_is_a_secret_is_not_taken_for_clean(void)
{
    pn_domain *domain = make_domain(0);
    int status;
    pid_t killed = fork();
    if (killed == 0) {
        kill(getpid(), SIGKILL);
    }
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)killed, &info, WEXITED | WNOWAIT) == 0);
    uint32_t line = 0;
    while (atomic_load(&domain->slots[line].pid) != (uint32_t)killed) {
        CHECK(++line < PN_SLOTS);
    }
    CHECK(pn_slot_end(domain, line, true) == PN_END_ABNORMAL);
    pid_t stranger = fork();
    if (stranger == 0) {
        if (unshare(CLONE_NEWUSER) != 0) {
            printf("skipped: no user namespaces here\n");
            _exit(0);
        }
        CHECK(pn_slot_end(domain, line, true) == PN_END_UNKNOWN);
        CHECK(pn_slot_end(domain, line, false) == PN_END_ABNORMAL);
        pn_slot_judge(domain, line, atomic_load(&domain->slots[line].generation), true);
        CHECK(pn_slot_end(domain, line, false) ==
              PN_END_CLEAN); /* its own word, if nobody knows better */
        _exit(0);
    }
    CHECK(waitpid(stranger, &status, 0) == stranger && status == 0);
    CHECK(pn_slot_end(domain, line, false) == PN_END_ABNORMAL); /* we do */
    CHECK(waitpid(killed, &status, 0) == killed);
    pn_sweep(domain);
    pid_t clean = fork();
    if (clean == 0) {
        _exit(0);
    }
    CHECK(waitid(P_PID, (id_t)clean, &info, WEXITED | WNOWAIT) == 0);
    for (line = 0; atomic_load(&domain->slots[line].pid) != (uint32_t)clean;) {
        CHECK(++line < PN_SLOTS);
    }
    CHECK(pn_slot_end(domain, line, true) == PN_END_CLEAN);
    CHECK(waitpid(clean, &status, 0) == clean);
    pn_domain_close(domain);
}

static int held[2], swept[2]; /* pipes */

static void *
hold_the_lock(void *domain)
{
    char byte;
    CHECK(pn_domain_enter(domain) == PN_OK);
    CHECK(write(held[1], "x", 1) == 1);
    CHECK(read(swept[0], &byte, 1) == 1);
    pn_domain_leave(domain);
    return NULL;
}

/* It would wait for the lock if it wanted to look at the objects. */
static void
sweep_beside_the_lock(pn_domain *domain)
{
    pthread_t holder;
    char byte;
    CHECK(pipe(held) == 0 && pipe(swept) == 0);
    CHECK(pthread_create(&holder, NULL, hold_the_lock, domain) == 0);
    CHECK(read(held[0], &byte, 1) == 1);
    CHECK(pn_sweep(domain) == 0);
    CHECK(write(swept[1], "x", 1) == 1);
    CHECK(pthread_join(holder, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        close(held[i]);
        close(swept[i]);
    }
}

/* Nor does one after a death, when nothing marked is left. */
static void
a_sweep_looks_at_objects_only_after_a_death(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t buffer, other;
    uint32_t generation;
    CHECK(pn_buffer_new(domain, 5000, 0, &buffer, &generation) == PN_OK);
    sweep_beside_the_lock(domain);
    IN_DEAD_PROCESS(pn_object_count_put(domain, buffer)); /* before its commit */
    CHECK(pn_sweep(domain) == 1);
    CHECK(atomic_load(&domain->header->uncollected)); /* it is marked */
    /* As a process without a line leaves one that is killed before it looks. */
    CHECK(pn_buffer_new(domain, 5000, 0, &other, &generation) == PN_OK);
    atomic_store(&((pn_object *)pn_at(domain, other))->holders[domain->slot / 64], 0);
    CHECK(pn_sweep(domain) == 0 && count_objects(domain) == 1);
    pn_object_drop(domain, buffer);
    CHECK(count_objects(domain) == 0);
    CHECK(pn_sweep(domain) == 0);
    CHECK(!atomic_load(&domain->header->uncollected));
    sweep_beside_the_lock(domain);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

/* A sweeper is killed when it has freed the line of the dead, and before it has looked at objects. */
static void
what_a_killed_sweeper_left_is_looked_for(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t buffer;
    uint32_t generation;
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(pn_buffer_new(domain, 5000, 0, &buffer, &generation) == PN_OK);
        kill(getpid(), SIGKILL);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    uint32_t line = 0;
    while (atomic_load(&domain->slots[line].pid) != (uint32_t)pid) {
        CHECK(++line < PN_SLOTS);
    }
    buffer = pn_slab_next_cell(domain, PN_BLOCK_SLAB_SMALL, 0);
    CHECK(pn_domain_enter(domain) == PN_OK);
    pn_collect_soon(domain); /* the first thing that it does */
    atomic_store(&((pn_object *)pn_at(domain, buffer))->holders[line / 64], 0);
    atomic_store(&domain->slots[line].state, PN_SLOT_FREE);
    pn_domain_leave(domain);
    CHECK(count_objects(domain) == 1);
    CHECK(pn_sweep(domain) == 0);
    CHECK(count_objects(domain) == 0 && !pn_collect_needed(domain));
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
the_domain_lock_of_a_dead_process_is_repaired(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t block;
    IN_DEAD_PROCESS(CHECK(pn_heap_alloc(domain, 9999, PN_BLOCK_PAYLOAD, 0, &block) == PN_OK);
                    CHECK(pn_domain_enter(domain) == PN_OK);
                    atomic_store(&domain->header->committed, 1); domain->header->hint[3] = 1);
    CHECK(pn_sweep(domain) == 1);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
waits_are_counted_by_object(void)
{
    pn_domain *domain = make_domain(0);
    pn_wait *one = pn_wait_begin(domain, 4096, PN_WAIT_GET);
    pn_wait *two = pn_wait_begin(domain, 4096, PN_WAIT_PUT);
    CHECK(one != NULL && two != NULL && one != two);
    CHECK(pn_wait_count(domain, 4096) == 2 && pn_wait_count(domain, 512) == 0);
    pn_wait_end(one);
    CHECK(pn_wait_count(domain, 4096) == 1);
    pn_wait_end(two);
    pn_wait_end(NULL);
    CHECK(pn_wait_count(domain, 4096) == 0);
    pn_domain_close(domain);
}

static void
a_line_is_read_while_somebody_waits_there(void)
{
    pn_domain *domain = make_domain(0);
    pn_wait copy;
    pn_wait *wait = pn_wait_begin(domain, 4096, PN_WAIT_GET);
    uint32_t index = (uint32_t)(wait - domain->waits);
    CHECK(pn_wait_read(domain, index, &copy));
    CHECK(atomic_load(&copy.object) == 4096 && atomic_load(&copy.kind) == PN_WAIT_GET);
    CHECK(atomic_load(&copy.owner) == atomic_load(&wait->owner));
    atomic_store(&wait->object, 0); /* it is being written */
    CHECK(!pn_wait_read(domain, index, &copy));
    pn_wait_end(wait);
    CHECK(!pn_wait_read(domain, index, &copy));
    pn_domain_close(domain);
}

int
main(void)
{
    pthread_atfork(NULL, NULL, stand_still); /* before that of the first domain */
    RUN(a_line_is_reserved_claimed_and_swept);
    RUN(who_was_reserved_and_never_began_is_given_up);
    RUN(a_pid_that_came_back_is_not_taken_for_the_dead);
    RUN(an_owner_whose_pid_another_line_has_too_lives);
    RUN(an_owner_without_a_line_lives);
    RUN(a_full_table_is_swept_and_then_refuses);
    RUN(a_fork_that_comes_too_late_holds_what_is_still_there);
    RUN(a_process_without_a_line_holds_objects);
    RUN(a_dead_child_leaves_nothing);
    RUN(a_killed_process_that_is_a_secret_is_not_taken_for_clean);
    RUN(a_sweep_looks_at_objects_only_after_a_death);
    RUN(what_a_killed_sweeper_left_is_looked_for);
    RUN(the_domain_lock_of_a_dead_process_is_repaired);
    RUN(waits_are_counted_by_object);
    RUN(a_line_is_read_while_somebody_waits_there);
    return 0;
}
