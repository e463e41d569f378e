/* What there is to know about each type of object, in one table: where its cells stand, what a death
 * means to it, what it owns. A new type is a line of kind.c, a value of pn_object_type, and a
 * Python type in core/python/module.c.
 */
#ifndef PN_KIND_H
#define PN_KIND_H

#include "collect.h"

struct pn_record;
/* As pn_record_visit of ring.h. */
typedef bool (*pn_kind_visit)(pn_domain *domain, uint64_t object, const struct pn_record *record,
                              void *context);

typedef struct {
    size_t size; /* of a cell */
    /* Its lock is linked into the robust list of the thread that holds it: not freed while held. */
    bool is_robust_lock;
    /* Its own records may name it: only a walk of the rings tells that it is not used. */
    bool may_name_itself;
    /* A process is dead: give back what it had of this object. Under header.lock, for every object, whether the
     * process held it or not; again for the same death, if a sweep was killed. False: it cannot be done just now,
     * the next sweep shall ask again. `awaited`: its parent will yet say how it ended (pn_slot_end). NULL: nothing. */
    bool (*bury)(pn_domain *domain, uint64_t offset, uint32_t slot, uint32_t generation,
                 bool awaited);
    /* Does it own that block? Under header.lock. NULL: it owns none. */
    bool (*names_block)(pn_domain *domain, uint64_t offset, uint64_t block);
    /* Nobody has it any more: free its blocks, and name what its records named. Under header.lock; twice does no
     * harm. NULL: nothing. */
    void (*discard)(pn_domain *domain, uint64_t offset, pn_collect_list *named);
    /* Visit its records that may name objects. Under header.lock. False: the visitor ended it, or it cannot be looked at
     * just now. NULL: it has no records. */
    bool (*walk)(pn_domain *domain, uint64_t offset, pn_kind_visit visit, void *context);
    /* Of what can be waited for by wait() and doorbells (listen.h): the PN_FOR_* that it knows; is one of them the
     * case (with PN_FOR_CALLER: for the calling thread), answered without any lock; NULL: it cannot be waited for. Whoever makes it the case calls
     * pn_notify after the commit. */
    uint32_t wants;
    bool (*is_ready)(pn_domain *domain, uint64_t offset, uint32_t want);
    /* At the end of a slice of such a wait: look whether what is missing is in the hands of the dead. NULL: nothing. */
    void (*mend)(pn_domain *domain, uint64_t offset);
    /* This process is about to drop its last reference to it. Under domain.mutex. NULL: nothing. */
    void (*given_up)(pn_domain *domain, uint64_t offset);
    /* The process of that line is given it for its use, and has it already: it is about to take a record that names it, or
     * to be forked. NULL: nothing. */
    void (*arrives)(pn_domain *domain, uint64_t offset, uint32_t slot);
} pn_kind;

/* Of a value of pn_object_type; any other number is that of a free cell. */
const pn_kind *pn_kind_of_type(uint32_t type);

static inline const pn_kind *
pn_kind_of(pn_object *object)
{
    return pn_kind_of_type(atomic_load(&object->type));
}

#endif
