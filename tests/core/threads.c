/* The core under many threads of one process: for the sanitizers, which see no other processes.
 *
 * Several rings, limited and unlimited, with segments, blocks and objects inside items;
 * robust and ledger locks; the heap; sweeps. Everything that was put must arrive. */
#define _GNU_SOURCE
#include "check.h"

#include <pthread.h>

#include "barrier.h"
#include "condition.h"
#include "event.h"
#include "heap.h"
#include "items.h"
#include "semaphore.h"
#include "slots.h"
#include "sweep.h"
#include "waits.h"

enum { PRODUCERS = 4, CONSUMERS = 4, ITEMS = 600, LOCKERS = 4, TURNS = 2000, HEAPERS = 3 };

static pn_domain *domain;

/* ---- rings -------------------------------------------------------------------- */

typedef struct {
    pn_ring ring;
    uint32_t kind;
    pn_word received[PRODUCERS * ITEMS + 1];
    pn_word next_producer;
} exchange;

static void
fill(exchange *exchange, parcel *parcel, uint32_t id)
{
    uint64_t offset;
    uint32_t generation;
    parcel_clear(parcel);
    switch (exchange->kind + id % 3) {
    case 0:
        parcel_add(parcel, id);
        break;
    case 1:
        parcel_add_bytes(parcel, id, 8 + id % 700);
        break;
    case 2:
        parcel_add_bytes(parcel, id, 4000);
        break;
    case 3:
        CHECK(parcel_add_buffer(parcel, domain, id, 5000));
        break;
    default:
        CHECK(pn_object_new(domain, PN_OBJECT_LOCK, "item", &offset, &generation) == PN_OK);
        parcel_add_object(parcel, id, offset);
    }
}

static void *
produce(void *argument)
{
    exchange *exchange = argument;
    static _Thread_local parcel parcel;
    uint32_t first = atomic_fetch_add(&exchange->next_producer, 1) * ITEMS + 1;
    for (uint32_t id = first; id < first + ITEMS; id++) {
        fill(exchange, &parcel, id);
        pn_batch batch = parcel_batch(&parcel);
        pn_status status;
        do {
            status = pn_ring_put(&exchange->ring, &batch, PN_FOREVER);
        } while (status == PN_INTERRUPTED);
        CHECK(status == PN_OK);
        const pn_record *record = (const pn_record *)parcel.bytes;
        if (item_object(record) != 0) {
            pn_object_drop(domain, item_object(record)); /* the item keeps it */
        }
    }
    return NULL;
}

static void
receive(exchange *exchange, const pn_record *record)
{
    CHECK(item_is_whole(domain, record));
    uint64_t object = item_object(record);
    if (item_has_buffer(record)) {
        pn_object_drop(domain, object);
    } else if (object != 0) {
        pn_lock *lock = &((pn_lock_cell *)pn_at(domain, object))->lock;
        CHECK(pn_ledger_try(lock, domain->slot) == PN_OK);
        CHECK(pn_ledger_release(lock) == PN_OK);
        pn_object_drop(domain, object);
    }
    CHECK(atomic_fetch_add(&exchange->received[item_id(record)], 1) == 0);
}

/* Every second one is a queue with task_done(). */
static bool
is_leased(exchange *exchange)
{
    return exchange->ring.cell->leases.kept;
}

static void *
consume(void *argument)
{
    exchange *exchange = argument;
    uint64_t *room = malloc(64 << 10);
    for (;;) {
        pn_sink sink = {.bytes = (char *)room, .capacity = 64 << 10, .limit = 5};
        pn_status status = pn_ring_get(&exchange->ring, &sink, PN_FOREVER);
        if (status == PN_SHUT_DOWN) {
            break;
        }
        CHECK(status == PN_OK || status == PN_INTERRUPTED);
        for (uint64_t at = 0; at < sink.used;) {
            const pn_record *record = (const pn_record *)(sink.bytes + at);
            receive(exchange, record);
            CHECK(!is_leased(exchange) || pn_ring_task_done(&exchange->ring, true) == PN_OK);
            at += pn_record_size(record);
        }
        if (sink.on_heap) {
            free(sink.bytes);
        }
        pn_ring_count(&exchange->ring);
    }
    free(room);
    return NULL;
}

