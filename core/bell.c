#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "bell_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void
set_rung(pn_bell *bell, bool rung)
{
    uint64_t one = 1;
    if (rung && !bell->rung) {
        bell->rung = write(bell->fd, &one, sizeof(one)) == (ssize_t)sizeof(one);
    } else if (!rung && bell->rung) {
        bell->rung = read(bell->fd, &one, sizeof(one)) < 0 && errno != EAGAIN;
    }
}

static bool
any_ready(const pn_bell *bell)
{
    for (size_t i = 0; i < bell->count; i++) {
        const pn_bell_item *item = &bell->items[i];
        if (pn_is_ready(item->domain, item->offset, item->want)) {
            return true;
        }
    }
    return false;
}

static bool
any_heard(pn_bell *bell)
{
    bool any = false;
    for (size_t i = 0; i < bell->count; i++) {
        pn_bell_item *item = &bell->items[i];
        if (item->line != PN_NO_LINE) {
            uint32_t heard = atomic_load(&item->domain->listeners[item->line].heard);
            any |= heard != item->heard;
            item->heard = heard;
        }
    }
    return any;
}

void
pn_bell_serve(pn_bell *bell, bool slice_over)
{
    if (!bell->edge) {
        set_rung(bell, any_ready(bell));
    } else if (any_heard(bell) || slice_over) {
        set_rung(bell, true);
    }
}

/* ---- for its owner ---------------------------------------------------------------------- */

pn_bell *
pn_bell_new(size_t count, bool edge)
{
    pn_bells_see_forks();
    pn_bell *bell = calloc(1, sizeof(*bell) + count * sizeof(bell->items[0]));
    if (bell != NULL) {
        bell->fd = -1;
        bell->edge = edge;
        bell->count = count;
        pthread_mutex_lock(&pn_bells.mutex);
        bell->next = pn_bells.all;
        pn_bells.all = bell;
        pthread_mutex_unlock(&pn_bells.mutex);
    }
    return bell;
}

static void
disarm_locked(pn_bell *bell)
{
    if (!bell->armed) {
        return;
    }
    for (size_t i = 0; i < bell->count; i++) {
        pn_bell_item *item = &bell->items[i];
        pn_bells.deaf -= item->line == PN_NO_LINE;
        pn_listen_end(item->domain, item->line);
        item->line = PN_NO_LINE;
        pn_wait_end(item->wait);
        item->wait = NULL;
        atomic_fetch_sub(&item->domain->bells, 1);
    }
    bell->armed = false;
    pn_bells.armed--;
    set_rung(bell, false);
}

void
pn_bell_disarm(pn_bell *bell)
{
    pthread_mutex_lock(&pn_bells.mutex);
    disarm_locked(bell);
    pthread_mutex_unlock(&pn_bells.mutex);
}

void
pn_bell_drop(pn_bell *bell)
{
    pthread_mutex_lock(&pn_bells.mutex);
    disarm_locked(bell);
    for (pn_bell **at = &pn_bells.all; *at != NULL; at = &(*at)->next) {
        if (*at == bell) {
            *at = bell->next;
            break;
        }
    }
    for (size_t i = 0; bell->seated && i < bell->count; i++) {
        pn_bell_seat *seat = pn_bell_seat_in(bell->items[i].domain);
        if (seat != NULL && --seat->users == 0) {
            pn_bells_leave(seat->domain);
        }
    }
    pthread_mutex_unlock(&pn_bells.mutex);
    if (bell->fd >= 0) {
        close(bell->fd);
    }
    free(bell);
}

/* True if the thread has to hear of it: it has a seat that it did not know. */
static bool
listen_locked(pn_bell *bell, bool waits)
{
    int before = pn_bells.seats_used;
    for (size_t i = 0; i < bell->count; i++) {
        pn_bell_item *item = &bell->items[i];
        pn_bell_seat *seat = pn_bell_take_seat(item->domain);
        if (seat != NULL && !bell->seated) {
            seat->users++;
        }
        item->line = seat != NULL
                         ? pn_listen_begin(item->domain, item->offset, item->want, seat->line)
                         : PN_NO_LINE;
        item->heard = 0;
        item->wait = waits ? pn_wait_begin(item->domain, item->offset, PN_WAIT_MANY) : NULL;
        pn_bells.deaf += item->line == PN_NO_LINE;
        atomic_fetch_add(&item->domain->bells, 1);
    }
    bell->seated = true;
    bell->armed = true;
    pn_bells.armed++;
    return pn_bells.seats_used != before || pn_bells.deaf > 0;
}

int
pn_bell_arm(pn_bell *bell, bool waits)
{
    int error = 0;
    pthread_mutex_lock(&pn_bells.mutex);
    if (bell->fd < 0) {
        bell->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        error = bell->fd < 0 ? errno : 0;
    }
    if (error == 0 && !bell->armed) {
        bool is_news = listen_locked(bell, waits);
        pn_bell_serve(bell, false);
        error = pn_bells_start();
        if (error != 0) {
            disarm_locked(bell);
        } else if (is_news || bell->rung) {
            pn_bells_poke();
        }
    }
    int fd = error == 0 ? bell->fd : -1;
    pthread_mutex_unlock(&pn_bells.mutex);
    errno = error;
    return fd;
}

void
pn_bell_clear(pn_bell *bell)
{
    pthread_mutex_lock(&pn_bells.mutex);
    if (bell->armed) {
        set_rung(bell, !bell->edge && any_ready(bell));
    }
    pthread_mutex_unlock(&pn_bells.mutex);
}

void
pn_bell_settle_slow(pn_domain *domain, uint64_t offset)
{
    pthread_mutex_lock(&pn_bells.mutex);
    for (pn_bell *bell = pn_bells.all; bell != NULL; bell = bell->next) {
        for (size_t i = 0; bell->rung && !bell->edge && i < bell->count; i++) {
            if (bell->items[i].offset == offset && bell->items[i].domain == domain) {
                set_rung(bell, any_ready(bell));
            }
        }
    }
    pthread_mutex_unlock(&pn_bells.mutex);
}
