/* Scenarios of dictionaries: what is there, and the others. */
#include <stdlib.h>

#include "dict_roles.h"
#include "slots.h"

#define ACTORS_KEY 900u /* and the next */

pn_dict dict;
dict_plan plan;
uint64_t body;

uint32_t
value_of(uint32_t key)
{
    return key * 10;
}

void
must(pn_status status)
{
    if (status != PN_OK) {
        abort();
    }
}

uint64_t
new_object(world *world)
{
    uint64_t offset;
    uint32_t generation;
    must(pn_object_new(world->domain, PN_OBJECT_MUTEX, "value", &offset, &generation));
    return offset;
}

void
build_dict(world *world)
{
    plan.change_count = 0;
    plan.clears = false;
    dict = pair_dict(world->domain);
    world->object = world->watched = dict.offset;
    for (uint32_t key = 1; key <= ITEMS; key++) {
        if (key % 3 == 1) {
            must(pair_set(&dict, key, value_of(key)));
        } else if (key % 3 == 2) {
            must(pair_set_bytes(&dict, key, value_of(key), BYTES));
        } else {
            body = new_object(world);
            must(pair_set_object(&dict, key, value_of(key), body));
            pn_object_drop(world->domain, body);
        }
    }
    atomic_store(&world->domain->header->last_sweep, pn_now()); /* a sweep is one of its own */
}

void
build_full_dict(world *world)
{
    build_dict(world);
    pn_dict_table *table = pn_dict_table_of(&dict);
    uint64_t before = table->number;
    while (table->log_at + table->log_used + 1000 + 200 <= table->bytes) {
        must(pair_set_bytes(&dict, 2, value_of(2), 1000));
    }
    while (table->log_at + table->log_used + sizeof(pn_dict_entry) + LARGER + 16 <= table->bytes) {
        must(pair_set_bytes(&dict, 2, value_of(2), BYTES));
    }
    if (pn_dict_table_of(&dict)->number != before) {
        abort();
    }
}

void
build_wide_dict(world *world)
{
    build_dict(world);
    must(pair_set_bytes(&dict, 7, value_of(7), 15000));
    must(pair_set_bytes(&dict, 8, value_of(8), 15000));
    must(pair_set(&dict, 7, value_of(7)));
    must(pair_set(&dict, 8, value_of(8)));
    pn_dict_table *table = pn_dict_table_of(&dict);
    must(pair_set(&dict, 9, value_of(9)));
    if (!pn_dict_is_wide(table) || table->items != 9) {
        abort();
    }
}

/* A life that leaves things in every state in which a death can leave them. */
static void
leave_some(world *world)
{
    pn_domain *domain = world->domain;
    uint64_t block;
    body = new_object(world);
    pn_object_count_put(domain, body);                                         /* before a commit */
    must(pn_heap_alloc(domain, 50000, PN_BLOCK_SEGMENT, dict.offset, &block)); /* a spare */
    pn_dict own = pair_dict(domain); /* nobody else has it */
    must(pair_set_object(&own, 1, 1, body));
    must(pair_set_object(&own, 2, 2, own.offset));
    must(pair_set_object(&own, 3, 3, dict.offset));
    pn_dict half = pair_dict(domain);
    atomic_store(&half.cell->table, 0); /* half made, or half freed */
    must(pn_dict_enter(&dict, PN_FOREVER));
}

void
build_dead_dict(world *world)
{
    build_dict(world);
    live_and_die(world, leave_some);
}

void
expect(uint32_t key, uint32_t old, uint32_t new)
{
    plan.changes[plan.change_count++] = (change){key, old, new};
}

void
use_dict(world *world, actor *me)
{
    uint32_t value = 0, key = ACTORS_KEY + (uint32_t)(me - world->stage->actors);
    ACTOR_CHECK(me, pair_set(&dict, key, 1) == PN_OK);
    ACTOR_CHECK(me, pair_set_bytes(&dict, key, 2, BYTES) == PN_OK);
    ACTOR_CHECK(me, pair_get(&dict, key, &value) == PN_OK && value == 2);
    actor_note(me, 1);
    ACTOR_CHECK(me, pair_remove(&dict, key, &value) == PN_OK && value == 2);
    actor_note(me, 2);
}
