/* After which steps of an operation could a kill make a difference? */
#ifndef TESTS_WATCH_H
#define TESTS_WATCH_H

#include "crew.h"
#include "heap.h"
#include "listen.h"
#include "object.h"
#include "slots.h"
#include "waits.h"

/* Looking costs as much as a step: the first lines of each table, and the victim's own. */
#define WATCHED_TABLE 8192u
#define WATCHED_SLOTS 4096u
#define WATCHED_WAITS 16u
#define WATCHED_SEATS 4u
#define WATCHED_SLAB 8192u
#define WATCHED_SLABS 3u
#define WATCHED_DICT 4096u
#define WATCHED_LEDGER 512u

/* Steps after which something had changed. */
typedef struct {
    uint32_t count, events;
    uint32_t at[POINTS];
} change_list;

typedef struct {
    change_list *list; /* of what is found, NULL: stop after `wanted` changes */
    uint32_t event, wanted, found;
    bool was_call, is_first;
    uint64_t robust[2];
    size_t used;
    char seen[PN_PAGE + WATCHED_SLOTS + WATCHED_WAITS * sizeof(pn_wait) +
              (PN_LISTEN_WINDOW + WATCHED_SEATS) * sizeof(pn_listener) + WATCHED_TABLE +
              WATCHED_SLABS * WATCHED_SLAB + WATCHED_DICT + WATCHED_LEDGER];
} watch;

/* Has the domain or the victim's robust list changed since the last look? */
bool watch_look(world *world, watch *watch);
/* After each step of the victim: list the change, or stop at the wanted one. */
void watch_note(world *world, void *watch);

#endif
