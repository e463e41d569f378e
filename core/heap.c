#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "heap_private.h"

#include <stdio.h>

#define TABLE_STEP (UINT64_C(64) << 10) /* bytes; the block table grows by so much */

pn_block *
pn_block_at(pn_domain *domain, uint64_t offset)
{
    return &domain->blocks[page_of(domain, offset)];
}

/* Size classes: four an octave, so that rounding up wastes a quarter at most. */
static uint32_t
class_of(uint64_t pages)
{
    if (pages < 4) {
        return (uint32_t)pages;
    }
    uint32_t log = 63 - (uint32_t)__builtin_clzll(pages);
    return log * 4 - 4 + (uint32_t)(pages >> (log - 2) & 3);
}

static uint64_t
class_pages(uint32_t class)
{
    return class < 4 ? class : (uint64_t)(4 + class % 4) << (class / 4 - 1);
}

static uint64_t
round_up(uint64_t pages)
{
    uint32_t class = class_of(pages ? pages : 1);
    return class_pages(class) < pages ? class_pages(class + 1) : class_pages(class);
}

/* A FREE block has come to be at `page`. A search starts at a block's first page, so hints
 * for larger ones that point into it (at what was merged) are lowered as well. */
void
pn_heap_lower_hints(pn_header *header, uint64_t page, uint64_t pages)
{
    uint32_t class = class_of(pages);
    for (uint32_t k = 0; k < PN_HINTS; k++) {
        if (page < header->hint[k] && (k <= class || header->hint[k] < page + pages)) {
            header->hint[k] = page;
        }
    }
}

/* Merge the FREE blocks after `page` into it: one store of its state. */
uint64_t
pn_heap_merge(pn_domain *domain, uint64_t page)
{
    pn_header *header = domain->header;
    pn_block *block = &domain->blocks[page];
    uint64_t state = atomic_load_explicit(&block->state, memory_order_relaxed);
    uint64_t pages = pn_block_pages(state);
    while (page + pages < header->top) {
        uint64_t next =
            atomic_load_explicit(&domain->blocks[page + pages].state, memory_order_relaxed);
        if (pn_block_kind_of(next) != PN_BLOCK_FREE ||
            (next & PN_BLOCK_WARM) != (state & PN_BLOCK_WARM)) {
            break;
        }
        int64_t freed_at = domain->blocks[page + pages].freed_at;
        block->freed_at = freed_at > block->freed_at ? freed_at : block->freed_at;
        pages += pn_block_pages(next);
        atomic_store(&block->state, state_of(PN_BLOCK_FREE, pages, state & PN_BLOCK_WARM));
        pn_heap_lower_hints(header, page, pages);
    }
    return pages;
}

/* First FREE block of at least `pages`, or top. */
static uint64_t
find(pn_domain *domain, uint64_t pages)
{
    pn_header *header = domain->header;
    uint32_t class = class_of(pages);
    uint64_t page = header->hint[class] < header->top ? header->hint[class] : header->top;
    while (page < header->top) {
        uint64_t state = atomic_load_explicit(&domain->blocks[page].state, memory_order_relaxed);
        uint64_t length = pn_block_pages(state);
        if (pn_block_kind_of(state) == PN_BLOCK_FREE) {
            length = pn_heap_merge(domain, page);
            if (length >= pages) {
                return page;
            }
        }
        page += length;
    }
    return header->top;
}

static pn_status
extend_table(pn_domain *domain, uint64_t pages)
{
    pn_header *header = domain->header;
    uint64_t needed = pages * sizeof(pn_block);
    while (header->table_committed < needed) {
        pn_status status =
            pn_domain_commit(domain, header->table_offset + header->table_committed, TABLE_STEP);
        if (status != PN_OK) {
            return status;
        }
        header->table_committed += TABLE_STEP;
    }
    return PN_OK;
}

static pn_status
back_with_memory(pn_domain *domain, uint64_t page, uint64_t pages, bool warm)
{
    if (warm) {
        atomic_fetch_sub(&domain->header->warm, pages * PN_PAGE);
        return PN_OK;
    }
    return pn_domain_commit(domain, offset_of(domain, page), pages * PN_PAGE);
}

