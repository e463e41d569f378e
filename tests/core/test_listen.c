/* Listening: lines, hints, wakes, deaths; bells. */
#define _GNU_SOURCE
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "bell.h"
#include "items.h"
#include "many.h"
#include "sweep.h"

static pn_ring
make_ring(pn_domain *domain)
{
    uint64_t offset;
    uint32_t generation;
    pn_ring ring;
    CHECK(pn_ring_new(domain, "ring", 0, 0, &offset, &generation) == PN_OK);
    pn_ring_open(&ring, domain, offset);
    return ring;
}

static pn_object *
object_of(pn_ring *ring)
{
    return pn_at(ring->domain, ring->offset);
}

static uint32_t
lines(pn_domain *domain)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < PN_LISTENERS; i++) {
        count += atomic_load(&domain->listeners[i].owner) != 0;
    }
    return count;
}

static pn_many_item
item_of(pn_ring *ring)
{
    return (pn_many_item){.domain = ring->domain, .offset = ring->offset, .want = PN_FOR_GET};
}

static void
get_one_now(pn_ring *ring)
{
    uint64_t room[64];
    uint32_t id;
    CHECK(get_one(ring, room, sizeof(room), pn_now() + 1000000000, &id) == PN_OK);
}

static void
the_hint_follows_the_lines(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = make_ring(domain);
    CHECK(atomic_load(&object_of(&ring)->listened) == 0);
    uint32_t seat = pn_seat_take(domain);
    uint32_t get = pn_listen_begin(domain, ring.offset, PN_FOR_GET, seat);
    uint32_t put = pn_listen_begin(domain, ring.offset, PN_FOR_PUT, seat);
    CHECK(lines(domain) == 3);
    CHECK((atomic_load(&object_of(&ring)->listened) & PN_FOR_ANY) == (PN_FOR_GET | PN_FOR_PUT));
    CHECK(put_one(&ring, 1) == PN_OK);
    CHECK(atomic_load(&domain->listeners[get].heard) == 1);
    CHECK(atomic_load(&domain->listeners[put].heard) == 0);
    pn_listen_end(domain, get);
    CHECK(put_one(&ring, 2) == PN_OK); /* notices that nobody is there */
    CHECK((atomic_load(&object_of(&ring)->listened) & PN_FOR_ANY) == PN_FOR_PUT);
    get_one_now(&ring);
    CHECK(atomic_load(&domain->listeners[put].heard) == 1);
    pn_listen_end(domain, put);
    pn_listen_end(domain, seat);
    get_one_now(&ring);
    CHECK((atomic_load(&object_of(&ring)->listened) & (PN_FOR_ANY | PN_LISTEN_WIDE)) == 0);
    CHECK(lines(domain) == 0);
    pn_domain_close(domain);
}

static void
more_listeners_than_a_window_has_lines_are_all_told(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = make_ring(domain);
    uint32_t seat = pn_seat_take(domain), line[3 * PN_LISTEN_WINDOW];
    for (uint32_t i = 0; i < 3 * PN_LISTEN_WINDOW; i++) {
        line[i] = pn_listen_begin(domain, ring.offset, PN_FOR_GET, seat);
        CHECK(line[i] != PN_NO_LINE);
    }
    CHECK(atomic_load(&object_of(&ring)->listened) & PN_LISTEN_WIDE);
    CHECK(put_one(&ring, 1) == PN_OK);
    for (uint32_t i = 0; i < 3 * PN_LISTEN_WINDOW; i++) {
        CHECK(atomic_load(&domain->listeners[line[i]].heard) == 1);
        pn_listen_end(domain, line[i]);
    }
    CHECK(put_one(&ring, 1) == PN_OK);
    CHECK((atomic_load(&object_of(&ring)->listened) & PN_LISTEN_WIDE) == 0);
    pn_domain_close(domain);
}

static void
a_full_table_says_so_and_comes_back(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = make_ring(domain);
    static uint32_t taken[PN_LISTENERS];
    for (uint32_t i = 0; i < PN_LISTENERS; i++) {
        taken[i] = pn_seat_take(domain);
        CHECK(taken[i] != PN_NO_LINE);
    }
    CHECK(pn_seat_take(domain) == PN_NO_LINE);
    CHECK(pn_listen_begin(domain, ring.offset, PN_FOR_GET, 0) == PN_NO_LINE);
    pn_many_item item = item_of(&ring);
    pn_many many = {.items = &item, .count = 1};
    pn_many_begin(&many);
    CHECK(many.deaf && pn_many_sleep(&many, pn_now() + 20000000) != PN_OK);
    CHECK(put_one(&ring, 1) == PN_OK);
    CHECK(pn_many_sleep(&many, PN_FOREVER) == PN_OK && item.ready);
    pn_many_end(&many);
    pn_listen_end(domain, taken[7]);
    CHECK(pn_seat_take(domain) == taken[7]);
    pn_domain_close(domain);
}

static void
lines_of_the_dead_are_swept(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = make_ring(domain);
    IN_DEAD_PROCESS(pn_listen_begin(domain, ring.offset, PN_FOR_GET, pn_seat_take(domain)));
    CHECK(lines(domain) == 2);
    pn_sweep(domain);
    CHECK(lines(domain) == 0);
    CHECK((atomic_load(&object_of(&ring)->listened) & PN_FOR_ANY) == 0);
    pn_domain_close(domain);
}

