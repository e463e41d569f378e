/* SIGKILL after every single instruction of every operation.
 *
 * For each scenario and each k: a fresh domain, actors who sleep where the scenario says so, and
 * a victim that is single-stepped k instructions into one operation and killed. Then
 * the actors must go on by themselves, nothing may be lost or doubled, and after a sweep
 * every byte must be accounted for. A system call is one step; a step that falls asleep
 * is two. Where an operation is long (`sampled`) only those k are used after which the
 * domain or the robust list had changed, or a system call was made.
 *
 *   stepkill [name ...]    only scenarios whose name begins so
 */
#define _GNU_SOURCE
#include "stepkill.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "director.h"

#define LEAST_POINTS 1500
#define DIRECTOR_SECONDS 900

typedef struct {
    const scenario *scenario;
    tally *tally;
    pid_t pid;
    int64_t began;
} job;

static bool
is_wanted(const char *name, char **wanted)
{
    if (*wanted == NULL) {
        return true;
    }
    for (; *wanted != NULL; wanted++) {
        if (strncmp(name, *wanted, strlen(*wanted)) == 0) {
            return true;
        }
    }
    return false;
}

static void
start(job *job)
{
    job->began = pn_now();
    fflush(stdout);
    job->pid = fork();
    if (job->pid == 0) {
        setpgid(0, 0);
        direct(job->scenario, job->tally);
        exit(0);
    }
}

static void
finish(job *job, int status)
{
    tally *tally = job->tally;
    tally->seconds = (double)(pn_now() - job->began) / 1e9;
    if (status != 0) {
        printf("  %s: the director ended with status %x\n", job->scenario->name, status);
        tally->stuck++;
        kill(-job->pid, SIGKILL);
    }
    job->pid = 0;
}

static bool
shows(const scenario *scenario, const tally *tally)
{
    const char *kind = scenario->must_show;
    uint32_t found = strcmp(kind, "stuck") == 0     ? tally->stuck
                     : strcmp(kind, "lost") == 0    ? tally->lost
                     : strcmp(kind, "doubled") == 0 ? tally->doubled
                                                    : tally->wrong;
    return found > 0;
}

static void
print_line(const char *name, const tally *tally)
{
    printf("%-44s %6u points of %6u steps  stuck %u lost %u doubled %u wrong %u late %u  "
           "worst %5.1f ms  %5.1f s\n",
           name, tally->points, tally->instructions, tally->stuck, tally->lost, tally->doubled,
           tally->wrong, tally->late, (double)tally->worst / 1e6, tally->seconds);
}

static bool
print_job(const job *job, tally *sum)
{
    const tally *tally = job->tally;
    if (job->scenario->must_show != NULL) {
        bool found = shows(job->scenario, tally);
        printf("%-44s %s: %s\n", job->scenario->name, job->scenario->must_show,
               found ? "found, as it must be" : "NOT FOUND: this program is blind");
        return found;
    }
    print_line(job->scenario->name, tally);
    sum->points += tally->points;
    sum->stuck += tally->stuck;
    sum->lost += tally->lost;
    sum->doubled += tally->doubled;
    sum->wrong += tally->wrong;
    sum->late += tally->late;
    sum->worst = tally->worst > sum->worst ? tally->worst : sum->worst;
    return tally->stuck + tally->lost + tally->doubled + tally->wrong == 0;
}

/* Jobs run side by side; their lines are printed in order. */
static bool
run_jobs(job *jobs, int count, int side_by_side, tally *sum)
{
    int next = 0, running = 0, printed = 0;
    bool good = true;
    while (printed < count) {
        while (running < side_by_side && next < count) {
            start(&jobs[next++]);
            running++;
        }
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        for (int i = 0; i < next; i++) {
            if (pid > 0 && jobs[i].pid == pid) {
                finish(&jobs[i], status);
                running--;
            } else if (jobs[i].pid > 0 &&
                       pn_now() - jobs[i].began > DIRECTOR_SECONDS * INT64_C(1000000000)) {
                printf("  %s: no end after %d s\n", jobs[i].scenario->name, DIRECTOR_SECONDS);
                kill(-jobs[i].pid, SIGKILL);
            }
        }
        while (printed < next && jobs[printed].pid == 0) {
            good &= print_job(&jobs[printed++], sum);
            fflush(stdout);
        }
        usleep(2000);
    }
    return good;
}

#define LISTED(name) name##_scenarios,

int
main(int argc, char **argv)
{
    static const scenario *const lists[] = {SCENARIO_LISTS(LISTED)};
    static job jobs[512];
    (void)argc;
    char **wanted = argv + 1;
    pn_platform_init();
    if (!pn_platform.robust_list || !pn_platform.pending_wake || !pn_platform.waitv) {
        printf(
            "stepkill: this kernel lacks robust lists or futex_waitv: late wakes are expected\n");
    }
    tally *tallies =
        mmap(NULL, sizeof(tally) * 512, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int count = 0;
    for (size_t list = 0; list < sizeof(lists) / sizeof(lists[0]); list++) {
        for (const scenario *s = lists[list]; s->name != NULL; s++) {
            if (is_wanted(s->name, wanted)) {
                jobs[count] = (job){.scenario = s, .tally = &tallies[count]};
                count++;
            }
        }
    }
    tally sum = {0};
    int64_t began = pn_now();
    bool good = run_jobs(jobs, count, pn_platform.cpus > 1 ? 2 : 1, &sum);
    sum.seconds = (double)(pn_now() - began) / 1e9;
    print_line("all", &sum);
    if (*wanted == NULL && sum.points < LEAST_POINTS) {
        printf("stepkill: fewer than %d points: something is not tested\n", LEAST_POINTS);
        good = false;
    }
    printf("stepkill: %s\n", good ? "nothing stuck, lost or doubled" : "FAILED");
    return good ? 0 : 1;
}
