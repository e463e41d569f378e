/* The queue: order, batches, limits, counts, what records name, shutdown. */
#include "check.h"

#include <pthread.h>
#include <signal.h>

#include "heap.h"
#include "items.h"
#include "slots.h"

static uint64_t room[PN_RING_INLINE / 8 + 16];

static void
make_ring(pn_ring *ring, uint64_t max_items, uint64_t max_bytes)
{
    uint64_t offset;
    uint32_t generation;
    pn_domain *domain = make_domain(0);
    CHECK(pn_ring_new(domain, "ring", max_items, max_bytes, &offset, &generation) == PN_OK);
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

static void
check_empty(pn_ring *ring)
{
    uint32_t id;
    CHECK(get_one(ring, room, sizeof(room), 0, &id) == PN_EMPTY);
    CHECK(pn_ring_count(ring) == 0 && pn_ring_bytes(ring) == 0);
    CHECK_SOUND(audit_ring(ring->domain, ring->offset));
}

static void
close_ring(pn_ring *ring)
{
    CHECK_SOUND(audit_ring(ring->domain, ring->offset));
    pn_object_drop(ring->domain, ring->offset);
    CHECK(count_objects(ring->domain) == 0);
    CHECK(pn_heap_used(ring->domain, PN_BLOCK_SEGMENT) == 0);
    CHECK_SOUND(audit_heap(ring->domain));
    pn_domain_close(ring->domain);
}

static void
items_come_out_in_order(void)
{
    pn_ring ring;
    make_ring(&ring, 0, 0);
    check_empty(&ring);
    for (uint32_t turn = 0; turn < 200; turn++) { /* around the segment's end, several times */
        for (uint32_t i = 0; i < 30; i++) {
            CHECK(put_bytes(&ring, 1 + i, 8 + (turn * 13 + i * 7) % 900) == PN_OK);
        }
        CHECK(pn_ring_count(&ring) == 30);
        CHECK_SOUND(audit_ring(ring.domain, ring.offset));
        for (uint32_t i = 0; i < 30; i++) {
            check_next(&ring, 1 + i);
        }
        check_empty(&ring);
    }
    close_ring(&ring);
}

static void
a_batch_is_one_commit_and_is_taken_in_parts(void)
{
    pn_ring ring;
    parcel parcel;
    make_ring(&ring, 0, 0);
    parcel_clear(&parcel);
    for (uint32_t id = 1; id <= 10; id++) {
        parcel_add_bytes(&parcel, id, 100);
    }
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
    CHECK(pn_ring_count(&ring) == 10 && pn_ring_bytes(&ring) == batch.length);
    pn_sink sink = {.bytes = (char *)room, .capacity = 256, .limit = 7}; /* grows */
    CHECK(pn_ring_try_get(&ring, &sink) == PN_OK);
    CHECK(sink.count == 7 && sink.on_heap && sink.used == 7 * 112);
    free(sink.bytes);
    sink = (pn_sink){.bytes = (char *)room, .capacity = sizeof(room), .limit = 7};
    CHECK(pn_ring_try_get(&ring, &sink) == PN_OK);
    CHECK(sink.count == 3 && item_id((pn_record *)room) == 8);
    check_empty(&ring);
    close_ring(&ring);
}

static void
max_items_and_max_bytes_hold(void)
{
    pn_ring ring;
    make_ring(&ring, 3, 0);
    for (uint32_t id = 1; id <= 3; id++) {
        CHECK(put_one(&ring, id) == PN_OK);
    }
    CHECK(put_one(&ring, 4) == PN_FULL);
    parcel parcel;
    parcel_clear(&parcel);
    parcel_add(&parcel, 5);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_put(&ring, &batch, pn_now() + 1000000) == PN_TIMEOUT);
    check_next(&ring, 1);
    CHECK(put_one(&ring, 4) == PN_OK);
    close_ring(&ring);

    make_ring(&ring, 0, 1000);
    CHECK(put_bytes(&ring, 1, 2000) == PN_OK); /* alone it may travel */
    CHECK(put_one(&ring, 2) == PN_FULL);
    check_next(&ring, 1);
    CHECK(put_bytes(&ring, 3, 500) == PN_OK);
    CHECK(put_bytes(&ring, 4, 500) == PN_FULL);
    CHECK(put_bytes(&ring, 4, 400) == PN_OK);
    close_ring(&ring);
}

static void
buffers_travel(void)
{
    pn_ring ring;
    parcel parcel;
    uint64_t length = 100000;
    make_ring(&ring, 0, 0);
    parcel_clear(&parcel);
    CHECK(parcel_add_buffer(&parcel, ring.domain, 7, length));
    uint64_t buffer = item_object((const pn_record *)parcel.bytes);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
    CHECK(pn_ring_bytes(&ring) > length);
    CHECK(pn_ring_any_names_object(ring.domain, buffer));
    pn_object_drop(ring.domain, buffer); /* the item keeps it */
    CHECK(!pn_object_held(ring.domain, buffer) && pn_object_valid(ring.domain, buffer));
    check_next(&ring, 7);
    CHECK(!pn_ring_any_names_object(ring.domain, buffer));
    CHECK(pn_object_held(ring.domain, buffer));
    pn_object_drop(ring.domain, buffer);
    CHECK(!pn_object_valid(ring.domain, buffer));
    CHECK(pn_heap_used(ring.domain, PN_BLOCK_PAYLOAD) == 0);
    check_empty(&ring);
    close_ring(&ring);
}

