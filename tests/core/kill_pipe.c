/* Step-kill: both ends of a pipe, and who sleeps at the other one while somebody sends, receives, closes, buries. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "audit.h"
#include "items.h"
#include "many.h"
#include "pipe.h"
#include "ring_private.h"
#include "slots.h"
#include "stepkill.h"
#include "sweep.h"

#define LENGTH 36 /* bytes of payload: a message that can be half */
#define WEIGHT 48 /* of its record */

/* Of this point's world, and forked into everybody. The director has both, as an heir, unless it says that it uses one. */
static pn_pipe_end ends[2];
static bool dropped[2];

/* ---- what is there ------------------------------------------------------------------- */

/* `a` messages have room in a direction, 0: all; `b` wait to be received at end 1. */
static void
build_pipe(world *world)
{
    uint32_t generation[2];
    uint64_t bytes = world->scenario->a ? world->scenario->a * WEIGHT : 1 << 20;
    if (pn_pipe_new(world->domain, "pipe", true, bytes, ends, generation) != PN_OK) {
        abort();
    }
    dropped[0] = dropped[1] = false;
    for (uint32_t id = 1; id <= world->scenario->b; id++) {
        if (put_bytes(&ends[0].out, id, LENGTH) != PN_OK) {
            abort();
        }
        book(world, id);
    }
    world->put_first = 100;
}

/* The director is the only user of end 1. */
static void
build_used(world *world)
{
    build_pipe(world);
    pn_end_use(&ends[1]);
}

static void
use_and_die(world *world)
{
    (void)world;
    pn_end_use(&ends[1]);
}

/* The only user of end 1 is dead, and nobody has heard of it. */
static void
build_dead(world *world)
{
    build_pipe(world);
    live_and_die(world, use_and_die);
}

/* A queue that carries ends. */
static void
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
    parcel_add_object(&parcel, 1, ends[1].offset);
    pn_batch batch = parcel_batch(&parcel);
    pn_ring_try_put(&world->ring, &batch);
}

static void
drop(uint32_t number)
{
    if (!dropped[number]) {
        dropped[number] = true;
        pn_end_drop(&ends[number]);
    }
}

/* End 1, which had a user, is in an item, and nobody else has it. */
static void
build_on_its_way(world *world)
{
    build_carrier(world);
    pn_end_use(&ends[1]);
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
    parcel_add_bytes(&parcel, id, LENGTH);
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
static void
reader(world *world, actor *me)
{
    uint64_t room[64];
    pn_status status;
    pn_end_use(&ends[0]);
    while ((status = receive_one(&ends[0], room)) == PN_OK) {
        ACTOR_CHECK(me, item_is_whole(world->domain, (pn_record *)room));
        actor_note(me, item_id((pn_record *)room));
    }
    atomic_store(&me->status, status);
}

/* The same, without the other end, which it has inherited. */
static void
bare_reader(world *world, actor *me)
{
    pn_end_drop(&ends[1]);
    reader(world, me);
}

static void
writer(world *world, actor *me)
{
    uint32_t id = world->scenario->cast[me - world->stage->actors].first;
    pn_status status;
    pn_end_use(&ends[0]);
    while ((status = send_one(&ends[0], id)) == PN_OK) {
        actor_note(me, id++);
    }
    atomic_store(&me->status, status);
}

static void
poller(world *world, actor *me)
{
    pn_status status;
    (void)world;
    pn_end_use(&ends[0]);
    do {
        status = pn_end_poll(&ends[0], PN_FOREVER);
    } while (status == PN_INTERRUPTED);
    atomic_store(&me->status, status);
}

/* Waits for the end of the peer alone, as procession.wait does. */
static void
listener(world *world, actor *me)
{
    pn_many_item item = {.domain = world->domain, .offset = ends[0].offset, .want = PN_FOR_GET};
    pn_many many = {.items = &item, .count = 1};
    pn_end_use(&ends[0]);
    if (!pn_many_look(&many)) {
        pn_many_begin(&many);
        while (!pn_many_look(&many)) {
            pn_many_sleep(&many, PN_FOREVER);
        }
        pn_many_end(&many);
    }
    atomic_store(&me->status, PN_SHUT_DOWN);
}

static void
others_come(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL && world->scenario->cast[i].when == LATER) {
            actor_start_asleep(world, i);
        }
    }
}

/* ---- what the victim does -------------------------------------------------------------------- */

static void
ready_at_1(world *world)
{
    (void)world;
    pn_end_use(&ends[1]);
}

static void
ready_at_0(world *world)
{
    (void)world;
    pn_end_use(&ends[0]);
}

