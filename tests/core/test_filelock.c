/* Waiting for the lock of a file: in time, out of time, interrupted, without a thread; and seen meanwhile. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filelock.h"

#define MILLISECOND INT64_C(1000000)
#define MINUTE (60 * 1000 * MILLISECOND)

static char path[] = "/tmp/procession-test-filelock-XXXXXX";

static int
open_file(void)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    return fd;
}

static int
count_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;
    CHECK(tasks != NULL);
    for (struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks)) {
        count += task->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
}

/* The line of the one that waits, once there is one. */
static pn_wait
await_line(pn_domain *domain)
{
    for (;; sched_yield()) {
        for (uint32_t i = 0; i < PN_WAITS; i++) {
            pn_wait wait;
            if (pn_wait_read(domain, i, &wait)) {
                return wait;
            }
        }
    }
}

/* Does the kernel let a process wait for the lock of a file, of that process or its threads? */
static bool
sleeps_in_kernel(pid_t pid)
{
    char line[256], wanted[32];
    bool found = false;
    FILE *locks = fopen("/proc/locks", "r");
    CHECK(locks != NULL);
    snprintf(wanted, sizeof(wanted), "WRITE %d ", (int)pid);
    while (fgets(line, sizeof(line), locks) != NULL) {
        found |= strstr(line, "->") != NULL && strstr(line, wanted) != NULL;
    }
    fclose(locks);
    return found;
}

static void
a_free_one_is_taken(void)
{
    int one = open_file(), two = open_file();
    CHECK(pn_file_lock_try(one) == PN_OK);
    CHECK(pn_file_lock_try(two) == PN_BUSY);
    CHECK(flock(one, LOCK_UN) == 0);
    CHECK(pn_file_lock_wait(two, pn_now() + MINUTE) == PN_OK);
    CHECK(pn_file_lock_try(one) == PN_BUSY);
    close(one);
    close(two);
    errno = 0;
    CHECK(pn_file_lock_try(two) == PN_SYSTEM && errno == EBADF);
    CHECK(pn_file_lock_wait(two, pn_now() + MINUTE) == PN_SYSTEM && errno == EBADF);
    CHECK(pn_file_lock_wait(two, 0) == PN_SYSTEM && errno == EBADF);
    CHECK(pn_file_lock_wait(two, PN_FOREVER) == PN_SYSTEM && errno == EBADF);
}

static void
time_runs_out_and_nothing_is_left(void)
{
    int one = open_file(), two = open_file(), three = open_file(), threads = count_threads();
    CHECK(pn_file_lock_try(one) == PN_OK);
    int64_t deadline = pn_now() + 20 * MILLISECOND;
    CHECK(pn_file_lock_wait(two, deadline) == PN_TIMEOUT && pn_now() >= deadline);
    CHECK(pn_file_lock_wait(two, 0) == PN_TIMEOUT);
    CHECK(count_threads() == threads);
    CHECK(!sleeps_in_kernel(getpid()));
    CHECK(flock(one, LOCK_UN) == 0);
    CHECK(pn_file_lock_try(three) == PN_OK); /* what was given up does not come and take it */
    close(one);
    close(two);
    close(three);
}

/* A child that waits until the deadline, and ends with the status that it got. */
static pid_t
waiter(pn_domain *domain, int64_t deadline)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int fd = open_file();
        pn_wait *wait = pn_wait_begin_file(domain, fd);
        CHECK(wait != NULL);
        pn_status status = pn_file_lock_wait(fd, deadline);
        pn_wait_end(wait);
        _exit((int)status);
    }
    return pid;
}

static int
status_of(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
a_waiter_gets_it(void)
{
    pn_domain *domain = make_domain(0);
    int64_t deadlines[] = {PN_FOREVER, pn_now() + MINUTE};
    for (int i = 0; i < 2; i++) {
        int fd = open_file();
        CHECK(pn_file_lock_try(fd) == PN_OK);
        pid_t pid = waiter(domain, deadlines[i]);
        while (!sleeps_in_kernel(pid)) {
            sched_yield();
        }
        CHECK(flock(fd, LOCK_UN) == 0); /* a child has a copy of the descriptor */
        CHECK(status_of(pid) == PN_OK);
        close(fd);
    }
    pn_domain_close(domain);
}

static void
a_waiter_is_seen_with_its_path(void)
{
    pn_domain *domain = make_domain(0);
    int fd = open_file();
    char where[256];
    CHECK(pn_file_lock_try(fd) == PN_OK);
    pid_t pid = waiter(domain, pn_now() + MINUTE);
    pn_wait wait = await_line(domain);
    CHECK(atomic_load(&wait.kind) == PN_WAIT_FILE && atomic_load(&wait.object) == PN_WAIT_OUTSIDE);
    CHECK((uint32_t)atomic_load(&wait.owner) == (uint32_t)pid && atomic_load(&wait.since) > 0);
    CHECK(pn_file_lock_path(domain, &wait, where, sizeof(where)) && strcmp(where, path) == 0);
    CHECK(pn_wait_count(domain, 0) == PN_WAITS - 1); /* it is no object's */
    pn_wait other = wait;
    atomic_store(&other.inode, atomic_load(&wait.inode) + 1);
    CHECK(!pn_file_lock_path(domain, &other, where, sizeof(where)));
    atomic_store(&other.owner, (uint64_t)(PN_SLOTS + 1) << 32);
    CHECK(!pn_file_lock_path(domain, &other, where, sizeof(where)));
    CHECK(flock(fd, LOCK_UN) == 0);
    CHECK(status_of(pid) == PN_OK);
    close(fd);
    CHECK(!pn_file_lock_path(domain, &wait, where, sizeof(where)));
    CHECK(pn_wait_count(domain, 0) == PN_WAITS);
    pn_domain_close(domain);
}

static void
nothing(int number)
{
    (void)number;
}

static void
a_signal_ends_the_wait(void)
{
    struct sigaction before, action = {.sa_handler = nothing};
    pn_domain *domain = make_domain(0);
    int fd = open_file();
    CHECK(sigaction(SIGUSR1, &action, &before) == 0);
    CHECK(pn_file_lock_try(fd) == PN_OK);
    int64_t deadlines[] = {PN_FOREVER, pn_now() + MINUTE};
    for (int i = 0; i < 2; i++) {
        pid_t pid = waiter(domain, deadlines[i]);
        await_line(domain);
        int status;
        while (waitpid(pid, &status, WNOHANG) == 0) {
            kill(pid, SIGUSR1); /* again, if it came before the system call */
            sched_yield();
        }
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == PN_INTERRUPTED);
    }
    CHECK(sigaction(SIGUSR1, &before, NULL) == 0);
    close(fd);
    pn_domain_close(domain);
}

