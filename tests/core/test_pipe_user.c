/* When an end of a pipe is over: by deaths, by closing, not by an idle heir, nor as long as its maker keeps it. */
#define _GNU_SOURCE
#include "piped.h"

#include <sys/mman.h>

#include "heap.h"
#include "slots.h"
#include "sweep.h"

/* ---- who is there -------------------------------------------------------------------------- */

static void
what_was_sent_before_a_death_comes_first(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1 << 20);
    IN_DEAD_PROCESS(CHECK(say(&ends[1], 1) == PN_OK && say(&ends[1], 2) == PN_OK));
    pn_sweep(domain);
    CHECK(pn_end_peer_is_over(&ends[0]));
    CHECK(pn_end_try_poll(&ends[0]) == PN_OK);
    check_heard(&ends[0], 1);
    check_heard(&ends[0], 2);
    check_over(&ends[0]);
    CHECK(say(&ends[0], 3) == PN_SHUT_DOWN);
    CHECK(pn_ring_count(&ends[0].out) == 0);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
an_idle_heir_keeps_nothing_open(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1 << 20);
    PROCESS(worker, CHECK(say(&ends[1], 1) == PN_OK));
    PROCESS(heir, (void)0);
    check_heard(&ends[0], 1);
    check_open(&ends[0]);
    end_by_kill(worker);
    uint32_t id;
    CHECK(hear(&ends[0], &id, PN_FOREVER) == PN_SHUT_DOWN); /* who waits notices it itself */
    check_over(&ends[0]);
    end_by_kill(heir);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
as_long_as_nobody_used_it_having_it_counts(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1 << 20);
    PROCESS(heir, (void)0);
    check_open(&ends[0]);
    pn_end_drop(&ends[1]); /* not used here */
    check_open(&ends[0]);
    end_by_kill(heir);
    pn_sweep(domain);
    check_over(&ends[0]);
    CHECK(say(&ends[0], 1) == PN_SHUT_DOWN);
    pn_end_drop(&ends[0]);
    close_domain();
}

static void
the_last_of_several_users_ends_it(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1 << 20);
    PROCESS(one, CHECK(say(&ends[1], 1) == PN_OK));
    PROCESS(two, CHECK(say(&ends[1], 2) == PN_OK));
    check_heard(&ends[0], 1);
    check_heard(&ends[0], 2);
    end_by_kill(one);
    pn_sweep(domain);
    check_open(&ends[0]);
    end_by_kill(two);
    pn_sweep(domain);
    check_over(&ends[0]);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
a_new_user_brings_it_to_life_again(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1 << 20);
    CHECK(say(&ends[0], 5) == PN_OK);
    IN_DEAD_PROCESS(CHECK(say(&ends[1], 1) == PN_OK));
    pn_sweep(domain);
    check_heard(&ends[0], 1);
    check_over(&ends[0]);
    PROCESS(successor, check_heard(&ends[1], 5); CHECK(say(&ends[1], 2) == PN_OK));
    check_heard(&ends[0], 2);
    check_open(&ends[0]);
    CHECK(say(&ends[0], 6) == PN_OK);
    end_by_kill(successor);
    pn_sweep(domain);
    check_over(&ends[0]);
    check_heard(&ends[1], 6); /* and now this process uses it */
    check_open(&ends[0]);
    pn_end_drop(&ends[1]);
    check_over(&ends[0]);
    pn_end_drop(&ends[0]);
    close_domain();
}

/* A child that does nothing, with a line of its own; it is a user of what it is handed. */
static pid_t
start_idle(uint32_t slot, uint32_t generation)
{
    pn_domain_arm_fork(domain, slot, generation);
    pid_t child = fork();
    if (child == 0) {
        for (;;) {
            pause();
        }
    }
    pn_slot_set_pid(domain, slot, generation, (uint32_t)child);
    return child;
}

static void
who_is_given_it_uses_it(void)
{
    pn_pipe_end ends[2];
    uint32_t slot, generation;
    make_pipe(ends, true, 1 << 20);
    CHECK(pn_slot_reserve(domain, "child", 0, &slot, &generation) == PN_OK);
    pn_end_hand_to(&ends[1], slot);
    pn_end_drop(&ends[1]);
    check_open(&ends[0]); /* it has not begun yet */
    pid_t child = start_idle(slot, generation);
    check_open(&ends[0]);
    end_by_kill(child);
    pn_sweep_reaped(domain, slot, generation);
    check_over(&ends[0]);
    pn_end_drop(&ends[0]);
    close_domain();
}

