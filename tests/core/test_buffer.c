/* Buffers: who has one, who frees it, what a death leaves of it. */
#define _GNU_SOURCE
#include "check.h"

#include <signal.h>
#include <string.h>

#include "buffer.h"
#include "held.h"
#include "items.h"
#include "slots.h"
#include "sweep.h"

static uint64_t
new_buffer(pn_domain *domain, uint64_t bytes, int fill)
{
    uint64_t offset;
    uint32_t generation;
    CHECK(pn_buffer_new(domain, bytes, 0, &offset, &generation) == PN_OK);
    memset(pn_buffer_bytes(domain, offset), fill, bytes);
    return offset;
}

static pn_ring
new_ring(pn_domain *domain)
{
    uint64_t offset;
    uint32_t generation;
    pn_ring ring;
    CHECK(pn_ring_new(domain, "", 0, 0, &offset, &generation) == PN_OK);
    pn_ring_open(&ring, domain, offset);
    return ring;
}

/* Put an item with a buffer of its own, which this process has no more afterwards. */
static uint64_t
put_buffer(pn_ring *ring, uint32_t id, uint64_t bytes)
{
    static parcel parcel;
    parcel_clear(&parcel);
    CHECK(parcel_add_buffer(&parcel, ring->domain, id, bytes));
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(ring, &batch) == PN_OK);
    uint64_t buffer = item_object((const pn_record *)parcel.bytes);
    pn_object_drop(ring->domain, buffer);
    return buffer;
}

static uint64_t
get_buffer(pn_ring *ring, uint32_t wanted)
{
    uint64_t room[64];
    uint32_t id;
    CHECK(get_one(ring, room, sizeof(room), 0, &id) == PN_OK && id == wanted);
    CHECK(item_is_whole(ring->domain, (const pn_record *)room));
    return item_object((const pn_record *)room);
}

static void
put_object(pn_ring *ring, uint64_t object)
{
    static parcel parcel;
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, object);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(ring, &batch) == PN_OK);
}

static uint64_t
payloads(pn_domain *domain)
{
    return pn_heap_used(domain, PN_BLOCK_PAYLOAD);
}

