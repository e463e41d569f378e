/* Leases: what is unfinished, who gets the items of the dead, task_done and join. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "heap.h"
#include "items.h"
#include "lease_parts.h"
#include "slots.h"
#include "sweep.h"

static uint64_t room[PN_RING_INLINE / 8 + 16];

static void
make_leased(pn_ring *ring, uint32_t max_deliveries)
{
    uint64_t offset;
    uint32_t generation;
    pn_domain *domain = make_domain(0);
    CHECK(pn_ring_new_leased(domain, "jobs", 0, 0, max_deliveries, &offset, &generation) == PN_OK);
    pn_ring_open(ring, domain, offset);
}

static void
close_leased(pn_ring *ring)
{
    CHECK_SOUND(audit_domain(ring->domain));
    pn_object_drop(ring->domain, ring->offset);
    pn_sweep(ring->domain);
    CHECK(count_objects(ring->domain) == 0);
    CHECK(pn_heap_used(ring->domain, PN_BLOCK_SEGMENT) == 0);
    CHECK_SOUND(audit_heap(ring->domain));
    pn_domain_close(ring->domain);
}

static void
put_some(pn_ring *ring, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        CHECK(put_one(ring, first + i) == PN_OK);
    }
}

/* Take an item, without sleeping: what it must be, which ordinal, which delivery. */
static void
check_get(pn_ring *ring, uint32_t wanted, uint64_t id, uint32_t deliveries)
{
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
    pn_status status = pn_ring_try_get(ring, &sink);
    while (status == PN_BUSY ||
           status == PN_INTERRUPTED) { /* a dead owner, not told by the kernel */
        status = pn_ring_get(ring, &sink, PN_FOREVER);
    }
    CHECK(status == PN_OK);
    CHECK(item_id((pn_record *)room) == wanted);
    CHECK(item_is_whole(ring->domain, (pn_record *)room));
    CHECK(sink.id == id && sink.deliveries == deliveries);
}

static pn_status
try_get(pn_ring *ring)
{
    uint32_t id;
    return get_one(ring, room, sizeof(room), 0, &id);
}

static pn_lease_counts
counts(pn_ring *ring)
{
    pn_lease_counts counts;
    size_t used;
    CHECK(pn_lease_look(ring, &counts, NULL, 0, &used) == PN_OK);
    return counts;
}

static void
check_unfinished(pn_ring *ring, uint64_t wanted)
{
    CHECK(counts(ring).unfinished == wanted);
    pn_status joined = pn_ring_join(ring, pn_now());
    CHECK(joined == (wanted == 0 ? PN_OK : PN_TIMEOUT));
}

static void
done(pn_ring *ring)
{
    CHECK(pn_ring_task_done(ring, true) == PN_OK);
}

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
    CHECK(counts(&ring).leased == 1);
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
    CHECK(counts(&ring).leased == 0);
    check_unfinished(&ring, 1);
    check_get(&ring, 3, 2, 1);
    CHECK(counts(&ring).leased == 1);
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
    CHECK(counts(&ring).leased == COUNT);
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
    CHECK(taken == 1000 && counts(&ring).leased == 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        done(&ring);
    }
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

static void
what_a_killed_consumer_had_comes_again_oldest_first(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 4);
    IN_DEAD_PROCESS(check_get(&ring, 1, 0, 1); check_get(&ring, 2, 1, 1); check_get(&ring, 3, 2, 1);
                    done(&ring));
    CHECK(counts(&ring).leased == 2);
    pn_sweep(ring.domain);
    CHECK(counts(&ring).leased == 0 && counts(&ring).waiting == 2);
    CHECK(pn_lease_waiting(&ring) == 2);
    check_unfinished(&ring, 3);
    check_get(&ring, 2, 1, 2);
    IN_DEAD_PROCESS(check_get(&ring, 3, 2, 2));
    pn_sweep(ring.domain);
    check_get(&ring, 3, 2, 3);
    check_get(&ring, 4, 3, 1);
    CHECK(try_get(&ring) == PN_EMPTY);
    done(&ring);
    done(&ring);
    done(&ring);
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

