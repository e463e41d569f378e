#include "audit.h"

#include <stdio.h>
#include <sys/stat.h>

#include "buffer.h"
#include "priority_private.h"
#include "ring.h"
#include "semaphore.h"
#include "slots.h"

static char said[200];

#define WRONG(...) (snprintf(said, sizeof(said), __VA_ARGS__), (const char *)said)
#define UL(value) ((unsigned long)(value))

/* ---- rings ---------------------------------------------------------------- */

static const pn_mark *
mark_at(const pn_mark marks[2], uint64_t position)
{
    for (int i = 0; i < 2; i++) {
        if (atomic_load(&marks[i].position) == position) {
            return &marks[i];
        }
    }
    return NULL;
}

const char *
audit_ring(pn_domain *domain, uint64_t offset)
{
    pn_ring_cell *cell = pn_at(domain, offset);
    uint64_t at = atomic_load(&cell->head), tail = atomic_load(&cell->tail);
    const pn_mark *start = mark_at(cell->head_mark, at), *end = mark_at(cell->tail_mark, tail);
    if (start == NULL || end == NULL) {
        return WRONG("ring: no mark stands at head %lx or tail %lx", UL(at), UL(tail));
    }
    uint64_t count = 0, bytes = 0;
    while (at != tail) {
        uint64_t number = at >> 40;
        pn_segment *segment = &cell->segment[number % PN_RING_SEGMENTS];
        uint64_t block = atomic_load(&segment->block), capacity = atomic_load(&segment->capacity);
        uint64_t state = atomic_load(&pn_block_at(domain, block)->state);
        if (pn_block_kind_of(state) != PN_BLOCK_SEGMENT ||
            pn_block_pages(state) * PN_PAGE < capacity) {
            return WRONG("ring: segment %lu has no block", UL(number));
        }
        if (number == tail >> 40 && tail - at > capacity) {
            return WRONG("ring: head %lx and tail %lx are too far apart", UL(at), UL(tail));
        }
        const pn_record *record = pn_at(domain, block + (at & (capacity - 1)));
        if (record->kind == PN_RECORD_JUMP) {
            at = (uint64_t)record->value << 40;
            continue;
        }
        uint64_t size = pn_record_size(record);
        if ((at & (capacity - 1)) + size > capacity || (number == tail >> 40 && at + size > tail)) {
            return WRONG("ring: the record at %lx passes the end", UL(at));
        }
        if (record->kind != PN_RECORD_PAD) {
            count++;
            bytes += pn_record_weight(record);
        }
        at += size;
    }
    if (atomic_load(&end->count) - atomic_load(&start->count) != count ||
        atomic_load(&end->bytes) - atomic_load(&start->bytes) != bytes) {
        return WRONG("ring: marks say %lu items, %lu bytes; there are %lu, %lu",
                     UL(end->count - start->count), UL(end->bytes - start->bytes), UL(count),
                     UL(bytes));
    }
    return NULL;
}

/* ---- the heap ------------------------------------------------------------- */

static uint64_t
page_of(pn_domain *domain, uint64_t offset)
{
    return (offset - domain->header->heap_offset) / PN_PAGE;
}

/* The smallest number of pages of a size class (heap.c). */
static uint64_t
class_pages(uint32_t class)
{
    return class < 4 ? class : (uint64_t)(4 + class % 4) << (class / 4 - 1);
}

/* A hint stands at a block's start, and no FREE block of its class stands below it. */
static const char *
audit_hints(pn_domain *domain)
{
    pn_header *header = domain->header;
    bool is_start[PN_HINTS] = {false};
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        uint64_t state = atomic_load(&block->state), page = page_of(domain, at);
        for (uint32_t k = 0; k < PN_HINTS && class_pages(k) <= header->heap_pages; k++) {
            is_start[k] |= page == header->hint[k];
            if (pn_block_kind_of(state) == PN_BLOCK_FREE && page < header->hint[k] &&
                pn_block_pages(state) >= class_pages(k)) {
                return WRONG("heap: hint %u passes the free block at page %lu", k, UL(page));
            }
        }
    }
    for (uint32_t k = 0; k < PN_HINTS && class_pages(k) <= header->heap_pages; k++) {
        if (!is_start[k] && header->hint[k] < header->top) {
            return WRONG("heap: hint %u, page %lu, points inside a block", k, UL(header->hint[k]));
        }
    }
    return NULL;
}

