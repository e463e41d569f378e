#include "watch.h"

#include <string.h>

#include "dict.h"
#include "stepper.h"

static bool
differs(watch *watch, const void *memory, size_t size)
{
    char *seen = watch->seen + watch->used;
    watch->used += size;
    if (memcmp(seen, memory, size) == 0) {
        return false;
    }
    memcpy(seen, memory, size);
    return true;
}

/* Of a semaphore. */
static bool
is_ledger(pn_domain *domain, pn_block *block)
{
    uint64_t object = atomic_load(&block->queue);
    return pn_block_kind_of(atomic_load(&block->state)) == PN_BLOCK_PAYLOAD && object != 0 &&
           atomic_load(&((pn_object *)pn_at(domain, object))->type) == PN_OBJECT_SEMAPHORE;
}

bool
watch_look(world *world, watch *watch)
{
    pn_domain *domain = world->domain;
    void **head = atomic_load(&world->stage->robust_head);
    watch->used = 0;
    bool changed = differs(watch, domain->header, PN_PAGE);
    changed |= differs(watch, domain->slots, WATCHED_SLOTS);
    uint32_t line = (uint32_t)world->victim % PN_WAITS; /* waits.c begins its search there */
    line = line < PN_WAITS - WATCHED_WAITS ? line : PN_WAITS - WATCHED_WAITS;
    changed |= differs(watch, &domain->waits[line], WATCHED_WAITS * sizeof(pn_wait));
    if (world->object != 0) {
        changed |= differs(watch, &domain->listeners[pn_listen_window(world->object)],
                           PN_LISTEN_WINDOW * sizeof(pn_listener));
    }
    uint32_t seat = (uint32_t)world->victim % PN_LISTENERS; /* listen.c begins its search there */
    seat = seat < PN_LISTENERS - WATCHED_SEATS ? seat : PN_LISTENERS - WATCHED_SEATS;
    changed |= differs(watch, &domain->listeners[seat], WATCHED_SEATS * sizeof(pn_listener));
    if (domain->header->table_committed >= WATCHED_TABLE) {
        changed |= differs(watch, domain->blocks, WATCHED_TABLE);
    }
    pn_block *block;
    uint32_t slabs = 0, ledgers = 0;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0 && slabs < WATCHED_SLABS;
         at = pn_heap_next(domain, at, &block)) {
        uint32_t kind = pn_block_kind_of(atomic_load(&block->state));
        if (kind == PN_BLOCK_SLAB_SMALL || kind == PN_BLOCK_SLAB_LARGE) {
            changed |= differs(watch, pn_at(domain, at), WATCHED_SLAB);
            slabs++;
        } else if (ledgers == 0 && is_ledger(domain, block)) {
            changed |= differs(watch, pn_at(domain, at), WATCHED_LEDGER);
            ledgers++;
        }
    }
    if (world->watched != 0) {
        pn_dict_cell *cell = pn_at(domain, world->watched);
        changed |= differs(watch, pn_at(domain, atomic_load(&cell->table)), WATCHED_DICT);
    }
    uint64_t robust[2] = {step_peek(world->victim, &head[0]), step_peek(world->victim, &head[2])};
    changed |= memcmp(robust, watch->robust, sizeof(robust)) != 0;
    memcpy(watch->robust, robust, sizeof(robust));
    return changed;
}

/* Only states in which `first` holds its lock count for `dies_with`. */
void
watch_note(world *world, void *context)
{
    watch *watch = context;
    bool changed = watch_look(world, watch), is_call = step_at_call(world->victim);
    bool counts = changed || is_call || watch->was_call;
    pn_lock *(*lock)(struct world *) = world->scenario->dies_with;
    if (lock != NULL && watch->is_first) {
        counts = changed && (atomic_load(&lock(world)->word) & PN_OWNER) == (uint32_t)world->victim;
    }
    watch->event++;
    watch->was_call = is_call;
    if (!counts) {
        return;
    }
    watch->found++;
    if (watch->list == NULL) {
        world->enough = watch->found >= watch->wanted;
    } else if (watch->list->count < POINTS) {
        watch->list->at[watch->list->count++] = watch->event;
    }
}
