#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "heap_private.h"

/* A free block that keeps its pages is given out again without the kernel, which would have to
 * clear new ones: 1 MiB of them takes longer than to copy 1 MiB.
 *
 * What is kept was in use a moment ago: as much as that was, but an eighth of all that may be
 * used. Whoever looks after the domain (the guardian) gives back what nobody needed for some
 * seconds; where there is no such one, less is kept.
 */
#define PART_OF_ALL 8u
#define UNGUARDED (UINT64_C(64) << 20)
#define PIECE_PAGES UINT64_C(256) /* given back under the lock at a time: 0.3 ms */

uint64_t
pn_heap_warm_limit(pn_domain *domain)
{
    pn_header *header = domain->header;
    uint64_t part = atomic_load(&header->max_bytes) / PART_OF_ALL;
    bool is_guarded = atomic_load_explicit(&header->guardian_pid, memory_order_relaxed) != 0;
    return is_guarded || part < UNGUARDED ? part : UNGUARDED;
}

/* Cool the last pages of the warm FREE block at `page`, all or `most`; how many. A death after
 * the COMMIT leaves pages that nobody counts: the recount gives them back. */
static uint64_t
cool_end(pn_domain *domain, uint64_t page, uint64_t most)
{
    pn_header *header = domain->header;
    pn_block *block = &domain->blocks[page];
    uint64_t pages = pn_block_pages(atomic_load(&block->state));
    uint64_t count = pages < most ? pages : most, end = page + pages - count;
    if (end != page) { /* unseen until the COMMIT */
        pn_block *rest = &domain->blocks[end];
        atomic_store(&rest->owner, 0);
        atomic_store(&rest->queue, 0);
        rest->freed_at = block->freed_at;
        atomic_store(&rest->state, state_of(PN_BLOCK_FREE, count, false));
        atomic_store(&block->state, state_of(PN_BLOCK_FREE, pages - count, true)); /* COMMIT */
    } else {
        atomic_store(&block->state, state_of(PN_BLOCK_FREE, pages, false)); /* COMMIT */
    }
    atomic_fetch_sub(&header->warm, count * PN_PAGE);
    pn_domain_punch(domain, offset_of(domain, end), count * PN_PAGE);
    pn_heap_lower_hints(header, end, count);
    pn_heap_merge(domain, end);
    return count;
}

/* One piece of what was freed before `before`; how many pages. */
static uint64_t
cool_piece(pn_domain *domain, int64_t before)
{
    uint64_t left = PIECE_PAGES;
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0 && left > 0;
         at = pn_heap_next(domain, at, &block)) {
        uint64_t state = atomic_load(&block->state);
        if (pn_block_kind_of(state) == PN_BLOCK_FREE && (state & PN_BLOCK_WARM) &&
            block->freed_at < before) {
            left -= cool_end(domain, page_of(domain, at), left);
        }
    }
    return PIECE_PAGES - left;
}

uint64_t
pn_heap_cool(pn_domain *domain, int64_t before)
{
    uint64_t sum = 0, pages;
    do {
        if (atomic_load(&domain->header->warm) == 0 || pn_domain_enter(domain) != PN_OK) {
            break;
        }
        pages = cool_piece(domain, before);
        pn_domain_leave(domain);
        sum += pages;
    } while (pages == PIECE_PAGES);
    return sum * PN_PAGE;
}

void
pn_heap_cool_all(pn_domain *domain)
{
    while (cool_piece(domain, INT64_MAX) != 0) {
    }
}
