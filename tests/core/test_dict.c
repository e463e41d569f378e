/* Dictionaries: what is in them, what grows and shrinks, who frees what, what a death leaves. */
#define _GNU_SOURCE
#include "check.h"

#include <signal.h>
#include <string.h>

#include "dict_table.h"
#include "items.h"
#include "pairs.h"
#include "slots.h"
#include "sweep.h"

static uint64_t
tables(pn_domain *domain)
{
    return pn_heap_used(domain, PN_BLOCK_SEGMENT);
}

static uint64_t
new_object(pn_domain *domain)
{
    uint64_t offset;
    uint32_t generation;
    CHECK(pn_object_new(domain, PN_OBJECT_MUTEX, "value", &offset, &generation) == PN_OK);
    return offset;
}

static uint64_t
count_items(pn_dict *dict)
{
    pn_dict_op op = {.act = pn_dict_look};
    CHECK(pair_do(dict, &op) == PN_OK);
    return op.items;
}

static void
a_value_is_what_was_set_last(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    uint32_t value;
    CHECK(pair_get(&dict, 1, &value) == PN_EMPTY);
    CHECK(pair_set(&dict, 1, 100) == PN_OK);
    CHECK(pair_get(&dict, 1, &value) == PN_OK && value == 100);
    CHECK(pair_set(&dict, 1, 101) == PN_OK); /* in place */
    CHECK(pair_get(&dict, 1, &value) == PN_OK && value == 101);
    CHECK(pair_set_bytes(&dict, 1, 102, 500) == PN_OK); /* not in place */
    CHECK(pair_get(&dict, 1, &value) == PN_OK && value == 102);
    CHECK(pair_set(&dict, 1, 103) == PN_OK);
    CHECK(pair_get(&dict, 1, &value) == PN_OK && value == 103);
    CHECK(count_items(&dict) == 1);
    CHECK(pair_remove(&dict, 1, &value) == PN_OK && value == 103);
    CHECK(pair_remove(&dict, 1, NULL) == PN_EMPTY && count_items(&dict) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, dict.offset);
    CHECK(count_objects(domain) == 0 && tables(domain) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
it_grows_and_shrinks_and_keeps_the_order(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    uint32_t value;
    for (uint32_t key = 0; key < 5000; key++) {
        CHECK(pair_set_bytes(&dict, key, key, 4 + key % 60 * 4) == PN_OK);
        if (key % 1000 == 0) {
            CHECK_SOUND(audit_domain(domain));
        }
    }
    CHECK(tables(domain) > 5000 * 100 && count_items(&dict) == 5000);
    for (uint32_t key = 0; key < 5000; key += 2) {
        CHECK(pair_remove(&dict, key, &value) == PN_OK && value == key);
    }
    pair_walk walk = {.count = 0};
    CHECK(pair_read_all(&dict, 7, &walk) && walk.count == 2500);
    for (uint32_t i = 0; i < 2500; i++) {
        CHECK(walk.key[i] == 2 * i + 1 && walk.value[i] == walk.key[i]);
    }
    for (uint32_t key = 4999; key <= 4999; key -= 2) {
        uint32_t last;
        CHECK(pair_pop_last(&dict, &last, &value) == PN_OK && last == key && value == key);
    }
    CHECK(pair_pop_last(&dict, &value, &value) == PN_EMPTY);
    CHECK(tables(domain) == PN_DICT_LEAST);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
places_are_used_again(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    for (uint32_t turn = 0; turn < 20000; turn++) {
        CHECK(pair_set(&dict, turn, turn) == PN_OK);
        CHECK(turn < 5 || pair_remove(&dict, turn - 5, NULL) == PN_OK);
        CHECK(pair_set_bytes(&dict, 1u << 31, turn, 40) == PN_OK);
    }
    CHECK(tables(domain) == PN_DICT_LEAST && count_items(&dict) == 6);
    CHECK_SOUND(audit_domain(domain));
    for (uint32_t turn = 0; turn < 20000; turn++) { /* the last row, again and again */
        CHECK(pair_set(&dict, turn, turn) == PN_OK);
        CHECK(pair_remove(&dict, turn, NULL) == PN_OK);
    }
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
clear_is_whole_and_needs_no_memory(void)
{
    pn_domain *domain = make_domain(UINT64_C(16) << 20);
    pn_dict dict = pair_dict(domain);
    uint32_t key = 0, value;
    while (pair_set_bytes(&dict, key, key, 1000) == PN_OK) {
        key++;
    }
    CHECK(key > 1000 && count_items(&dict) == key);
    CHECK(pair_get(&dict, key - 1, &value) == PN_OK && value == key - 1); /* unharmed */
    CHECK(pair_get(&dict, 0, &value) == PN_OK && value == 0);
    CHECK(pair_get(&dict, key, &value) == PN_EMPTY);
    CHECK_SOUND(audit_domain(domain));
    uint64_t block;
    while (pn_heap_alloc(domain, PN_PAGE, PN_BLOCK_PAYLOAD, 0, &block) == PN_OK) {
    }
    CHECK(pair_clear(&dict) == PN_OK && count_items(&dict) == 0);
    CHECK(pair_get(&dict, 0, &value) == PN_EMPTY);
    CHECK(pair_set(&dict, 0, 5) == PN_OK && pair_get(&dict, 0, &value) == PN_OK && value == 5);
    pn_domain_close(domain);
}

static void
values_keep_objects(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    for (uint32_t way = 0; way < 5; way++) {
        uint64_t object = new_object(domain);
        CHECK(pair_set_object(&dict, 1, 1, object) == PN_OK);
        pn_object_drop(domain, object);
        CHECK(count_objects(domain) == 2);
        CHECK_SOUND(audit_domain(domain));
        uint32_t value;
        CHECK(pair_get(&dict, 1, &value) == PN_OK && value == 1 && count_objects(domain) == 2);
        CHECK(way != 0 || pair_set(&dict, 1, 2) == PN_OK);
        CHECK(way != 1 || pair_remove(&dict, 1, NULL) == PN_OK);
        CHECK(way != 2 || pair_remove(&dict, 1, &value) == PN_OK);
        CHECK(way != 3 || pair_clear(&dict) == PN_OK);
        CHECK(way != 4 || pair_pop_last(&dict, &value, &value) == PN_OK);
        CHECK(count_objects(domain) == 1);
        CHECK_SOUND(audit_domain(domain));
    }
    for (uint32_t key = 0; key < 500; key++) { /* also through rebuilds */
        uint64_t object = new_object(domain);
        CHECK(pair_set_object(&dict, key, key, object) == PN_OK);
        pn_object_drop(domain, object);
    }
    CHECK(count_objects(domain) == 501);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, dict.offset);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

static void
a_dictionary_in_itself_is_no_reason_to_keep_it(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    CHECK(pair_set_object(&dict, 1, 1, dict.offset) == PN_OK);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, dict.offset);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

/* In a circle of two dictionaries and a queue, with an object that hangs on it. */
static void
put_in(pn_ring *ring, uint64_t object)
{
    static parcel parcel;
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, object);
    pn_batch batch = parcel_batch(&parcel);
    CHECK(pn_ring_try_put(ring, &batch) == PN_OK);
}

static void
a_circle_goes_when_nobody_can_reach_it(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset;
    uint32_t generation, value;
    pn_ring ring;
    CHECK(pn_ring_new(domain, "", 0, 0, &offset, &generation) == PN_OK);
    pn_ring_open(&ring, domain, offset);
    pn_dict one = pair_dict(domain), two = pair_dict(domain), outside = pair_dict(domain);
    uint64_t object = new_object(domain);
    CHECK(pair_set_object(&one, 1, 1, two.offset) == PN_OK);
    CHECK(pair_set_object(&one, 2, 2, one.offset) == PN_OK);
    CHECK(pair_set_object(&two, 1, 1, ring.offset) == PN_OK);
    CHECK(pair_set_object(&two, 2, 2, object) == PN_OK);
    put_in(&ring, one.offset);
    put_in(&ring, object);
    CHECK(pair_set_object(&outside, 1, 1, two.offset) == PN_OK);
    pn_object_drop(domain, object);
    pn_object_drop(domain, one.offset);
    pn_object_drop(domain, ring.offset);
    pn_object_drop(domain, two.offset);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 5); /* it can be reached from outside */
    CHECK_SOUND(audit_domain(domain));
    CHECK(pair_get(&outside, 1, &value) == PN_OK);
    pn_object_retain(domain, two.offset);
    CHECK(pair_remove(&outside, 1, NULL) == PN_OK);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 5); /* it is held */
    CHECK_SOUND(audit_domain(domain));
    CHECK(pair_get(&two, 1, &value) == PN_OK && value == 1);
    pn_object_drop(domain, two.offset);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 1 && tables(domain) == PN_DICT_LEAST);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, outside.offset);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

