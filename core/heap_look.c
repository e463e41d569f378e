#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "heap_private.h"

uint64_t
pn_heap_next(pn_domain *domain, uint64_t offset, pn_block **block)
{
    uint64_t page = 0;
    if (offset != 0) {
        page = page_of(domain, offset);
        page += pn_block_pages(atomic_load(&domain->blocks[page].state));
    }
    if (page >= domain->header->top) {
        return 0;
    }
    *block = &domain->blocks[page];
    return offset_of(domain, page);
}

void
pn_heap_recount(pn_domain *domain)
{
    pn_header *header = domain->header;
    uint64_t committed = header->table_offset + header->table_committed;
    uint64_t warm = 0;
    /* An owner that died between its COMMIT and `top` left a block just above. */
    uint64_t above = 0;
    if (header->top < header->heap_pages &&
        (header->top + 1) * sizeof(pn_block) <= header->table_committed) {
        above = atomic_load(&domain->blocks[header->top].state);
    }
    if (pn_block_kind_of(above) != PN_BLOCK_NONE) {
        header->top += pn_block_pages(above);
    }
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        uint64_t state = atomic_load(&block->state);
        uint64_t bytes = pn_block_pages(state) * PN_PAGE;
        bool is_free = pn_block_kind_of(state) == PN_BLOCK_FREE;
        if (!is_free || (state & PN_BLOCK_WARM)) {
            committed += bytes;
        }
        if (is_free && (state & PN_BLOCK_WARM)) {
            warm += bytes;
        } else if (is_free) {
            pn_domain_punch(domain, at, bytes);
        }
    }
    /* Whoever died between fallocate and its COMMIT left pages that nobody counts. */
    uint64_t table_end = header->table_offset + header->table_committed;
    pn_domain_punch(domain, table_end, header->heap_offset - table_end);
    pn_domain_punch(domain, offset_of(domain, header->top),
                    (header->heap_pages - header->top) * PN_PAGE);
    atomic_store(&header->committed, committed);
    atomic_store(&header->warm, warm);
    for (uint32_t k = 0; k < PN_HINTS; k++) {
        header->hint[k] = 0;
    }
}

uint64_t
pn_heap_used(pn_domain *domain, pn_block_kind kind)
{
    uint64_t bytes = 0;
    if (pn_domain_enter(domain) != PN_OK) {
        return 0;
    }
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        uint64_t state = atomic_load(&block->state);
        if (pn_block_kind_of(state) == (uint32_t)kind) {
            bytes += pn_block_pages(state) * PN_PAGE;
        }
    }
    pn_domain_leave(domain);
    return bytes;
}
