/* Step-kill: dictionaries. What the victim changes is as it was or as it shall be, everything else is untouched, the
 * others go on, and nothing is left behind. */
#include "dict_roles.h"
#include "slots.h"
#include "sweep.h"

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

/* ---- the scenarios ------------------------------------------------------------------------ */

/* Before anybody else comes. */
static void
sweep_at_once(world *world)
{
    pn_sweep(world->domain);
    world->died_at = pn_now();
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
EXPECT(none_left, plan.clears = true)
EXPECT(new_100_and_bytes_2, expect(100, 0, 1000); expect(2, 20, 1000))

static pn_lock *
lock_of_dict(world *world)
{
    (void)world;
    return &dict.cell->lock;
}

#define TWO_USERS .cast = {COMING(use_dict, 0, 0), COMING(use_dict, 0, 0)}, .survive = survive_dict

const scenario dict_scenarios[] = {
    {.name = "dict: set of a new key",
     .build = build_dict,
     .at_start = new_100,
     .operation = op_set_new,
     TWO_USERS},
    {.name = "dict: set of a word over a word",
     .build = build_dict,
     .at_start = word_1,
     .operation = op_set_word,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: set over other bytes",
     .build = build_dict,
     .at_start = bytes_2,
     .operation = op_set_bytes,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: set of an object over an object, and a sweep",
     .build = build_dict,
     .ready = ready_with_object,
     .at_start = object_3,
     .operation = op_set_object,
     .sampled = true,
     .at_death = sweep_at_once,
     TWO_USERS},
    {.name = "dict: change",
     .build = build_dict,
     .at_start = twice_2,
     .operation = op_change,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: get of an object",
     .build = build_dict,
     .operation = op_get_object,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: remove, and the object goes",
     .build = build_dict,
     .at_start = without_3,
     .operation = op_remove_object,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: pop of an object, and a sweep",
     .build = build_dict,
     .at_start = without_3,
     .operation = op_pop_object,
     .sampled = true,
     .at_death = sweep_at_once,
     TWO_USERS},
    {.name = "dict: pop of the last item",
     .build = build_dict,
     .at_start = without_6,
     .operation = op_pop_last,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: clear",
     .build = build_dict,
     .at_start = none_left,
     .operation = op_clear,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: set that needs a rebuild",
     .build = build_full_dict,
     .at_start = bytes_2,
     .operation = op_set_bytes,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: set that needs a rebuild, and a sweep",
     .build = build_full_dict,
     .at_start = new_100,
     .operation = op_set_new,
     .sampled = true,
     .at_death = sweep_at_once,
     TWO_USERS},
    {.name = "dict: remove that makes it shrink",
     .build = build_wide_dict,
     .at_start = without_9,
     .operation = op_remove_and_shrink,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: made and dropped",
     .build = build_dict,
     .operation = op_make_and_drop,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: dropped, with itself and an object in it",
     .build = build_dict,
     .ready = ready_with_dict,
     .operation = op_drop_dict,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: sweep of a circle",
     .build = build_dict,
     .ready = ready_with_circle,
     .operation = op_sweep,
     FROM(pn_dict_walk),
     .sampled = true,
     .at_death = make_another,
     TWO_USERS},
    {.name = "dict: sweep of what a death left",
     .build = build_dead_dict,
     .operation = op_sweep,
     FROM(pn_dict_discard),
     .sampled = true,
     TWO_USERS},
    {.name = "dict: two deaths, set after set",
     .build = build_dict,
     .at_start = new_100_and_bytes_2,
     .first = op_set_new,
     .dies_with = lock_of_dict,
     .operation = op_set_bytes,
     .sampled = true,
     TWO_USERS},
    {.name = "dict: two deaths, a rebuild after one",
     .build = build_full_dict,
     .at_start = bytes_2,
     .first = op_die_inside,
     .dies_with = lock_of_dict,
     .operation = op_set_bytes,
     .sampled = true,
     TWO_USERS},
    {.name = "broken: dict: a value written in place",
     .build = build_dict,
     .at_start = bytes_2,
     .operation = op_write_in_place,
     .must_show = "wrong",
     TWO_USERS},
    {.name = "broken: dict: removed, and no takes",
     .build = build_dict,
     .at_start = without_3,
     .operation = op_remove_without_takes,
     .must_show = "wrong",
     TWO_USERS},
    {.name = NULL},
};