static void
the_last_drop_frees_it(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset, again;
    uint32_t generation, other;
    CHECK(pn_buffer_new(domain, 5000, PN_BUFFER_READONLY, &offset, &generation) == PN_OK);
    CHECK(pn_buffer_length(domain, offset) == 5000 && payloads(domain) == 2 * PN_PAGE);
    CHECK(atomic_load(&pn_buffer_at(domain, offset)->flags) == PN_BUFFER_READONLY);
    CHECK_SOUND(audit_domain(domain));
    pn_object_retain(domain, offset);
    pn_object_drop(domain, offset);
    CHECK(payloads(domain) == 2 * PN_PAGE);
    pn_object_drop(domain, offset);
    CHECK(payloads(domain) == 0 && count_objects(domain) == 0);
    CHECK(pn_object_attach(domain, offset, generation) == PN_STALE);
    CHECK(pn_buffer_new(domain, 0, 0, &again, &other) == PN_OK);
    CHECK(again == offset && other != generation && pn_buffer_length(domain, again) == 0);
    pn_object_drop(domain, again);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
an_item_keeps_its_buffer_and_who_takes_it_frees_it(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = new_ring(domain);
    put_buffer(&ring, 7, 9000);
    CHECK(payloads(domain) == 3 * PN_PAGE);
    CHECK_SOUND(audit_domain(domain));
    uint64_t buffer = get_buffer(&ring, 7);
    CHECK(payloads(domain) == 3 * PN_PAGE);
    pn_object_drop(domain, buffer); /* no sweep, no walk: the sums say it */
    CHECK(payloads(domain) == 0);
    pn_object_drop(domain, ring.offset);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

static void
it_may_be_put_by_its_handle_again_and_again(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = new_ring(domain);
    uint64_t room[64], buffer = new_buffer(domain, 100, 3);
    uint32_t id;
    for (int turn = 0; turn < 100; turn++) {
        put_object(&ring, buffer);
        put_object(&ring, buffer);
        CHECK(get_one(&ring, room, sizeof(room), 0, &id) == PN_OK);
        pn_object_drop(domain, buffer);
        CHECK_SOUND(audit_domain(domain));
    }
    pn_object_drop(domain, buffer);
    CHECK(payloads(domain) != 0); /* a hundred items name it */
    pn_object_drop(domain, ring.offset);
    CHECK(payloads(domain) == 0 && count_objects(domain) == 0);
    pn_domain_close(domain);
}

static void
items_outlive_their_sender(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = new_ring(domain);
    IN_DEAD_PROCESS(for (uint32_t id = 1; id <= 50; id++) { put_buffer(&ring, id, 5000); });
    CHECK(pn_sweep(domain) == 1);
    CHECK_SOUND(audit_domain(domain));
    for (uint32_t id = 1; id <= 50; id++) {
        pn_object_drop(domain, get_buffer(&ring, id));
    }
    CHECK(payloads(domain) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
what_the_dead_had_comes_back(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = new_ring(domain);
    put_buffer(&ring, 1, 5000);
    put_buffer(&ring, 2, 5000);
    IN_DEAD_PROCESS(get_buffer(&ring, 1); new_buffer(domain, 100000, 1);
                    /* killed between the count and the commit */
                    pn_object_count_put(domain, new_buffer(domain, 100000, 1)););
    CHECK(payloads(domain) > 200000);
    CHECK(pn_sweep(domain) == 1);
    CHECK(payloads(domain) == 2 * PN_PAGE);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, get_buffer(&ring, 2));
    CHECK(payloads(domain) == 0);
    pn_domain_close(domain);
}

/* After a death the sums of what was on its way say nothing any more: the items are looked at. */
static void
a_count_too_many_keeps_nothing_alive(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = new_ring(domain);
    uint64_t buffer = new_buffer(domain, 5000, 1);
    put_object(&ring, buffer);
    IN_DEAD_PROCESS(pn_object_count_put(domain, buffer));
    CHECK(pn_sweep(domain) == 1);
    pn_object_drop(domain, buffer);
    CHECK(payloads(domain) != 0);
    pn_sweep(domain);
    CHECK(payloads(domain) != 0); /* still named */
    uint64_t room[64];
    uint32_t id;
    CHECK(get_one(&ring, room, sizeof(room), 0, &id) == PN_OK);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, buffer);
    CHECK(payloads(domain) == 0); /* without another sweep */
    pn_domain_close(domain);
}

/* A chain of queues, each the only item of the one before it, is given up without recursion. */
static void
queues_in_queues_are_given_up(void)
{
    enum { DEEP = 400 };
    pn_domain *domain = make_domain(0);
    pn_ring outer = new_ring(domain), last = outer;
    for (int i = 0; i < DEEP; i++) {
        pn_ring next = new_ring(domain);
        put_object(&last, next.offset);
        if (i > 0) {
            pn_object_drop(domain, last.offset);
        }
        last = next;
    }
    put_buffer(&last, 1, 5000);
    pn_object_drop(domain, last.offset);
    CHECK(count_objects(domain) == DEEP + 2);
    pn_object_drop(domain, outer.offset);
    CHECK(count_objects(domain) == 0 && payloads(domain) == 0);
    CHECK(pn_heap_used(domain, PN_BLOCK_SEGMENT) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
a_queue_in_itself_is_freed(void)
{
    pn_domain *domain = make_domain(0);
    pn_ring ring = new_ring(domain);
    put_object(&ring, ring.offset);
    put_buffer(&ring, 2, 5000);
    pn_object_drop(domain, ring.offset);
    CHECK(count_objects(domain) == 0 && payloads(domain) == 0);
    pn_domain_close(domain);
}

/* A child looks at bytes that its parent has let go of; the parent makes new ones meanwhile. */
static void
a_fork_keeps_what_its_parent_drops(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t buffer = new_buffer(domain, 50000, 0x33);
    int go[2];
    CHECK(pipe(go) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        CHECK(read(go[0], &byte, 1) == 1);
        for (int i = 0; i < 50000; i++) {
            CHECK(pn_buffer_bytes(domain, buffer)[i] == 0x33);
        }
        pn_object_drop(domain, buffer);
        _exit(0);
    }
    pn_object_drop(domain, buffer);
    uint64_t others[20];
    for (int i = 0; i < 20; i++) {
        others[i] = new_buffer(domain, 50000, 0x44);
        CHECK(others[i] != buffer);
    }
    CHECK(write(go[1], "x", 1) == 1);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    for (int i = 0; i < 20; i++) {
        pn_object_drop(domain, others[i]);
    }
    CHECK(payloads(domain) == 0);
    close(go[0]);
    close(go[1]);
    pn_domain_close(domain);
}

static void
many_are_held_and_found(void)
{
    enum { MANY = 3000 };
    pn_domain *domain = make_domain(0);
    static uint64_t offsets[MANY];
    unsigned seed = 5;
    for (int i = 0; i < MANY; i++) {
        offsets[i] = new_buffer(domain, 1, i);
        pn_object_retain(domain, offsets[i]);
    }
    CHECK(domain->held_used == MANY && count_objects(domain) == MANY);
    for (int turn = 0; turn < 2 * MANY; turn++) {
        int i = rand_r(&seed) % MANY;
        if (pn_object_held(domain, offsets[i])) {
            pn_held *held = pn_held_find(domain, offsets[i]);
            CHECK(held->offset == offsets[i] && held->count <= 2);
            CHECK(pn_buffer_bytes(domain, offsets[i])[0] == (char)i);
            pn_object_drop(domain, offsets[i]);
        }
    }
    CHECK_SOUND(audit_domain(domain));
    for (int i = 0; i < MANY; i++) {
        while (pn_object_held(domain, offsets[i])) {
            pn_object_drop(domain, offsets[i]);
        }
    }
    CHECK(domain->held_used == 0 && count_objects(domain) == 0 && payloads(domain) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

/* Who dies between a slab's kind and its place in the list leaves one that is in none. */
static void
an_unlinked_slab_is_found_again(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t buffer = new_buffer(domain, 1, 1);
    IN_DEAD_PROCESS(CHECK(pn_domain_enter(domain) == PN_OK);
                    atomic_store(&domain->header->slabs[0], 0); domain->header->slab_hint[0] = 0);
    CHECK(pn_domain_enter(domain) == PN_OK);
    CHECK(pn_slab_next_cell(domain, PN_BLOCK_SLAB_SMALL, 0) == buffer);
    pn_domain_leave(domain);
    pn_sweep(domain);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, buffer);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

static void
without_memory_nothing_is_left_and_the_dead_give_theirs(void)
{
    pn_domain *domain = make_domain(UINT64_C(8) << 20);
    uint64_t offset;
    uint32_t generation;
    uint64_t large = new_buffer(domain, UINT64_C(5) << 20, 1);
    CHECK(pn_buffer_new(domain, UINT64_C(5) << 20, 0, &offset, &generation) == PN_NO_MEMORY);
    CHECK(pn_buffer_new(domain, UINT64_C(9) << 20, 0, &offset, &generation) == PN_TOO_BIG);
    CHECK(count_objects(domain) == 1);
    pn_object_drop(domain, large);
    IN_DEAD_PROCESS(new_buffer(domain, UINT64_C(5) << 20, 1));
    atomic_store(&domain->header->last_sweep, 0); /* a second passes */
    CHECK(pn_buffer_new(domain, UINT64_C(5) << 20, 0, &offset, &generation) == PN_OK);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
a_small_shared_one_needs_no_block(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t small, large, ours;
    uint32_t generation;
    CHECK(pn_buffer_new(domain, PN_BUFFER_SMALL, PN_BUFFER_SHARED, &small, &generation) == PN_OK);
    CHECK(payloads(domain) == 0);
    CHECK(pn_buffer_bytes(domain, small) == (char *)pn_at(domain, small) + PN_BUFFER_INSIDE);
    CHECK((uintptr_t)pn_buffer_bytes(domain, small) % 64 == 0);
    for (uint32_t i = 0; i < PN_BUFFER_SMALL; i++) {
        CHECK(pn_buffer_bytes(domain, small)[i] == 0);
    }
    memset(pn_buffer_bytes(domain, small), 0xff, PN_BUFFER_SMALL);
    CHECK_SOUND(audit_domain(domain));
    CHECK(pn_buffer_new(domain, PN_BUFFER_SMALL + 1, PN_BUFFER_SHARED, &large, &generation) ==
          PN_OK);
    CHECK(payloads(domain) == PN_PAGE);
    CHECK(pn_buffer_new(domain, 1, 0, &ours, &generation) == PN_OK);
    CHECK(payloads(domain) == 2 * PN_PAGE); /* it is mapped by itself: needs a page */
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, small);
    pn_object_drop(domain, large);
    pn_object_drop(domain, ours);
    CHECK(count_objects(domain) == 0 && payloads(domain) == 0);
    IN_DEAD_PROCESS(pn_buffer_new(domain, 8, PN_BUFFER_SHARED, &small, &generation));
    CHECK(count_objects(domain) == 1);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

int
main(void)
{
    RUN(a_small_shared_one_needs_no_block);
    RUN(the_last_drop_frees_it);
    RUN(an_item_keeps_its_buffer_and_who_takes_it_frees_it);
    RUN(it_may_be_put_by_its_handle_again_and_again);
    RUN(items_outlive_their_sender);
    RUN(what_the_dead_had_comes_back);
    RUN(a_count_too_many_keeps_nothing_alive);
    RUN(queues_in_queues_are_given_up);
    RUN(a_queue_in_itself_is_freed);
    RUN(a_fork_keeps_what_its_parent_drops);
    RUN(many_are_held_and_found);
    RUN(an_unlinked_slab_is_found_again);
    RUN(without_memory_nothing_is_left_and_the_dead_give_theirs);
    return 0;
}