static void
leave_a_circle(pn_domain *domain)
{
    pn_dict one = pair_dict(domain), two = pair_dict(domain);
    CHECK(pair_set_object(&one, 1, 1, two.offset) == PN_OK);
    CHECK(pair_set_object(&two, 1, 1, one.offset) == PN_OK);
    pn_object_count_put(domain, two.offset); /* before another commit */
    CHECK(pn_dict_enter(&two, PN_FOREVER) == PN_OK);
}

static void
a_circle_goes_with_a_dead_process(void)
{
    pn_domain *domain = make_domain(0);
    IN_DEAD_PROCESS(leave_a_circle(domain));
    pn_sweep(domain);
    CHECK(count_objects(domain) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
swap_tells_another_value_from_the_same(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    static parcel parcel;
    uint32_t value;
    CHECK(pair_set_bytes(&dict, 1, 10, 40) == PN_OK);
    pair pair;
    pair_begin(&pair, 1);
    parcel_clear(&parcel);
    parcel_add(&parcel, 11);
    pn_dict_op op = {.act = pn_dict_get, .key = &pair.key};
    CHECK(pair_do(&dict, &op) == PN_OK);
    CHECK(pair_set_bytes(&dict, 1, 10, 40) == PN_OK); /* the same bytes, another entry */
    op.act = pn_dict_swap;
    op.record = (const pn_record *)parcel.bytes;
    CHECK(pair_do(&dict, &op) == PN_STALE);
    op.act = pn_dict_get;
    CHECK(pair_do(&dict, &op) == PN_OK);
    op.act = pn_dict_swap;
    CHECK(pair_do(&dict, &op) == PN_OK && pair_get(&dict, 1, &value) == PN_OK && value == 11);
    CHECK(pair_do(&dict, &op) == PN_STALE); /* a word in place is another value too */
    CHECK(pair_remove(&dict, 1, NULL) == PN_OK && pair_do(&dict, &op) == PN_EMPTY);
    pn_domain_close(domain);
}

static void
reading_goes_on_where_rows_have_moved(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    uint64_t room[1024];
    for (uint32_t key = 0; key < 1000; key++) {
        CHECK(pair_set(&dict, key, key) == PN_OK);
    }
    pn_dict_op op = {.act = pn_dict_scan, .most = 3};
    uint32_t expected = 0;
    for (uint32_t turn = 0;; turn++) {
        pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room)};
        op.sink = &sink;
        if (pair_do(&dict, &op) != PN_OK) {
            break;
        }
        pair_walk walk = {.count = 0};
        pair_unpack(&sink, &walk);
        for (uint32_t i = 0; i < walk.count && walk.key[i] < 1000; i++) {
            CHECK(walk.key[i] == expected++);
        }
        for (uint32_t more = 0; more < 30 && expected < 1000;
             more++) { /* soon there is a rebuild */
            CHECK(pair_set_bytes(&dict, 2000 + turn * 30 + more, 1, 100) == PN_OK);
        }
        CHECK(expected < 10 || expected == 1000 || pair_remove(&dict, expected - 5, NULL) == PN_OK);
    }
    CHECK(expected == 1000);
    pn_dict_op look = {.act = pn_dict_look};
    CHECK(pair_do(&dict, &look) == PN_OK && look.rebuilds > 5);
    pn_domain_close(domain);
}