static void
many_leases_of_one_dead_come_again_in_order(void)
{
    enum { COUNT = 5000 };
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, COUNT);
    IN_DEAD_PROCESS(for (uint32_t i = 0; i < COUNT; i++) { check_get(&ring, 1 + i, i, 1); });
    pn_sweep(ring.domain);
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 100};
    CHECK(pn_ring_try_get(&ring, &sink) == PN_OK && sink.count == 100 && sink.id == 0);
    for (uint32_t i = 100; i < COUNT; i++) {
        check_get(&ring, 1 + i, i, 2);
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        done(&ring);
    }
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

/* A child that takes an item and ends; it is not reaped before `look`. */
static void
end_with(pn_ring *ring, int code, bool says_clean, bool reaped)
{
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(try_get(ring) == PN_OK);
        if (says_clean) {
            pn_slot_judge(ring->domain, ring->domain->slot, ring->domain->generation, true);
        }
        if (code < 0) {
            kill(getpid(), -code);
        }
        _exit(code);
    }
    siginfo_t info;
    CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | (reaped ? 0 : WNOWAIT)) == 0);
    pn_sweep(ring->domain);
    if (!reaped) {
        CHECK(waitpid(pid, NULL, 0) == pid);
    }
}

static void
a_clean_end_leaves_its_items_unfinished_and_named(void)
{
    pn_ring ring;
    pn_lease_view views[4];
    pn_lease_counts now;
    size_t used;
    make_leased(&ring, 0);
    put_some(&ring, 1, 3);
    end_with(&ring, 0, true, true);
    end_with(&ring, 0, false, false); /* says nothing; the kernel tells, as it is not reaped */
    CHECK(pn_lease_look(&ring, &now, views, 4, &used) == PN_OK);
    CHECK(used == 2 && now.left == 2 && now.leased == 2 && now.unfinished == 3);
    CHECK(views[0].id == 0 && views[0].deliveries == 1 && views[0].whose == PN_LEASE_LEFT);
    CHECK(views[0].pid != 0 && views[1].id == 1 && now.waiting == 0);
    CHECK(pn_lease_look(&ring, &now, views, 1, &used) == PN_OK && used == 1 && now.left == 2);
    check_get(&ring, 3, 2, 1);
    CHECK(try_get(&ring) == PN_EMPTY);
    done(&ring);
    check_unfinished(&ring, 2);
    done(&ring); /* anybody may end what was left, as in the standard library */
    done(&ring);
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

static void
another_end_than_a_clean_one_hands_on(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 1);
    end_with(&ring, 3, false, true);
    end_with(&ring, 3, true, false); /* it said so, and then failed: the kernel's word counts */
    end_with(&ring, -SIGKILL, false, false);
    end_with(&ring, 0, false, true); /* reaped by who does not tell, and it said nothing */
    check_get(&ring, 1, 0, 5);
    done(&ring);
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

static void
an_item_that_kills_becomes_a_dead_letter(void)
{
    pn_ring ring;
    pn_lease_view views[4];
    pn_lease_counts now;
    size_t used;
    make_leased(&ring, 2);
    CHECK(put_bytes(&ring, 7, 3000) == PN_OK);
    put_some(&ring, 8, 1);
    IN_DEAD_PROCESS(check_get(&ring, 7, 0, 1));
    pn_sweep(ring.domain);
    IN_DEAD_PROCESS(check_get(&ring, 7, 0, 2));
    pn_sweep(ring.domain);
    check_get(&ring, 8, 1, 1);
    check_unfinished(&ring, 1);
    done(&ring);
    CHECK(pn_ring_task_done(&ring, true) == PN_NOTHING);
    CHECK(pn_lease_look(&ring, &now, views, 4, &used) == PN_OK && used == 1 && now.dead == 1);
    CHECK(views[0].id == 0 && views[0].deliveries == 2 && views[0].reason == PN_LETTER_TOO_OFTEN);
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
    CHECK(pn_lease_read(&ring, 1, &sink, false) == PN_NOTHING);
    CHECK(pn_lease_read(&ring, 0, &sink, false) == PN_OK && item_id((pn_record *)room) == 7);
    sink.used = 0;
    CHECK(pn_lease_read(&ring, 0, &sink, true) == PN_OK);
    CHECK(item_is_whole(ring.domain, (pn_record *)room));
    CHECK(pn_lease_read(&ring, 0, &sink, false) == PN_NOTHING && counts(&ring).dead == 0);
    close_leased(&ring);
}

static void
an_item_with_a_descriptor_is_not_handed_out_again(void)
{
    pn_ring ring;
    pn_lease_view views[2];
    pn_lease_counts now;
    size_t used;
    parcel parcel;
    make_leased(&ring, 0);
    parcel_clear(&parcel);
    parcel_add_bytes(&parcel, 5, 64);
    char *flags = (char *)parcel.bytes + offsetof(pn_record, flags);
    *flags |= (char)PN_RECORD_ONCE;
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
    IN_DEAD_PROCESS(check_get(&ring, 5, 0, 1));
    pn_sweep(ring.domain);
    CHECK(try_get(&ring) == PN_EMPTY);
    check_unfinished(&ring, 0);
    CHECK(pn_lease_look(&ring, &now, views, 2, &used) == PN_OK && used == 1);
    CHECK(views[0].reason == PN_LETTER_ONCE && views[0].deliveries == 1);
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
    CHECK(try_get(&ring) == PN_EMPTY && counts(&ring).waiting == 0 && counts(&ring).leased == 3);
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

static void
after_shutdown_what_the_dead_had_is_handed_on_still(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 2);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(try_get(&ring) == PN_OK);
        pause();
    }
    while (pn_ring_count(&ring) != 1) {
        usleep(1000);
    }
    pn_ring_shut(&ring, false);
    check_get(&ring, 2, 1, 1);
    CHECK(try_get(&ring) ==
          PN_SHUT_DOWN); /* the other has its item in hand: nobody waits for that */
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
    pn_sweep(ring.domain);
    check_get(&ring, 1, 0, 2);
    CHECK(try_get(&ring) == PN_SHUT_DOWN);
    done(&ring);
    done(&ring);
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

static void
a_shutdown_at_once_gives_up_what_waits_and_not_what_is_in_hand(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 3);
    IN_DEAD_PROCESS(check_get(&ring, 1, 0, 1));
    check_get(&ring, 2, 1, 1);
    pn_ring_shut(&ring, true);
    check_unfinished(&ring, 2); /* the dead one's is not known to be such */
    pn_sweep(ring.domain);
    check_unfinished(&ring, 1);
    CHECK(try_get(&ring) == PN_SHUT_DOWN);
    done(&ring);
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

/* Neither for one that nobody has taken, nor for one that a killed process had. */
static void
after_a_shutdown_at_once_nothing_but_what_is_in_hand_can_be_done(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 3);
    IN_DEAD_PROCESS(check_get(&ring, 1, 0, 1));
    check_get(&ring, 2, 1, 1);
    pn_sweep(ring.domain);
    pn_ring_shut(&ring, true);
    done(&ring);
    check_unfinished(&ring, 0);
    CHECK(pn_ring_task_done(&ring, true) == PN_NOTHING);
    check_unfinished(&ring, 0);
    close_leased(&ring);
}

