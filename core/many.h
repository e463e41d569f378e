/* Sleeping until one of several objects is ready: what wait() does when there is nothing but shared objects.
 *
 * Order of calls: look; begin; then look and sleep in turn; end. A process killed anywhere in it leaves lines that its
 * sweep frees.
 */
#ifndef PN_MANY_H
#define PN_MANY_H

#include "futex.h"
#include "listen.h"
#include "slots.h"
#include "waits.h"

typedef struct {
    pn_domain *domain;
    uint64_t offset;
    uint32_t want;
    bool ready; /* at the last look */
    uint32_t line;
    pn_wait *wait; /* NULL: nobody sees it */
} pn_many_item;

typedef struct {
    pn_many_item *items;
    size_t count;
    struct {
        pn_domain *domain;
        uint32_t line;
    } seats[PN_WATCHES]; /* one for each domain that the objects are of */
    int seats_used;
    bool deaf; /* something is not listened to (no line was free): look often */
} pn_many;

/* Look at all of them; true if any is ready. */
bool pn_many_look(pn_many *many);
/* Listen to all of them. */
void pn_many_begin(pn_many *many);
/* Sleep until something was committed to one of them, unless one is ready already: PN_OK (look again),
 * PN_TIMEOUT, or PN_INTERRUPTED (look for signals, look again). */
pn_status pn_many_sleep(pn_many *many, int64_t deadline);
void pn_many_end(pn_many *many);

#endif
