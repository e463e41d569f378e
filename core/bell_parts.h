/* What the files of bells share: bell.c is a bell and what its owner may do; bell_thread.c the thread that listens for all
 * of them, its seats, and forks. */
#ifndef PN_BELL_PARTS_H
#define PN_BELL_PARTS_H

#include <pthread.h>

#include "bell.h"
#include "futex.h"

typedef struct {
    pn_domain *domain;
    uint32_t line;
    size_t users; /* items of that domain, of bells that were ever armed */
} pn_bell_seat;

/* All that this process has of one kind; the mutex guards it, and all that is declared below is called under it. */
typedef struct {
    pthread_mutex_t mutex;
    pthread_cond_t awake; /* the thread has left its sleep */
    pn_bell *all;
    size_t armed; /* how many are */
    pn_bell_seat seats[PN_WATCHES];
    int seats_used;
    size_t deaf; /* armed items that have no line */
    unsigned paused;
    bool running, stopping, asleep;
    pthread_t thread;
    pid_t ended;  /* tid of the last thread that ended, until it is seen to be gone */
    pn_word home; /* where it sleeps without a seat */
} pn_bells_state;

extern pn_bells_state pn_bells;

/* --- bell.c --- */
/* Ring it if it is ready, else clear it; nobody else changes it meanwhile, and whoever commits after the look wakes the
 * thread, which looks again. With `edge`: ring it if there is news. */
void pn_bell_serve(pn_bell *bell, bool slice_over);

/* --- bell_thread.c --- */
/* Before the first bell, and before the first pause: whoever is forked in a pause is not to be paused for ever. Not
 * under the mutex. */
void pn_bells_see_forks(void);
/* Start the thread, if there is an armed bell for it; an error. */
int pn_bells_start(void);
/* Make the thread look again, wherever it sleeps: it may have gone to sleep before there was a seat. */
void pn_bells_poke(void);
pn_bell_seat *pn_bell_seat_in(pn_domain *domain);
/* The same, or a new one; NULL: there is none to be had. */
pn_bell_seat *pn_bell_take_seat(pn_domain *domain);
/* When this returns the thread does not touch the domain, which may be unmapped next, if nobody else uses it. */
void pn_bells_leave(pn_domain *domain);

#endif
