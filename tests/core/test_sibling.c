/* A child that a process makes for its parent: whose it is, what it can do, and what a kill of its maker leaves. */
#define _GNU_SOURCE
#include "check.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "object.h"
#include "sibling.h"
#include "slots.h"
#include "stepper.h"
#include "sweep.h"

#define EVERY 4 /* of the instructions between two system calls; those beside one are all tried */
#define MOST 60000

static struct shared {
    atomic_int ran;
    atomic_int told;
} *shared;

static int
wait_for(pid_t pid)
{
    int status;
    pid_t ended;
    while ((ended = waitpid(pid, &status, 0)) < 0 && errno == EINTR) {
    } /* the stepper's timer */
    CHECK(ended == pid);
    return status;
}

/* The pid of the sibling that a template makes, which runs `work` and ends with 7. */
#define SIBLING(domain, index, generation, work)                                                   \
    do {                                                                                           \
        pid_t template_ = fork();                                                                  \
        if (template_ == 0) {                                                                      \
            pid_t pid_ = pn_sibling(domain, index, generation);                                    \
            CHECK(pid_ >= 0);                                                                      \
            if (pid_ > 0) {                                                                        \
                _exit(0);                                                                          \
            }                                                                                      \
            work;                                                                                  \
            _exit(7);                                                                              \
        }                                                                                          \
        CHECK(wait_for(template_) == 0);                                                           \
    } while (0)

static void *
count(void *number)
{
    char *memory = malloc(200000);
    memset(memory, 1, 200000);
    atomic_fetch_add((atomic_int *)number, memory[199999]);
    free(memory);
    return NULL;
}

static void
use_the_c_library(pn_domain *domain, uint32_t index)
{
    CHECK(domain->slot == index && atomic_load(&domain->slots[index].state) == PN_SLOT_LIVE);
    CHECK(pn_self()->tid == (uint32_t)syscall(SYS_gettid));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&threads[i], NULL, count, &shared->ran) == 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    pthread_mutexattr_t
        robust; /* the C library takes the owner from where it keeps the thread's id */
    pthread_mutex_t mutex;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_settype(&robust, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&mutex, &robust);
    CHECK(pthread_mutex_lock(&mutex) == 0 && pthread_mutex_lock(&mutex) == EDEADLK);
    CHECK((pid_t)mutex.__data.__owner == getpid() && pthread_mutex_unlock(&mutex) == 0);
    CHECK(system("exit 5") == 5 << 8);
    pid_t pid = fork();
    if (pid == 0) {
        _exit(3);
    }
    CHECK(wait_for(pid) == 3 << 8);
}

static void
a_sibling_is_the_parents_child_and_whole(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t index, generation;
    CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
    shared->ran = 0;
    SIBLING(domain, index, generation, use_the_c_library(domain, index));
    pid_t pid = (pid_t)atomic_load(&domain->slots[index].pid);
    CHECK(pid > 0 && wait_for(pid) == 7 << 8);
    CHECK(shared->ran == 4);
    pn_domain_close(domain);
}

static void
what_its_maker_holds_its_child_holds(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t index, generation, lock_generation;
    uint64_t offset;
    CHECK(pn_object_new(domain, PN_OBJECT_LOCK, "", &offset, &lock_generation) == PN_OK);
    CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
    SIBLING(domain, index, generation, pause());
    pn_object *object = pn_at(domain, offset);
    CHECK(atomic_load(&object->holders[index / 64]) >> index % 64 & 1);
    pid_t pid = (pid_t)atomic_load(&domain->slots[index].pid);
    CHECK(kill(pid, SIGKILL) == 0 && wait_for(pid) == SIGKILL);
    pn_domain_close(domain);
}

static void
a_lock_of_a_killed_sibling_comes_back(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t index, generation;
    CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
    shared->told = 0;
    SIBLING(domain, index, generation, CHECK(pn_domain_enter(domain) == PN_OK); shared->told = 1;
            pause());
    while (!shared->told) {
        usleep(100);
    }
    pid_t pid = (pid_t)atomic_load(&domain->slots[index].pid);
    CHECK(kill(pid, SIGKILL) == 0 && wait_for(pid) == SIGKILL);
    CHECK(pn_domain_enter(domain) == PN_OK);
    pn_domain_leave(domain);
    pn_domain_close(domain);
}