static void
who_closes_what_it_was_given_beside_its_own_ends_nothing(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, false, 1 << 20);
    PROCESS(child, pn_end_give(domain, ends[0].offset, domain->slot);
            pn_end_give(domain, ends[1].offset, domain->slot); pn_end_drop(&ends[1]);
            check_open(&ends[0]));
    CHECK(say(&ends[1], 3) == PN_OK);
    end_by_kill(child);
    pn_sweep(domain);
    CHECK(say(&ends[1], 4) == PN_SHUT_DOWN); /* it has read, and is dead */
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
who_was_given_both_and_used_neither_ends_nothing(void)
{
    pn_pipe_end ends[2];
    uint32_t slot, generation;
    make_pipe(ends, true, 1 << 20);
    CHECK(pn_slot_reserve(domain, "child", 0, &slot, &generation) == PN_OK);
    pn_end_hand_to(&ends[0], slot);
    pn_end_hand_to(&ends[1], slot);
    end_by_kill(start_idle(slot, generation));
    pn_sweep_reaped(domain, slot, generation);
    CHECK(atomic_load(&ends[0].cell->both[slot / 64]) == 0);
    check_open(&ends[0]);
    check_open(&ends[1]);
    CHECK(say(&ends[1], 5) == PN_OK);
    check_heard(&ends[0], 5);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

/* A writer that has both, and is done before its parent begins to read. */
static void
who_was_given_both_and_has_closed_what_it_used_ends_nothing(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1 << 20);
    PROCESS(child, pn_end_give(domain, ends[0].offset, domain->slot);
            pn_end_give(domain, ends[1].offset, domain->slot); CHECK(say(&ends[1], 2) == PN_OK);
            pn_end_drop(&ends[1]));
    end_by_kill(child);
    pn_sweep(domain);
    CHECK(say(&ends[1], 3) == PN_OK);
    check_heard(&ends[0], 2);
    check_heard(&ends[0], 3);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
on_its_way_in_an_item_it_is_open(void)
{
    pn_pipe_end ends[2], arrived;
    uint64_t offset;
    uint32_t generation, id;
    pn_ring ring;
    parcel parcel;
    make_pipe(ends, true, 1 << 20);
    CHECK(pn_ring_new(domain, "carrier", 0, 0, &offset, &generation) == PN_OK);
    pn_ring_open(&ring, domain, offset);
    CHECK(say(&ends[1], 1) == PN_OK);
    check_heard(&ends[0], 1);
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 9, ends[1].offset);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
    pn_end_drop(&ends[1]);
    check_open(&ends[0]);
    CHECK(say(&ends[0], 2) == PN_OK);
    CHECK(get_one(&ring, heard, sizeof(heard), 0, &id) == PN_OK && id == 9);
    CHECK(pn_end_open(&arrived, domain, item_object((pn_record *)heard)) == PN_OK);
    CHECK(arrived.number == 1);
    check_open(&ends[0]);
    check_heard(&arrived, 2);
    pn_end_drop(&arrived);
    check_over(&ends[0]);
    pn_end_drop(&ends[0]);
    pn_object_drop(domain, offset);
    close_domain();
}

/* It cannot be a user, so that it holds the end counts, also when it is dead. */
static void
a_process_without_a_line_keeps_it_open(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1 << 20);
    uint32_t slot = domain->slot;
    domain->slot = PN_SLOTS; /* as if the table were full */
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(domain->slot == PN_SLOTS);
        CHECK(say(&ends[1], 1) == PN_OK);
        _exit(0);
    }
    domain->slot = slot;
    ends_well(pid);
    check_heard(&ends[0], 1);
    CHECK(say(&ends[1], 2) == PN_OK);
    check_heard(&ends[0], 2);
    pn_end_drop(&ends[1]);
    pn_sweep(domain);
    check_open(&ends[0]);
    pn_end_drop(&ends[0]);
    pn_domain_close(domain); /* what it held is never freed: object.h */
}

/* ---- who made it keeps it ------------------------------------------------------------------- */

/* Writers one after the other, and a parent that keeps the end for the next one. */
static void
who_made_it_keeps_it_open(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, false, 1 << 20);
    for (uint32_t id = 1; id <= 2; id++) {
        PROCESS(writer, CHECK(say(&ends[1], id) == PN_OK); pn_end_drop(&ends[1]));
        check_heard(&ends[0], id);
        check_open(&ends[0]);
        end_by_kill(writer); /* it has closed it */
        pn_sweep(domain);
        check_open(&ends[0]);
    }
    pn_end_drop(&ends[1]);
    check_over(&ends[0]);
    pn_end_drop(&ends[0]);
    close_domain();
}

static void
a_clean_exit_leaves_it_to_who_made_it(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, false, 1 << 20);
    pid_t writer = fork();
    if (writer == 0) {
        CHECK(say(&ends[1], 1) == PN_OK);
        pn_slot_judge(domain, domain->slot, domain->generation, true);
        _exit(0);
    }
    ends_well(writer);
    pn_sweep(domain);
    check_heard(&ends[0], 1);
    check_open(&ends[0]);
    pn_end_drop(&ends[1]);
    check_over(&ends[0]);
    pn_end_drop(&ends[0]);
    close_domain();
}

