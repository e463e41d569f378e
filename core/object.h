/* Shared objects: cells in slabs, with a name, a generation and a holder set.
 *
 * A bit of `holders` per process slot: that process has the object. The set, not a
 * count, because clearing a dead process's bit twice is harmless. When it is empty and
 * no ring holds a record that names the object, the cell is freed and its
 * generation grows, so an old handle is refused (PN_STALE).
 * `moves` grows after a bit was set: whoever looked at the bits and then for records
 * between two equal values of it has missed none.
 */
#ifndef PN_OBJECT_H
#define PN_OBJECT_H

#include "domain.h"

typedef enum {
    PN_OBJECT_FREE,
    PN_OBJECT_RING,
    PN_OBJECT_MUTEX,
    PN_OBJECT_RLOCK,
    PN_OBJECT_LOCK
} pn_object_type;

#define PN_NAME 48

typedef struct {
    pn_word type;
    pn_word generation;
    pn_word moves;
    uint32_t flags;
    char name[PN_NAME]; /* UTF-8, ends in NUL */
    pn_word64 holders[PN_SLOTS / 64];
    uint64_t slab; /* offset of the slab */
    uint8_t pad[56];
} pn_object;

_Static_assert(sizeof(pn_object) == 256, "object layout is shared between processes");

/* A lock, mutex or recursive lock. */
typedef struct {
    pn_object object;
    pn_lock lock;
} pn_lock_cell;

/* Make one; this process holds it. */
pn_status pn_object_new(pn_domain *domain, pn_object_type type, const char *name, uint64_t *offset,
                        uint32_t *generation);
/* Hold an object by its handle: PN_STALE if it has been freed. */
pn_status pn_object_attach(pn_domain *domain, uint64_t offset, uint32_t generation);
/* One more, one less reference of this process; the last one gives up its bit. */
void pn_object_retain(pn_domain *domain, uint64_t offset);
void pn_object_drop(pn_domain *domain, uint64_t offset);
/* Does this process hold it? */
bool pn_object_held(pn_domain *domain, uint64_t offset);
/* Give another slot a bit. */
void pn_object_hold_for(pn_domain *domain, uint64_t offset, uint32_t slot);
/* Give it a bit on all that this process holds (before a fork). */
void pn_object_hold_all_for(pn_domain *domain, uint32_t slot);
/* Free it if nobody has it and no record names it. Under header.lock. */
bool pn_object_collect(pn_domain *domain, uint64_t offset);
/* Is this the offset of a cell in use? Under header.lock. */
bool pn_object_valid(pn_domain *domain, uint64_t offset);

#define PN_SLAB_PAGES 16u

typedef struct {
    pn_word64 used[2];
    uint32_t cell_size;
    uint32_t cells;
} pn_slab;

static inline uint64_t
pn_slab_cell(uint64_t slab, const pn_slab *head, uint32_t index)
{
    return slab + (uint64_t)head->cell_size * (index + 1);
}

#endif