static void *
idle(void *none)
{
    pause();
    return none;
}

static void
what_cannot_be_is_refused(void)
{
    pn_domain *domain = make_domain(0);
    uint32_t index, generation;
    CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
    CHECK(pn_sibling(domain, index, generation + 1) == -1 && errno == ESTALE);
    pn_slot_set_pid(domain, index, generation, 1);
    CHECK(pn_sibling(domain, index, generation) == -1 && errno == ESTALE);
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, idle, NULL) == 0);
        CHECK(pn_thread_count() == 2);
        CHECK(pn_sibling(domain, index, generation) == -1 && errno == EBUSY);
        _exit(0);
    }
    CHECK(wait_for(pid) == 0);
    pn_domain_close(domain);
}

#ifndef __SANITIZE_ADDRESS__
/* The template, single-stepped. */
static void
make_one(pn_domain *domain, uint32_t index, uint32_t generation)
{
    step_me();
    if (pn_sibling(domain, index, generation) == 0) {
        atomic_fetch_add(&shared->ran, 1);
        _exit(7);
    }
    shared->told = 1;
    _exit(0);
}

/* Kill it after so many steps. True: it had ended before. */
static bool
kill_after(pn_domain *domain, int steps, bool *beside_a_call)
{
    uint32_t index, generation;
    CHECK(pn_slot_reserve(domain, "", 0, &index, &generation) == PN_OK);
    shared->ran = shared->told = 0;
    pid_t template = fork();
    if (template == 0) {
        make_one(domain, index, generation);
    }
    CHECK(step_attach(template));
    bool gone = false;
    *beside_a_call = false;
    for (int i = 0; i < steps && !gone; i++) {
        *beside_a_call = step_at_call(template);
        gone = step_once(template) == STEP_GONE;
    }
    if (!gone) {
        *beside_a_call |= step_at_call(template);
        kill(template, SIGKILL);
        wait_for(template);
    }
    /* The rule: its line has a pid <=> there is such a process, which goes its way to the end. */
    pid_t pid = (pid_t)atomic_load(&domain->slots[index].pid);
    CHECK(!shared->told || pid != 0);
    if (pid != 0) {
        CHECK(wait_for(pid) == 7 << 8 && shared->ran == 1);
    }
    pid_t other;
    while ((other = waitpid(-1, NULL, 0)) < 0 && errno == EINTR) {
    }
    CHECK(other < 0 && errno == ECHILD);
    CHECK(shared->ran == (pid != 0));
    pn_sweep_slot(domain, index, generation);
    CHECK_SOUND(audit_domain(domain));
    return gone;
}

static void
a_kill_of_the_maker_leaves_a_child_in_the_table_or_none(void)
{
    pn_domain *domain = make_domain(0);
    int points = 0, steps = 0;
    bool beside = false, was_beside = false;
    stepper_begin();
    for (; steps < MOST; steps += was_beside || beside ? 1 : EVERY) {
        was_beside = beside;
        points++;
        if (kill_after(domain, steps, &beside)) {
            break;
        }
    }
    CHECK(steps > 100 && steps < MOST);
    printf("   killed at %d of %d instructions\n", points, steps);
    pn_domain_close(domain);
}

#endif

int
main(void)
{
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    pn_platform_init();
    if (!pn_platform.siblings) {
        printf("skipped: no siblings here\n");
        return 0;
    }
    RUN(a_sibling_is_the_parents_child_and_whole);
    RUN(what_its_maker_holds_its_child_holds);
    RUN(a_lock_of_a_killed_sibling_comes_back);
    RUN(what_cannot_be_is_refused);
#ifndef __SANITIZE_ADDRESS__ /* whose own instructions would be stepped through */
    RUN(a_kill_of_the_maker_leaves_a_child_in_the_table_or_none);
#endif
    return 0;
}
