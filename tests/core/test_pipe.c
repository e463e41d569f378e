/* The pipe: messages both ways, its bound, and when an end is over: by deaths, by closing, not by an idle heir. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "heap.h"
#include "items.h"
#include "listen.h"
#include "pipe.h"
#include "slots.h"
#include "sweep.h"
#include "waits.h"

static pn_domain *domain;
static uint64_t room[PN_RING_INLINE / 8 + 16];

/* ---- a pipe, and what is said through it ------------------------------------------ */

static void
make_pipe(pn_pipe_end ends[2], bool duplex, uint64_t max_bytes)
{
    uint32_t generation[2];
    domain = make_domain(0);
    CHECK(pn_pipe_new(domain, "pipe", duplex, max_bytes, ends, generation) == PN_OK);
}

/* Nothing of it may be left, whoever died. */
static void
close_domain(void)
{
    pn_sweep(domain);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 0);
    CHECK(pn_heap_used(domain, PN_BLOCK_SEGMENT) + pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static pn_status
send_bytes(pn_pipe_end *end, uint32_t id, uint32_t length, int64_t deadline)
{
    parcel parcel;
    parcel_clear(&parcel);
    if (length != 0) {
        parcel_add_bytes(&parcel, id, length);
    } else {
        parcel_add(&parcel, id);
    }
    pn_batch batch = parcel_batch(&parcel);
    pn_status status;
    pn_end_use(end);
    do {
        status = deadline ? pn_end_send(end, &batch, deadline) : pn_end_try_send(end, &batch);
    } while (status == PN_INTERRUPTED);
    return status;
}

static pn_status
say(pn_pipe_end *end, uint32_t id)
{
    return send_bytes(end, id, 0, PN_FOREVER);
}

static pn_status
hear(pn_pipe_end *end, uint32_t *id, int64_t deadline)
{
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
    pn_status status;
    pn_end_use(end);
    do {
        status = deadline ? pn_end_receive(end, &sink, deadline) : pn_end_try_receive(end, &sink);
    } while (status == PN_INTERRUPTED);
    if (status == PN_OK) {
        *id = item_id((pn_record *)room);
        CHECK(item_is_whole(domain, (pn_record *)room));
    }
    return status;
}

static void
check_heard(pn_pipe_end *end, uint32_t wanted)
{
    uint32_t id = 0;
    CHECK(hear(end, &id, PN_FOREVER) == PN_OK);
    CHECK(id == wanted);
}

static void
check_over(pn_pipe_end *end)
{
    uint32_t id;
    CHECK(hear(end, &id, 0) == PN_SHUT_DOWN);
    CHECK(hear(end, &id, PN_FOREVER) == PN_SHUT_DOWN);
    CHECK(pn_end_try_poll(end) == PN_SHUT_DOWN);
    CHECK(pn_end_poll(end, PN_FOREVER) == PN_SHUT_DOWN);
    CHECK(pn_end_is_ready(domain, end->offset, PN_FOR_GET));
}

static void
check_open(pn_pipe_end *end)
{
    uint32_t id;
    CHECK(!pn_end_peer_is_over(end));
    CHECK(hear(end, &id, 0) == PN_EMPTY);
    CHECK(hear(end, &id, pn_now() + 1000000) == PN_TIMEOUT);
    CHECK(pn_end_try_poll(end) == PN_EMPTY);
    CHECK(!pn_end_is_ready(domain, end->offset, PN_FOR_GET));
}

/* ---- other processes ---------------------------------------------------------------- */

/* A process that does it and then waits to be killed; it has done it when this goes on. */
#define PROCESS(pid, ...)                                                                          \
    pid_t pid;                                                                                     \
    do {                                                                                           \
        int told_[2];                                                                              \
        char byte_ = 0;                                                                            \
        CHECK(pipe(told_) == 0);                                                                   \
        pid = fork();                                                                              \
        if (pid == 0) {                                                                            \
            __VA_ARGS__;                                                                           \
            CHECK(write(told_[1], &byte_, 1) == 1);                                                \
            for (;;) {                                                                             \
                pause();                                                                           \
            }                                                                                      \
        }                                                                                          \
        close(told_[1]);                                                                           \
        CHECK(read(told_[0], &byte_, 1) == 1);                                                     \
        close(told_[0]);                                                                           \
    } while (0)

static void
end_by_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
}

