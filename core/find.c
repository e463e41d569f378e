#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "find.h"

#include <stdlib.h>
#include <string.h>

/* Note the used cells of a kind behind the first `count` places; how many there would be. */
static size_t
look_through(pn_domain *domain, pn_block_kind kind, pn_found *list, size_t capacity, size_t count)
{
    for (uint64_t at = pn_slab_next_cell(domain, kind, 0); at != 0;
         at = pn_slab_next_cell(domain, kind, at)) {
        pn_object *object = pn_at(domain, at);
        if (object->name[0] == '\0' || (atomic_load(&object->flags) & PN_OBJECT_PART)) {
            continue;
        }
        if (count < capacity) {
            list[count].offset = at;
            list[count].generation = atomic_load(&object->generation);
            list[count].type = atomic_load(&object->type);
            memcpy(list[count].name, object->name, PN_NAME);
            list[count].name[PN_NAME - 1] = '\0';
        }
        count++;
    }
    return count;
}

pn_status
pn_find_named(pn_domain *domain, pn_found **list, size_t *count)
{
    size_t capacity = 64;
    for (;;) {
        /* Outside the lock, which others wait for. */
        pn_found *found = malloc(capacity * sizeof(*found));
        if (found == NULL) {
            return PN_NO_MEMORY;
        }
        pn_status status = pn_domain_enter(domain);
        if (status != PN_OK) {
            free(found);
            return status;
        }
        size_t there = look_through(domain, PN_BLOCK_SLAB_SMALL, found, capacity, 0);
        there = look_through(domain, PN_BLOCK_SLAB_LARGE, found, capacity, there);
        pn_domain_leave(domain);
        if (there <= capacity) {
            *list = found;
            *count = there;
            return PN_OK;
        }
        free(found);
        capacity = there + there / 4;
    }
}