/* ---- deaths --------------------------------------------------------------------- */

static void
die_holding(pn_dict *dict)
{
    CHECK(pn_dict_enter(dict, PN_FOREVER) == PN_OK);
    pn_dict_table *table = pn_dict_table_of(dict);
    table->items = 77; /* as if in the middle of something */
    table->live = 12345;
    table->rows_used++;
    table->log_used += 64;
    table->index_used++;
}

static void
the_sums_of_a_dead_owner_are_made_again(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    for (uint32_t key = 0; key < 100; key++) {
        CHECK(pair_set(&dict, key, key) == PN_OK);
    }
    IN_DEAD_PROCESS(die_holding(&dict));
    CHECK(count_items(&dict) == 100 && dict.cell->lock.recovered == 1);
    uint32_t key, value;
    CHECK(pair_pop_last(&dict, &key, &value) == PN_OK && key == 99);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

static void
leave_in_every_state(pn_domain *domain, pn_dict *dict)
{
    uint64_t object = new_object(domain), block;
    CHECK(pair_set_object(dict, 1, 1, object) == PN_OK);
    pn_object_count_put(domain, object); /* before a second commit */
    CHECK(pn_heap_alloc(domain, 50000, PN_BLOCK_SEGMENT, dict->offset, &block) == PN_OK);
    pn_dict own = pair_dict(domain); /* nobody else has it */
    CHECK(pair_set_object(&own, 1, 1, object) == PN_OK);
    pn_dict half = pair_dict(domain);
    atomic_store(&half.cell->table, 0); /* half made, or half freed */
    die_holding(dict);
}

static void
a_sweep_frees_what_the_dead_left(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    IN_DEAD_PROCESS(leave_in_every_state(domain, &dict));
    pn_sweep(domain);
    CHECK(count_objects(domain) == 2 && tables(domain) == PN_DICT_LEAST);
    CHECK_SOUND(audit_domain(domain));
    CHECK(pair_clear(&dict) == PN_OK);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 1);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, dict.offset);
    CHECK(count_objects(domain) == 0 && tables(domain) == 0);
    pn_domain_close(domain);
}

