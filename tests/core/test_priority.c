/* The priority queue: order, limits, what a death in each state leaves, what its items name. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "buffer.h"
#include "items.h"
#include "priority_private.h"
#include "slots.h"
#include "sweep.h"

static pn_priority
new_queue(pn_domain *domain, uint64_t most)
{
    uint64_t offset;
    uint32_t generation;
    pn_priority queue;
    CHECK(pn_priority_new(domain, "queue", most, &offset, &generation) == PN_OK);
    pn_priority_open(&queue, domain, offset);
    return queue;
}

static pn_record
int_record(uint32_t value)
{
    return (pn_record){.value = value, .kind = PN_RECORD_INT32};
}

static uint64_t
new_entry(pn_priority *queue, const char *key, uint32_t value)
{
    pn_record record = int_record(value);
    uint64_t entry;
    CHECK(pn_entry_new(queue, key, (uint32_t)strlen(key), &record, &entry) == PN_OK);
    return entry;
}

static pn_status
put(pn_priority *queue, const char *key, uint32_t value)
{
    uint64_t entry = new_entry(queue, key, value);
    pn_status status = pn_priority_try_put(queue, entry);
    pn_object_drop(queue->domain, entry);
    return status;
}

static uint32_t
value_of(const void *room)
{
    const pn_record *record = room;
    return record->value;
}

static uint32_t
get(pn_priority *queue)
{
    uint64_t room[8];
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
    CHECK(pn_priority_try_get(queue, &sink) == PN_OK);
    return value_of(room);
}

static pn_status
get_status(pn_priority *queue)
{
    uint64_t room[8];
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
    return pn_priority_try_get(queue, &sink);
}

static void
the_smallest_comes_first_and_equals_in_order(void)
{
    pn_domain *domain = make_domain(0);
    pn_priority queue = new_queue(domain, 0);
    const char *keys[] = {"m", "b", "b", "bb", "", "zzzzzzzzz2", "zzzzzzzzz1", "b"};
    uint32_t wanted[] = {4, 1, 2, 7, 3, 0, 6, 5};
    for (uint32_t i = 0; i < 8; i++) {
        CHECK(put(&queue, keys[i], i) == PN_OK);
        CHECK_SOUND(audit_domain(domain));
    }
    CHECK(pn_priority_count(&queue) == 8);
    for (uint32_t i = 0; i < 8; i++) {
        CHECK(get(&queue) == wanted[i]);
        CHECK_SOUND(audit_domain(domain));
    }
    CHECK(get_status(&queue) == PN_EMPTY && count_objects(domain) == 1);
    pn_object_drop(domain, queue.offset);
    CHECK(count_objects(domain) == 0 && pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    pn_domain_close(domain);
}

static void
its_index_grows(void)
{
    enum { MANY = 3000 };
    pn_domain *domain = make_domain(0);
    pn_priority queue = new_queue(domain, 0);
    for (uint32_t i = 0; i < MANY; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%05u", i * 7919 % MANY);
        CHECK(put(&queue, key, i * 7919 % MANY) == PN_OK);
    }
    CHECK_SOUND(audit_domain(domain));
    for (uint32_t i = 0; i < MANY; i++) {
        CHECK(get(&queue) == i);
    }
    pn_object_drop(domain, queue.offset);
    CHECK(count_objects(domain) == 0 && pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
limits_and_the_end(void)
{
    pn_domain *domain = make_domain(0);
    pn_priority queue = new_queue(domain, 2);
    CHECK(put(&queue, "a", 1) == PN_OK && put(&queue, "b", 2) == PN_OK);
    CHECK(put(&queue, "c", 3) == PN_FULL && pn_priority_count(&queue) == 2);
    CHECK(get(&queue) == 1 && put(&queue, "a", 4) == PN_OK);
    uint64_t entry = new_entry(&queue, "d", 5);
    CHECK(pn_priority_put(&queue, entry, pn_now() + 2000000) == PN_TIMEOUT);
    pn_object_drop(domain, entry);
    pn_priority_shut(&queue, false);
    CHECK(put(&queue, "x", 6) == PN_SHUT_DOWN);
    CHECK(get(&queue) == 4 && get(&queue) == 2 && get_status(&queue) == PN_SHUT_DOWN);
    pn_object_drop(domain, queue.offset);
    pn_priority other = new_queue(domain, 0);
    CHECK(put(&other, "a", 1) == PN_OK);
    pn_priority_shut(&other, true);
    CHECK(get_status(&other) == PN_SHUT_DOWN);
    pn_object_drop(domain, other.offset); /* with the item in it */
    CHECK(count_objects(domain) == 0 && pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
items_outlive_who_put_them(void)
{
    pn_domain *domain = make_domain(0);
    pn_priority queue = new_queue(domain, 0);
    IN_DEAD_PROCESS(CHECK(put(&queue, "b", 2) == PN_OK && put(&queue, "a", 1) == PN_OK));
    CHECK(pn_sweep(domain) == 1);
    CHECK_SOUND(audit_domain(domain));
    CHECK(get(&queue) == 1 && get(&queue) == 2);
    pn_object_drop(domain, queue.offset);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

/* An index that is nonsense, as a death in a change may leave it. */
static void
an_index_is_built_anew(void)
{
    pn_domain *domain = make_domain(0);
    pn_priority queue = new_queue(domain, 0);
    for (uint32_t i = 0; i < 100; i++) {
        char key[8];
        snprintf(key, sizeof(key), "%03u", (i * 37) % 100);
        CHECK(put(&queue, key, (i * 37) % 100) == PN_OK);
    }
    memset(pn_at(domain, atomic_load(&queue.cell->index)), 0xff, PN_PAGE);
    atomic_store(&queue.cell->changing, 1);
    CHECK(get_status(&queue) == PN_BUSY); /* put in order now */
    CHECK_SOUND(audit_domain(domain));
    for (uint32_t i = 0; i < 100; i++) {
        CHECK(get(&queue) == i);
    }
    pn_object_drop(domain, queue.offset);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

/* Dead before its commit: never there. Dead after the commit of a take: gone. */
static void
what_was_not_committed_is_void(void)
{
    pn_domain *domain = make_domain(0);
    pn_priority queue = new_queue(domain, 0);
    CHECK(put(&queue, "b", 1) == PN_OK);
    IN_DEAD_PROCESS(uint64_t entry = new_entry(&queue, "a", 2);
                    pn_entry_cell *cell = pn_entry_at(domain, entry);
                    atomic_store(&queue.cell->changing, 1);
                    atomic_store(&cell->queue, queue.offset); atomic_store(&cell->sequence, 1);
                    atomic_fetch_or(&cell->object.flags, PN_OBJECT_KEPT));
    CHECK(get_status(&queue) == PN_BUSY && get(&queue) == 1 && get_status(&queue) == PN_EMPTY);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 1);
    CHECK(put(&queue, "c", 3) == PN_OK && put(&queue, "d", 4) == PN_OK);
    IN_DEAD_PROCESS(
        atomic_store(&queue.cell->changing, 1); atomic_store(&queue.cell->taking_sequence, 1);
        atomic_store(&queue.cell->taking_number, 2); atomic_store(&queue.cell->takes, 2));
    CHECK(get_status(&queue) == PN_BUSY && get(&queue) == 4 && get_status(&queue) == PN_EMPTY);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 1);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, queue.offset);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

/* ---- what items name --------------------------------------------------------------- */

static pn_status
put_object(pn_priority *queue, const char *key, uint64_t object)
{
    static parcel parcel;
    uint64_t entry;
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, object);
    CHECK(pn_entry_new(queue, key, (uint32_t)strlen(key), (const pn_record *)parcel.bytes,
                       &entry) == PN_OK);
    pn_status status = pn_priority_try_put(queue, entry);
    pn_object_drop(queue->domain, entry);
    return status;
}

