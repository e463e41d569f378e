#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "slab.h"

#include <string.h>

#include "object.h"

pn_block_kind
pn_slab_kind_for(size_t size)
{
    return size <= PN_SMALL_CELL ? PN_BLOCK_SLAB_SMALL : PN_BLOCK_SLAB_LARGE;
}

static uint32_t
place_of(pn_block_kind kind)
{
    return kind - PN_BLOCK_SLAB_SMALL;
}

/* The first free cell; slab->cells if there is none. */
static uint32_t
free_cell(const pn_slab *slab)
{
    for (uint32_t word = 0; word * 64 < slab->cells; word++) {
        uint64_t unused = ~atomic_load(&slab->used[word]);
        if (unused != 0) {
            uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(unused);
            return index < slab->cells ? index : slab->cells;
        }
    }
    return slab->cells;
}

static void
link_slab(pn_domain *domain, pn_block_kind kind, uint64_t at)
{
    pn_header *header = domain->header;
    pn_slab *slab = pn_at(domain, at);
    atomic_store(&slab->next, atomic_load(&header->slabs[place_of(kind)]));
    atomic_store(&header->slabs[place_of(kind)], at); /* COMMIT */
    header->slab_hint[place_of(kind)] = at;
}

static pn_status
new_slab(pn_domain *domain, pn_block_kind kind, uint64_t *at)
{
    /* Its header is written before the block's kind says that it is a slab. */
    pn_status status =
        pn_heap_alloc_locked(domain, PN_SLAB_PAGES * PN_PAGE, PN_BLOCK_PAYLOAD, 0, at);
    if (status != PN_OK) {
        return status;
    }
    pn_slab *slab = pn_at(domain, *at);
    memset(slab, 0, PN_SLAB_PAGES * PN_PAGE);
    slab->cell_size = kind == PN_BLOCK_SLAB_SMALL ? PN_SMALL_CELL : PN_LARGE_CELL;
    slab->cells = PN_SLAB_PAGES * PN_PAGE / slab->cell_size - 1;
    pn_block *entry = pn_block_at(domain, *at);
    uint64_t state = atomic_load(&entry->state);
    /* Before it a payload of ours, which the sweep frees; after it everybody's, whatever the
     * owner says. */
    atomic_store(&entry->state, (state & ~UINT64_C(0xff)) | kind); /* COMMIT */
    atomic_store(&entry->owner, 0);
    link_slab(domain, kind, *at);
    return PN_OK;
}

pn_status
pn_slab_find(pn_domain *domain, pn_block_kind kind, uint64_t *slab, uint32_t *index)
{
    pn_header *header = domain->header;
    uint64_t first = atomic_load(&header->slabs[place_of(kind)]);
    uint64_t hint = header->slab_hint[place_of(kind)];
    /* From the hint to the end, and then from the beginning to the hint. */
    for (uint64_t at = hint, wrapped = hint == first; at != 0;) {
        pn_slab *head = pn_at(domain, at);
        *index = free_cell(head);
        if (*index < head->cells) {
            *slab = header->slab_hint[place_of(kind)] = at;
            return PN_OK;
        }
        at = atomic_load(&head->next);
        if (at == 0 && !wrapped) {
            at = first;
            wrapped = 1;
        }
        if (wrapped && at == hint) {
            break;
        }
    }
    *index = 0;
    return new_slab(domain, kind, slab);
}

void
pn_slab_take(pn_domain *domain, uint64_t at, uint32_t index)
{
    pn_slab *slab = pn_at(domain, at);
    atomic_fetch_or(&slab->used[index / 64], UINT64_C(1) << index % 64); /* COMMIT */
}

void
pn_slab_give_back(pn_domain *domain, uint64_t at, uint32_t index)
{
    pn_slab *slab = pn_at(domain, at);
    atomic_fetch_and(&slab->used[index / 64], ~(UINT64_C(1) << index % 64)); /* COMMIT */
    domain->header->slab_hint[slab->cell_size == PN_LARGE_CELL] = at;
}

bool
pn_slab_uses(pn_domain *domain, uint64_t at, uint64_t cell, uint32_t *index)
{
    pn_slab *slab = pn_at(domain, at);
    *index = (uint32_t)((cell - at) / slab->cell_size) - 1;
    return *index < slab->cells && (cell - at) % slab->cell_size == 0 &&
           (atomic_load(&slab->used[*index / 64]) >> *index % 64 & 1);
}

bool
pn_slab_may_have(pn_domain *domain, uint64_t cell)
{
    pn_header *header = domain->header;
    return cell % PN_SMALL_CELL == 0 && cell >= header->heap_offset &&
           cell < header->heap_offset + header->top * PN_PAGE;
}

uint64_t
pn_slab_next_cell(pn_domain *domain, pn_block_kind kind, uint64_t cell)
{
    uint64_t at = atomic_load(&domain->header->slabs[place_of(kind)]);
    uint32_t index = 0;
    if (cell != 0) {
        at = ((const pn_object *)pn_at(domain, cell))->slab;
        index = (uint32_t)((cell - at) / ((pn_slab *)pn_at(domain, at))->cell_size);
    }
    for (; at != 0; index = 0) {
        pn_slab *slab = pn_at(domain, at);
        for (; index < slab->cells; index++) {
            uint64_t rest = atomic_load(&slab->used[index / 64]) >> index % 64;
            if (rest != 0) {
                index += (uint32_t)__builtin_ctzll(rest);
                return pn_slab_cell(at, slab, index);
            }
            index |= 63;
        }
        at = atomic_load(&slab->next);
    }
    return 0;
}

void
pn_slab_relink(pn_domain *domain)
{
    pn_header *header = domain->header;
    for (uint32_t place = 0; place < 2; place++) {
        atomic_store(&header->slabs[place], 0);
        header->slab_hint[place] = 0;
    }
    pn_block *block;
    for (uint64_t at = pn_heap_next(domain, 0, &block); at != 0;
         at = pn_heap_next(domain, at, &block)) {
        uint32_t kind = pn_block_kind_of(atomic_load(&block->state));
        if (kind == PN_BLOCK_SLAB_SMALL || kind == PN_BLOCK_SLAB_LARGE) {
            link_slab(domain, kind, at);
        }
    }
}