static void
op_send(world *world)
{
    atomic_store(&world->stage->status, send_one(&ends[1], world->put_first));
}

static void
op_use_and_send(world *world)
{
    pn_end_use(&ends[1]);
    op_send(world);
}

static void
op_receive(world *world)
{
    uint64_t room[64];
    atomic_store(&world->stage->status, receive_one(&ends[1], room));
}

static void
op_wait_for_message(world *world)
{
    uint64_t room[64];
    atomic_store(&world->stage->status, receive_one(&ends[0], room));
}

static void
op_look_for_message(world *world)
{
    uint64_t room[64];
    pn_sink sink = {.bytes = (char *)room, .capacity = sizeof(room), .limit = 1};
    atomic_store(&world->stage->status, pn_end_try_receive(&ends[0], &sink));
}

static void
op_wait_for_room(world *world)
{
    atomic_store(&world->stage->status, send_one(&ends[0], 150));
}

static void
op_close(world *world)
{
    (void)world;
    pn_end_drop(&ends[1]);
}

static void
op_pass_on(world *world)
{
    pass_on(world);
    pn_end_drop(&ends[1]);
}

static void
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
static void
op_call_back(world *world)
{
    (void)world;
    pn_end_close(&ends[0]);
}

static void
op_sweep(world *world)
{
    pn_sweep(world->domain);
}

/* ---- the director ----------------------------------------------------------------------------- */

static uint32_t
count_put(const pn_ring *ring)
{
    uint64_t count, bytes;
    pn_ring_read_totals(&ring->cell->tail, ring->cell->tail_mark, &count, &bytes);
    return (uint32_t)count;
}

static uint32_t
count_taken(const pn_ring *ring)
{
    uint64_t count, bytes;
    pn_ring_read_totals(&ring->cell->head, ring->cell->head_mark, &count, &bytes);
    return (uint32_t)count;
}

/* At end 1 nobody but victims sends and receives. */
static void
note_messages(world *world)
{
    uint32_t put = count_put(&ends[1].out) - world->base_put;
    if (put != 0) {
        book(world, world->put_first);
    } else if (world->puts != 0 && atomic_load(&world->stage->ended)) {
        blame(world, "lost", "send returned and is not in");
    }
    world->put_first += 100;
    world->base_put += put;
    world->victim_got = count_taken(&ends[1].in);
}

static void
sender_is_ready(world *world)
{
    world->puts = 1;
}

/* What its janitor does. */
static void
bury_it(world *world)
{
    pn_sweep(world->domain);
    world->died_at = pn_now();
}

/* If it has not come to use the end, having it counts, and the actors have it: then the director uses it, and closes. */
static void
bury_it_and_see_that_it_was_used(world *world)
{
    if (atomic_load(&ends[1].cell->used[1]) == 0) {
        pn_end_use(&ends[1]);
        drop(1);
    }
    bury_it(world);
}

static void
bury_it_and_close(world *world)
{
    drop(1);
    bury_it(world);
}

/* As long as the item is there the end is not over; then whoever takes it does not want it. */
static void
bury_it_and_take_the_item(world *world)
{
    uint64_t room[64];
    uint32_t id;
    pn_sweep(world->domain);
    if (pn_ring_count(&world->ring) != 0) {
        if (pn_end_peer_is_over(&ends[0])) {
            blame(world, "wrong", "an end that is on its way is over");
        }
        if (get_one(&world->ring, room, sizeof(room), 0, &id) != PN_OK) {
            blame(world, "wrong", "the item cannot be taken");
            return;
        }
        pn_object_drop(world->domain, item_object((pn_record *)room));
    }
    world->died_at = pn_now();
}

/* Who sleeps at the other end is killed as well. */
static void
bury_both(world *world)
{
    actor *actor = &world->stage->actors[0];
    kill(world->pids[0], SIGKILL);
    while (waitpid(world->pids[0], NULL, 0) != world->pids[0]) {
    }
    world->pids[0] = 0;
    atomic_store(&actor->status, PN_SHUT_DOWN);
    atomic_store(&actor->state, ACTOR_FINISHED);
    bury_it(world);
    if (!pn_end_peer_is_over(&ends[0]) || !pn_end_peer_is_over(&ends[1])) {
        blame(world, "wrong", "all users are dead, and an end is open");
    }
}

/* Who was woken for nothing, or not, must be woken by this. */
static void
a_message_comes(world *world)
{
    if (put_bytes(&ends[1].out, 500, LENGTH) != PN_OK) {
        blame(world, "wrong", "the director cannot send");
    }
    book(world, 500);
    bury_it_and_close(world);
}

