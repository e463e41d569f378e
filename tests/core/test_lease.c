/* Leases: what is unfinished, and whose is ended by task_done. */
#define _GNU_SOURCE
#include "leased.h"

#include <pthread.h>

#include "heap.h"
#include "items.h"
#include "slots.h"
#include "sweep.h"

static void
an_item_is_unfinished_from_its_put_to_task_done(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    check_unfinished(&ring, 0);
    put_some(&ring, 1, 3);
    check_unfinished(&ring, 3);
    check_get(&ring, 1, 0, 1);
    check_unfinished(&ring, 3);
    CHECK(lease_counts(&ring).leased == 1);
    done(&ring);
    check_unfinished(&ring, 2);
    check_get(&ring, 2, 1, 1);
    check_get(&ring, 3, 2, 1);
    CHECK(try_get(&ring) == PN_EMPTY);
    done(&ring);
    done(&ring);
    check_unfinished(&ring, 0);
    CHECK(pn_ring_task_done(&ring, true) == PN_NOTHING);
    close_leased(&ring);
}

static void
task_done_before_the_get_counts_for_an_item(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    CHECK(pn_ring_task_done(&ring, true) == PN_NOTHING);
    put_some(&ring, 1, 3);
    done(&ring);
    check_unfinished(&ring, 2);
    done(&ring);
    check_get(&ring, 1, 0, 1);
    check_get(&ring, 2, 1, 1);
    CHECK(lease_counts(&ring).leased == 0);
    check_unfinished(&ring, 1);
    check_get(&ring, 3, 2, 1);
    CHECK(lease_counts(&ring).leased == 1);
    done(&ring);
    CHECK(pn_ring_task_done(&ring, true) == PN_NOTHING);
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

static void
leases_grow_beyond_any_limit_and_memory_comes_back(void)
{
    enum { COUNT = 30000 };
    pn_ring ring;
    make_leased(&ring, 0);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t length = i % 500 == 0 ? 9000 : i % 50 == 0 ? 2000 : i % 7 * 60 + 4;
        CHECK(put_bytes(&ring, i + 1, length) == PN_OK);
        check_get(&ring, i + 1, i, 1);
    }
    CHECK(lease_counts(&ring).leased == COUNT);
    CHECK(pn_heap_used(ring.domain, PN_BLOCK_SEGMENT) > COUNT * UINT64_C(256));
    CHECK_SOUND(audit_leases(ring.domain, ring.offset));
    CHECK_SOUND(audit_domain(ring.domain));
    for (uint32_t i = 0; i < COUNT; i++) {
        done(&ring);
    }
    check_unfinished(&ring, 0);
    CHECK(pn_heap_used(ring.domain, PN_BLOCK_SEGMENT) < UINT64_C(3) << 20);
    put_some(&ring, 1, 1);
    check_get(&ring, 1, COUNT, 1);
    done(&ring);
    close_leased(&ring);
}

static void
many_are_taken_at_once_and_each_has_a_lease(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 1000);
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1000};
    uint64_t taken = 0;
    while (pn_ring_try_get(&ring, &sink) == PN_OK) {
        taken = sink.count;
        sink.limit = 1000 - taken;
    }
    CHECK(taken == 1000 && lease_counts(&ring).leased == 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        done(&ring);
    }
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

/* Dies in its take, with an entry that is void. */
static void
die_in_a_take(pn_ring *ring)
{
    /* Not pn_head_enter: it dies before it has repaired what the last one left. */
    pn_status status = pn_lock_enter(&ring->cell->head_lock, pn_slot_owner_alive, ring->domain);
    CHECK(status == PN_OK || status == PN_OWNER_DIED);
    pn_leases *leases = &ring->cell->leases;
    uint64_t taken = pn_ring_taken(ring->cell);
    const pn_record record = {.value = 99, .kind = PN_RECORD_INT32};
    CHECK(pn_lease_take(ring, &record, taken, false) &&
          pn_lease_take(ring, &record, taken + 1, false));
    leases->busy.first = 8; /* no cache may be trusted after a death */
}

static void
void_leases_do_not_come_back(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 3);
    check_get(&ring, 1, 0, 1); /* there are entries now */
    IN_DEAD_PROCESS(die_in_a_take(&ring));
    IN_DEAD_PROCESS(die_in_a_take(&ring)); /* a second death, before anybody repaired */
    check_get(&ring, 2, 1, 1);
    check_get(&ring, 3, 2, 1); /* head has moved past both */
    pn_sweep(ring.domain);
    CHECK(try_get(&ring) == PN_EMPTY && lease_counts(&ring).waiting == 0 &&
          lease_counts(&ring).leased == 3);
    CHECK_SOUND(audit_leases(ring.domain, ring.offset));
    done(&ring);
    done(&ring);
    done(&ring);
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

static void
another_process_may_say_that_it_is_done(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 2);
    check_get(&ring, 1, 0, 1);
    check_get(&ring, 2, 1, 1);
    IN_DEAD_PROCESS(done(&ring); done(&ring); CHECK(pn_ring_task_done(&ring, true) == PN_NOTHING));
    check_unfinished(&ring, 0);
    CHECK(pn_ring_task_done(&ring, true) == PN_NOTHING);
    close_leased(&ring);
}

static void
one_ends_its_own_before_others(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 4);
    check_get(&ring, 1, 0, 1);
    IN_DEAD_PROCESS(check_get(&ring, 2, 1, 1); check_get(&ring, 3, 2, 1); done(&ring));
    pn_sweep(ring.domain);
    check_get(&ring, 3, 2, 2); /* it ended its item 2, not our older item 1 */
    done(&ring);
    done(&ring);
    check_get(&ring, 4, 3, 1);
    check_unfinished(&ring, 1);
    done(&ring);
    close_leased(&ring);
}

static void *
get_and_end_one(void *argument)
{
    pn_ring *ring = argument;
    uint64_t mine[8];
    pn_sink sink = {.bytes = (char *)mine, .capacity = sizeof(mine), .limit = 1};
    CHECK(pn_ring_try_get(ring, &sink) == PN_OK && sink.id > 0);
    done(ring);
    return NULL;
}

static void
threads_end_each_their_own(void)
{
    enum { COUNT = 80 }; /* more than a process remembers */
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, COUNT + 1);
    IN_DEAD_PROCESS(
        for (uint32_t i = 0; i < COUNT; i++) { check_get(&ring, 1 + i, i, 1); } pthread_t thread;
        CHECK(pthread_create(&thread, NULL, get_and_end_one, &ring) == 0);
        pthread_join(thread, NULL));
    pn_sweep(ring.domain);
    for (uint32_t i = 0; i < COUNT; i++) {
        check_get(&ring, 1 + i, i, 2); /* none of the first thread's was taken for done */
    }
    CHECK(try_get(&ring) == PN_EMPTY);
    for (uint32_t i = 0; i < COUNT; i++) {
        done(&ring);
    }
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

int
main(void)
{
    RUN(an_item_is_unfinished_from_its_put_to_task_done);
    RUN(task_done_before_the_get_counts_for_an_item);
    RUN(leases_grow_beyond_any_limit_and_memory_comes_back);
    RUN(many_are_taken_at_once_and_each_has_a_lease);
    RUN(void_leases_do_not_come_back);
    RUN(another_process_may_say_that_it_is_done);
    RUN(one_ends_its_own_before_others);
    RUN(threads_end_each_their_own);
    return 0;
}