static void
an_object_lives_as_long_as_a_lease_names_it(void)
{
    pn_ring ring;
    parcel parcel;
    uint64_t object;
    uint32_t generation;
    make_leased(&ring, 0);
    CHECK(pn_object_new(ring.domain, PN_OBJECT_MUTEX, "m", &object, &generation) == PN_OK);
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, object);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
    pn_object_drop(ring.domain, object);
    IN_DEAD_PROCESS(check_get(&ring, 1, 0, 1); CHECK(pn_object_held(ring.domain, object)));
    pn_sweep(ring.domain);
    CHECK(pn_object_valid(ring.domain, object));
    check_get(&ring, 1, 0, 2);
    CHECK(pn_object_held(ring.domain, object));
    pn_object_drop(ring.domain, object); /* decoded, and let go */
    CHECK(pn_object_valid(ring.domain, object));
    done(&ring);
    pn_sweep(ring.domain);
    CHECK(!pn_object_valid(ring.domain, object));
    close_leased(&ring);
}

static void *
join_it(void *argument)
{
    pn_status status;
    do {
        status = pn_ring_join(argument, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    CHECK(status == PN_OK);
    return NULL;
}

/* So many sleep on the word. */
static void
wait_for_joiners(pn_ring *ring)
{
    while (atomic_load(&ring->cell->leases.done) == 0) {
        usleep(1000);
    }
    usleep(20000); /* gives them time to sleep; they must be woken in either case */
}

static void
the_last_task_done_wakes_all_who_join(void)
{
    pn_ring ring;
    pthread_t threads[3];
    make_leased(&ring, 0);
    put_some(&ring, 1, 2);
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_create(&threads[i], NULL, join_it, &ring) == 0);
    }
    wait_for_joiners(&ring);
    check_get(&ring, 1, 0, 1);
    done(&ring);
    CHECK(atomic_load(&ring.cell->leases.done) != 0); /* the others are not woken for nothing */
    check_get(&ring, 2, 1, 1);
    done(&ring);
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    close_leased(&ring);
}