static exchange *
make_exchange(uint32_t kind, uint64_t max_items, uint64_t max_bytes)
{
    uint64_t offset;
    uint32_t generation;
    exchange *made = calloc(1, sizeof(*made));
    pn_status status =
        kind % 2 == 0
            ? pn_ring_new(domain, "ring", max_items, max_bytes, &offset, &generation)
            : pn_ring_new_leased(domain, "jobs", max_items, max_bytes, 0, &offset, &generation);
    CHECK(status == PN_OK);
    pn_ring_open(&made->ring, domain, offset);
    made->kind = kind;
    return made;
}

static void
run_exchange(exchange *exchange)
{
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    for (int i = 0; i < CONSUMERS; i++) {
        CHECK(pthread_create(&consumers[i], NULL, consume, exchange) == 0);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        CHECK(pthread_create(&producers[i], NULL, produce, exchange) == 0);
    }
    for (int i = 0; i < PRODUCERS; i++) {
        pthread_join(producers[i], NULL);
    }
    pn_status joined = is_leased(exchange) ? PN_INTERRUPTED : PN_OK;
    while (joined == PN_INTERRUPTED) {
        joined = pn_ring_join(&exchange->ring, PN_FOREVER);
    }
    CHECK(joined == PN_OK);
    pn_ring_shut(&exchange->ring, false);
    for (int i = 0; i < CONSUMERS; i++) {
        pthread_join(consumers[i], NULL);
    }
    for (uint32_t id = 1; id <= PRODUCERS * ITEMS; id++) {
        CHECK(atomic_load(&exchange->received[id]) == 1);
    }
    CHECK(pn_ring_count(&exchange->ring) == 0 && pn_ring_bytes(&exchange->ring) == 0);
    pn_object_drop(domain, exchange->ring.offset);
    free(exchange);
}

static void *
exchange_in_thread(void *argument)
{
    run_exchange(argument);
    return NULL;
}

static void
rings_work_side_by_side(void)
{
    exchange *exchanges[] = {make_exchange(0, 0, 0), make_exchange(0, 3, 0),
                             make_exchange(1, 0, 40000), make_exchange(2, 7, 0)};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, exchange_in_thread, exchanges[i]) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK_SOUND(audit_domain(domain));
}

/* ---- locks --------------------------------------------------------------------- */

static pn_lock_cell *robust, *ledger;
static uint64_t under_robust, under_ledger; /* plain: a lock that does not lock is a race */

static void *
lock_both(void *unused)
{
    (void)unused;
    for (int turn = 0; turn < TURNS; turn++) {
        CHECK(pn_lock_enter(&robust->lock, pn_slot_owner_alive, domain) == PN_OK);
        under_robust++;
        CHECK(pn_lock_release(&robust->lock) == PN_OK);
        pn_status status;
        do {
            status = pn_ledger_wait(&ledger->lock, domain->slot, PN_FOREVER, pn_slot_owner_alive,
                                    domain);
        } while (status == PN_INTERRUPTED);
        CHECK(status == PN_OK);
        under_ledger++;
        CHECK(pn_ledger_release(&ledger->lock) == PN_OK);
    }
    return NULL;
}

static pn_lock_cell *
make_lock(pn_object_type type, uint64_t *offset)
{
    uint32_t generation;
    CHECK(pn_object_new(domain, type, "lock", offset, &generation) == PN_OK);
    return pn_at(domain, *offset);
}

static void
locks_exclude(void)
{
    uint64_t one, two;
    robust = make_lock(PN_OBJECT_MUTEX, &one);
    ledger = make_lock(PN_OBJECT_LOCK, &two);
    pthread_t threads[LOCKERS];
    for (int i = 0; i < LOCKERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, lock_both, NULL) == 0);
    }
    for (int i = 0; i < LOCKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(under_robust == LOCKERS * TURNS && under_ledger == LOCKERS * TURNS);
    pn_object_drop(domain, one);
    pn_object_drop(domain, two);
}

/* ---- events, conditions, barriers ------------------------------------------------- */

enum { WALKERS = 4, WALKS = 400 };

static pn_event there, back;
static pn_condition changed;
static pn_barrier start;
static uint64_t event_answers;           /* plain: the event orders it */
static uint64_t turn;                    /* plain: the lock orders it */
static uint64_t of_each_walker[WALKERS]; /* plain: the barrier orders them */

