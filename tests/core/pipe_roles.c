/* What is there in pipe scenarios, what the others do, and the victim. */
#include <stdlib.h>

#include "audit.h"
#include "items.h"
#include "many.h"
#include "pipe_roles.h"
#include "ring_private.h"
#include "sweep.h"

pn_pipe_end pipe_ends[2];
static bool dropped[2];

/* ---- what is there ------------------------------------------------------------------- */

/* `a` messages have room in a direction, 0: all; `b` wait to be received at end 1. */
void
build_pipe(world *world)
{
    uint32_t generation[2];
    uint64_t bytes = world->scenario->a ? world->scenario->a * PIPE_WEIGHT : 1 << 20;
    if (pn_pipe_new(world->domain, "pipe", true, bytes, pipe_ends, generation) != PN_OK) {
        abort();
    }
    dropped[0] = dropped[1] = false;
    for (uint32_t id = 1; id <= world->scenario->b; id++) {
        if (put_bytes(&pipe_ends[0].out, id, PIPE_LENGTH) != PN_OK) {
            abort();
        }
        book(world, id);
    }
    world->put_first = 100;
}

/* The director is the only user of end 1. */
void
build_used(world *world)
{
    build_pipe(world);
    pn_end_use(&pipe_ends[1]);
}

static void
use_and_die(world *world)
{
    (void)world;
    pn_end_use(&pipe_ends[1]);
}

/* The only user of end 1 is dead, and nobody has heard of it. */
void
build_dead(world *world)
{
    build_pipe(world);
    live_and_die(world, use_and_die);
}

static void
use_one_of_both_and_die(world *world)
{
    for (int i = 0; i < 2; i++) {
        pn_end_give(world->domain, pipe_ends[i].offset, world->domain->slot);
    }
    pn_end_use(&pipe_ends[1]);
}

/* The same, and it was given both ends. */
void
build_dead_with_both(world *world)
{
    build_pipe(world);
    live_and_die(world, use_one_of_both_and_die);
}

static void
be_given_both_and_die(world *world)
{
    for (int i = 0; i < 2; i++) {
        pn_end_give(world->domain, pipe_ends[i].offset, world->domain->slot);
    }
}

/* Who was given both has used neither: it ends nothing. */
void
build_dead_before_its_use(world *world)
{
    build_pipe(world);
    live_and_die(world, be_given_both_and_die);
}

/* A queue that carries pipe_ends. */
void
build_carrier(world *world)
{
    ring_make(world, 0, 0);
    build_pipe(world);
}

static void
pass_on(world *world)
{
    parcel parcel;
    parcel_clear(&parcel);
    parcel_add_object(&parcel, 1, pipe_ends[1].offset);
    pn_batch batch = parcel_batch(&parcel);
    pn_ring_try_put(&world->ring, &batch);
}

void
drop(uint32_t number)
{
    if (!dropped[number]) {
        dropped[number] = true;
        pn_end_drop(&pipe_ends[number]);
    }
}

/* End 1, which had a user, is in an item, and nobody else has it. */
void
build_on_its_way(world *world)
{
    build_carrier(world);
    pn_end_use(&pipe_ends[1]);
    pass_on(world);
    drop(1);
}

/* ---- the others ------------------------------------------------------------------------- */