/* A process that found the process table full has no line of it, so nobody sweeps after it. */
static void
lines_of_the_unseen_dead_are_found_when_lines_run_short(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = make_ring(domain);
    IN_DEAD_PROCESS(domain->slot = PN_SLOTS;
                    pn_listen_begin(domain, ring.offset, PN_FOR_GET, pn_seat_take(domain)));
    uint32_t count = lines(domain);
    pn_sweep(domain);
    CHECK(count == 2 && lines(domain) == 2);
    for (uint32_t i = 0; i < PN_LISTENERS; i++) {
        CHECK(pn_seat_take(domain) != PN_NO_LINE);
    }
    CHECK(pn_seat_take(domain) == PN_NO_LINE);
    pn_domain_close(domain);
}

typedef struct {
    pn_ring *rings;
    uint32_t count, rounds;
} crowd;

static void *
take_all(void *context)
{
    crowd *crowd = context;
    pn_many_item items[8];
    for (uint32_t i = 0; i < crowd->count; i++) {
        items[i] = item_of(&crowd->rings[i]);
    }
    pn_many many = {.items = items, .count = crowd->count};
    uint32_t got = 0;
    pn_many_begin(&many);
    while (got < crowd->rounds) {
        if (!pn_many_look(&many)) {
            pn_status status = pn_many_sleep(&many, PN_FOREVER);
            CHECK(status == PN_OK || status == PN_INTERRUPTED);
            continue;
        }
        for (uint32_t i = 0; i < crowd->count; i++) {
            if (items[i].ready) {
                get_one_now(&crowd->rings[i]);
                got++;
            }
        }
    }
    pn_many_end(&many);
    return NULL;
}

static void
one_of_several_is_heard_every_time(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring mine[4], theirs[4];
    for (int i = 0; i < 4; i++) {
        mine[i] = theirs[i] = make_ring(domain);
    }
    crowd crowd = {theirs, 4, 4000};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, take_all, &crowd) == 0);
    for (uint32_t i = 0; i < crowd.rounds; i++) {
        CHECK(put_one(&mine[i % 4], i) == PN_OK);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(lines(domain) == 0);
    pn_domain_close(domain);
}

static bool
rings_within(int fd, int ms)
{
    struct pollfd bell = {.fd = fd, .events = POLLIN};
    return poll(&bell, 1, ms) == 1;
}

static void
a_bell_rings_while_there_is_something(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = make_ring(domain);
    pn_bell *bell = pn_bell_new(1, false);
    bell->items[0] = (pn_bell_item){.domain = domain, .offset = ring.offset, .want = PN_FOR_GET};
    int fd = pn_bell_arm(bell, false);
    CHECK(fd >= 0 && !rings_within(fd, 0));
    for (uint32_t i = 0; i < 200; i++) {
        CHECK(put_one(&ring, i) == PN_OK);
        CHECK(rings_within(fd, -1));
        get_one_now(&ring);
        pn_bell_settle(domain, ring.offset);
        CHECK(!rings_within(fd, 0));
    }
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(bell->fd == -1 && put_one(&ring, 1) == PN_OK);
        int own = pn_bell_arm(bell, false);
        CHECK(rings_within(own, -1));
        pn_bell_drop(bell);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(rings_within(fd, -1));
    pn_bells_pause();
    pn_bells_resume();
    pn_bell_disarm(bell);
    CHECK(!rings_within(fd, 0));
    CHECK(pn_bell_arm(bell, true) == fd && rings_within(fd, 0));
    CHECK(pn_wait_count(domain, ring.offset) == 1);
    pn_bell_drop(bell);
    pn_sweep(domain);
    CHECK(lines(domain) == 0 && pn_wait_count(domain, ring.offset) == 0);
    pn_domain_close(domain); /* the thread has left it */
    pn_bells_pause();
    pn_bells_resume();
}

static void
a_dead_owners_lock_is_mended(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset;
    uint32_t generation;
    CHECK(pn_object_new(domain, PN_OBJECT_LOCK, "lock", &offset, &generation) == PN_OK);
    pn_lock *lock = &((pn_lock_cell *)pn_at(domain, offset))->lock;
    IN_DEAD_PROCESS(pn_ledger_try(lock, domain->slot));
    CHECK(!pn_is_ready(domain, offset, PN_FOR_GET));
    pn_listen_mend(domain, offset);
    CHECK(pn_is_ready(domain, offset, PN_FOR_GET));
    CHECK(pn_ledger_try(lock, domain->slot) == PN_OWNER_DIED);
    pn_listen_mend(domain, offset); /* whose owner lives */
    CHECK(!pn_is_ready(domain, offset, PN_FOR_GET));
    pn_domain_close(domain);
}

int
main(void)
{
    RUN(the_hint_follows_the_lines);
    RUN(more_listeners_than_a_window_has_lines_are_all_told);
    RUN(a_full_table_says_so_and_comes_back);
    RUN(lines_of_the_dead_are_swept);
    RUN(lines_of_the_unseen_dead_are_found_when_lines_run_short);
    RUN(one_of_several_is_heard_every_time);
    RUN(a_bell_rings_while_there_is_something);
    RUN(a_dead_owners_lock_is_mended);
    return 0;
}
