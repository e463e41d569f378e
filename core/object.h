/* Shared objects: cells in slabs, with a name, a generation and a holder set.
 *
 * A bit of `holders` per process slot: that process has the object. The set, not a
 * count, because clearing a dead process's bit twice is harmless.
 * Processes that found the table full have no bit: they are counted, and what one of them
 * held when it was killed is never freed.
 * `moves` grows after a bit was set: whoever looked at the bits and then for records
 * between two equal values of it has missed none.
 *
 * `puts` grows BEFORE the commit of a record that names the object, `takes` AFTER the take
 * (or after the store that gives the record up). So at every instant
 *
 *     puts - takes >= how many records name it
 *
 * and equal sums prove that none does. Who dies in between leaves `puts` ahead for good,
 * and nobody repairs that: a sweep of the dead marks every object whose sums differ just then
 * with PN_OBJECT_SCAN, and for such a one the records are looked through instead.
 *
 * An object without holder that no record names is freed (collect.h), by the process that drops its
 * last reference. If it is still named then, the process that takes the record out comes after
 * it: that one reads the bits after its own `takes`, and the first one `takes` after its bit, so
 * one of the two sees both.
 */
#ifndef PN_OBJECT_H
#define PN_OBJECT_H

#include "slab.h"

typedef enum {
    PN_OBJECT_FREE,
    PN_OBJECT_RING,
    PN_OBJECT_MUTEX,
    PN_OBJECT_RLOCK,
    PN_OBJECT_LOCK,
    PN_OBJECT_BUFFER, /* buffer.h */
    PN_OBJECT_EVENT,
    PN_OBJECT_CONDITION,
    PN_OBJECT_BARRIER,
    PN_OBJECT_ATOMIC, /* atomic.h */
    PN_OBJECT_DICT,   /* dict.h */
    PN_OBJECT_SEMAPHORE,
    PN_OBJECT_PRIORITY,
    PN_OBJECT_ENTRY, /* of a PRIORITY: priority.h */
    PN_OBJECT_PIPE,  /* pipe.h */
    PN_OBJECT_END,   /* pipe.h: has an end */
    PN_OBJECT_TYPES  /* how many there are; what differs between them: kind.h */
} pn_object_type;

enum {
    PN_OBJECT_SCAN = 1, /* its sums say nothing any more */
    PN_OBJECT_KEPT =
        2, /* not freed, though nobody holds it: by its name (buffer.h), a queue (priority.h) */
    PN_OBJECT_PART =
        4 /* not found by its name: a part of another object, or of use to its own program only (find.h) */
};

#define PN_NAME 48

typedef struct {
    pn_word type;
    pn_word generation;
    pn_word moves;
    pn_word flags;
    char name[PN_NAME]; /* UTF-8, ends in NUL */
    pn_word64 holders[PN_SLOTS / 64];
    uint64_t slab; /* offset of the slab */
    pn_word64 puts, takes;
    uint64_t
        scan; /* header.scans of the last walk that suspected it, and what it found; domain lock */
    pn_word unseen; /* how many processes without a line of the table hold it; their deaths too */
    /* Its lock, which it cannot be used without: a handle for who finds it by its name, 0: none. It keeps nothing: whoever
     * has the one has the other. Set by its maker, before anybody else can know of it. */
    pn_word mate_generation;
    pn_word64 mate;
    pn_word listened; /* hint: does anybody listen to it? listen.h */
    uint8_t pad[12];
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
/* The same, with header.lock held. */
pn_status pn_object_new_locked(pn_domain *domain, pn_object_type type, const char *name,
                               uint64_t *offset, uint32_t *generation);
/* Name one that nobody else has seen yet. */
void pn_object_set_name(pn_domain *domain, uint64_t offset, const char *name);
/* Hold an object by its handle: PN_STALE if it has been freed. */
pn_status pn_object_attach(pn_domain *domain, uint64_t offset, uint32_t generation);
/* One more, one less reference of this process; the last one gives up its bit. */
void pn_object_retain(pn_domain *domain, uint64_t offset);
void pn_object_drop(pn_domain *domain, uint64_t offset);
/* Does this process hold it? */
bool pn_object_held(pn_domain *domain, uint64_t offset);
/* Give another slot a bit. */
void pn_object_hold_for(pn_domain *domain, uint64_t offset, uint32_t slot);
/* Give it a bit on all that this process holds (before a fork); PN_SLOTS: a child without a line. */
void pn_object_hold_all_for(pn_domain *domain, uint32_t slot);
/* In a child whose bits were swept before it ran: take them again where the object is still there, and forget the others. */
void pn_object_hold_again(pn_domain *domain);
/* Until this is taken back, children that this process forks get it for their use, and do not only inherit it. */
void pn_object_hand_at_fork(pn_domain *domain, uint64_t offset, bool is_handed);
/* Is this the offset of a cell in use? Under header.lock. */
bool pn_object_valid(pn_domain *domain, uint64_t offset);
/* Does the object at `queue` of a block's entry name that block? Under header.lock. */
bool pn_object_names_block(pn_domain *domain, uint64_t offset, uint64_t block);

/* A record that names it is about to be committed; was taken, or given up. */
static inline void
pn_object_count_put(pn_domain *domain, uint64_t offset)
{
    atomic_fetch_add(&((pn_object *)pn_at(domain, offset))->puts, 1);
}

static inline void
pn_object_count_take(pn_domain *domain, uint64_t offset)
{
    atomic_fetch_add(&((pn_object *)pn_at(domain, offset))->takes, 1);
}

#endif
