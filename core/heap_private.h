/* What the files of the heap share: heap.c allocates and frees, heap_warm.c keeps and gives back
 * pages of free blocks, heap_look.c walks and recounts. All under the domain's lock.
 */
#ifndef PN_HEAP_PRIVATE_H
#define PN_HEAP_PRIVATE_H

#include "heap.h"

static inline uint64_t
state_of(pn_block_kind kind, uint64_t pages, bool warm)
{
    return (uint64_t)kind | (warm ? PN_BLOCK_WARM : 0) | pages << 16;
}

static inline uint64_t
page_of(pn_domain *domain, uint64_t offset)
{
    return (offset - domain->header->heap_offset) / PN_PAGE;
}

static inline uint64_t
offset_of(pn_domain *domain, uint64_t page)
{
    return domain->header->heap_offset + page * PN_PAGE;
}

/* Merge the FREE blocks after `page` into it: one store of its state. */
uint64_t pn_heap_merge(pn_domain *domain, uint64_t page);
/* A FREE block has come to be at `page`. */
void pn_heap_lower_hints(pn_header *header, uint64_t page, uint64_t pages);
/* Bytes of free blocks that may keep their pages. */
uint64_t pn_heap_warm_limit(pn_domain *domain);
/* Give back all that free blocks kept. */
void pn_heap_cool_all(pn_domain *domain);

#endif
