#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "pipe.h"

#include "ring_private.h"

/* ---- making and giving up -------------------------------------------------------------- */

static void
view(pn_pipe_end *end, pn_domain *domain, uint64_t pipe, uint64_t offset, uint32_t number)
{
    pn_pipe_cell *cell = pn_at(domain, pipe);
    *end = (pn_pipe_end){
        .domain = domain, .cell = cell, .offset = offset, .pipe = pipe, .number = number};
    if (cell->ring[number] != 0) {
        pn_ring_open(&end->out, domain, cell->ring[number]);
    }
    if (cell->ring[1 - number] != 0) {
        pn_ring_open(&end->in, domain, cell->ring[1 - number]);
    }
}

uint32_t
pn_end_objects(const pn_pipe_end *end, uint64_t objects[4])
{
    uint32_t count = 0;
    objects[count++] = end->offset; /* first: who drops them has the others while it goes */
    objects[count++] = end->pipe;
    for (uint32_t i = 0; i < 2; i++) {
        if (end->cell->ring[i] != 0) {
            objects[count++] = end->cell->ring[i];
        }
    }
    return count;
}

static pn_status
make_ends(pn_domain *domain, const char *name, uint64_t pipe, uint32_t pipe_generation,
          pn_pipe_end ends[2], uint32_t generation[2])
{
    pn_pipe_cell *cell = pn_at(domain, pipe);
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t offset;
        pn_status status = pn_object_new(domain, PN_OBJECT_END, name, &offset, &generation[i]);
        if (status != PN_OK) {
            if (i == 1) {
                pn_object_drop(domain, cell->end[0]);
            }
            return status;
        }
        pn_end_cell *end = pn_at(domain, offset);
        end->number = i;
        end->pipe_generation = pipe_generation;
        end->pipe = pipe;
        cell->end[i] = offset;
        atomic_store(&cell->keeper[i], domain->slot == PN_SLOTS ? 0 : domain->slot + 1);
    }
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t objects[4];
        view(&ends[i], domain, pipe, cell->end[i], i);
        uint32_t count = pn_end_objects(&ends[i], objects);
        for (uint32_t k = 1; k < count; k++) {
            pn_object_retain(domain, objects[k]);
        }
    }
    return PN_OK;
}

pn_status
pn_pipe_new(pn_domain *domain, const char *name, bool duplex, uint64_t max_bytes,
            pn_pipe_end ends[2], uint32_t generation[2])
{
    uint64_t pipe;
    uint32_t pipe_generation;
    pn_status status = pn_object_new(domain, PN_OBJECT_PIPE, name, &pipe, &pipe_generation);
    if (status != PN_OK) {
        return status;
    }
    pn_pipe_cell *cell = pn_at(domain, pipe);
    uint64_t ring[2] = {0, 0};
    for (uint32_t i = duplex ? 0 : 1; status == PN_OK && i < 2; i++) {
        status = pn_ring_new(domain, name, 0, max_bytes, &ring[i], &cell->ring_generation[i]);
        ring[i] = status == PN_OK ? ring[i] : 0;
        cell->ring[i] = ring[i];
    }
    if (status == PN_OK) {
        status = make_ends(domain, name, pipe, pipe_generation, ends, generation);
    }
    /* Each end has references of its own. None is found by its name: which end would it be? */
    atomic_fetch_or(&cell->object.flags, PN_OBJECT_PART);
    for (uint32_t i = 0; i < 2; i++) {
        if (status == PN_OK) {
            atomic_fetch_or(&((pn_object *)pn_at(domain, ends[i].offset))->flags, PN_OBJECT_PART);
        }
        if (ring[i] != 0) {
            atomic_fetch_or(&((pn_object *)pn_at(domain, ring[i]))->flags, PN_OBJECT_PART);
            pn_object_drop(domain, ring[i]);
        }
    }
    pn_object_drop(domain, pipe);
    return status;
}

