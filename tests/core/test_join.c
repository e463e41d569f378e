/* Leases: who joins, and what a shutdown does to what is unfinished. */
#define _GNU_SOURCE
#include "leased.h"

#include <pthread.h>
#include <signal.h>

#include "sweep.h"

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

int
main(void)
{
    RUN(after_shutdown_what_the_dead_had_is_handed_on_still);
    RUN(a_shutdown_at_once_gives_up_what_waits_and_not_what_is_in_hand);
    RUN(after_a_shutdown_at_once_nothing_but_what_is_in_hand_can_be_done);
    RUN(the_last_task_done_wakes_all_who_join);
    RUN(what_becomes_a_dead_letter_or_is_given_up_wakes_who_joins);
    return 0;
}
