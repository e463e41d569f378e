/* The pipe: messages both ways, its bound, and who sleeps at it. */
#define _GNU_SOURCE
#include "piped.h"

#include <pthread.h>

#include "waits.h"

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
    RUN(who_waits_for_room_learns_of_a_death);
    RUN(all_who_wait_learn_that_it_was_closed);
    RUN(closing_calls_own_threads_back);
    return 0;
}
