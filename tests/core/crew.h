/* The processes around one kill point: a victim that is stepped and killed, and
 * actors, who sleep already or come later, and must be able to go on. */
#ifndef TESTS_CREW_H
#define TESTS_CREW_H

#include <sys/types.h>

#include "object.h"
#include "ring.h"

#define ACTORS 6
#define LOG 128
#define POINTS 4096 /* most kill points of one scenario */

typedef enum { ACTOR_WAITING, ACTOR_RUNNING, ACTOR_FINISHED } actor_state;

/* Shared with the director, who reads what the actor writes. */
typedef struct {
    pn_word go, state;
    pn_word progress; /* items got or put, locks taken: entries of the log */
    pn_word status;   /* of its last call */
    pn_word broken;   /* line of this program at which something was wrong */
    pn_word log[LOG];
} actor;

typedef struct {
    actor actors[ACTORS];
    pn_word begun, ended; /* the victim's operation */
    pn_word status;       /* what it returned */
    _Atomic(void *) robust_head;
} stage;

struct world;

typedef enum {
    BEFORE, /* sleeps when the victim begins */
    LATER,  /* started by the scenario's on_sleep */
    AFTER   /* started when the victim is dead */
} when;

typedef struct {
    void (*play)(struct world *, actor *);
    when when;
    uint32_t first, count; /* ids that it puts; a taker's first is 0, its count a limit */
} role;

typedef struct scenario {
    const char *name;
    void (*build)(struct world *);              /* what is there, before anybody is forked */
    void (*ready)(struct world *);              /* victim: before the first counted instruction */
    void (*operation)(struct world *);          /* victim: what is stepped */
    void (*at_start)(struct world *);           /* the victim stands before that; not for `first` */
    void (*first)(struct world *);              /* an earlier victim's operation: two deaths */
    pn_lock *(*dies_with)(struct world *);      /* only where `first` holds this lock */
    void (*on_sleep)(struct world *, int time); /* the victim sleeps: make it go on */
    void (*at_stop)(struct world *);            /* the victim stands still, to be killed next */
    void (*at_death)(struct world *);           /* it is dead */
    void (*survive)(struct world *);            /* bring the others to their end, and judge */
    void (*from)(void);                         /* step from this function on */
    role cast[ACTORS];
    bool sampled;          /* only where memory changed: the operation is long */
    bool meet;             /* no kill: at each instruction another comes in between (at_stop) */
    bool any_pages;        /* pages that reading made are not held against it */
    const char *must_show; /* broken on purpose: this must be found */
    uint32_t most;         /* points; 0: to the end of the operation */
    uint32_t a, b;         /* parameters of a family of scenarios */
} scenario;

/* The director's view of one kill point; forked into everybody. */
typedef struct world {
    const scenario *scenario;
    stage *stage;
    pn_domain *domain;
    pid_t victim, pids[ACTORS];
    pn_ring ring;
    uint64_t object, object_two, block; /* offsets */
    uint64_t watched;                   /* a dictionary, whose table is watched too */
    uint32_t generation;
    uint32_t slot, slot_generation;
    pn_lock *lock;
    /* books of a ring scenario */
    uint32_t in[LOG]; /* ids that were put, in order */
    uint32_t in_count;
    uint32_t puts; /* ids that the victim may have put: from `put_first` on */
    uint32_t put_first;
    uint32_t base_put, base_got;
    uint32_t victim_put, victim_got, director_got;
    uint32_t taken_from; /* items before this one were taken by actors */
    bool owned;          /* the victim held the lock */
    bool flag, enough;
    /* the verdict */
    uint32_t point, stuck, lost, doubled, wrong;
    int64_t died_at, delay;
    int64_t patience; /* ns without progress before somebody is called stuck */
} world;

/* Say what went wrong, and count it as one of: "stuck", "lost", "doubled", "wrong". */
void blame(world *world, const char *kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void crew_fork(world *world);
void crew_end(world *world);
void actor_start(world *world, int index);
/* Start it, and wait until it sleeps in the operation. */
void actor_start_asleep(world *world, int index);
/* In an actor: one more thing done. */
void actor_note(actor *actor, uint32_t id);
#define ACTOR_CHECK(actor, truth)                                                                  \
    ((truth) ? (void)0 : atomic_store(&(actor)->broken, (uint32_t)__LINE__))

/* Wait until `done`; blames "stuck" after 3 s in which nobody made progress. */
bool crew_wait(world *world, bool (*done)(struct world *), const char *for_what);
/* At a stop: let the actor do its work until it has ended, or waits for the victim. */
void crew_meet(world *world, int index);
/* The same, or until it says so in `word`. */
void crew_meet_until(world *world, int index, pn_word *word);
bool all_finished(world *world);
bool before_finished(world *world);

/* The victim: a process that stops before `operation`. */
pid_t victim_fork(world *world, void (*operation)(struct world *));
/* A process that does so and dies, waited for. */
void live_and_die(world *world, void (*life)(struct world *));
/* Kill it, and wait until it is dead. */
void victim_kill(world *world);

#endif
