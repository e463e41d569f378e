/* Slabs: blocks of cells, in which objects stand. All under the domain's lock.
 *
 * A bit of `used` per cell: its store makes a cell exist, or go. Slabs are never freed, so
 * that their cells keep their generations. Those of a kind are a list from
 * header.slabs, newest first, linked by one store; who died between the block's kind and
 * that store left a slab that pn_slab_relink finds again.
 */
#ifndef PN_SLAB_H
#define PN_SLAB_H

#include "heap.h"

#define PN_SLAB_PAGES 16u
#define PN_SMALL_CELL 512u
#define PN_LARGE_CELL 2048u

typedef struct {
    pn_word64 used[2];
    uint32_t cell_size;
    uint32_t cells;
    pn_word64 next; /* an older slab of the same kind, 0: none */
} pn_slab;

static inline uint64_t
pn_slab_cell(uint64_t slab, const pn_slab *head, uint32_t index)
{
    return slab + (uint64_t)head->cell_size * (index + 1);
}

/* The kind whose cells are large enough. */
pn_block_kind pn_slab_kind_for(size_t size);
/* A free cell in a slab of `kind`, where it stands and its number. */
pn_status pn_slab_find(pn_domain *domain, pn_block_kind kind, uint64_t *slab, uint32_t *index);
/* The two commits of a cell. */
void pn_slab_take(pn_domain *domain, uint64_t slab, uint32_t index);
void pn_slab_give_back(pn_domain *domain, uint64_t slab, uint32_t index);
/* Is this the offset of a cell of that slab, and in use? Gives its number. */
bool pn_slab_uses(pn_domain *domain, uint64_t slab, uint64_t cell, uint32_t *index);
/* Could it be one? Any number will do. */
bool pn_slab_may_have(pn_domain *domain, uint64_t cell);
/* Walk the used cells of a kind: the first after 0; 0 at the end. */
uint64_t pn_slab_next_cell(pn_domain *domain, pn_block_kind kind, uint64_t cell);
/* Build the lists anew, after a death. */
void pn_slab_relink(pn_domain *domain);

#endif