static pn_status
alloc_pages(pn_domain *domain, uint64_t pages, pn_block_kind kind, uint64_t queue, uint64_t *offset)
{
    pn_header *header = domain->header;
    uint64_t page = find(domain, pages);
    uint64_t length = pages;
    bool warm = false;
    bool fresh = page == header->top;
    if (fresh) {
        if (page + pages > header->heap_pages) {
            snprintf(domain->limit, sizeof(domain->limit),
                     "address space of the domain, %llu bytes", (unsigned long long)domain->size);
            return PN_NO_MEMORY;
        }
        pn_status status = extend_table(domain, page + pages + 1);
        if (status != PN_OK) {
            return status;
        }
    } else {
        uint64_t state = atomic_load(&domain->blocks[page].state);
        length = pn_block_pages(state);
        warm = state & PN_BLOCK_WARM;
    }
    pn_status status = back_with_memory(domain, page, pages, warm);
    if (status != PN_OK) {
        return status;
    }
    if (length > pages) { /* the rest becomes a block; unseen until the COMMIT below */
        pn_block *rest = &domain->blocks[page + pages];
        atomic_store(&rest->owner, 0);
        atomic_store(&rest->queue, 0);
        rest->freed_at = domain->blocks[page].freed_at;
        atomic_store(&rest->state, state_of(PN_BLOCK_FREE, length - pages, warm));
    }
    pn_block *block = &domain->blocks[page];
    atomic_store(&block->owner, pn_owner_word(domain->slot, domain->generation));
    atomic_store(&block->queue, queue);
    atomic_store(&block->state, state_of(kind, pages, false)); /* COMMIT */
    if (fresh) {
        header->top = page + pages;
    }
    header->hint[class_of(pages)] = page + pages; /* nothing large enough stands below */
    *offset = offset_of(domain, page);
    return PN_OK;
}

pn_status
pn_heap_alloc_locked(pn_domain *domain, uint64_t bytes, pn_block_kind kind, uint64_t queue,
                     uint64_t *offset)
{
    pn_header *header = domain->header;
    if (bytes > atomic_load(&header->max_bytes) || bytes / PN_PAGE + 1 > header->heap_pages) {
        return PN_TOO_BIG;
    }
    uint64_t pages = round_up((bytes + PN_PAGE - 1) / PN_PAGE);
    pn_status status = alloc_pages(domain, pages, kind, queue, offset);
    if (status == PN_NO_MEMORY) {
        pn_heap_cool_all(domain);
        for (uint32_t k = 0; k < PN_HINTS; k++) {
            header->hint[k] = 0; /* look everywhere, merging what lies side by side */
        }
        status = alloc_pages(domain, pages, kind, queue, offset);
    }
    return status;
}

void
pn_heap_free_locked(pn_domain *domain, uint64_t offset)
{
    pn_header *header = domain->header;
    uint64_t page = page_of(domain, offset);
    pn_block *block = &domain->blocks[page];
    uint64_t pages = pn_block_pages(atomic_load(&block->state));
    uint64_t bytes = pages * PN_PAGE;
    bool warm = atomic_load(&header->warm) + bytes <= pn_heap_warm_limit(domain);
    block->freed_at = pn_now();
    atomic_store(&block->state, state_of(PN_BLOCK_FREE, pages, warm)); /* COMMIT */
    if (warm) {
        atomic_fetch_add(&header->warm, bytes);
    } else { /* after the COMMIT: a block in use, or WARM, has all its pages */
        pn_domain_punch(domain, offset, bytes);
    }
    pn_heap_lower_hints(header, page, pages);
    pn_heap_merge(domain, page);
}

pn_status
pn_heap_alloc(pn_domain *domain, uint64_t bytes, pn_block_kind kind, uint64_t queue,
              uint64_t *offset)
{
    pn_status status = pn_domain_enter(domain);
    if (status == PN_OK) {
        status = pn_heap_alloc_locked(domain, bytes, kind, queue, offset);
        pn_domain_leave(domain);
    }
    return status;
}

void
pn_heap_free(pn_domain *domain, uint64_t offset)
{
    if (pn_domain_enter(domain) == PN_OK) {
        pn_heap_free_locked(domain, offset);
        pn_domain_leave(domain);
    }
}