const char *
audit_heap(pn_domain *domain)
{
    pn_header *header = domain->header;
    uint64_t committed = header->table_offset + header->table_committed, warm = 0, page = 0;
    while (page < header->top) {
        uint64_t state = atomic_load(&domain->blocks[page].state);
        uint64_t pages = pn_block_pages(state);
        uint32_t kind = pn_block_kind_of(state);
        if (kind == PN_BLOCK_NONE || kind > PN_BLOCK_REPORT || pages == 0) {
            return WRONG("heap: no block starts at page %lu: state %lx", UL(page), UL(state));
        }
        if (kind == PN_BLOCK_FREE && (state & PN_BLOCK_WARM)) {
            warm += pages * PN_PAGE;
        }
        if (kind != PN_BLOCK_FREE || (state & PN_BLOCK_WARM)) {
            committed += pages * PN_PAGE;
        }
        page += pages;
    }
    if (page != header->top) {
        return WRONG("heap: the last block ends at page %lu, top is %lu", UL(page),
                     UL(header->top));
    }
    if (committed != atomic_load(&header->committed) || warm != atomic_load(&header->warm)) {
        return WRONG("heap: header says %lu committed, %lu warm; the table says %lu, %lu",
                     UL(header->committed), UL(header->warm), UL(committed), UL(warm));
    }
    struct stat info;
    if (fstat(domain->fd, &info) != 0 || (uint64_t)info.st_blocks * 512 != committed) {
        return WRONG("heap: %lu bytes are accounted, %lu allocated", UL(committed),
                     UL(info.st_blocks) * 512);
    }
    return audit_hints(domain);
}

/* ---- everything ----------------------------------------------------------- */

static bool
is_live(pn_domain *domain, uint64_t owner)
{
    uint64_t slot = (owner >> 32) - 1;
    return slot == PN_SLOTS ||
           (slot < PN_SLOTS && atomic_load(&domain->slots[slot].state) == PN_SLOT_LIVE &&
            atomic_load(&domain->slots[slot].generation) == (uint32_t)owner);
}

typedef struct {
    uint64_t object, count;
} names;

static bool
count_names(pn_domain *domain, uint64_t ring, const pn_record *record, void *context)
{
    names *names = context;
    const pn_handles *handles = pn_record_handles(record);
    (void)domain, (void)ring;
    for (uint32_t i = 0; handles != NULL && i < handles->count; i++) {
        names->count += handles->offset[i] == names->object;
    }
    return false;
}

/* puts - takes is how many records name it, or a death was found and it is looked for. */
static const char *
audit_sums(pn_domain *domain, uint64_t offset)
{
    pn_object *object = pn_at(domain, offset);
    names names = {.object = offset};
    if (!pn_ring_walk_all(domain, count_names, &names)) {
        return WRONG("a ring cannot be walked");
    }
    uint64_t ahead = atomic_load(&object->puts) - atomic_load(&object->takes);
    bool is_looked_for = atomic_load(&object->flags) & PN_OBJECT_SCAN;
    if (ahead > INT64_MAX || ahead < names.count || (ahead > names.count && !is_looked_for)) {
        return WRONG("object at %lx: %lu records name it, its sums say %ld", UL(offset),
                     UL(names.count), (long)ahead);
    }
    return NULL;
}

