/* What actors of ring scenarios do. */
#include <stddef.h>

#include "heap.h"
#include "items.h"
#include "stepkill.h"

pn_status
put_waiting(pn_ring *ring, uint32_t id, uint32_t count)
{
    parcel parcel;
    parcel_clear(&parcel);
    for (uint32_t i = 0; i < count; i++) {
        parcel_add(&parcel, id + i);
    }
    pn_batch batch = parcel_batch(&parcel);
    pn_status status;
    do {
        status = pn_ring_put(ring, &batch, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    return status;
}

void
produce(world *world, actor *me)
{
    const role *role = &world->scenario->cast[me - world->stage->actors];
    for (uint32_t i = 0; i < role->count; i++) {
        pn_status status = put_waiting(&world->ring, role->first + i, 1);
        atomic_store(&me->status, status);
        if (status != PN_OK) {
            return;
        }
        actor_note(me, role->first + i);
    }
}

/* What came in the item: its object is ours to let go. */
static void
receive(world *world, actor *me, const pn_record *record)
{
    ACTOR_CHECK(me, item_is_whole(world->domain, record));
    uint64_t object = item_object(record);
    if (object != 0) {
        ACTOR_CHECK(me, pn_object_valid(world->domain, object));
        pn_object_drop(world->domain, object);
    }
    actor_note(me, item_id(record));
}

static void
consume_up_to(world *world, actor *me, uint32_t most)
{
    static uint64_t room[PN_RING_INLINE / 8 + 16];
    uint32_t id;
    for (uint32_t taken = 0; taken < most;) {
        pn_status status = get_one(&world->ring, room, sizeof(room), PN_FOREVER, &id);
        if (status == PN_OK) {
            receive(world, me, (const pn_record *)room);
            taken++;
        } else if (status != PN_INTERRUPTED) {
            atomic_store(&me->status, status);
            return;
        }
    }
}

void
consume(world *world, actor *me)
{
    consume_up_to(world, me, UINT32_MAX);
}

void
consume_some(world *world, actor *me)
{
    consume_up_to(world, me, world->scenario->cast[me - world->stage->actors].count);
}
