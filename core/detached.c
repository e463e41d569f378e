#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "detached.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

extern char **environ;

/* In the grandchild, which shares our memory until it executes: only system calls here. */
static void
become(const char *const argv[], char *const envp[], int fd)
{
    setsid();
    int null = open("/dev/null", O_RDWR);
    bool ready = null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 && dup2(null, 2) == 2;
    /* dup2 onto itself would keep FD_CLOEXEC */
    ready = ready && (fd == 3 ? fcntl(fd, F_SETFD, 0) : dup2(fd, 3)) >= 0 && chdir("/") == 0;
    if (ready) {
        syscall(SYS_close_range, 4u, ~0u, 0u); /* before 5.9 FD_CLOEXEC does most of it */
        signal(SIGPIPE, SIG_DFL);
        sigset_t none;
        sigemptyset(&none);
        pn_execute(argv, envp, &none);
    }
    _exit(127);
}

/* Our environment, but for the mark of the tree that this process belongs to: the program
 * must not end with it. NULL: no memory. */
static char **
unmarked_environment(void)
{
    static const char mark[] = PN_TREE_MARK "=";
    size_t count = 0, kept = 0;
    while (environ != NULL && environ[count] != NULL) {
        count++;
    }
    char **copy = malloc((count + 1) * sizeof(*copy));
    for (size_t i = 0; copy != NULL && i < count; i++) {
        if (strncmp(environ[i], mark, sizeof(mark) - 1) != 0) {
            copy[kept++] = environ[i];
        }
    }
    if (copy != NULL) {
        copy[kept] = NULL;
    }
    return copy;
}

/* Apart from what surrounds it: locals of a function that calls vfork may be clobbered. */
static __attribute__((noinline)) int
fork_twice(const char *const argv[], char *const envp[], int fd)
{
    volatile int failure = 0; /* shared memory: the children write it for us */
    pid_t middle = vfork();
    if (middle == 0) {
        pid_t last = vfork();
        if (last == 0) {
            become(argv, envp, fd);
        }
        failure = last < 0 ? errno : 0;
        _exit(0);
    }
    if (middle < 0) {
        return errno;
    }
    while (waitpid(middle, NULL, __WALL) < 0 && errno == EINTR) {
    }
    return failure;
}

int
pn_run_detached(const char *const argv[], int fd)
{
    char **envp = unmarked_environment();
    if (envp == NULL) {
        return -1;
    }
    /* A signal handler must not run in a child that shares our memory. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = fork_twice(argv, envp, fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(envp);
    errno = error;
    return error == 0 ? 0 : -1;
}
