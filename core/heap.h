/* The heap of a domain: blocks of whole pages, described outside of themselves.
 *
 * entry.state  kind (8 bits) | WARM (bit 8) | pages << 16. Only the entry of a block's first
 * page counts; blocks tile [0, header.top). One 8-byte store of the state
 * commits an allocation, a split, a merge or a free.
 * entry.owner  (slot + 1) << 32 | generation of the process that must free it, 0: no process
 * entry.queue  offset of the object that the block belongs to, a ring or a buffer, 0: none
 *
 * Whoever dies leaves his blocks to the sweep (sweep.h), which frees what no
 * object names. Who takes the last record of a segment writes itself as the owner BEFORE it
 * takes, so a block is always named by an object or owned by a process, or both, never by neither.
 */
#ifndef PN_HEAP_H
#define PN_HEAP_H

#include "domain.h"

typedef enum {
    PN_BLOCK_NONE, /* beyond top */
    PN_BLOCK_FREE,
    PN_BLOCK_SLAB_SMALL,
    PN_BLOCK_SLAB_LARGE,
    PN_BLOCK_SEGMENT,
    PN_BLOCK_PAYLOAD,
    PN_BLOCK_REPORT
} pn_block_kind;

typedef struct pn_block {
    pn_word64 state;
    pn_word64 owner;
    pn_word64 queue;
    int64_t freed_at; /* ns: when a FREE block came to be, or the youngest part of it */
} pn_block;

_Static_assert(sizeof(pn_block) == 32, "block table layout is shared between processes");

#define PN_BLOCK_WARM (UINT64_C(1) << 8)

static inline uint32_t
pn_block_kind_of(uint64_t state)
{
    return state & 0xff;
}

static inline uint64_t
pn_block_pages(uint64_t state)
{
    return state >> 16;
}

static inline uint64_t
pn_owner_word(uint32_t slot, uint32_t generation)
{
    return (uint64_t)(slot + 1) << 32 | generation;
}

/* The table entry of the block that starts at `offset`. */
pn_block *pn_block_at(pn_domain *domain, uint64_t offset);

/* A block of at least `bytes`, owned by this process. */
pn_status pn_heap_alloc(pn_domain *domain, uint64_t bytes, pn_block_kind kind, uint64_t queue,
                        uint64_t *offset);
void pn_heap_free(pn_domain *domain, uint64_t offset);
/* The same, with header.lock held. */
pn_status pn_heap_alloc_locked(pn_domain *domain, uint64_t bytes, pn_block_kind kind,
                               uint64_t queue, uint64_t *offset);
void pn_heap_free_locked(pn_domain *domain, uint64_t offset);
/* Give back, piece by piece, the pages of blocks that have been free since before that time:
 * how many bytes. Takes header.lock for a millisecond at a time. */
uint64_t pn_heap_cool(pn_domain *domain, int64_t before);
/* Walk: the first block, then the next; 0 at the end. Under lock. */
uint64_t pn_heap_next(pn_domain *domain, uint64_t offset, pn_block **block);
/* Recompute header.committed, .warm and .hint from the table, and give back pages that
 * belong to no block: after a death. Under lock. */
void pn_heap_recount(pn_domain *domain);
/* Bytes of blocks in use, by kind (for statistics and leak checks). */
uint64_t pn_heap_used(pn_domain *domain, pn_block_kind kind);

#endif