static void
others_come_and_it_is_closed(world *world, int time)
{
    if (time == 1) {
        others_come(world);
        drop(1);
    }
}

static void
it_is_closed(world *world)
{
    (void)world;
    drop(1);
}

static void
it_is_closed_in_its_sleep(world *world, int time)
{
    (void)world;
    (void)time;
    drop(1);
}

static void
a_message_and_the_end_come(world *world)
{
    if (put_bytes(&ends[1].out, 500, LENGTH) != PN_OK) {
        blame(world, "wrong", "the director cannot send");
    }
    book(world, 500);
    drop(1);
}

static void
another_comes(world *world)
{
    crew_meet(world, 0);
}

/* ---- the verdict --------------------------------------------------------------------------------- */

static void
tick(world *world, uint8_t seen[1024], uint32_t id)
{
    if (id >= 1024 || seen[id]++) {
        blame(world, "doubled", "message %u", id);
    }
}

/* What nobody has received. */
static void
drain(world *world, pn_ring *ring, uint8_t seen[1024])
{
    uint64_t room[64];
    uint32_t id;
    pn_status status;
    while ((status = get_one(ring, room, sizeof(room), 0, &id)) == PN_OK) {
        if (!item_is_whole(world->domain, (pn_record *)room)) {
            blame(world, "wrong", "message %u is broken", id);
        }
        tick(world, seen, id);
    }
    if (status != PN_EMPTY) {
        blame(world, "wrong", "the ring cannot be emptied: %d", status);
    }
}

/* Each message once; what is missing are the oldest ones, which the victim has taken. */
static void
compare(world *world)
{
    uint8_t seen[1024] = {0};
    for (int i = 0; i < ACTORS; i++) {
        actor *actor = &world->stage->actors[i];
        uint32_t count = atomic_load(&actor->progress), last = 0;
        if (world->scenario->cast[i].play == NULL) {
            continue;
        }
        if (atomic_load(&actor->broken)) {
            blame(world, "wrong", "a message is broken: line %u", atomic_load(&actor->broken));
        }
        if (atomic_load(&actor->status) != PN_SHUT_DOWN) {
            blame(world, "wrong", "actor %d ends with %u", i, atomic_load(&actor->status));
        }
        for (uint32_t k = 0; k < count && k < LOG; k++) {
            uint32_t id = atomic_load(&actor->log[k]);
            if (world->scenario->cast[i].first != 0) {
                book(world, id);
                continue;
            }
            if (id <= last) {
                blame(world, "wrong", "message %u came after %u", id, last);
            }
            last = id;
            tick(world, seen, id);
        }
    }
    drain(world, &ends[0].out, seen);
    drain(world, &ends[1].out, seen);
    for (uint32_t i = 0; i < world->in_count; i++) {
        if (seen[world->in[i]] != (i >= world->victim_got)) {
            blame(world, i < world->victim_got ? "doubled" : "lost", "message %u", world->in[i]);
        }
        seen[world->in[i]] = 0;
    }
    for (uint32_t id = 0; id < sizeof(seen); id++) {
        if (seen[id]) {
            blame(world, "doubled", "message %u was received and not sent", id);
        }
    }
}

static void
survive_pipe(world *world)
{
    for (int i = 0; i < ACTORS; i++) {
        if (world->scenario->cast[i].play != NULL) { /* late ones, too, if nobody slept */
            actor_start(world, i);
        }
    }
    if (!crew_wait(world, all_finished, "the other end is over, and somebody sleeps")) {
        return;
    }
    world->delay = pn_now() - world->died_at;
    if (world->scenario->meet && world->scenario->cast[0].play == NULL &&
        atomic_load(&world->stage->status) != PN_SHUT_DOWN) {
        blame(world, "wrong", "the end is told as %u", atomic_load(&world->stage->status));
    }
    compare(world);
    drop(0);
    drop(1);
    audit_after(world);
}

/* It had not looked yet, or has the message: the end is told afterwards. */
static void
survive_message(world *world)
{
    uint32_t status = atomic_load(&world->stage->status);
    world->victim_got = count_taken(&ends[0].in);
    if (status != PN_EMPTY && (status != PN_OK || world->victim_got != 1)) {
        blame(world, "lost", "the end (%u) was told before the message", status);
    }
    compare(world);
    drop(0);
    audit_after(world);
}

static pn_lock *
tail_lock(world *world)
{
    (void)world;
    return &ends[1].out.cell->tail_lock;
}

/* ---- broken on purpose -------------------------------------------------------------------------------- */

