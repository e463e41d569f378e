/* Leases: what the dead had comes again, or becomes a dead letter. */
#define _GNU_SOURCE
#include "leased.h"

#include <pthread.h>
#include <signal.h>

#include "heap.h"
#include "items.h"
#include "slots.h"
#include "sweep.h"

static void
what_a_killed_consumer_had_comes_again_oldest_first(void)
{
    pn_ring ring;
    make_leased(&ring, 0);
    put_some(&ring, 1, 4);
    IN_DEAD_PROCESS(check_get(&ring, 1, 0, 1); check_get(&ring, 2, 1, 1); check_get(&ring, 3, 2, 1);
                    done(&ring));
    CHECK(lease_counts(&ring).leased == 2);
    pn_sweep(ring.domain);
    CHECK(lease_counts(&ring).leased == 0 && lease_counts(&ring).waiting == 2);
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
    CHECK(pn_lease_read(&ring, 0, &sink, false) == PN_NOTHING && lease_counts(&ring).dead == 0);
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
    RUN(what_a_killed_consumer_had_comes_again_oldest_first);
    RUN(many_leases_of_one_dead_come_again_in_order);
    RUN(a_clean_end_leaves_its_items_unfinished_and_named);
    RUN(another_end_than_a_clean_one_hands_on);
    RUN(an_item_that_kills_becomes_a_dead_letter);
    RUN(an_item_with_a_descriptor_is_not_handed_out_again);
    RUN(an_object_lives_as_long_as_a_lease_names_it);
    RUN(a_sleeping_consumer_is_woken_for_what_the_dead_had);
    RUN(a_sleeper_notices_a_death_by_itself);
    return 0;
}