/* Let no thread be made in this process: the limit counts for whoever is not root. */
static void
without_threads(void)
{
    struct rlimit none = {0, 0};
    if (getuid() == 0) {
        CHECK(setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0);
    }
    CHECK(setrlimit(RLIMIT_NPROC, &none) == 0);
}

static void
it_looks_again_and_again_where_no_thread_can_be_had(void)
{
    pn_domain *domain = make_domain(0);
    int fd = open_file(), own = open_file();
    CHECK(pn_file_lock_try(fd) == PN_OK);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        without_threads();
        CHECK(pn_file_lock_wait(own, pn_now() + 5 * MILLISECOND) == PN_TIMEOUT);
        pn_wait *wait = pn_wait_begin_file(domain, own);
        pn_status status = pn_file_lock_wait(own, pn_now() + MINUTE);
        pn_wait_end(wait);
        _exit((int)status);
    }
    close(own);
    await_line(domain);
    CHECK(!sleeps_in_kernel(pid));
    CHECK(flock(fd, LOCK_UN) == 0);
    CHECK(status_of(pid) == PN_OK);
    close(fd);
    pn_domain_close(domain);
}

/* Does this open file have the lock? */
static bool
has_lock(int fd)
{
    char line[256];
    bool found = false;
    snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", fd);
    FILE *info = fopen(line, "r");
    CHECK(info != NULL);
    while (fgets(line, sizeof(line), info) != NULL) {
        found |= strncmp(line, "lock:", 5) == 0;
    }
    fclose(info);
    return found;
}

/* A wait that is given up, or not, in the very moment in which the lock comes. */
enum { ROUNDS = 3000, WAITERS = 3 };

static void
count(uint64_t *shared, pn_word64 *gets, unsigned seed)
{
    int fd = open_file();
    uint64_t got = 0;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t patience = rand_r(&seed) % 200 * 1000;
        pn_status status = pn_file_lock_wait(fd, pn_now() + patience);
        CHECK(status == PN_OK || status == PN_TIMEOUT);
        CHECK(has_lock(fd) == (status == PN_OK));
        if (status == PN_OK) {
            *(volatile uint64_t *)shared += 1;
            got++;
            CHECK(flock(fd, LOCK_UN) == 0);
        }
    }
    CHECK(count_threads() == 1);
    atomic_fetch_add(gets, got);
}

static void
who_gives_up_does_not_have_it(void)
{
    uint64_t *shared =
        mmap(NULL, PN_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    pn_word64 *gets = (pn_word64 *)(shared + 1);
    pid_t pids[WAITERS];
    for (unsigned i = 0; i < WAITERS; i++) {
        pids[i] = fork();
        CHECK(pids[i] >= 0);
        if (pids[i] == 0) {
            count(shared, gets, i);
            _exit(0);
        }
    }
    for (int i = 0; i < WAITERS; i++) {
        CHECK(status_of(pids[i]) == 0);
    }
    CHECK(*shared == atomic_load(gets) && *shared > 0);
    munmap(shared, PN_PAGE);
}

int
main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    int fd = mkstemp(path);
    CHECK(fd >= 0 && fchmod(fd, 0666) == 0);
    close(fd);
    RUN(a_free_one_is_taken);
    RUN(time_runs_out_and_nothing_is_left);
    RUN(a_waiter_gets_it);
    RUN(a_waiter_is_seen_with_its_path);
    RUN(a_signal_ends_the_wait);
    RUN(it_looks_again_and_again_where_no_thread_can_be_had);
    RUN(who_gives_up_does_not_have_it);
    unlink(path);
    return 0;
}