static const char *
audit_buffer(pn_domain *domain, uint64_t offset)
{
    pn_buffer_cell *cell = pn_buffer_at(domain, offset);
    uint64_t block = atomic_load(&cell->block), keeper = atomic_load(&cell->keeper);
    if (atomic_load(&cell->object.flags) & PN_OBJECT_KEPT) {
        if (!(atomic_load(&cell->flags) & PN_BUFFER_NAMED)) {
            return WRONG("buffer at %lx is kept, and has no name", UL(offset));
        }
        if (keeper != 0 && !is_live(domain, keeper)) {
            return WRONG("buffer '%s' is kept for a dead process", cell->object.name);
        }
    }
    if (block == 0 && (atomic_load(&cell->flags) & PN_BUFFER_SHARED) &&
        pn_buffer_length(domain, offset) <= PN_BUFFER_SMALL) {
        return NULL;
    }
    pn_block *entry = pn_block_at(domain, block);
    uint64_t state = atomic_load(&entry->state);
    if (block == 0 || pn_block_kind_of(state) != PN_BLOCK_PAYLOAD ||
        atomic_load(&entry->queue) != offset ||
        pn_block_pages(state) * PN_PAGE < pn_buffer_length(domain, offset)) {
        return WRONG("buffer at %lx has no block of its own", UL(offset));
    }
    return NULL;
}

/* What is free follows from the ledger, and nobody who is gone has a permit. */
static const char *
audit_semaphore(pn_domain *domain, uint64_t offset)
{
    pn_semaphore semaphore;
    pn_semaphore_counts counts;
    pn_semaphore_open(&semaphore, domain, offset);
    uint64_t block = atomic_load(&semaphore.cell->ledger);
    if (block == 0 || atomic_load(&pn_block_at(domain, block)->queue) != offset) {
        return WRONG("semaphore at %lx has no ledger of its own", UL(offset));
    }
    if (pn_semaphore_look(&semaphore, &counts, NULL, 0) != PN_OK) {
        return WRONG("semaphore at %lx: somebody has its lock", UL(offset));
    }
    uint64_t taken = atomic_load(&semaphore.cell->apart);
    for (uint32_t i = 0; i < PN_SLOTS; i++) {
        uint64_t line = atomic_load(&semaphore.lines[i]);
        taken += (line >> 32) + (uint32_t)line;
        if ((uint32_t)line != 0 && atomic_load(&domain->slots[i].state) == PN_SLOT_FREE) {
            return WRONG("semaphore at %lx: the free slot %u has permits", UL(offset), i);
        }
    }
    if (taken + counts.free != counts.total) {
        return WRONG("semaphore at %lx: %u free and %lu taken of %u", UL(offset), counts.free,
                     UL(taken), counts.total);
    }
    return NULL;
}

static const char *
audit_priority(pn_domain *domain, uint64_t offset)
{
    pn_priority queue;
    pn_priority_open(&queue, domain, offset);
    uint64_t count = pn_priority_count(&queue), kept = 0;
    if (atomic_load(&queue.cell->changing) != 0) {
        return NULL; /* the next one who comes puts it in order */
    }
    for (uint64_t at = pn_slab_next_cell(domain, PN_BLOCK_SLAB_SMALL, 0); at != 0;
         at = pn_slab_next_cell(domain, PN_BLOCK_SLAB_SMALL, at)) {
        pn_entry_cell *entry = pn_entry_at(domain, at);
        kept += atomic_load(&entry->object.type) == PN_OBJECT_ENTRY &&
                atomic_load(&entry->queue) == offset &&
                (atomic_load(&entry->object.flags) & PN_OBJECT_KEPT);
    }
    if (kept != count || count > pn_index_capacity(&queue)) {
        return WRONG("priority queue: %lu entries, its counters say %lu", UL(kept), UL(count));
    }
    for (uint64_t i = 0; i < count; i++) {
        pn_entry_cell *entry = pn_entry_at(domain, pn_index_entry(&queue, i));
        if (atomic_load(&entry->queue) != offset ||
            !(atomic_load(&entry->object.flags) & PN_OBJECT_KEPT)) {
            return WRONG("priority queue: place %lu of the index has no entry of it", UL(i));
        }
    }
    return NULL;
}