static void
wait_for(pn_event *event)
{
    while (pn_event_wait(event, pn_event_sets(event), PN_FOREVER) != PN_OK) {
    }
    pn_event_clear(event);
}

static void *
answer(void *unused)
{
    (void)unused;
    for (int i = 0; i < WALKS; i++) {
        wait_for(&there);
        event_answers++;
        pn_event_set(&back);
    }
    return NULL;
}

static void
events_order(void)
{
    pthread_t thread;
    uint64_t offset;
    uint32_t generation;
    CHECK(pn_object_new(domain, PN_OBJECT_EVENT, "there", &offset, &generation) == PN_OK);
    pn_event_open(&there, domain, offset);
    CHECK(pn_object_new(domain, PN_OBJECT_EVENT, "back", &offset, &generation) == PN_OK);
    pn_event_open(&back, domain, offset);
    CHECK(pthread_create(&thread, NULL, answer, NULL) == 0);
    for (uint64_t i = 0; i < WALKS; i++) {
        CHECK(event_answers == i);
        pn_event_set(&there);
        wait_for(&back);
    }
    pthread_join(thread, NULL);
    pn_object_drop(domain, there.offset);
    pn_object_drop(domain, back.offset);
}

/* wait() as Python makes it, with a robust lock. */
static void
wait_for_change(void)
{
    pn_waiter *line;
    CHECK(pn_condition_enlist(&changed, &line) == PN_OK);
    CHECK(pn_lock_release(&robust->lock) == PN_OK);
    while (pn_condition_sleep(&changed, line, PN_FOREVER) != PN_OK) {
    }
    CHECK(pn_lock_enter(&robust->lock, pn_slot_owner_alive, domain) == PN_OK);
    pn_condition_consume(line);
}

static void *
take_turns(void *argument)
{
    uint64_t mine = (uint64_t)(uintptr_t)argument;
    for (int i = 0; i < WALKS; i++) {
        CHECK(pn_lock_enter(&robust->lock, pn_slot_owner_alive, domain) == PN_OK);
        while (turn % WALKERS != mine) {
            wait_for_change();
        }
        turn++;
        CHECK(pn_condition_notify(&changed, UINT64_MAX) == PN_OK);
        CHECK(pn_lock_release(&robust->lock) == PN_OK);
    }
    return NULL;
}

static void *
walk(void *argument)
{
    uint64_t mine = (uint64_t)(uintptr_t)argument;
    for (uint64_t i = 1; i <= WALKS; i++) {
        of_each_walker[mine] = i;
        for (int half = 0; half < 2; half++) {
            pn_party party;
            pn_status status = pn_barrier_arrive(&start, false, &party);
            while (status == PN_BUSY || status == PN_INTERRUPTED) {
                status = pn_barrier_sleep(&start, &party, PN_FOREVER);
            }
            CHECK(status == PN_OK);
            CHECK(half == 1 || of_each_walker[(mine + 1) % WALKERS] == i);
        }
    }
    return NULL;
}