static void
an_item_keeps_the_object_that_it_names(void)
{
    pn_ring ring;
    parcel parcel;
    uint64_t object;
    uint32_t generation;
    make_ring(&ring, 0, 0);
    CHECK(pn_object_new(ring.domain, PN_OBJECT_MUTEX, "m", &object, &generation) == PN_OK);
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, object);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(&ring, &batch) == PN_OK);
    pn_object_drop(ring.domain, object);
    CHECK(count_objects(ring.domain) == 2);
    check_next(&ring, 1);
    CHECK(count_objects(ring.domain) == 2); /* the taker has a reference by now */
    pn_object_drop(ring.domain, object);
    CHECK(count_objects(ring.domain) == 1);
    CHECK(pn_object_attach(ring.domain, object, generation) == PN_STALE);
    close_ring(&ring);
}

static void
shutdown_ends_puts_and_then_gets(void)
{
    pn_ring ring;
    uint32_t id;
    make_ring(&ring, 0, 0);
    CHECK(put_one(&ring, 1) == PN_OK);
    pn_ring_shut(&ring, false);
    CHECK(put_one(&ring, 2) == PN_SHUT_DOWN);
    check_next(&ring, 1);
    CHECK(get_one(&ring, room, sizeof(room), 0, &id) == PN_SHUT_DOWN);
    CHECK(get_one(&ring, room, sizeof(room), PN_FOREVER, &id) == PN_SHUT_DOWN);
    close_ring(&ring);

    make_ring(&ring, 0, 0);
    CHECK(put_one(&ring, 1) == PN_OK);
    pn_ring_shut(&ring, true);
    CHECK(get_one(&ring, room, sizeof(room), 0, &id) == PN_SHUT_DOWN);
    CHECK(pn_ring_count(&ring) == 1);
    close_ring(&ring);
}

/* ---- between processes -------------------------------------------------------- */

static void
take_all(pn_ring *ring, uint32_t *sum)
{
    uint32_t id;
    pn_status status;
    while ((status = get_one(ring, room, sizeof(room), PN_FOREVER, &id)) != PN_SHUT_DOWN) {
        CHECK(status == PN_OK || status == PN_INTERRUPTED);
        *sum += status == PN_OK ? id : 0;
    }
}

/* Producers and consumers sleep and wake each other; also where the kernel offers less. */
static void
processes_exchange_all(void)
{
    enum { PRODUCERS = 3, CONSUMERS = 3, ITEMS = 2000 };
    pn_ring ring, results;
    make_ring(&ring, 5, 0);
    uint64_t offset;
    uint32_t generation, sum = 0, id;
    CHECK(pn_ring_new(ring.domain, "results", 0, 0, &offset, &generation) == PN_OK);
    pn_ring_open(&results, ring.domain, offset);
    pid_t producers[PRODUCERS], consumers[CONSUMERS];
    for (int c = 0; c < CONSUMERS; c++) {
        consumers[c] = fork();
        if (consumers[c] == 0) {
            take_all(&ring, &sum);
            pn_status status;
            while ((status = put_one(&results, sum)) == PN_BUSY) {
                /* another consumer is putting just now: a try does not wait for him */
            }
            CHECK(status == PN_OK);
            _exit(0);
        }
    }
    for (int p = 0; p < PRODUCERS; p++) {
        producers[p] = fork();
        if (producers[p] == 0) {
            for (uint32_t i = 1; i <= ITEMS; i++) {
                parcel parcel;
                parcel_clear(&parcel);
                parcel_add(&parcel, i);
                pn_batch batch = parcel_batch(&parcel);
                pn_status status;
                do {
                    status = pn_ring_put(&ring, &batch, PN_FOREVER);
                } while (status == PN_INTERRUPTED);
                CHECK(status == PN_OK);
            }
            _exit(0);
        }
    }
    int status;
    for (int p = 0; p < PRODUCERS; p++) {
        CHECK(waitpid(producers[p], &status, 0) == producers[p] && status == 0);
    }
    pn_ring_shut(&ring, false);
    for (int c = 0; c < CONSUMERS; c++) {
        CHECK(waitpid(consumers[c], &status, 0) == consumers[c] && status == 0);
        CHECK(get_one(&results, room, sizeof(room), 0, &id) == PN_OK);
        sum += id;
    }
    CHECK(sum == PRODUCERS * (ITEMS * (ITEMS + 1) / 2));
    CHECK(pn_ring_count(&ring) == 0);
    pn_domain_close(ring.domain);
}

int
main(void)
{
    RUN(items_come_out_in_order);
    RUN(a_batch_is_one_commit_and_is_taken_in_parts);
    RUN(max_items_and_max_bytes_hold);
    RUN(buffers_travel);
    RUN(an_item_keeps_the_object_that_it_names);
    RUN(shutdown_ends_puts_and_then_gets);
    RUN(processes_exchange_all);
    return 0;
}
