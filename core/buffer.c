#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "buffer.h"

#include <string.h>

#include "collect.h"
#include "sweep.h"

static pn_status
new_locked(pn_domain *domain, uint64_t bytes, uint64_t flags, uint64_t *offset,
           uint32_t *generation)
{
    pn_status status = pn_object_new_locked(domain, PN_OBJECT_BUFFER, "", offset, generation);
    if (status != PN_OK) {
        return status;
    }
    pn_buffer_cell *cell = pn_buffer_at(domain, *offset);
    atomic_store(&cell->length, bytes);
    atomic_store(&cell->flags, flags);
    uint64_t block;
    status = pn_heap_alloc_locked(domain, bytes, PN_BLOCK_PAYLOAD, *offset, &block);
    if (status == PN_OK) {
        /* Before it the block is ours, after it the cell's, whatever the owner says. */
        atomic_store(&cell->block, block); /* COMMIT */
        atomic_store(&pn_block_at(domain, block)->owner, 0);
    }
    return status;
}

pn_status
pn_buffer_new(pn_domain *domain, uint64_t bytes, uint64_t flags, uint64_t *offset,
              uint32_t *generation)
{
    pn_status status;
    for (int turn = 0; turn < 2; turn++) {
        status = pn_domain_enter(domain);
        if (status != PN_OK) {
            return status;
        }
        *offset = 0;
        status = new_locked(domain, bytes, flags, offset, generation);
        pn_domain_leave(domain);
        if (status == PN_OK) {
            return status;
        }
        if (*offset != 0) {
            pn_object_drop(domain, *offset);
        }
        if (status != PN_NO_MEMORY) {
            return status;
        }
        pn_sweep_sometimes(domain); /* the dead may have some */
    }
    return status;
}

pn_status
pn_buffer_describe(pn_domain *domain, uint64_t offset, const char *name, const char *form)
{
    pn_status status = pn_domain_enter(domain);
    if (status == PN_OK) {
        pn_buffer_cell *cell = pn_buffer_at(domain, offset);
        size_t length = strnlen(form, PN_BUFFER_FORM - 1);
        memcpy(cell->form, form, length);
        cell->form[length] = '\0';
        pn_object_set_name(domain, offset, name);
        pn_domain_leave(domain);
    }
    return status;
}

bool
pn_buffer_names_block(pn_domain *domain, uint64_t offset, uint64_t block)
{
    return atomic_load(&pn_buffer_at(domain, offset)->block) == block;
}

void
pn_buffer_discard(pn_domain *domain, uint64_t offset, pn_collect_list *named)
{
    (void)named;
    pn_buffer_cell *cell = pn_buffer_at(domain, offset);
    uint64_t block = atomic_load(&cell->block);
    if (block == 0) {
        return;
    }
    /* If somebody died after this free, the block may be another's by now. */
    pn_block *entry = pn_block_at(domain, block);
    if (pn_block_kind_of(atomic_load(&entry->state)) == PN_BLOCK_PAYLOAD &&
        atomic_load(&entry->queue) == offset) {
        pn_heap_free_locked(domain, block);
    }
}
