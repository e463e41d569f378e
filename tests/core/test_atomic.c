/* Atomic: sums that fit, sums that do not, many at once, and who is killed. */
#define _GNU_SOURCE
#include "check.h"

#include <signal.h>

#include "atomic.h"
#include "sweep.h"

static void
a_sum_that_does_not_fit_changes_nothing(void)
{
    pn_domain *domain = make_domain(0);
    uint64_t offset;
    uint32_t generation;
    int64_t sum = 0;
    CHECK(pn_atomic_new(domain, "number", INT64_MAX - 1, &offset, &generation) == PN_OK);
    pn_atomic_cell *cell = pn_atomic_at(domain, offset);
    CHECK(pn_atomic_add(cell, 1, &sum) && sum == INT64_MAX);
    CHECK(!pn_atomic_add(cell, 1, &sum) && atomic_load(&cell->value) == INT64_MAX);
    CHECK(pn_atomic_add(cell, INT64_MIN, &sum) && sum == -1);
    CHECK(pn_atomic_add(cell, -INT64_MAX, &sum) && sum == INT64_MIN);
    CHECK(!pn_atomic_add(cell, -1, &sum) && atomic_load(&cell->value) == INT64_MIN);
    pn_object_drop(domain, offset);
    CHECK(count_objects(domain) == 0);
    pn_domain_close(domain);
}

/* Each counts beside, in memory of its own, what it has added: who is killed may have added one more. */
static void
the_killed_have_added_a_step_or_not(void)
{
    enum { PROCESSES = 8 };
    pn_domain *domain = make_domain(0);
    uint64_t shared, own[PROCESSES];
    uint32_t generation;
    int64_t sum, all = 0;
    CHECK(pn_atomic_new(domain, "shared", 0, &shared, &generation) == PN_OK);
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        CHECK(pn_atomic_new(domain, "own", 0, &own[i], &generation) == PN_OK);
        pids[i] = fork();
        while (pids[i] == 0) {
            CHECK(pn_atomic_add(pn_atomic_at(domain, shared), 1, &sum));
            CHECK(pn_atomic_add(pn_atomic_at(domain, own[i]), 1, &sum));
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        while (atomic_load(&pn_atomic_at(domain, own[i])->value) < 1000) {
            usleep(100);
        }
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        kill(pids[i], SIGKILL);
        CHECK(waitpid(pids[i], &status, 0) == pids[i]);
    }
    pn_sweep(domain);
    for (int i = 0; i < PROCESSES; i++) {
        all += atomic_load(&pn_atomic_at(domain, own[i])->value);
        pn_object_drop(domain, own[i]);
    }
    int64_t value = atomic_load(&pn_atomic_at(domain, shared)->value);
    CHECK(value >= all && value <= all + PROCESSES);
    pn_object_drop(domain, shared);
    CHECK(count_objects(domain) == 0);
    CHECK_SOUND(audit_domain(domain));
    pn_domain_close(domain);
}

int
main(void)
{
    RUN(a_sum_that_does_not_fit_changes_nothing);
    RUN(the_killed_have_added_a_step_or_not);
    return 0;
}
