#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#define CLOSE_AT_EXEC 4u /* CLOSE_RANGE_CLOEXEC, Linux 5.11 */

extern char **environ;

void
pn_execute(const char *const argv[], char *const envp[], const sigset_t *mask)
{
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_IGN) {
            signal(number, SIG_DFL); /* execve would do it, but a moment later */
        }
    }
    sigprocmask(SIG_SETMASK, mask, NULL);
    execve(argv[0], (char *const *)argv, envp);
}

/* Apart from what surrounds it: locals of a function that calls vfork may be clobbered. */
static __attribute__((noinline)) pid_t
spawn(const char *const argv[], const int fds[], size_t count, const sigset_t *mask)
{
    volatile int failure = 0; /* shared memory: the child writes it for us */
    pid_t pid = vfork();
    if (pid == 0) {
        /* Before 5.11 it stays at what is inheritable, which Python's own descriptors are not. */
        syscall(SYS_close_range, 3u, ~0u, CLOSE_AT_EXEC);
        for (size_t i = 0; i < count; i++) {
            fcntl(fds[i], F_SETFD, 0);
        }
        pn_execute(argv, environ, mask);
        failure = errno;
        _exit(127);
    }
    if (pid > 0 && failure != 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        errno = failure;
        return -1;
    }
    return pid;
}

pid_t
pn_spawn(const char *const argv[], const int fds[], size_t count)
{
    /* A signal handler must not run in a child that shares our memory. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    pid_t pid = spawn(argv, fds, count, &before);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}
