#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "collect.h"

#include <stdlib.h>

#include "kind.h"
#include "ring.h"

typedef enum { IN_USE, LOOK, UNUSED } verdict;

enum { NOTHING, WANTED, UNDER_WAY }; /* header.uncollected */

static bool
has_holder(const pn_object *object)
{
    for (uint32_t i = 0; i < PN_SLOTS / 64; i++) {
        if (atomic_load(&object->holders[i]) != 0) {
            return true;
        }
    }
    return atomic_load(&object->unseen) != 0 || (atomic_load(&object->flags) & PN_OBJECT_KEPT);
}

/* What the cell says. LOOK: only the records of the rings tell. The order of the reads is the
 * argument: bits, takes, puts. A record's `puts` came before it and its `takes` after it, so
 * equal sums in this order say that there was none when `takes` was read. */
static verdict
judge(pn_object *object)
{
    if (has_holder(object)) {
        return IN_USE;
    }
    uint64_t takes = atomic_load(&object->takes);
    if (atomic_load(&object->puts) == takes) {
        return UNUSED;
    }
    /* A ring may have been put into itself: nobody will ever take that. */
    bool looks =
        (atomic_load(&object->flags) & PN_OBJECT_SCAN) || pn_kind_of(object)->may_name_itself;
    return looks ? LOOK : IN_USE; /* who takes the record comes after us */
}

void
pn_collect_later(pn_collect_list *list, uint64_t offset)
{
    if (list->used == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        uint64_t *larger = realloc(list->offset, capacity * sizeof(*larger));
        if (larger == NULL) {
            list->is_short = true;
            return;
        }
        list->offset = larger;
        list->capacity = capacity;
    }
    list->offset[list->used++] = offset;
}

/* It is known to be unused. A death after any of these steps leaves a cell without holder,
 * which the next sweep frees: discarding and freeing a block twice does nothing. */
static void
free_object(pn_domain *domain, uint64_t offset, pn_collect_list *next)
{
    pn_object *object = pn_at(domain, offset);
    uint32_t index;
    if (!pn_slab_uses(domain, object->slab, offset, &index)) {
        return;
    }
    const pn_kind *kind = pn_kind_of(object);
    if (kind->discard != NULL) {
        kind->discard(domain, offset, next);
    }
    atomic_fetch_add(&object->generation, 1);
    atomic_store(&object->type, PN_OBJECT_FREE);
    pn_slab_give_back(domain, object->slab, index); /* COMMIT */
}

/* May anything be freed at all, this one among it? */
static bool
may_be_freed(pn_domain *domain, uint64_t offset)
{
    pn_object *object = pn_at(domain, offset);
    uint32_t index;
    return pn_slab_uses(domain, object->slab, offset, &index) &&
           /* the cell is linked into the list of a thread that lives */
           !(pn_kind_of(object)->is_robust_lock &&
             (atomic_load(&((pn_lock_cell *)object)->lock.word) & PN_OWNER));
}

static bool
collect_one(pn_domain *domain, uint64_t offset, pn_collect_list *next)
{
    pn_object *object = pn_at(domain, offset);
    uint32_t index;
    if (!pn_slab_uses(domain, object->slab, offset, &index)) {
        return false;
    }
    uint32_t moves = atomic_load(&object->moves);
    verdict said = judge(object);
    if (said == IN_USE) {
        return false;
    }
    if (!may_be_freed(domain, offset) ||
        (said == LOOK && pn_ring_any_names_object(domain, offset)) ||
        atomic_load(&object->moves) != moves) {
        pn_collect_soon(domain);
        return false;
    }
    free_object(domain, offset, next);
    return true;
}

static void
collect_rest(pn_domain *domain, pn_collect_list *list)
{
    while (list->used > 0) {
        collect_one(domain, list->offset[--list->used], list);
    }
    if (list->is_short) {
        pn_collect_soon(domain);
    }
    free(list->offset);
}

bool
pn_object_collect(pn_domain *domain, uint64_t offset)
{
    pn_collect_list list = {0};
    bool freed = collect_one(domain, offset, &list);
    collect_rest(domain, &list);
    return freed;
}