/* Takes the mark of the one who sleeps, and does not wake him. */
static void
op_close_without_wake(world *world)
{
    uint32_t slot = world->domain->slot;
    atomic_fetch_and(&ends[1].cell->users[1][slot / 64], ~(UINT64_C(1) << slot % 64));
    atomic_store(&ends[1].out.cell->not_empty, 0);
}

/* Commits, and copies then. */
static void
op_send_half(world *world)
{
    pn_ring_cell *cell = ends[1].out.cell;
    parcel parcel;
    parcel_clear(&parcel);
    parcel_add_bytes(&parcel, world->put_first, LENGTH);
    uint64_t *words = parcel.bytes, last = words[4];
    words[4] = 0;
    pn_batch batch = parcel_batch(&parcel);
    pn_lock_try(&cell->tail_lock);
    pn_ring_put_locked(&ends[1].out, &batch, false);
    ((uint64_t *)ends[1].out.put.bytes)[4] = last;
    pn_lock_release(&cell->tail_lock);
}

static void
op_send_nothing(world *world)
{
    (void)world;
}

#define PIPE_END .at_stop = note_messages, .survive = survive_pipe
#define SENDER .ready = ready_at_1, .at_start = sender_is_ready

const scenario pipe_scenarios[] = {
    {.name = "pipe: send, a receiver sleeps",
     .build = build_pipe,
     SENDER,
     .operation = op_send,
     .at_death = bury_it,
     .cast = {SLEEPING(reader, 0, 0)},
     PIPE_END},
    {.name = "pipe: first use and send, receivers sleep",
     .build = build_pipe,
     .at_start = sender_is_ready,
     .operation = op_use_and_send,
     .sampled = true,
     .at_death = bury_it_and_see_that_it_was_used,
     .cast = {SLEEPING(reader, 0, 0), SLEEPING(reader, 0, 0), COMING(reader, 0, 0)},
     PIPE_END},
    {.name = "pipe: two deaths: send, then send",
     .build = build_pipe,
     .ready = ready_at_1,
     .first = op_send,
     .dies_with = tail_lock,
     .operation = op_send,
     .sampled = true,
     .at_death = bury_it,
     .cast = {COMING(reader, 0, 0), COMING(reader, 0, 0)},
     PIPE_END},
    {.name = "pipe: send, and both sides are killed",
     .build = build_pipe,
     SENDER,
     .operation = op_send,
     .sampled = true,
     .at_death = bury_both,
     .cast = {SLEEPING(poller, 0, 0), COMING(reader, 0, 0), COMING(writer, 201, 0)},
     PIPE_END},
    {.name = "pipe: an end is passed on in an item",
     .build = build_carrier,
     .ready = ready_at_1,
     .at_start = it_is_closed,
     .operation = op_pass_on,
     .sampled = true,
     .at_death = bury_it_and_take_the_item,
     .cast = {SLEEPING(bare_reader, 0, 0)},
     PIPE_END},
    {.name = "pipe: an end arrives in an item",
     .build = build_on_its_way,
     .operation = op_take_it_over,
     FROM(pn_ring_answer_for),
     .sampled = true,
     .at_death = bury_it_and_take_the_item,
     .cast = {SLEEPING(reader, 0, 0)},
     PIPE_END},
    {.name = "pipe: receive, a sender waits for room",
     .build = build_pipe,
     .a = 3,
     .b = 3,
     .ready = ready_at_1,
     .operation = op_receive,
     .at_death = bury_it,
     .cast = {SLEEPING(writer, 201, 0)},
     PIPE_END},
    {.name = "pipe: receive, several wait for all there is",
     .build = build_pipe,
     .a = 2,
     .b = 2,
     .ready = ready_at_1,
     .operation = op_receive,
     .sampled = true,
     .at_death = bury_it,
     .cast = {SLEEPING(writer, 201, 0), SLEEPING(writer, 301, 0), SLEEPING(reader, 0, 0),
              SLEEPING(listener, 0, 0), COMING(writer, 401, 0)},
     PIPE_END},
    {.name = "pipe: a leading receiver is told of the end",
     .build = build_used,
     .ready = ready_at_0,
     .operation = op_wait_for_message,
     FROM(pn_wait_begin),
     .sampled = true,
     .on_sleep = others_come_and_it_is_closed,
     .at_death = bury_it_and_close,
     .cast = {LATECOMER(reader, 0, 0), LATECOMER(poller, 0, 0)},
     PIPE_END},
    {.name = "pipe: a leading sender is told of the end",
     .build = build_used,
     .a = 2,
     .b = 2,
     .ready = ready_at_0,
     .operation = op_wait_for_room,
     FROM(pn_wait_begin),
     .sampled = true,
     .on_sleep = others_come_and_it_is_closed,
     .at_death = bury_it_and_close,
     .cast = {LATECOMER(writer, 201, 0), LATECOMER(writer, 301, 0)},
     PIPE_END},
    {.name = "pipe: close, all kinds sleep",
     .build = build_pipe,
     .a = 2,
     .b = 2,
     .ready = ready_at_1,
     .operation = op_close,
     .sampled = true,
     .at_death = bury_it,
     .cast = {SLEEPING(reader, 0, 0), SLEEPING(writer, 201, 0), SLEEPING(listener, 0, 0),
              SLEEPING(poller, 0, 0)},
     PIPE_END},
    {.name = "pipe: close by the last who has it",
     .build = build_pipe,
     .ready = ready_at_1,
     .at_start = it_is_closed,
     .operation = op_close,
     .sampled = true,
     .at_death = bury_it,
     .cast = {SLEEPING(bare_reader, 0, 0)},
     PIPE_END},
    {.name = "pipe: own threads called back, another sleeps",
     .build = build_used,
     .ready = ready_at_0,
     .operation = op_call_back,
     .at_death = a_message_comes,
     .cast = {SLEEPING(reader, 0, 0)},
     PIPE_END},
    {.name = "pipe: sweep of a dead user, all kinds sleep",
     .build = build_dead,
     .a = 2,
     .b = 2,
     .operation = op_sweep,
     FROM(pn_pipe_bury),
     .sampled = true,
     .at_death = bury_it,
     .cast = {SLEEPING(reader, 0, 0), SLEEPING(writer, 201, 0), SLEEPING(listener, 0, 0)},
     PIPE_END},
    {.name = "pipe: close between, a receiver falls asleep",
     .build = build_used,
     .ready = ready_at_0,
     .operation = op_wait_for_message,
     FROM(pn_wait_begin),
     .sampled = true,
     .meet = true,
     .on_sleep = it_is_closed_in_its_sleep,
     .at_stop = it_is_closed,
     .survive = survive_pipe},
    {.name = "pipe: close between, a sender falls asleep",
     .build = build_used,
     .a = 2,
     .b = 2,
     .ready = ready_at_0,
     .operation = op_wait_for_room,
     FROM(pn_wait_begin),
     .sampled = true,
     .meet = true,
     .on_sleep = it_is_closed_in_its_sleep,
     .at_stop = it_is_closed,
     .survive = survive_pipe},
    {.name = "pipe: message and end come between, receive",
     .build = build_used,
     .ready = ready_at_0,
     .operation = op_wait_for_message,
     .most = 450, /* then it only looks whether it need wait */
     .meet = true,
     .at_stop = a_message_and_the_end_come,
     .survive = survive_message},
    {.name = "pipe: message and end come between, look",
     .build = build_used,
     .ready = ready_at_0,
     .operation = op_look_for_message,
     .meet = true,
     .at_stop = a_message_and_the_end_come,
     .survive = survive_message},
    {.name = "pipe: a receiver comes between, close",
     .build = build_pipe,
     .ready = ready_at_1,
     .operation = op_close,
     .sampled = true,
     .meet = true,
     .at_stop = another_comes,
     .cast = {LATECOMER(reader, 0, 0)},
     .survive = survive_pipe},
    {.name = "pipe: a sender comes between, sweep",
     .build = build_dead,
     .a = 2,
     .b = 2,
     .operation = op_sweep,
     FROM(pn_pipe_bury),
     .sampled = true,
     .meet = true,
     .at_stop = another_comes,
     .cast = {LATECOMER(writer, 201, 0)},
     .survive = survive_pipe},
    {.name = "broken: pipe: close without a wake",
     .build = build_pipe,
     .ready = ready_at_1,
     .operation = op_close_without_wake,
     .at_death = bury_it,
     .must_show = "stuck",
     .cast = {SLEEPING(reader, 0, 0)},
     PIPE_END},
    {.name = "broken: pipe: half a message",
     .build = build_pipe,
     .ready = ready_at_1,
     .operation = op_send_half,
     .sampled = true,
     .at_death = bury_it,
     .must_show = "wrong",
     .cast = {SLEEPING(reader, 0, 0)},
     PIPE_END},
    {.name = "broken: pipe: send that sends nothing",
     .build = build_pipe,
     SENDER,
     .operation = op_send_nothing,
     .at_death = bury_it,
     .must_show = "lost",
     .cast = {SLEEPING(reader, 0, 0)},
     PIPE_END},
    {.name = NULL},
};
