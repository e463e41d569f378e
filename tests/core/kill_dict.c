/* Step-kill: dictionaries. What the victim changes is as it was or as it shall be, everything else is untouched, the
 * others go on, and nothing is left behind. */
#include <stdlib.h>

#include "audit.h"
#include "dict_table.h"
#include "pairs.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

#define ITEMS 6u
#define BYTES 40u
#define LARGER 48u
#define ACTORS_KEY 900u /* and the next */

/* What may differ afterwards: 0 stands for no item. */
typedef struct {
    uint32_t key, old, new;
} change;

static pn_dict dict;
static change changes[2];
static uint32_t change_count;
static bool clears;   /* all items together */
static uint64_t body; /* an object that only a value names, or the victim */

static uint32_t
value_of(uint32_t key)
{
    return key * 10;
}

static void
expect(uint32_t key, uint32_t old, uint32_t new)
{
    changes[change_count++] = (change){key, old, new};
}

static void
must(pn_status status)
{
    if (status != PN_OK) {
        abort();
    }
}

static uint64_t
new_object(world *world)
{
    uint64_t offset;
    uint32_t generation;
    must(pn_object_new(world->domain, PN_OBJECT_MUTEX, "value", &offset, &generation));
    return offset;
}

/* ---- what is there -------------------------------------------------------------- */

