#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "many.h"

#include <errno.h>

#include "sweep.h"

#define DEAF_NS (10 * 1000000LL)

bool
pn_many_look(pn_many *many)
{
    bool any = false;
    for (size_t i = 0; i < many->count; i++) {
        pn_many_item *item = &many->items[i];
        item->ready = pn_is_ready(item->domain, item->offset, item->want | PN_FOR_CALLER);
        any |= item->ready;
    }
    return any;
}

/* The seat in that domain; PN_NO_LINE: there is none to be had. */
static uint32_t
seat_in(pn_many *many, pn_domain *domain)
{
    for (int i = 0; i < many->seats_used; i++) {
        if (many->seats[i].domain == domain) {
            return many->seats[i].line;
        }
    }
    uint32_t line = many->seats_used < PN_WATCHES ? pn_seat_take(domain) : PN_NO_LINE;
    if (line != PN_NO_LINE) {
        many->seats[many->seats_used].domain = domain;
        many->seats[many->seats_used++].line = line;
    }
    return line;
}

void
pn_many_begin(pn_many *many)
{
    for (size_t i = 0; i < many->count; i++) {
        pn_many_item *item = &many->items[i];
        uint32_t seat = seat_in(many, item->domain);
        item->line = seat != PN_NO_LINE
                         ? pn_listen_begin(item->domain, item->offset, item->want, seat)
                         : PN_NO_LINE;
        many->deaf |= item->line == PN_NO_LINE;
        item->wait = pn_wait_begin(item->domain, item->offset, PN_WAIT_MANY);
    }
    many->deaf |= many->seats_used > 1 && !pn_platform.waitv;
}

static pn_word *
word_of(pn_many *many, int seat)
{
    return &many->seats[seat].domain->listeners[many->seats[seat].line].word;
}

/* At the end of a slice: what they wait for may be in the hands of the dead. */
static void
mend(pn_many *many)
{
    for (int i = 0; i < many->seats_used; i++) {
        pn_sweep_sometimes(many->seats[i].domain);
    }
    for (size_t i = 0; i < many->count; i++) {
        pn_listen_mend(many->items[i].domain, many->items[i].offset);
    }
}

pn_status
pn_many_sleep(pn_many *many, int64_t deadline)
{
    pn_watch watches[PN_WATCHES];
    for (int i = 0; i < many->seats_used; i++) {
        /* [sleep check]: the exchange is the fence between our mark and the look at the objects. */
        watches[i] = (pn_watch){word_of(many, i), PN_WAITERS};
        atomic_exchange_explicit(watches[i].word, PN_WAITERS, memory_order_seq_cst);
    }
    pn_fence_after_exchange();
    if (pn_many_look(many)) {
        return PN_OK;
    }
    int64_t slice_end = pn_now() + (many->deaf ? DEAF_NS : pn_self()->slice_ns);
    int64_t until = deadline < slice_end ? deadline : slice_end;
    int result;
    if (many->seats_used > 0) {
        result = pn_futex_wait_any(watches, many->seats_used, until);
    } else {
        pn_word nobody = 0; /* nothing could be listened to: only time passes */
        result = pn_futex_wait(&nobody, 0, until);
    }
    if (result == 0 || errno == EAGAIN) {
        return PN_OK;
    }
    if (errno == EINTR) {
        return PN_INTERRUPTED;
    }
    if (until == deadline) {
        return PN_TIMEOUT;
    }
    mend(many);
    return PN_INTERRUPTED;
}

void
pn_many_end(pn_many *many)
{
    for (size_t i = 0; i < many->count; i++) {
        pn_listen_end(many->items[i].domain, many->items[i].line);
        pn_wait_end(many->items[i].wait);
    }
    for (int i = 0; i < many->seats_used; i++) {
        pn_listen_end(many->seats[i].domain, many->seats[i].line);
    }
}
