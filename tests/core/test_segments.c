/* The queue's segments: growing, leaving, shrinking, and the ends of the numbers. */
#include "check.h"

#include "heap.h"
#include "items.h"
#include "slots.h"

#define POSITION(number, byte) ((uint64_t)(number) << 40 | (byte))

static uint64_t room[PN_RING_INLINE / 8 + 16];

static void
make_ring(pn_ring *ring, uint64_t max_bytes)
{
    uint64_t offset;
    uint32_t generation;
    pn_domain *domain = make_domain(max_bytes);
    CHECK(pn_ring_new(domain, "ring", 0, 0, &offset, &generation) == PN_OK);
    pn_ring_open(ring, domain, offset);
}

static void
check_next(pn_ring *ring, uint32_t wanted)
{
    uint32_t id;
    CHECK(get_one(ring, room, sizeof(room), 0, &id) == PN_OK);
    CHECK(id == wanted);
    CHECK(item_is_whole(ring->domain, (pn_record *)room));
}

/* White box: as if both ends had come that far. */
static void
move_to(pn_ring *ring, uint64_t position)
{
    pn_ring_cell *cell = ring->cell;
    uint64_t number = position >> 40;
    cell->segment[number % PN_RING_SEGMENTS].block = cell->segment[0].block;
    cell->segment[number % PN_RING_SEGMENTS].capacity = cell->segment[0].capacity;
    cell->head = cell->tail = position;
    cell->head_mark[0] = cell->tail_mark[0] = (pn_mark){position, 0, 0};
}

static void
a_long_queue_grows_and_gives_back(void)
{
    pn_ring ring;
    make_ring(&ring, 0);
    for (uint32_t id = 1; id <= 2000; id++) {
        CHECK(put_bytes(&ring, id, 3000 + id) == PN_OK);
    }
    CHECK(pn_ring_count(&ring) == 2000);
    CHECK_SOUND(audit_ring(ring.domain, ring.offset));
    uint64_t most = pn_heap_used(ring.domain, PN_BLOCK_SEGMENT);
    for (uint32_t id = 1; id <= 2000; id++) {
        check_next(&ring, id);
    }
    CHECK(pn_ring_count(&ring) == 0 && pn_ring_bytes(&ring) == 0);
    CHECK(pn_heap_used(ring.domain, PN_BLOCK_SEGMENT) < most);
    CHECK(put_one(&ring, 1) == PN_OK); /* jumps to a small segment */
    check_next(&ring, 1);
    CHECK(pn_heap_used(ring.domain, PN_BLOCK_SEGMENT) == PN_RING_FIRST);
    CHECK_SOUND(audit_ring(ring.domain, ring.offset));
    CHECK_SOUND(audit_heap(ring.domain));
    pn_object_drop(ring.domain, ring.offset);
    CHECK(pn_heap_used(ring.domain, PN_BLOCK_SEGMENT) == 0);
    pn_domain_close(ring.domain);
}

static void
two_views_follow_each_other_through_segments(void)
{
    pn_ring writer, reader;
    make_ring(&writer, 0);
    pn_ring_open(&reader, writer.domain, writer.offset);
    uint32_t put = 0, got = 0;
    for (int turn = 0; turn < 60; turn++) {
        for (int i = 0; i < turn; i++) {
            CHECK(put_bytes(turn % 2 ? &writer : &reader, ++put, 5000) == PN_OK);
        }
        for (int i = 0; i < turn - turn / 3; i++) {
            check_next(turn % 2 ? &reader : &writer, ++got);
        }
        CHECK_SOUND(audit_ring(writer.domain, writer.offset));
    }
    CHECK(pn_ring_count(&writer) == put - got);
    pn_domain_close(writer.domain);
}

static void
numbers_wrap(void)
{
    pn_ring ring;
    make_ring(&ring, 0);
    move_to(&ring, POSITION(0xffffff, 64));
    for (uint32_t id = 1; id <= 40; id++) { /* into segments 0 and 1 */
        CHECK(put_bytes(&ring, id, 4000) == PN_OK);
    }
    CHECK(ring.cell->tail >> 40 < 4);
    CHECK_SOUND(audit_ring(ring.domain, ring.offset));
    for (uint32_t id = 1; id <= 40; id++) {
        check_next(&ring, id);
    }
    CHECK(pn_ring_count(&ring) == 0);
    pn_domain_close(ring.domain);
}

