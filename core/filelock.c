#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "filelock.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "background.h"
#include "clock.h"
#include "futex.h"

#define FIRST_PAUSE_NS (1000000LL)
#define LONGEST_PAUSE_NS (50 * 1000000LL)

pn_status
pn_file_lock_try(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        return PN_OK;
    }
    return errno == EWOULDBLOCK ? PN_BUSY : errno == EINTR ? PN_INTERRUPTED : PN_SYSTEM;
}

/* ---- the thread that asks ------------------------------------------------------------- */

typedef struct {
    int fd;
    int error;
    pid_t tid;
    pn_word ended;
} asker;

static void *
ask(void *argument)
{
    asker *self = argument;
    self->tid = (pid_t)syscall(SYS_gettid);
    prctl(PR_SET_NAME,
          "pn-filelock"); /* the warning of threads knows it by that: _process/threads.py */
    long result;
    do {
        /* Up to here there is no place to cancel it, and from here to there nothing but a system call to be cut off. */
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
        result = syscall(SYS_flock, self->fd, LOCK_EX);
        pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
    } while (result != 0 && errno == EINTR);
    self->error = result == 0 ? 0 : errno;
    atomic_store(&self->ended, 1);
    pn_futex_wake(&self->ended, 1);
    return NULL;
}

/* glibc unwinds a cancelled thread with the help of a library that it loads then, and aborts if it is not there. */
static bool
can_cancel(void)
{
#ifdef __GLIBC__
    static pn_word known; /* 1 no, 2 yes */
    uint32_t answer = atomic_load(&known);
    if (answer == 0) {
        answer = dlopen("libgcc_s.so.1", RTLD_NOW) != NULL ? 2 : 1;
        atomic_store(&known, answer);
    }
    return answer == 2;
#else
    return true;
#endif
}

/* ---- waiting -------------------------------------------------------------------------- */

/* Where no thread can be had. */
static pn_status
poll_for(int fd, int64_t deadline)
{
    pn_word nobody = 0;
    for (int64_t pause = FIRST_PAUSE_NS;; pause *= 2) {
        pn_status status = pn_file_lock_try(fd);
        int64_t now = pn_now();
        if (status != PN_BUSY) {
            return status;
        }
        if (now >= deadline) {
            return PN_TIMEOUT;
        }
        pause = pause < LONGEST_PAUSE_NS ? pause : LONGEST_PAUSE_NS;
        int64_t until = deadline - now < pause ? deadline : now + pause;
        if (pn_futex_wait(&nobody, 0, until) != 0 && errno == EINTR) {
            return PN_INTERRUPTED;
        }
    }
}

pn_status
pn_file_lock_wait(int fd, int64_t deadline)
{
    if (deadline == PN_FOREVER) {
        return flock(fd, LOCK_EX) == 0 ? PN_OK : errno == EINTR ? PN_INTERRUPTED : PN_SYSTEM;
    }
    if (pn_now() >= deadline) {
        pn_status status = pn_file_lock_try(fd);
        return status == PN_BUSY ? PN_TIMEOUT : status;
    }
    asker asks = {.fd = fd};
    pthread_t thread;
    if (!can_cancel() || pn_background_start(&thread, ask, &asks) != 0) {
        return poll_for(fd, deadline);
    }
    int why = EAGAIN;
    while (atomic_load(&asks.ended) == 0 && why == EAGAIN) {
        why = pn_futex_wait(&asks.ended, 0, deadline) == 0 ? EAGAIN : errno;
    }
    bool cancelled = atomic_load(&asks.ended) == 0;
    if (cancelled) {
        pthread_cancel(thread);
    }
    pthread_join(thread, NULL);
    pn_background_gone(&asks.tid);
    if (!cancelled) {
        errno = asks.error;
        return asks.error == 0 ? PN_OK : PN_SYSTEM;
    }
    pn_status status = pn_file_lock_try(fd);
    return status != PN_BUSY ? status : why == EINTR ? PN_INTERRUPTED : PN_TIMEOUT;
}

/* ---- who looks ------------------------------------------------------------------------ */

bool
pn_file_lock_path(pn_domain *domain, const pn_wait *wait, char *path, size_t size)
{
    uint32_t slot = (uint32_t)(atomic_load(&wait->owner) >> 32) - 1;
    if (slot >= PN_SLOTS) {
        return false;
    }
    char open_file[48];
    struct stat status;
    snprintf(open_file, sizeof(open_file), "/proc/%u/fd/%u", atomic_load(&domain->slots[slot].pid),
             atomic_load(&wait->descriptor));
    ssize_t length = readlink(open_file, path, size - 1);
    /* The number may be another file's by now. */
    if (length < 0 || stat(open_file, &status) != 0 ||
        status.st_dev != atomic_load(&wait->device) || status.st_ino != atomic_load(&wait->inode)) {
        return false;
    }
    path[length] = '\0';
    return true;
}