static void
ends_well(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void
until_it_waits(pn_ring *ring)
{
    while (pn_wait_count(domain, ring->offset) == 0) {
        usleep(100);
    }
}

/* ---- messages --------------------------------------------------------------------------- */

static void
messages_go_both_ways_in_order(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1 << 20);
    check_open(&ends[0]);
    check_open(&ends[1]);
    for (uint32_t i = 1; i <= 100; i++) {
        CHECK(say(&ends[0], i) == PN_OK);
        CHECK(send_bytes(&ends[1], 1000 + i, 4 + i * 7 % 900, 0) == PN_OK);
    }
    CHECK(pn_end_try_poll(&ends[0]) == PN_OK && pn_end_poll(&ends[1], PN_FOREVER) == PN_OK);
    for (uint32_t i = 1; i <= 100; i++) {
        check_heard(&ends[1], i);
        check_heard(&ends[0], 1000 + i);
    }
    check_open(&ends[0]);
    check_open(&ends[1]);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
one_way_is_one_ring(void)
{
    pn_pipe_end ends[2];
    uint64_t objects[4];
    make_pipe(ends, false, 1 << 20);
    CHECK(ends[0].out.cell == NULL && ends[1].in.cell == NULL);
    CHECK(ends[0].in.cell == ends[1].out.cell);
    CHECK(pn_end_objects(&ends[0], objects) == 3 && objects[0] == ends[0].offset);
    CHECK(say(&ends[1], 7) == PN_OK);
    check_heard(&ends[0], 7);
    pn_end_drop(&ends[0]);
    CHECK(say(&ends[1], 8) == PN_SHUT_DOWN);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
a_direction_has_a_bound_of_its_own(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1000);
    CHECK(send_bytes(&ends[0], 1, 2000, 0) == PN_OK); /* alone it may travel */
    CHECK(send_bytes(&ends[0], 2, 100, 0) == PN_FULL);
    CHECK(send_bytes(&ends[0], 2, 100, pn_now() + 1000000) == PN_TIMEOUT);
    CHECK(send_bytes(&ends[1], 3, 100, 0) == PN_OK);
    check_heard(&ends[1], 1);
    CHECK(send_bytes(&ends[0], 2, 100, 0) == PN_OK);
    check_heard(&ends[1], 2);
    check_heard(&ends[0], 3);
    check_open(&ends[1]);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

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
    CHECK(get_one(&ring, room, sizeof(room), 0, &id) == PN_OK && id == 9);
    CHECK(pn_end_open(&arrived, domain, item_object((pn_record *)room)) == PN_OK);
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

/* ---- sleepers -------------------------------------------------------------------------------- */

static pn_status
fill(pn_pipe_end *end)
{
    pn_status status;
    do {
        status = send_bytes(end, 1, 400, 0);
    } while (status == PN_OK);
    return status;
}

static void
who_waits_for_room_learns_of_a_death(void)
{
    pn_pipe_end ends[2];
    make_pipe(ends, true, 1000);
    PROCESS(reader, pn_end_use(&ends[1]));
    CHECK(fill(&ends[0]) == PN_FULL);
    pid_t sender = fork();
    if (sender == 0) {
        CHECK(send_bytes(&ends[0], 2, 400, PN_FOREVER) == PN_SHUT_DOWN);
        _exit(0);
    }
    until_it_waits(&ends[0].out);
    end_by_kill(reader);
    ends_well(sender);
    pn_end_drop(&ends[0]);
    pn_end_drop(&ends[1]);
    close_domain();
}

static void
all_who_wait_learn_that_it_was_closed(void)
{
    enum { WAITING = 4 };
    pn_pipe_end ends[2];
    pid_t pids[WAITING];
    make_pipe(ends, true, 1 << 20);
    pn_end_use(&ends[1]);
    for (int i = 0; i < WAITING; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            uint32_t id;
            CHECK(hear(&ends[0], &id, PN_FOREVER) == PN_SHUT_DOWN);
            _exit(0);
        }
    }
    while (pn_wait_count(domain, ends[0].in.offset) < WAITING) {
        usleep(100);
    }
    pn_end_drop(&ends[1]);
    for (int i = 0; i < WAITING; i++) {
        ends_well(pids[i]);
    }
    pn_end_drop(&ends[0]);
    close_domain();
}

static void *
hear_until_closed(void *end)
{
    uint32_t id;
    CHECK(hear(end, &id, PN_FOREVER) == PN_SHUT_DOWN);
    return NULL;
}

static void *
send_until_closed(void *end)
{
    CHECK(send_bytes(end, 2, 400, PN_FOREVER) == PN_SHUT_DOWN);
    return NULL;
}

static void
closing_calls_own_threads_back(void)
{
    pn_pipe_end ends[2];
    pthread_t reader, writer;
    make_pipe(ends, true, 1000);
    CHECK(fill(&ends[0]) == PN_FULL);
    CHECK(pthread_create(&reader, NULL, hear_until_closed, &ends[0]) == 0);
    CHECK(pthread_create(&writer, NULL, send_until_closed, &ends[0]) == 0);
    until_it_waits(&ends[0].in);
    until_it_waits(&ends[0].out);
    pn_end_close(&ends[0]);
    CHECK(pthread_join(reader, NULL) == 0 && pthread_join(writer, NULL) == 0);
    uint32_t count = (uint32_t)pn_ring_count(&ends[0].out), id;
    pn_end_drop(&ends[0]);
    while (count-- > 0) {
        check_heard(&ends[1], 1); /* the other side has all that was sent */
    }
    CHECK(hear(&ends[1], &id, 0) == PN_SHUT_DOWN);
    pn_end_drop(&ends[1]);
    close_domain();
}

int
main(void)
{
    RUN(messages_go_both_ways_in_order);
    RUN(one_way_is_one_ring);
    RUN(a_direction_has_a_bound_of_its_own);
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
    RUN(who_waits_for_room_learns_of_a_death);
    RUN(all_who_wait_learn_that_it_was_closed);
    RUN(closing_calls_own_threads_back);
    return 0;
}