static void
a_segment_that_was_used_for_very_long_is_left(void)
{
    pn_ring ring;
    make_ring(&ring, 0);
    move_to(&ring, POSITION(5, (UINT64_C(1) << 39) + 8));
    CHECK(put_one(&ring, 1) == PN_OK);
    CHECK(ring.cell->tail >> 40 == 6);
    check_next(&ring, 1);
    CHECK(ring.cell->head >> 40 == 6);
    CHECK_SOUND(audit_ring(ring.domain, ring.offset));
    pn_domain_close(ring.domain);
}

/* It was a loop without an end: grow said yes, jump said no. */
static void
more_than_32_segments_are_refused(void)
{
    pn_ring ring;
    uint32_t put = 0;
    make_ring(&ring, 0);
    pn_status status;
    while ((status = put_bytes(&ring, ++put, 12000)) == PN_OK) {
        /* White box: each segment stays as small as the first. */
        uint64_t number = ring.cell->tail >> 40;
        ring.cell->segment[number % PN_RING_SEGMENTS].capacity = PN_RING_FIRST;
        ring.put.number = UINT64_MAX;
        CHECK(number < PN_RING_SEGMENTS);
    }
    CHECK(status == PN_NO_MEMORY);
    CHECK_SOUND(audit_ring(ring.domain, ring.offset));
    for (uint32_t id = 1; id < put; id++) {
        check_next(&ring, id);
    }
    CHECK(put_one(&ring, 1) == PN_OK);
    pn_domain_close(ring.domain);
}

static void
when_memory_ends_nothing_was_put(void)
{
    pn_ring ring;
    uint32_t put = 0;
    make_ring(&ring, UINT64_C(3) << 20);
    pn_status status;
    while ((status = put_bytes(&ring, ++put, 16000)) == PN_OK) {
    }
    CHECK(status == PN_NO_MEMORY);
    CHECK(pn_ring_count(&ring) == put - 1);
    CHECK_SOUND(audit_ring(ring.domain, ring.offset));
    check_next(&ring, 1);
    for (uint32_t id = 2; id < put; id++) {
        check_next(&ring, id);
    }
    CHECK(put_one(&ring, 1) == PN_OK);
    pn_domain_close(ring.domain);
}

/* Giving a large segment back is a wish: a put that has room must not fail for it. */
static void
an_empty_queue_works_when_memory_has_ended(void)
{
    pn_ring ring;
    uint64_t block;
    uint32_t id = 0;
    make_ring(&ring, UINT64_C(24) << 20);
    while (ring.put.capacity < UINT64_C(4) << 20) {
        CHECK(put_bytes(&ring, ++id, 16000) == PN_OK);
    }
    for (uint32_t next = 1; next <= id; next++) {
        check_next(&ring, next);
    }
    for (uint64_t bytes = UINT64_C(1) << 23; bytes >= PN_PAGE; bytes /= 2) {
        while (pn_heap_alloc(ring.domain, bytes, PN_BLOCK_PAYLOAD, 0, &block) == PN_OK) {
        }
    }
    CHECK(put_one(&ring, 1) == PN_OK);
    CHECK(put_one(&ring, 2) == PN_OK);
    check_next(&ring, 1);
    check_next(&ring, 2);
    CHECK_SOUND(audit_heap(ring.domain));
    pn_domain_close(ring.domain);
}

int
main(void)
{
    RUN(a_long_queue_grows_and_gives_back);
    RUN(two_views_follow_each_other_through_segments);
    RUN(numbers_wrap);
    RUN(a_segment_that_was_used_for_very_long_is_left);
    RUN(more_than_32_segments_are_refused);
    RUN(when_memory_ends_nothing_was_put);
    RUN(an_empty_queue_works_when_memory_has_ended);
    return 0;
}