/* It keeps the lock, and lives: the sweep must not hang, and must free nothing that may be named. */
static void
a_sweep_does_not_wait_for_who_is_stopped(void)
{
    pn_domain *domain = make_domain(0);
    pn_dict dict = pair_dict(domain);
    uint64_t object = new_object(domain);
    CHECK(pair_set_object(&dict, 1, 1, object) == PN_OK);
    int ready[2];
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        CHECK(pn_dict_enter(&dict, PN_FOREVER) == PN_OK);
        CHECK(write(ready[1], "x", 1) == 1);
        pause();
    }
    char byte;
    CHECK(read(ready[0], &byte, 1) == 1);
    IN_DEAD_PROCESS(pn_object_count_put(domain, object));
    pn_object_drop(domain, object);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 2);
    pn_dict_op op = {.act = pn_dict_look};
    CHECK(pn_dict_try(&dict, &op) == PN_BUSY);
    CHECK(pn_dict_run(&dict, &op, pn_now() + 1000000) == PN_TIMEOUT);
    pn_dict_peek(&dict, &op);
    CHECK(op.items == 1);
    kill(pid, SIGKILL);
    CHECK(waitpid(pid, NULL, 0) == pid);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 2);
    CHECK_SOUND(audit_domain(domain));
    CHECK(pair_remove(&dict, 1, NULL) == PN_OK);
    pn_sweep(domain);
    CHECK(count_objects(domain) == 1);
    pn_domain_close(domain);
}

int
main(void)
{
    pn_platform_init();
    RUN(a_value_is_what_was_set_last);
    RUN(it_grows_and_shrinks_and_keeps_the_order);
    RUN(places_are_used_again);
    RUN(clear_is_whole_and_needs_no_memory);
    RUN(values_keep_objects);
    RUN(a_dictionary_in_itself_is_no_reason_to_keep_it);
    RUN(a_circle_goes_when_nobody_can_reach_it);
    RUN(a_circle_goes_with_a_dead_process);
    RUN(swap_tells_another_value_from_the_same);
    RUN(reading_goes_on_where_rows_have_moved);
    RUN(the_sums_of_a_dead_owner_are_made_again);
    RUN(a_sweep_frees_what_the_dead_left);
    RUN(a_sweep_does_not_wait_for_who_is_stopped);
    return 0;
}