/* Keys 1 to 6: a word, bytes, an object that nobody else has; and again. */
static void
build(world *world)
{
    change_count = 0;
    clears = false;
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

/* The next value that is appended finds no room. */
static void
build_full(world *world)
{
    build(world);
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

/* One item more, and a table that is much too large. */
static void
build_wide(world *world)
{
    build(world);
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

static void
build_dead(world *world)
{
    build(world);
    live_and_die(world, leave_some);
}

/* ---- the victim -------------------------------------------------------------------- */

static void
op_set_new(world *world)
{
    (void)world;
    pair_set_bytes(&dict, 100, 1000, LARGER);
}

static void
op_set_word(world *world)
{
    (void)world;
    pair_set(&dict, 1, 1000);
}

static void
op_set_bytes(world *world)
{
    (void)world;
    pair_set_bytes(&dict, 2, 1000, LARGER);
}

static void
ready_with_object(world *world)
{
    body = new_object(world);
}

/* Before it the victim alone has the object, and after it the value alone. */
static void
op_set_object(world *world)
{
    pair_set_object(&dict, 3, 1000, body);
    pn_object_drop(world->domain, body);
}

static void
op_get_object(world *world)
{
    uint32_t value;
    (void)world;
    pair_get(&dict, 3, &value);
}

static void
op_remove_object(world *world)
{
    (void)world;
    pair_remove(&dict, 3, NULL);
}

static void
op_pop_object(world *world)
{
    uint32_t value;
    (void)world;
    pair_remove(&dict, 3, &value);
}

static void
op_pop_last(world *world)
{
    uint32_t key, value;
    (void)world;
    pair_pop_last(&dict, &key, &value);
}

static void
op_clear(world *world)
{
    (void)world;
    pair_clear(&dict);
}

/* Two rows: of 9 and 8, so that 8 are left and then 7. */
static void
op_remove_and_shrink(world *world)
{
    (void)world;
    pair_remove(&dict, 9, NULL);
}

static bool
double_it(const pn_record *old, uint64_t *value, void *context)
{
    (void)context;
    pn_record *record = (pn_record *)value;
    *record = (pn_record){.value = item_id(old) * 2, .kind = PN_RECORD_INT32};
    return true;
}

static void
op_change(world *world)
{
    (void)world;
    pair pair;
    pair_begin(&pair, 2);
    pn_dict_op op = {.act = pn_dict_change, .key = &pair.key, .edit = double_it};
    pair_do(&dict, &op);
}

static void
op_make_and_drop(world *world)
{
    uint64_t offset;
    uint32_t generation;
    if (pn_dict_new(world->domain, "another", &offset, &generation) == PN_OK) {
        pn_object_drop(world->domain, offset);
    }
}

static pn_dict own;

static void
ready_with_dict(world *world)
{
    own = pair_dict(world->domain);
    body = new_object(world);
    must(pair_set_object(&own, 1, 1, body));
    must(pair_set_object(&own, 2, 2, own.offset));
    pn_object_drop(world->domain, body);
}

static void
op_drop_dict(world *world)
{
    pn_object_drop(world->domain, own.offset);
}

static pn_dict other;

/* Two that name each other, and an object that one of them names. */
static void
ready_with_circle(world *world)
{
    own = pair_dict(world->domain);
    other = pair_dict(world->domain);
    body = new_object(world);
    must(pair_set_object(&own, 1, 1, other.offset));
    must(pair_set_object(&other, 1, 1, own.offset));
    must(pair_set_object(&other, 2, 2, body));
    pn_object_drop(world->domain, body);
    pn_object_drop(world->domain, other.offset);
    pn_object_drop(world->domain, own.offset);
}

/* New ones come to stand where a part of the circle stood. */
static void
make_another(world *world)
{
    must(pn_domain_enter(world->domain));
    pn_domain_leave(world->domain);
    world->object_two = new_object(world);
    must(pair_set_object(&dict, 6, value_of(6), world->object_two));
    world->died_at = pn_now();
}

static void
op_sweep(world *world)
{
    pn_sweep(world->domain);
}

/* Of two deaths the first: its sums are wrong, and something of everything is used for nothing. */
static void
op_die_inside(world *world)
{
    (void)world;
    must(pn_dict_enter(&dict, PN_FOREVER));
    pn_dict_table *table = pn_dict_table_of(&dict);
    table->items = 77;
    table->live = 7777;
    table->rows_used++; /* and it keeps the lock: it is to die holding it */
}

/* Broken on purpose: a value that is written where the old one stands. */
static void
op_write_in_place(world *world)
{
    (void)world;
    pair pair;
    static parcel parcel;
    pair_begin(&pair, 2);
    parcel_clear(&parcel);
    parcel_add_bytes(&parcel, 1000, BYTES);
    must(pn_dict_enter(&dict, PN_FOREVER));
    pn_dict_place place = pn_dict_find(&dict, &pair.key);
    volatile uint32_t *to = (uint32_t *)(pn_dict_value(place.entry) + 1);
    const uint32_t *from = (const uint32_t *)((const pn_record *)parcel.bytes + 1);
    for (uint32_t i = 0; i < BYTES / 4; i++) {
        to[i] = from[i];
    }
    pn_lock_release(&dict.cell->lock);
}

/* Broken on purpose: a removed object is still counted on. */
static void
op_remove_without_takes(world *world)
{
    (void)world;
    pair pair;
    pair_begin(&pair, 3);
    must(pn_dict_enter(&dict, PN_FOREVER));
    pn_dict_place place = pn_dict_find(&dict, &pair.key);
    atomic_store(&pn_dict_rows(pn_dict_table_of(&dict))[place.row], 0);
    pn_lock_release(&dict.cell->lock);
}

/* ---- the others ----------------------------------------------------------------------- */

static void
use(world *world, actor *me)
{
    uint32_t value = 0, key = ACTORS_KEY + (uint32_t)(me - world->stage->actors);
    ACTOR_CHECK(me, pair_set(&dict, key, 1) == PN_OK);
    ACTOR_CHECK(me, pair_set_bytes(&dict, key, 2, BYTES) == PN_OK);
    ACTOR_CHECK(me, pair_get(&dict, key, &value) == PN_OK && value == 2);
    actor_note(me, 1);
    ACTOR_CHECK(me, pair_remove(&dict, key, &value) == PN_OK && value == 2);
    actor_note(me, 2);
}

/* Before anybody else comes. */
static void
sweep_at_once(world *world)
{
    pn_sweep(world->domain);
    world->died_at = pn_now();
}

/* ---- the verdict ------------------------------------------------------------------------ */

static uint32_t
found_at(const pair_walk *walk, uint32_t key)
{
    for (uint32_t i = 0; i < walk->count; i++) {
        if (walk->key[i] == key) {
            return walk->value[i];
        }
    }
    return 0;
}

static void
check_items(world *world, uint32_t items)
{
    static pair_walk walk;
    walk.count = 0;
    if (!pair_read_all(&dict, UINT64_MAX, &walk)) {
        blame(world, "wrong", "a value is torn");
    }
    bool has_ended = atomic_load(&world->stage->ended);
    uint32_t there = walk.count, must_be = clears && walk.count == 0 ? 0 : items;
    for (uint32_t i = 0; i < change_count; i++) {
        change *change = &changes[i];
        uint32_t value = found_at(&walk, change->key);
        must_be += (value != 0) - (change->old != 0);
        bool is_done = has_ended && i + 1 == change_count; /* an earlier victim's may be either */
        if (value != change->new && (value != change->old || is_done)) {
            blame(world, "wrong", "key %u has %u, not %u or %u", change->key, value, change->old,
                  change->new);
        }
    }
    if (there != must_be || (clears && has_ended && there != 0)) {
        blame(world, there < must_be ? "lost" : "doubled", "%u items, not %u", there, must_be);
    }
    for (uint32_t key = 1; there != 0 && key <= items; key++) {
        bool is_changed = false;
        for (uint32_t i = 0; i < change_count; i++) {
            is_changed |= changes[i].key == key;
        }
        if (!is_changed && found_at(&walk, key) != value_of(key)) {
            blame(world, "wrong", "key %u has %u", key, found_at(&walk, key));
        }
    }
    pn_dict_op op = {.act = pn_dict_look};
    if (pair_do(&dict, &op) != PN_OK || op.items != there) {
        blame(world, "wrong", "it says %lu items, there are %u", (unsigned long)op.items, there);
    }
}

static void
survive(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL) {
            actor_start(world, i);
        }
    }
    if (!crew_wait(world, all_finished, "the others do not get through")) {
        return;
    }
    for (int i = 0; i < ACTORS; i++) {
        if (atomic_load(&world->stage->actors[i].broken)) {
            blame(world, "wrong", "line %u", atomic_load(&world->stage->actors[i].broken));
        }
    }
    check_items(world, world->scenario->build == build_wide ? 9 : ITEMS);
    audit_after(world);
}

#define EXPECT(name, ...)                                                                          \
    static void name(world *world)                                                                 \
    {                                                                                              \
        (void)world;                                                                               \
        __VA_ARGS__;                                                                               \
    }

EXPECT(new_100, expect(100, 0, 1000))
EXPECT(word_1, expect(1, 10, 1000))
EXPECT(bytes_2, expect(2, 20, 1000))
EXPECT(object_3, expect(3, 30, 1000))
EXPECT(without_3, expect(3, 30, 0))
EXPECT(without_6, expect(6, 60, 0))
EXPECT(without_9, expect(9, 90, 0))
EXPECT(twice_2, expect(2, 20, 40))
EXPECT(none_left, clears = true)
EXPECT(new_100_and_bytes_2, expect(100, 0, 1000); expect(2, 20, 1000))

static pn_lock *
lock_of_dict(world *world)
{
    (void)world;
    return &dict.cell->lock;
}

#define TWO_USERS .cast = {COMING(use, 0, 0), COMING(use, 0, 0)}, .survive = survive

const scenario dict_scenarios[] = {
    {.name = "dict: set of a new key",
     .build = build,
     .at_start = new_100,
     .operation = op_set_new,
     TWO_USERS},
    {.name = "dict: set of a word over a word",
     .build = build,
     .at_start = word_1,
     .operation = op_set_word,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: set over other bytes",
     .build = build,
     .at_start = bytes_2,
     .operation = op_set_bytes,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: set of an object over an object, and a sweep",
     .build = build,
     .ready = ready_with_object,
     .at_start = object_3,
     .operation = op_set_object,
     .sampled = true,
     .at_death = sweep_at_once,
     TWO_USERS},
    {.name = "dict: change",
     .build = build,
     .at_start = twice_2,
     .operation = op_change,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: get of an object",
     .build = build,
     .operation = op_get_object,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: remove, and the object goes",
     .build = build,
     .at_start = without_3,
     .operation = op_remove_object,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: pop of an object, and a sweep",
     .build = build,
     .at_start = without_3,
     .operation = op_pop_object,
     .sampled = true,
     .at_death = sweep_at_once,
     TWO_USERS},
    {.name = "dict: pop of the last item",
     .build = build,
     .at_start = without_6,
     .operation = op_pop_last,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: clear",
     .build = build,
     .at_start = none_left,
     .operation = op_clear,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: set that needs a rebuild",
     .build = build_full,
     .at_start = bytes_2,
     .operation = op_set_bytes,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: set that needs a rebuild, and a sweep",
     .build = build_full,
     .at_start = new_100,
     .operation = op_set_new,
     .sampled = true,
     .at_death = sweep_at_once,
     TWO_USERS},
    {.name = "dict: remove that makes it shrink",
     .build = build_wide,
     .at_start = without_9,
     .operation = op_remove_and_shrink,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: made and dropped",
     .build = build,
     .operation = op_make_and_drop,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: dropped, with itself and an object in it",
     .build = build,
     .ready = ready_with_dict,
     .operation = op_drop_dict,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: sweep of a circle",
     .build = build,
     .ready = ready_with_circle,
     .operation = op_sweep,
     FROM(pn_dict_walk),
     .sampled = true,
     .at_death = make_another,
     TWO_USERS},
    {.name = "dict: sweep of what a death left",
     .build = build_dead,
     .operation = op_sweep,
     FROM(pn_dict_discard),
     .sampled = true,
     TWO_USERS},
    {.name = "dict: two deaths, set after set",
     .build = build,
     .at_start = new_100_and_bytes_2,
     .first = op_set_new,
     .dies_with = lock_of_dict,
     .operation = op_set_bytes,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: two deaths, a rebuild after one",
     .build = build_full,
     .at_start = bytes_2,
     .first = op_die_inside,
     .dies_with = lock_of_dict,
     .operation = op_set_bytes,
     .sampled = true,
     TWO_USERS},
    {.name = "broken: dict: a value written in place",
     .build = build,
     .at_start = bytes_2,
     .operation = op_write_in_place,
     .must_show = "wrong",
     TWO_USERS},
    {.name = "broken: dict: removed, and no takes",
     .build = build,
     .at_start = without_3,
     .operation = op_remove_without_takes,
     .must_show = "wrong",
     TWO_USERS},
    {.name = NULL},
};
