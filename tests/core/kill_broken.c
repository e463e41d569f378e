/* Operations that are broken on purpose: the program must find each of them, or it is blind. */
#include "heap.h"
#include "items.h"
#include "stepkill.h"

static void
build_empty(world *world)
{
    ring_make(world, 0, 0);
    victim_puts(world, 100, 1);
}

/* A commit as ring.c makes it, without the wake. */
static void
op_commit_without_wake(world *world)
{
    pn_ring_cell *cell = world->ring.cell;
    uint64_t tail = atomic_load(&cell->tail), end = tail + sizeof(pn_record);
    pn_lock_try(&cell->tail_lock);
    *(pn_record *)pn_at(world->domain, atomic_load(&cell->segment[0].block) + tail) =
        (pn_record){.value = world->put_first, .kind = PN_RECORD_INT32};
    atomic_store(&cell->tail_mark[1].count, 1);
    atomic_store(&cell->tail_mark[1].bytes, sizeof(pn_record));
    atomic_store(&cell->tail_mark[1].position, end);
    atomic_store(&cell->tail, end);
    pn_lock_release(&cell->tail_lock);
    atomic_store(&world->stage->status, PN_OK);
}

/* As on a kernel that wakes nobody when the waker dies. */
static void
ready_without_kernel(world *world)
{
    (void)world;
    pn_platform.pending_wake = false;
}

static void
op_put_twice(world *world)
{
    op_put(world);
    op_put(world);
}

static void
op_put_nothing(world *world)
{
    atomic_store(&world->stage->status, PN_OK);
}

/* A block that says it is nobody's: no sweep finds it. */
static void
op_lose_block(world *world)
{
    uint64_t block;
    if (pn_heap_alloc(world->domain, PN_PAGE, PN_BLOCK_PAYLOAD, 0, &block) == PN_OK) {
        atomic_store(&pn_block_at(world->domain, block)->owner, 0);
    }
}

#define PUT_BEFORE_SLEEPER                                                                         \
    .build = build_empty, .cast = {SLEEPING(consume, 0, 0), COMING(produce, 301, 2)}, RING_RULES

const scenario broken_scenarios[] = {
    {.name = "broken: commit without a wake",
     .operation = op_commit_without_wake,
     .must_show = "stuck",
     PUT_BEFORE_SLEEPER},
    {.name = "broken: the kernel wakes nobody",
     .ready = ready_without_kernel,
     .operation = op_put,
     .must_show = "stuck",
     PUT_BEFORE_SLEEPER},
    {.name = "broken: put twice",
     .operation = op_put_twice,
     .must_show = "doubled",
     PUT_BEFORE_SLEEPER},
    {.name = "broken: put that puts nothing",
     .operation = op_put_nothing,
     .must_show = "lost",
     PUT_BEFORE_SLEEPER},
    {.name = "broken: a block is lost",
     .operation = op_lose_block,
     .must_show = "wrong",
     PUT_BEFORE_SLEEPER},
    {.name = NULL},
};
