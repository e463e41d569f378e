#include "leader.h"
#include "priority_private.h"

/* Both sides wait alike (leader.h); an attempt is made under the queue's one lock. */
typedef struct {
    pn_priority *queue;
    uint64_t entry; /* of a put; 0: a get */
    pn_sink *sink;
} priority_side;

static pn_status
attempt(void *context, int64_t deadline)
{
    priority_side *side = context;
    pn_status status = pn_priority_enter(side->queue, deadline);
    if (status != PN_OK) {
        return status;
    }
    return side->entry != 0 ? pn_priority_put_and_unlock(side->queue, side->entry)
                            : pn_priority_get_and_unlock(side->queue, side->sink);
}

static pn_status
attempt_now(void *context)
{
    priority_side *side = context;
    return side->entry != 0 ? pn_priority_try_put(side->queue, side->entry)
                            : pn_priority_try_get(side->queue, side->sink);
}

static bool
may_go(void *context)
{
    priority_side *side = context;
    pn_priority_cell *cell = side->queue->cell;
    if (atomic_load_explicit(&cell->shut, memory_order_relaxed) != 0) {
        return true;
    }
    return side->entry != 0 ? !pn_priority_is_full(side->queue)
                            : pn_priority_count(side->queue) != 0;
}

static pn_status
wait_at(priority_side *side, int64_t deadline)
{
    pn_priority *queue = side->queue;
    pn_priority_cell *cell = queue->cell;
    bool puts = side->entry != 0;
    pn_waiting waiting = {.domain = queue->domain,
                          .offset = queue->offset,
                          .kind = puts ? PN_WAIT_PUT : PN_WAIT_GET,
                          .lead = puts ? &cell->lead_put : &cell->lead_get,
                          .sleeper = puts ? &cell->not_full : &cell->not_empty,
                          .watched = puts ? &cell->takes : &cell->puts,
                          .shut = &cell->shut,
                          .in_vain = &queue->pauses_in_vain,
                          .wanting = puts ? PN_FULL : PN_EMPTY,
                          .passes_on_shut = true,
                          .attempt = attempt,
                          .attempt_now = attempt_now,
                          .may_go = may_go,
                          .context = side};
    return pn_wait_to_lead(&waiting, deadline);
}

pn_status
pn_priority_put(pn_priority *queue, uint64_t entry, int64_t deadline)
{
    priority_side side = {.queue = queue, .entry = entry};
    return wait_at(&side, deadline);
}

pn_status
pn_priority_get(pn_priority *queue, pn_sink *sink, int64_t deadline)
{
    priority_side side = {.queue = queue, .sink = sink};
    return wait_at(&side, deadline);
}

void
pn_priority_shut(pn_priority *queue, bool now)
{
    pn_priority_cell *cell = queue->cell;
    pn_shut(queue->domain, queue->offset, &cell->lock, &cell->shut, now);
}