static void
run_all(void *(*work)(void *))
{
    pthread_t threads[WALKERS];
    for (uintptr_t i = 0; i < WALKERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    }
    for (int i = 0; i < WALKERS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void
conditions_and_barriers_order(void)
{
    uint64_t lock, offset;
    uint32_t generation;
    robust = make_lock(PN_OBJECT_MUTEX, &lock);
    CHECK(pn_object_new(domain, PN_OBJECT_CONDITION, "changed", &offset, &generation) == PN_OK);
    pn_condition_open(&changed, domain, offset);
    CHECK(pn_object_new(domain, PN_OBJECT_BARRIER, "start", &offset, &generation) == PN_OK);
    pn_barrier_open(&start, domain, offset);
    atomic_store(&start.cell->parties, WALKERS);
    run_all(take_turns);
    CHECK(turn == WALKERS * WALKS);
    run_all(walk);
    CHECK(pn_barrier_rounds(&start) == 2 * WALKS);
    pn_object_drop(domain, lock);
    pn_object_drop(domain, changed.offset);
    pn_object_drop(domain, start.offset);
}

/* ---- semaphores ------------------------------------------------------------------- */

static pn_semaphore one_seat, signals;
static uint64_t in_the_seat;

static pn_status
take_waiting(pn_semaphore *semaphore, pn_word *in_vain)
{
    pn_status status = pn_semaphore_try(semaphore);
    while (status == PN_EMPTY || status == PN_BUSY || status == PN_INTERRUPTED) {
        status = pn_semaphore_wait(semaphore, PN_FOREVER, in_vain);
    }
    return status;
}

static void *
sit_down(void *unused)
{
    (void)unused;
    pn_word in_vain = 0;
    pn_semaphore_counts counts;
    for (int turn = 0; turn < TURNS; turn++) {
        CHECK(take_waiting(&one_seat, &in_vain) == PN_OK);
        in_the_seat++;
        CHECK(pn_semaphore_release(&one_seat, true) == PN_OK);
        CHECK(pn_semaphore_release(&signals, true) == PN_OK);
        if (turn % 100 == 0) {
            while (pn_semaphore_look(&one_seat, &counts, NULL, 0) == PN_BUSY) {
            } /* it waits for a bounded time only, which is short on a busy machine */
            CHECK(counts.free <= 1 && counts.total == 1);
        }
    }
    return NULL;
}

static void
semaphores_exclude_and_signal(void)
{
    uint64_t one, two;
    uint32_t generation;
    pn_word in_vain = 0;
    CHECK(pn_semaphore_new(domain, "seat", 1, PN_SEMAPHORE_BOUNDED, &one, &generation) == PN_OK);
    CHECK(pn_semaphore_new(domain, "signals", 0, 0, &two, &generation) == PN_OK);
    pn_semaphore_open(&one_seat, domain, one);
    pn_semaphore_open(&signals, domain, two);
    pthread_t threads[LOCKERS];
    for (int i = 0; i < LOCKERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, sit_down, NULL) == 0);
    }
    for (int i = 0; i < LOCKERS * TURNS; i++) {
        CHECK(take_waiting(&signals, &in_vain) == PN_OK);
    }
    for (int i = 0; i < LOCKERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(in_the_seat == LOCKERS * TURNS);
    CHECK_SOUND(audit_domain(domain));
    pn_object_drop(domain, one);
    pn_object_drop(domain, two);
}

/* ---- heap, objects, slots, sweeps ------------------------------------------------- */

static void *
use_domain(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (int turn = 0; turn < 300; turn++) {
        uint64_t block, object;
        uint32_t generation, index;
        uint64_t bytes = 1 + (uint64_t)rand_r(&seed) % (turn % 10 ? 30000 : 900000);
        CHECK(pn_heap_alloc(domain, bytes, PN_BLOCK_PAYLOAD, 0, &block) == PN_OK);
        char *memory = pn_at(domain, block);
        memory[0] = memory[bytes - 1] = (char)turn;
        CHECK(pn_object_new(domain, PN_OBJECT_RLOCK, "lock", &object, &generation) == PN_OK);
        CHECK(pn_object_attach(domain, object, generation) == PN_OK);
        pn_wait *wait = pn_wait_begin(domain, object, PN_WAIT_LOCK);
        pn_object_drop(domain, object);
        pn_wait_end(wait);
        pn_object_drop(domain, object);
        CHECK(pn_object_attach(domain, object, generation) == PN_STALE);
        CHECK(memory[0] == (char)turn);
        pn_heap_free(domain, block);
        if (turn % 50 == 0) {
            CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
            pn_sweep(domain);
            pn_sweep_slot(domain, index, generation);
        }
    }
    return NULL;
}

static void
the_domain_is_shared(void)
{
    pthread_t threads[HEAPERS];
    for (int i = 0; i < HEAPERS; i++) {
        CHECK(pthread_create(&threads[i], NULL, use_domain, (void *)(uintptr_t)(i + 1)) == 0);
    }
    for (int i = 0; i < HEAPERS; i++) {
        pthread_join(threads[i], NULL);
    }
    CHECK(pn_heap_used(domain, PN_BLOCK_PAYLOAD) == 0);
    CHECK(count_slots(domain) == 1 && count_objects(domain) == 0);
    CHECK_SOUND(audit_domain(domain));
}

int
main(void)
{
    domain = make_domain(UINT64_C(200) << 20);
    RUN(locks_exclude);
    RUN(events_order);
    RUN(conditions_and_barriers_order);
    RUN(semaphores_exclude_and_signal);
    RUN(the_domain_is_shared);
    RUN(rings_work_side_by_side);
    pn_domain_close(domain);
    return 0;
}