static void
what_becomes_a_dead_letter_or_is_given_up_wakes_who_joins(void)
{
    pn_ring ring;
    pthread_t thread;
    make_leased(&ring, 1);
    put_some(&ring, 1, 1);
    CHECK(pthread_create(&thread, NULL, join_it, &ring) == 0);
    wait_for_joiners(&ring);
    IN_DEAD_PROCESS(check_get(&ring, 1, 0, 1));
    pn_sweep(ring.domain);
    CHECK(pthread_join(thread, NULL) == 0);
    put_some(&ring, 2, 1);
    CHECK(pthread_create(&thread, NULL, join_it, &ring) == 0);
    wait_for_joiners(&ring);
    pn_ring_shut(&ring, true);
    CHECK(pthread_join(thread, NULL) == 0);
    close_leased(&ring);
}

static void *
get_it(void *argument)
{
    uint64_t mine[8];
    uint32_t id;
    pn_status status;
    do {
        status = get_one(argument, mine, sizeof(mine), PN_FOREVER, &id);
    } while (status == PN_INTERRUPTED);
    CHECK(status == PN_OK && id == 1);
    return NULL;
}

static void
a_sleeping_consumer_is_woken_for_what_the_dead_had(void)
{
    pn_ring ring;
    pthread_t thread;
    make_leased(&ring, 0);
    put_some(&ring, 1, 1);
    IN_DEAD_PROCESS(check_get(&ring, 1, 0, 1));
    CHECK(pthread_create(&thread, NULL, get_it, &ring) == 0);
    while (atomic_load(&ring.cell->not_empty) == 0) {
        usleep(1000);
    }
    pn_sweep(ring.domain);
    CHECK(pthread_join(thread, NULL) == 0);
    pn_object_drop(ring.domain, ring.offset); /* with a lease out */
    CHECK(count_objects(ring.domain) == 0);
    CHECK(pn_heap_used(ring.domain, PN_BLOCK_SEGMENT) == 0);
    pn_domain_close(ring.domain);
}

static void
a_sleeper_notices_a_death_by_itself(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 1);
    IN_DEAD_PROCESS(check_get(&ring, 1, 0, 1));
    get_it(&ring); /* nobody else sweeps */
    done(&ring);
    close_leased(&ring);
}

int
main(void)
{
    RUN(an_item_is_unfinished_from_its_put_to_task_done);
    RUN(task_done_before_the_get_counts_for_an_item);
    RUN(leases_grow_beyond_any_limit_and_memory_comes_back);
    RUN(many_are_taken_at_once_and_each_has_a_lease);
    RUN(what_a_killed_consumer_had_comes_again_oldest_first);
    RUN(many_leases_of_one_dead_come_again_in_order);
    RUN(a_clean_end_leaves_its_items_unfinished_and_named);
    RUN(another_end_than_a_clean_one_hands_on);
    RUN(an_item_that_kills_becomes_a_dead_letter);
    RUN(an_item_with_a_descriptor_is_not_handed_out_again);
    RUN(void_leases_do_not_come_back);
    RUN(another_process_may_say_that_it_is_done);
    RUN(one_ends_its_own_before_others);
    RUN(threads_end_each_their_own);
    RUN(after_shutdown_what_the_dead_had_is_handed_on_still);
    RUN(a_shutdown_at_once_gives_up_what_waits_and_not_what_is_in_hand);
    RUN(after_a_shutdown_at_once_nothing_but_what_is_in_hand_can_be_done);
    RUN(an_object_lives_as_long_as_a_lease_names_it);
    RUN(the_last_task_done_wakes_all_who_join);
    RUN(what_becomes_a_dead_letter_or_is_given_up_wakes_who_joins);
    RUN(a_sleeping_consumer_is_woken_for_what_the_dead_had);
    RUN(a_sleeper_notices_a_death_by_itself);
    return 0;
}
