/* Step-kill: both ends of a pipe, and who sleeps at the other one while somebody sends, receives, closes, buries. */
#include <signal.h>
#include <sys/wait.h>

#include "audit.h"
#include "items.h"
#include "pipe_roles.h"
#include "ring_private.h"
#include "slots.h"
#include "sweep.h"

/* ---- the director ----------------------------------------------------------------------------- */

static uint32_t
count_put(const pn_ring *ring)
{
    uint64_t count, bytes;
    pn_ring_read_totals(&ring->cell->tail, ring->cell->tail_mark, &count, &bytes);
    return (uint32_t)count;
}

/* At end 1 nobody but victims sends and receives. */
static void
note_messages(world *world)
{
    uint32_t put = count_put(&pipe_ends[1].out) - world->base_put;
    if (put != 0) {
        book(world, world->put_first);
    } else if (world->puts != 0 && atomic_load(&world->stage->ended)) {
        blame(world, "lost", "send returned and is not in");
    }
    world->put_first += 100;
    world->base_put += put;
    world->victim_got = count_taken(&pipe_ends[1].in);
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
    if (atomic_load(&pipe_ends[1].cell->used[1]) == 0) {
        pn_end_use(&pipe_ends[1]);
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
        if (pn_end_peer_is_over(&pipe_ends[0])) {
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

/* Nobody has used an end: none is over, until the director says that it was used, and lets go. */
static void
bury_it_and_see_that_nothing_ended(world *world)
{
    pn_sweep(world->domain);
    for (int i = 0; i < 2; i++) {
        if (pn_end_peer_is_over(&pipe_ends[i])) {
            blame(world, "wrong", "who was given both ends has ended %d", 1 - i);
        }
    }
    pn_end_use(&pipe_ends[1]);
    drop(1);
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
    if (!pn_end_peer_is_over(&pipe_ends[0]) || !pn_end_peer_is_over(&pipe_ends[1])) {
        blame(world, "wrong", "all users are dead, and an end is open");
    }
}

/* Who was woken for nothing, or not, must be woken by this. */
static void
a_message_comes(world *world)
{
    if (put_bytes(&pipe_ends[1].out, 500, PIPE_LENGTH) != PN_OK) {
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
    if (put_bytes(&pipe_ends[1].out, 500, PIPE_LENGTH) != PN_OK) {
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

/* ---- broken on purpose -------------------------------------------------------------------------------- */

/* Takes the mark of the one who sleeps, and does not wake him. */
static void
op_close_without_wake(world *world)
{
    uint32_t slot = world->domain->slot;
    atomic_fetch_and(&pipe_ends[1].cell->users[1][slot / 64], ~(UINT64_C(1) << slot % 64));
    atomic_store(&pipe_ends[1].out.cell->not_empty, 0);
}

/* The bit goes before the keeper, which nobody looks at again if it is killed in between. */
static void
op_bury_in_a_wrong_order(world *world)
{
    pn_pipe_cell *cell = pipe_ends[1].cell;
    (void)world;
    for (uint32_t i = 0; i < PN_SLOTS / 64; i++) {
        atomic_store(&cell->users[1][i], 0);
    }
    atomic_store(&cell->keeper[1], 0);
}

/* Commits, and copies then. */
static void
op_send_half(world *world)
{
    pn_ring_cell *cell = pipe_ends[1].out.cell;
    parcel parcel;
    parcel_clear(&parcel);
    parcel_add_bytes(&parcel, world->put_first, PIPE_LENGTH);
    uint64_t *words = parcel.bytes, last = words[4];
    words[4] = 0;
    pn_batch batch = parcel_batch(&parcel);
    pn_lock_try(&cell->tail_lock);
    pn_ring_put_locked(&pipe_ends[1].out, &batch, false);
    ((uint64_t *)pipe_ends[1].out.put.bytes)[4] = last;
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
     .at_start = it_is_closed,
     .operation = op_close,
     .sampled = true,
     .at_death = bury_it,
     .cast = {SLEEPING(reader, 0, 0), SLEEPING(writer, 201, 0), SLEEPING(listener, 0, 0),
              SLEEPING(poller, 0, 0)},
     PIPE_END},
    {.name = "pipe: close by who keeps it, all kinds sleep",
     .build = build_pipe,
     .a = 2,
     .b = 2,
     .ready = ready_as_keeper,
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
    {.name = "pipe: sweep of a dead user of both, all kinds sleep",
     .build = build_dead_with_both,
     .a = 2,
     .b = 2,
     .operation = op_sweep,
     FROM(pn_pipe_bury),
     .sampled = true,
     .at_death = bury_it,
     .cast = {SLEEPING(reader, 0, 0), SLEEPING(writer, 201, 0), SLEEPING(listener, 0, 0)},
     PIPE_END},
    {.name = "pipe: sweep of who was given both and used neither",
     .build = build_dead_before_its_use,
     .operation = op_sweep,
     FROM(pn_pipe_bury),
     .sampled = true,
     .at_death = bury_it_and_see_that_nothing_ended,
     .cast = {COMING(reader, 0, 0)},
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
     .at_start = it_is_closed,
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
    {.name = "broken: pipe: a bit goes before the keeper",
     .build = build_dead,
     .operation = op_bury_in_a_wrong_order,
     .sampled = true,
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
