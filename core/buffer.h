/* Buffers: shared objects that are nothing but bytes. Whatever is too large for the ring
 * travels in one; records name it by its handle, as any object.
 *
 * The cell names one block of the heap, and the block's entry names the cell. The block is the
 * buffer's if both agree: a death between the two steps of making or freeing one leaves a block
 * without a cell, which is its dead owner's, or a cell without a block.
 *
 * A small one that is shared stands in its cell and has no block: a number need not cost a page.
 * (What travels for one receiver is mapped by itself there, so it has pages of its own.)
 *
 * A named one is found by its name in the whole domain. Its name keeps it, whoever closes it, until
 * pn_buffer_unlink, or until the process that made it is dead and did not end cleanly: then it goes
 * with its last holder. The flag PN_BUFFER_NAMED is the store that makes it findable.
 */
#ifndef PN_BUFFER_H
#define PN_BUFFER_H

#include "collect.h"

enum {
    PN_BUFFER_READONLY = 1, /* nobody is given a writable view */
    PN_BUFFER_SHARED = 2,   /* whoever receives it sees the same bytes, and sends it on as it is */
    PN_BUFFER_NAMED = 4     /* pn_buffer_find finds it */
};

typedef struct {
    pn_object object;
    pn_word64 block; /* offset, 0: none yet */
    pn_word64 length;
    pn_word64 flags;
    pn_word64
        keeper; /* pn_owner_word of the process that made a named one; 0: its end is of no account */
    pn_word64 form; /* bytes of text behind its own: pn_buffer_describe; 0: none */
} pn_buffer_cell;

#define PN_BUFFER_INSIDE                                                                           \
    320u /* where the bytes of a small one begin in its cell: a multiple of 64 */
#define PN_BUFFER_SMALL (PN_SMALL_CELL - PN_BUFFER_INSIDE)

_Static_assert(sizeof(pn_buffer_cell) <= PN_BUFFER_INSIDE, "the bytes stand behind the cell");

/* Make one of `bytes` bytes, whatever stands in them; this process holds it. */
pn_status pn_buffer_new(pn_domain *domain, uint64_t bytes, uint64_t flags, uint64_t *offset,
                        uint32_t *generation);
/* Make its last `text` bytes the form: what stands in the others, in its maker's words, for who finds it by its name;
 * they do not count for its length any more. Called before anybody else can know of it. */
void pn_buffer_describe(pn_domain *domain, uint64_t offset, const char *form, uint64_t text);
/* From here on one that this process holds is found by its object's name, and kept: PN_EXISTS if another one is. */
pn_status pn_buffer_publish(pn_domain *domain, uint64_t offset);
/* Hold the one of that name: PN_NOTHING if there is none. */
pn_status pn_buffer_find(pn_domain *domain, const char *name, uint64_t *offset,
                         uint32_t *generation);
/* Take its name away: PN_NOTHING if it has none any more, or was freed. */
pn_status pn_buffer_unlink(pn_domain *domain, uint64_t offset, uint32_t generation);
/* A process is dead: is its name all that keeps it? kind.h */
bool pn_buffer_bury(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation,
                    bool awaited);
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
    uint64_t block =
        atomic_load_explicit(&pn_buffer_at(domain, offset)->block, memory_order_relaxed);
    return pn_at(domain, block != 0 ? block : offset + PN_BUFFER_INSIDE);
}

static inline uint64_t
pn_buffer_length(const pn_domain *domain, uint64_t offset)
{
    return atomic_load_explicit(&pn_buffer_at(domain, offset)->length, memory_order_relaxed);
}

#endif