pn_status
pn_end_open(pn_pipe_end *end, pn_domain *domain, uint64_t offset)
{
    const pn_end_cell *own = pn_at(domain, offset);
    uint64_t pipe = own->pipe;
    uint64_t held[3];
    uint32_t count = 0;
    pn_status status = pn_object_attach(domain, pipe, own->pipe_generation);
    if (status == PN_OK) {
        held[count++] = pipe;
    }
    for (uint32_t i = 0; status == PN_OK && i < 2; i++) {
        pn_pipe_cell *cell = pn_at(domain, pipe);
        if (cell->ring[i] != 0) {
            status = pn_object_attach(domain, cell->ring[i], cell->ring_generation[i]);
            if (status == PN_OK) {
                held[count++] = cell->ring[i];
            }
        }
    }
    if (status != PN_OK) {
        pn_object_drop(domain, offset);
        while (count > 0) {
            pn_object_drop(domain, held[--count]);
        }
        return status;
    }
    view(end, domain, pipe, offset, own->number);
    return PN_OK;
}

void
pn_end_drop(pn_pipe_end *end)
{
    uint64_t objects[4];
    uint32_t count = pn_end_objects(end, objects);
    for (uint32_t i = 0; i < count; i++) {
        pn_object_drop(end->domain, objects[i]);
    }
}

void
pn_end_hand_to(pn_pipe_end *end, uint32_t slot)
{
    uint64_t objects[4];
    uint32_t count = pn_end_objects(end, objects);
    for (uint32_t i = 0; i < count; i++) {
        pn_object_hold_for(end->domain, objects[i], slot);
    }
    pn_end_give(end->domain, end->offset, slot);
}

/* ---- sending and receiving ---------------------------------------------------------------- */

static bool
need_not_wait(void *context)
{
    pn_pipe_end *end = context;
    return atomic_load_explicit(&end->closing, memory_order_relaxed) != 0 ||
           pn_end_peer_is_over(end);
}

/* A slice has passed in vain. */
static void
look_for_dead(void *context)
{
    pn_pipe_end *end = context;
    pn_end_mend(end->domain, end->offset);
}

static pn_ring_peer
peer_of(pn_pipe_end *end)
{
    return (pn_ring_peer){.need_not_wait = need_not_wait, .look = look_for_dead, .context = end};
}

pn_status
pn_end_try_send(pn_pipe_end *end, const pn_batch *batch)
{
    return need_not_wait(end) ? PN_SHUT_DOWN : pn_ring_try_put(&end->out, batch);
}

pn_status
pn_end_send(pn_pipe_end *end, const pn_batch *batch, int64_t deadline)
{
    pn_ring_peer peer = peer_of(end);
    return pn_ring_put_to(&end->out, batch, &peer, deadline);
}

pn_status
pn_end_try_receive(pn_pipe_end *end, pn_sink *sink)
{
    pn_status status = pn_ring_try_get(&end->in, sink);
    if (status == PN_EMPTY && need_not_wait(end)) {
        /* Once more: what was sent before the end is to be delivered first. */
        status = pn_ring_try_get(&end->in, sink);
        status = status == PN_EMPTY ? PN_SHUT_DOWN : status;
    }
    return status;
}

pn_status
pn_end_receive(pn_pipe_end *end, pn_sink *sink, int64_t deadline)
{
    pn_ring_peer peer = peer_of(end);
    return pn_ring_get_from(&end->in, sink, &peer, deadline);
}

pn_status
pn_end_try_poll(pn_pipe_end *end)
{
    bool over = pn_ring_count(&end->in) == 0 && need_not_wait(end);
    return pn_ring_count(&end->in) != 0 ? PN_OK : over ? PN_SHUT_DOWN : PN_EMPTY;
}

pn_status
pn_end_poll(pn_pipe_end *end, int64_t deadline)
{
    pn_ring_peer peer = peer_of(end);
    return pn_ring_peek(&end->in, &peer, deadline);
}