static uint64_t
get_object(pn_priority *queue)
{
    uint64_t room[64];
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
    CHECK(pn_priority_try_get(queue, &sink) == PN_OK);
    return item_object((const pn_record *)room);
}

static uint64_t
new_buffer(pn_domain *domain)
{
    uint64_t offset;
    uint32_t generation;
    CHECK(pn_buffer_new(domain, 5000, 0, &offset, &generation) == PN_OK);
    return offset;
}

static void
an_item_keeps_what_it_names(void)
{
    pn_domain *domain = make_domain(0);
    pn_priority queue = new_queue(domain, 0);
    uint64_t buffer = new_buffer(domain), buffers = 2 * PN_PAGE, index = PN_PAGE;
    CHECK(put_object(&queue, "a", buffer) == PN_OK);
    pn_object_drop(domain, buffer);
    CHECK(pn_heap_used(domain, PN_BLOCK_PAYLOAD) == buffers + index);
    CHECK_SOUND(audit_domain(domain));
    CHECK(get_object(&queue) == buffer);
    CHECK(pn_heap_used(domain, PN_BLOCK_PAYLOAD) == buffers + index);
    pn_object_drop(domain, buffer); /* no sweep, no walk: the sums say it */
    CHECK(pn_heap_used(domain, PN_BLOCK_PAYLOAD) == index);
    buffer = new_buffer(domain);
    CHECK(put_object(&queue, "a", buffer) == PN_OK);
    IN_DEAD_PROCESS(pn_object_count_put(domain, buffer)); /* as if it died before a commit */
    pn_sweep(domain);
    pn_object_drop(domain, buffer);
    pn_sweep(domain);
    CHECK(pn_heap_used(domain, PN_BLOCK_PAYLOAD) == buffers + index); /* found by a walk */
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, queue.offset); /* given up with the queue */
    pn_sweep(domain);
    CHECK(count_objects(domain) == 0 && pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    pn_domain_close(domain);
}

