#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "background.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STACK_BYTES (128 * 1024)
#define GONE_TURNS 10000 /* a bound, should the tid be another thread's already */

int
pn_background_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(thread, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

void
pn_background_gone(pid_t *ended)
{
    for (int turn = 0; turn < GONE_TURNS && *ended != 0; turn++) {
        if (syscall(SYS_tgkill, getpid(), *ended, 0) != 0) {
            *ended = 0;
        } else {
            sched_yield();
        }
    }
}
