/* The verdict on a dictionary: what is in it. */
#include "audit.h"
#include "dict_roles.h"

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
    uint32_t there = walk.count, must_be = plan.clears && walk.count == 0 ? 0 : items;
    for (uint32_t i = 0; i < plan.change_count; i++) {
        change *change = &plan.changes[i];
        uint32_t value = found_at(&walk, change->key);
        must_be += (value != 0) - (change->old != 0);
        bool is_done =
            has_ended && i + 1 == plan.change_count; /* an earlier victim's may be either */
        if (value != change->new && (value != change->old || is_done)) {
            blame(world, "wrong", "key %u has %u, not %u or %u", change->key, value, change->old,
                  change->new);
        }
    }
    if (there != must_be || (plan.clears && has_ended && there != 0)) {
        blame(world, there < must_be ? "lost" : "doubled", "%u items, not %u", there, must_be);
    }
    for (uint32_t key = 1; there != 0 && key <= items; key++) {
        bool is_changed = false;
        for (uint32_t i = 0; i < plan.change_count; i++) {
            is_changed |= plan.changes[i].key == key;
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

void
survive_dict(world *world)
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
    check_items(world, world->scenario->build == build_wide_dict ? 9 : ITEMS);
    audit_after(world);
}