/* How it ended its parent will tell; until then it counts as one who uses it. */
static void
an_end_of_a_process_that_is_awaited_is_waited_for(void)
{
    pn_pipe_end ends[2];
    uint32_t slot, generation;
    make_pipe(ends, false, 1 << 20);
    CHECK(pn_slot_reserve(domain, "child", 0, &slot, &generation) == PN_OK);
    pn_end_hand_to(&ends[1], slot);
    end_by_kill(start_idle(slot, generation));
    pn_sweep(domain);
    check_open(&ends[0]);
    pn_slot_judge(domain, slot, generation, false);
    pn_sweep_reaped(domain, slot, generation);
    check_over(&ends[0]);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
a_death_before_the_last_one_leaves_ends_nothing(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, false, 1 << 20);
    PROCESS(one, CHECK(say(&ends[1], 1) == PN_OK));
    PROCESS(two, CHECK(say(&ends[1], 2) == PN_OK));
    end_by_kill(one);
    pn_sweep(domain);
    PROCESS(three, CHECK(say(&ends[1], 3) == PN_OK); pn_end_drop(&ends[1]));
    check_heard(&ends[0], 1);
    check_heard(&ends[0], 2);
    check_heard(&ends[0], 3);
    check_open(&ends[0]);
    end_by_kill(two); /* nobody else uses it: who made it must not wait for what nobody sends */
    pn_sweep(domain);
    check_over(&ends[0]);
    end_by_kill(three);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

/* An interpreter that ends closes what it had; that it ends badly it has said before. */
static void
who_ends_badly_and_closes_ends_it(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, false, 1 << 20);
    PROCESS(clean, CHECK(say(&ends[1], 1) == PN_OK);
            pn_slot_judge(domain, domain->slot, domain->generation, true); pn_end_drop(&ends[1]));
    check_heard(&ends[0], 1);
    check_open(&ends[0]);
    PROCESS(bad, pn_end_give(domain, ends[1].offset, domain->slot);
            pn_slot_judge(domain, domain->slot, domain->generation, false); pn_end_drop(&ends[1]));
    check_over(&ends[0]);
    end_by_kill(clean);
    end_by_kill(bad);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

/* Both are buried in one sweep, in the order of their lines; the one that was killed ends it. */
static void
check_death_beside_a_clean_exit(bool killed_first)
{
    pn_pipe_end ends[2];
    make_pipe(ends, false, 1 << 20);
    pid_t pids[2];
    for (int i = 0; i < 2; i++) {
        PROCESS(writer, CHECK(say(&ends[1], 1) == PN_OK); if ((i == 0) != killed_first)
                    pn_slot_judge(domain, domain->slot, domain->generation, true));
        pids[i] = writer;
    }
    end_by_kill(pids[0]);
    end_by_kill(pids[1]);
    pn_sweep(domain);
    check_heard(&ends[0], 1);
    check_heard(&ends[0], 1);
    check_over(&ends[0]);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
a_death_beside_a_clean_exit_ends_it(void)
{
    check_death_beside_a_clean_exit(true);
    check_death_beside_a_clean_exit(false);
}

/* The pipe is another process's, which is killed while it keeps both ends. */
static void
the_death_of_who_made_it_ends_it(void)
{
    struct {
        pn_pipe_end ends[2];
        uint32_t generation[2];
    } *made = mmap(NULL, sizeof(*made), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pn_pipe_end ends[2];
    uint32_t id;
    domain = make_domain(0);
    PROCESS(maker, CHECK(pn_pipe_new(domain, "pipe", true, 1 << 20, made->ends, made->generation) ==
                         PN_OK));
    for (int i = 0; i < 2; i++) {
        CHECK(pn_object_attach(domain, made->ends[i].offset, made->generation[i]) == PN_OK);
        CHECK(pn_end_open(&ends[i], domain, made->ends[i].offset) == PN_OK);
    }
    CHECK(munmap(made, sizeof(*made)) == 0);
    PROCESS(writer, CHECK(say(&ends[1], 1) == PN_OK); pn_end_drop(&ends[1]));
    check_heard(&ends[0], 1);
    check_open(&ends[0]);
    end_by_kill(maker);
    CHECK(hear(&ends[0], &id, PN_FOREVER) == PN_SHUT_DOWN); /* who waits notices it itself */
    end_by_kill(writer);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

int
main(void)
{
    RUN(what_was_sent_before_a_death_comes_first);
    RUN(an_idle_heir_keeps_nothing_open);
    RUN(as_long_as_nobody_used_it_having_it_counts);
    RUN(the_last_of_several_users_ends_it);
    RUN(a_new_user_brings_it_to_life_again);
    RUN(who_is_given_it_uses_it);
    RUN(who_closes_what_it_was_given_beside_its_own_ends_nothing);
    RUN(who_was_given_both_and_used_neither_ends_nothing);
    RUN(who_was_given_both_and_has_closed_what_it_used_ends_nothing);
    RUN(on_its_way_in_an_item_it_is_open);
    RUN(a_process_without_a_line_keeps_it_open);
    RUN(who_made_it_keeps_it_open);
    RUN(a_clean_exit_leaves_it_to_who_made_it);
    RUN(an_end_of_a_process_that_is_awaited_is_waited_for);
    RUN(a_death_before_the_last_one_leaves_ends_nothing);
    RUN(who_ends_badly_and_closes_ends_it);
    RUN(a_death_beside_a_clean_exit_ends_it);
    RUN(the_death_of_who_made_it_ends_it);
    return 0;
}