static void
a_queue_in_itself_is_freed(void)
{
    pn_domain *domain = make_domain(0);
    pn_priority queue = new_queue(domain, 0);
    CHECK(put_object(&queue, "a", queue.offset) == PN_OK);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, queue.offset);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

static void
a_taker_that_is_killed_leaves_nothing(void)
{
    pn_domain *domain = make_domain(0);
    pn_priority queue = new_queue(domain, 0);
    uint64_t buffer = new_buffer(domain);
    CHECK(put_object(&queue, "a", buffer) == PN_OK);
    pn_object_drop(domain, buffer);
    IN_DEAD_PROCESS(get_object(&queue));
    pn_sweep(domain);
    CHECK(count_objects(domain) == 1 && pn_heap_used(domain, PN_BLOCK_PAYLOAD) == PN_PAGE);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

/* ---- threads ------------------------------------------------------------------------ */

enum { THREADS = 4, EACH = 3000 };

static pn_priority shared;
static pn_word seen[THREADS * EACH];

static void *
puts_all(void *argument)
{
    uint32_t me = *(uint32_t *)argument;
    pn_priority queue = shared;
    for (uint32_t i = 0; i < EACH; i++) {
        char key[8];
        snprintf(key, sizeof(key), "%u", i % 10);
        uint64_t entry = new_entry(&queue, key, me * EACH + i);
        pn_status status;
        do {
            status = pn_priority_put(&queue, entry, PN_FOREVER);
        } while (status == PN_INTERRUPTED);
        CHECK(status == PN_OK);
        pn_object_drop(queue.domain, entry);
    }
    return NULL;
}

static void *
gets_all(void *argument)
{
    pn_priority queue = shared;
    (void)argument;
    for (;;) {
        uint64_t room[8];
        pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
        pn_status status = pn_priority_get(&queue, &sink, PN_FOREVER);
        if (status == PN_SHUT_DOWN) {
            return NULL;
        }
        if (status != PN_INTERRUPTED) {
            CHECK(status == PN_OK);
            atomic_fetch_add(&seen[value_of(room)], 1);
        }
    }
}

static void
threads_lose_and_double_nothing(void)
{
    pn_domain *domain = make_domain(0);
    for (uint64_t most = 0; most <= 7; most += 7) {
        pthread_t putters[THREADS], getters[THREADS];
        uint32_t numbers[THREADS];
        shared = new_queue(domain, most);
        memset(seen, 0, sizeof(seen));
        for (uint32_t i = 0; i < THREADS; i++) {
            numbers[i] = i;
            CHECK(pthread_create(&putters[i], NULL, puts_all, &numbers[i]) == 0);
            CHECK(pthread_create(&getters[i], NULL, gets_all, NULL) == 0);
        }
        for (uint32_t i = 0; i < THREADS; i++) {
            CHECK(pthread_join(putters[i], NULL) == 0);
        }
        pn_priority_shut(&shared, false);
        for (uint32_t i = 0; i < THREADS; i++) {
            CHECK(pthread_join(getters[i], NULL) == 0);
        }
        for (uint32_t i = 0; i < THREADS * EACH; i++) {
            CHECK(atomic_load(&seen[i]) == 1);
        }
        CHECK_SOUND(audit_domain(domain));
        pn_object_drop(domain, shared.offset);
        CHECK(count_objects(domain) == 0);
    }
    pn_domain_close(domain);
}

int
main(void)
{
    RUN(the_smallest_comes_first_and_equals_in_order);
    RUN(its_index_grows);
    RUN(limits_and_the_end);
    RUN(items_outlive_who_put_them);
    RUN(an_index_is_built_anew);
    RUN(what_was_not_committed_is_void);
    RUN(an_item_keeps_what_it_names);
    RUN(a_queue_in_itself_is_freed);
    RUN(a_taker_that_is_killed_leaves_nothing);
    RUN(threads_lose_and_double_nothing);
    return 0;
}
