/* A program executed as a child, without a copy of this process's memory. */
#ifndef PN_SPAWN_H
#define PN_SPAWN_H

#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

/* Execute argv[0] with the descriptors 0, 1, 2 and `fds`, and no others, which keep their numbers.
 * The pid, or -1 with errno. vfork(2): fork handlers do not run. */
pid_t pn_spawn(const char *const argv[], const int fds[], size_t count);

/* For a child that shares our memory until it executes: signals as `mask` says from here on, but
 * no handler of ours runs in it. Returns only if execve fails. */
void pn_execute(const char *const argv[], char *const envp[], const sigset_t *mask);

#endif