static pn_status
send_one(pn_pipe_end *end, uint32_t id)
{
    parcel parcel;
    pn_status status;
    parcel_clear(&parcel);
    parcel_add_bytes(&parcel, id, PIPE_LENGTH);
    pn_batch batch = parcel_batch(&parcel);
    do {
        status = pn_end_send(end, &batch, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    return status;
}

/* Its record stands in `room`. */
static pn_status
receive_one(pn_pipe_end *end, uint64_t room[64])
{
    pn_sink sink = {.bytes = (char *)room, .capacity = 64 * sizeof(*room), .limit = 1};
    pn_status status;
    do {
        status = pn_end_receive(end, &sink, PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    return status;
}

/* At end 0, until it is told that end 1 is over. */
void
reader(world *world, actor *me)
{
    uint64_t room[64];
    pn_status status;
    pn_end_use(&pipe_ends[0]);
    while ((status = receive_one(&pipe_ends[0], room)) == PN_OK) {
        ACTOR_CHECK(me, item_is_whole(world->domain, (pn_record *)room));
        actor_note(me, item_id((pn_record *)room));
    }
    atomic_store(&me->status, status);
}

/* The same, without the other end, which it has inherited. */
void
bare_reader(world *world, actor *me)
{
    pn_end_drop(&pipe_ends[1]);
    reader(world, me);
}

void
writer(world *world, actor *me)
{
    uint32_t id = world->scenario->cast[me - world->stage->actors].first;
    pn_status status;
    pn_end_use(&pipe_ends[0]);
    while ((status = send_one(&pipe_ends[0], id)) == PN_OK) {
        actor_note(me, id++);
    }
    atomic_store(&me->status, status);
}

void
poller(world *world, actor *me)
{
    pn_status status;
    (void)world;
    pn_end_use(&pipe_ends[0]);
    do {
        status = pn_end_poll(&pipe_ends[0], PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    atomic_store(&me->status, status);
}

/* Waits for the end of the peer alone, as procession.wait does. */
void
listener(world *world, actor *me)
{
    pn_many_item item = {
        .domain = world->domain, .offset = pipe_ends[0].offset, .want = PN_FOR_GET};
    pn_many many = {.items = &item, .count = 1};
    pn_end_use(&pipe_ends[0]);
    if (!pn_many_look(&many)) {
        pn_many_begin(&many);
        while (!pn_many_look(&many)) {
            pn_many_sleep(&many, PN_FOREVER);
        }
        pn_many_end(&many);
    }
    atomic_store(&me->status, PN_SHUT_DOWN);
}

void
others_come(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL && world->scenario->cast[i].when == LATER) {
            actor_start_asleep(world, i);
        }
    }
}

/* ---- what the victim does -------------------------------------------------------------------- */

void
ready_at_1(world *world)
{
    (void)world;
    pn_end_use(&pipe_ends[1]);
}

void
ready_at_0(world *world)
{
    (void)world;
    pn_end_use(&pipe_ends[0]);
}

/* As if it had made the pipe; others have used end 1, and are gone. */
void
ready_as_keeper(world *world)
{
    atomic_store(&pipe_ends[1].cell->used[1], 1);
    atomic_store(&pipe_ends[1].cell->keeper[1], world->domain->slot + 1);
}

void
op_send(world *world)
{
    atomic_store(&world->stage->status, send_one(&pipe_ends[1], world->put_first));
}

void
op_use_and_send(world *world)
{
    pn_end_use(&pipe_ends[1]);
    op_send(world);
}

void
op_receive(world *world)
{
    uint64_t room[64];
    atomic_store(&world->stage->status, receive_one(&pipe_ends[1], room));
}

void
op_wait_for_message(world *world)
{
    uint64_t room[64];
    atomic_store(&world->stage->status, receive_one(&pipe_ends[0], room));
}

void
op_look_for_message(world *world)
{
    uint64_t room[64];
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
    atomic_store(&world->stage->status, pn_end_try_receive(&pipe_ends[0], &sink));
}

void
op_wait_for_room(world *world)
{
    atomic_store(&world->stage->status, send_one(&pipe_ends[0], 150));
}

void
op_close(world *world)
{
    (void)world;
    pn_end_drop(&pipe_ends[1]);
}

void
op_pass_on(world *world)
{
    pass_on(world);
    pn_end_drop(&pipe_ends[1]);
}

void
op_take_it_over(world *world)
{
    uint64_t room[64];
    uint32_t id;
    pn_pipe_end end;
    if (get_one(&world->ring, room, sizeof(room), 0, &id) == PN_OK &&
        pn_end_open(&end, world->domain, item_object((pn_record *)room)) == PN_OK) {
        pn_end_drop(&end);
    }
}

/* Its own threads shall come back; who sleeps there is of another process. */
void
op_call_back(world *world)
{
    (void)world;
    pn_end_close(&pipe_ends[0]);
}

void
op_sweep(world *world)
{
    pn_sweep(world->domain);
}