void
pn_collect_if_free(pn_domain *domain, uint64_t offset)
{
    /* Without the lock the cell may be another object's by now: then that one is looked at,
     * with the lock and from the beginning. */
    if (judge(pn_at(domain, offset)) == IN_USE) {
        return;
    }
    if (pn_domain_enter(domain) != PN_OK) {
        pn_collect_soon(domain);
        return;
    }
    pn_object_collect(domain, offset);
    pn_domain_leave(domain);
}

void
pn_collect_mark(pn_domain *domain, uint64_t offset)
{
    pn_object *object = pn_at(domain, offset);
    uint64_t takes = atomic_load(&object->takes); /* before puts: see judge */
    if (atomic_load(&object->puts) != takes) {
        atomic_fetch_or(&object->flags, PN_OBJECT_SCAN);
    }
}

void
pn_collect_soon(pn_domain *domain)
{
    atomic_store(&domain->header->uncollected, WANTED);
}

bool
pn_collect_needed(pn_domain *domain)
{
    return atomic_load(&domain->header->uncollected) != NOTHING;
}

/* ---- all of them ------------------------------------------------------------------- */

typedef struct {
    uint64_t offset;
    uint32_t moves;
} suspect;

typedef struct {
    suspect *item;
    size_t used, capacity;
} suspects;

static void
suspect_it(suspects *list, uint64_t offset, uint32_t moves)
{
    if (list->used == list->capacity) {
        size_t capacity = list->capacity ? list->capacity * 2 : 64;
        suspect *larger = realloc(list->item, capacity * sizeof(*larger));
        if (larger == NULL) {
            return;
        }
        list->item = larger;
        list->capacity = capacity;
    }
    list->item[list->used++] = (suspect){offset, moves};
}

static void
look_at_kind(pn_domain *domain, pn_block_kind kind, suspects *found, pn_collect_list *next)
{
    for (uint64_t at = pn_slab_next_cell(domain, kind, 0); at != 0;
         at = pn_slab_next_cell(domain, kind, at)) {
        pn_object *object = pn_at(domain, at);
        uint32_t moves = atomic_load(&object->moves);
        verdict said = judge(object);
        if (said == LOOK || (atomic_load(&object->flags) & PN_OBJECT_SCAN)) {
            pn_collect_soon(domain); /* the next one finds out whether it is gone */
        }
        if (said == UNUSED) {
            collect_one(domain, at, next);
        } else if (said == LOOK) {
            suspect_it(found, at, moves);
        }
    }
}

/* ---- what records name, from what is held ------------------------------------------------------
 *
 * Containers (what has records, kind.h) may name each other in a circle that nobody can reach: so only those are walked
 * that are no suspects, and those that were named by one that was walked. object.scan tells how far it has come: */

enum { SUSPECT = 1, NAMED = 2, WALKED = 3 }; /* + header.scans, a multiple of 4 */

static uint64_t
state_of(pn_domain *domain, uint64_t offset)
{
    uint64_t scan = ((pn_object *)pn_at(domain, offset))->scan;
    return scan > domain->header->scans ? scan - domain->header->scans : 0;
}

static void
set_state(pn_domain *domain, uint64_t offset, uint64_t state)
{
    ((pn_object *)pn_at(domain, offset))->scan = domain->header->scans + state;
}

static bool
mark_named(pn_domain *domain, uint64_t container, const pn_record *record, void *context)
{
    const pn_handles *handles = pn_record_handles(record);
    (void)container, (void)context;
    for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
        if (state_of(domain, handles->offset[i]) == SUSPECT) {
            set_state(domain, handles->offset[i], NAMED);
        }
    }
    return false;
}

/* Walk one, if it is a container; false: it cannot be looked at just now. */
static bool
walk_one(pn_domain *domain, uint64_t offset)
{
    const pn_kind *kind = pn_kind_of(pn_at(domain, offset));
    return kind->walk == NULL || kind->walk(domain, offset, mark_named, NULL);
}

