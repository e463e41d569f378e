/* Buffers: shared objects that are nothing but bytes. Whatever is too large for the ring
 * travels in one; records name it by its handle, as any object.
 *
 * The cell names one block of the heap, and the block's entry names the cell. The block is the
 * buffer's if both agree: a death between the two steps of making or freeing one leaves a block
 * without a cell, which is its dead owner's, or a cell without a block.
 */
#ifndef PN_BUFFER_H
#define PN_BUFFER_H

#include "collect.h"

enum {
    PN_BUFFER_READONLY = 1, /* nobody is given a writable view */
    PN_BUFFER_SHARED = 2    /* whoever receives it sees the same bytes, and sends it on as it is */
};

#define PN_BUFFER_FORM 224

typedef struct {
    pn_object object;
    pn_word64 block; /* offset, 0: none yet */
    pn_word64 length;
    pn_word64 flags;
    char form
        [PN_BUFFER_FORM]; /* for who finds it by name: what stands in it, in its maker's words */
} pn_buffer_cell;

_Static_assert(sizeof(pn_buffer_cell) <= PN_SMALL_CELL, "a buffer fits the small cell");

/* Make one of `bytes` bytes, whatever stands in them; this process holds it. */
pn_status pn_buffer_new(pn_domain *domain, uint64_t bytes, uint64_t flags, uint64_t *offset,
                        uint32_t *generation);
/* Say what stands in it, and then its name: who looks for a name under header.lock sees both or none.
 * The form is cut off if it is too long. */
pn_status pn_buffer_describe(pn_domain *domain, uint64_t offset, const char *name,
                             const char *form);
/* Free its block, if it has one; its bytes name nothing. Under header.lock. */
void pn_buffer_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named);
/* Is that its block? Under header.lock. */
bool pn_buffer_names_block(pn_domain *domain, uint64_t offset, uint64_t block);

static inline pn_buffer_cell *
pn_buffer_at(const pn_domain *domain, uint64_t offset)
{
    return pn_at(domain, offset);
}

static inline char *
pn_buffer_bytes(const pn_domain *domain, uint64_t offset)
{
    return pn_at(domain,
                 atomic_load_explicit(&pn_buffer_at(domain, offset)->block, memory_order_relaxed));
}

static inline uint64_t
pn_buffer_length(const pn_domain *domain, uint64_t offset)
{
    return atomic_load_explicit(&pn_buffer_at(domain, offset)->length, memory_order_relaxed);
}

#endif
