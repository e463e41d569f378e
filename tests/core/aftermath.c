/* What the dead left must be gone, to the last byte. */
#include "audit.h"
#include "heap.h"
#include "stepkill.h"
#include "sweep.h"

/* Everybody is gone: sweep, and look whether anything is left of them. */
void
audit_after(world *world)
{
    pn_domain *domain = world->domain;
    crew_end(world);
    pn_sweep(domain);
    pn_sweep(domain); /* what records of a discarded ring named */
    const char *wrong = audit_domain(domain);
    if (wrong == NULL && count_slots(domain) != 1) {
        wrong = "slots of the dead are left";
    }
    if (wrong != NULL) {
        blame(world, "wrong", "after the sweep: %s", wrong);
    }
    if (world->object != 0) {
        pn_object_drop(domain, world->object);
    }
    if (world->object_two != 0) {
        pn_object_drop(domain, world->object_two);
    }
    pn_sweep(domain);
    wrong = audit_domain(domain);
    if (wrong == NULL && count_objects(domain) != 0) {
        wrong = "an object is left that nobody holds";
    }
    if (wrong == NULL &&
        pn_heap_used(domain, PN_BLOCK_SEGMENT) + pn_heap_used(domain, PN_BLOCK_PAYLOAD) != 0) {
        wrong = "a block is left that nobody needs";
    }
    if (wrong != NULL) {
        blame(world, "wrong", "at the end: %s", wrong);
    }
}