static const char *
audit_object(pn_domain *domain, uint64_t offset)
{
    pn_object *object = pn_at(domain, offset);
    if (!pn_object_valid(domain, offset) || atomic_load(&object->type) == PN_OBJECT_FREE) {
        return WRONG("object at %lx: in use and not valid", UL(offset));
    }
    for (uint32_t i = 0; i < PN_SLOTS; i++) {
        if ((atomic_load(&object->holders[i / 64]) >> i % 64 & 1) &&
            atomic_load(&domain->slots[i].state) == PN_SLOT_FREE) {
            return WRONG("object '%s' is held by the free slot %u", object->name, i);
        }
    }
    const char *wrong = audit_sums(domain, offset);
    if (wrong == NULL && atomic_load(&object->type) == PN_OBJECT_BUFFER) {
        wrong = audit_buffer(domain, offset);
    } else if (wrong == NULL && atomic_load(&object->type) == PN_OBJECT_SEMAPHORE) {
        wrong = audit_semaphore(domain, offset);
    } else if (wrong == NULL && atomic_load(&object->type) == PN_OBJECT_RING) {
        wrong = audit_ring(domain, offset);
        wrong = wrong != NULL ? wrong : audit_leases(domain, offset);
    } else if (wrong == NULL && atomic_load(&object->type) == PN_OBJECT_DICT) {
        wrong = audit_dict(domain, offset);
    } else if (wrong == NULL && atomic_load(&object->type) == PN_OBJECT_PRIORITY) {
        wrong = audit_priority(domain, offset);
    }
    return wrong;
}

static const char *
audit_block(pn_domain *domain, uint64_t at, const pn_block *block, uint32_t kind)
{
    uint64_t owner = atomic_load(&block->owner), ring = atomic_load(&block->queue);
    if (owner != 0 && !is_live(domain, owner)) {
        return WRONG("heap: the block at %lx, kind %u, belongs to a dead process", UL(at), kind);
    }
    if (owner == 0 && !pn_object_names_block(domain, ring, at)) {
        return WRONG("heap: nobody owns or names the block at %lx, kind %u", UL(at), kind);
    }
    return NULL;
}

/* Every slab is in its list. */
static const char *
audit_slabs(pn_domain *domain)
{
    uint64_t linked = 0, there = 0;
    for (uint32_t i = 0; i < 2; i++) {
        for (uint64_t at = atomic_load(&domain->header->slabs[i]); at != 0;
             at = atomic_load(&((pn_slab *)pn_at(domain, at))->next)) {
            linked++;
        }
    }
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        uint32_t kind = pn_block_kind_of(atomic_load(&block->state));
        there += kind == PN_BLOCK_SLAB_SMALL || kind == PN_BLOCK_SLAB_LARGE;
    }
    return linked == there ? NULL : WRONG("%lu slabs, %lu in lists", UL(there), UL(linked));
}

const char *
audit_domain(pn_domain *domain)
{
    const char *wrong = audit_heap(domain);
    wrong = wrong != NULL ? wrong : audit_slabs(domain);
    if (wrong != NULL) {
        return wrong;
    }
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        uint32_t kind = pn_block_kind_of(atomic_load(&block->state));
        if (kind == PN_BLOCK_SEGMENT || kind == PN_BLOCK_PAYLOAD || kind == PN_BLOCK_REPORT) {
            wrong = audit_block(domain, at, block, kind);
        } else if (kind == PN_BLOCK_SLAB_SMALL || kind == PN_BLOCK_SLAB_LARGE) {
            pn_slab *slab = pn_at(domain, at);
            for (uint32_t i = 0; i < slab->cells && wrong == NULL; i++) {
                if (atomic_load(&slab->used[i / 64]) >> i % 64 & 1) {
                    wrong = audit_object(domain, pn_slab_cell(at, slab, i));
                }
            }
        }
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}

uint32_t
count_objects(pn_domain *domain)
{
    uint32_t count = 0;
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        uint32_t kind = pn_block_kind_of(atomic_load(&block->state));
        if (kind == PN_BLOCK_SLAB_SMALL || kind == PN_BLOCK_SLAB_LARGE) {
            pn_slab *slab = pn_at(domain, at);
            count += (uint32_t)__builtin_popcountll(atomic_load(&slab->used[0])) +
                     (uint32_t)__builtin_popcountll(atomic_load(&slab->used[1]));
        }
    }
    return count;
}

uint32_t
count_slots(pn_domain *domain)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < PN_SLOTS; i++) {
        count += atomic_load(&domain->slots[i].state) != PN_SLOT_FREE;
    }
    return count;
}
