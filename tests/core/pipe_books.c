/* The verdict on a pipe: who has received what. */

#include "audit.h"
#include "items.h"
#include "pipe_roles.h"
#include "ring_private.h"

uint32_t
count_taken(const pn_ring *ring)
{
    uint64_t count, bytes;
    pn_ring_read_totals(&ring->cell->head, ring->cell->head_mark, &count, &bytes);
    return (uint32_t)count;
}

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
            blame(world, "wrong", "actor %d pipe_ends with %u", i, atomic_load(&actor->status));
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
    drain(world, &pipe_ends[0].out, seen);
    drain(world, &pipe_ends[1].out, seen);
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

void
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
void
survive_message(world *world)
{
    uint32_t status = atomic_load(&world->stage->status);
    world->victim_got = count_taken(&pipe_ends[0].in);
    if (status != PN_EMPTY && (status != PN_OK || world->victim_got != 1)) {
        blame(world, "lost", "the end (%u) was told before the message", status);
    }
    compare(world);
    drop(0);
    audit_after(world);
}

pn_lock *
tail_lock(world *world)
{
    (void)world;
    return &pipe_ends[1].out.cell->tail_lock;
}