static bool
walk_roots(pn_domain *domain, pn_block_kind cells)
{
    for (uint64_t at = pn_slab_next_cell(domain, cells, 0); at != 0;
         at = pn_slab_next_cell(domain, cells, at)) {
        if (state_of(domain, at) != SUSPECT && state_of(domain, at) != NAMED &&
            !walk_one(domain, at)) {
            return false;
        }
    }
    return true;
}

static bool
walk_named(pn_domain *domain, const suspects *found)
{
    bool is_more = true;
    while (is_more) {
        is_more = false;
        for (size_t i = 0; i < found->used; i++) {
            uint64_t at = found->item[i].offset;
            if (state_of(domain, at) == NAMED) {
                set_state(domain, at, WALKED);
                if (!walk_one(domain, at)) {
                    return false;
                }
                is_more = true;
            }
        }
    }
    return true;
}

/* Has nobody got hold of it since it was suspected? */
static bool
is_unmoved(pn_domain *domain, const suspect *one)
{
    pn_object *object = pn_at(domain, one->offset);
    return may_be_freed(domain, one->offset) && judge(object) != IN_USE &&
           atomic_load(&object->moves) == one->moves;
}

/* A record that moved during the walk moved through a process that held the object, and then `moves` has grown. If that was a
 * container, what it names may have moved with it, and nothing is known of that. */
static bool
has_container_moved(pn_domain *domain, const suspects *found)
{
    for (size_t i = 0; i < found->used; i++) {
        const suspect *one = &found->item[i];
        if (pn_kind_of(pn_at(domain, one->offset))->walk != NULL && !is_unmoved(domain, one)) {
            return true;
        }
    }
    return false;
}

/* Free those that were not reached. All are emptied before the first goes: who dies here must not leave a record that
 * names a cell which is another object's by then. */
static void
free_unreached(pn_domain *domain, const suspects *found, pn_collect_list *next)
{
    for (size_t i = 0; i < found->used; i++) {
        uint64_t at = found->item[i].offset;
        const pn_kind *kind = pn_kind_of(pn_at(domain, at));
        if (state_of(domain, at) == SUSPECT && !is_unmoved(domain, &found->item[i])) {
            set_state(domain, at, WALKED);
        }
        if (state_of(domain, at) == SUSPECT && kind->walk != NULL) {
            kind->discard(domain, at, next);
        }
    }
    for (size_t i = 0; i < found->used; i++) {
        if (state_of(domain, found->item[i].offset) == SUSPECT) {
            free_object(domain, found->item[i].offset, next);
        }
    }
}

static void
free_what_is_not_reached(pn_domain *domain, const suspects *found)
{
    pn_collect_list next = {0};
    domain->header->scans = (domain->header->scans / 4 + 1) * 4;
    for (size_t i = 0; i < found->used; i++) {
        set_state(domain, found->item[i].offset, SUSPECT);
    }
    bool is_known = walk_roots(domain, PN_BLOCK_SLAB_LARGE) &&
                    walk_roots(domain, PN_BLOCK_SLAB_SMALL) && walk_named(domain, found) &&
                    !has_container_moved(domain, found);
    if (is_known) {
        free_unreached(domain, found, &next);
    }
    collect_rest(domain, &next);
}

void
pn_collect_all(pn_domain *domain)
{
    suspects found = {0};
    pn_collect_list next = {0};
    /* Not 0 yet: who is killed in here leaves the rest to the next sweep. */
    atomic_store(&domain->header->uncollected, UNDER_WAY);
    look_at_kind(domain, PN_BLOCK_SLAB_SMALL, &found, &next);
    look_at_kind(domain, PN_BLOCK_SLAB_LARGE, &found, &next);
    collect_rest(domain, &next);
    if (found.used > 0) {
        free_what_is_not_reached(domain, &found);
    }
    free(found.item);
    uint32_t mine = UNDER_WAY;
    atomic_compare_exchange_strong(&domain->header->uncollected, &mine, NOTHING);
}
