/* Threads of the core's own: the janitor, the bells', those that wait for the lock of a file.
 * They have a small stack and take no signals, which are the program's. */
#ifndef PN_BACKGROUND_H
#define PN_BACKGROUND_H

#include <pthread.h>
#include <sys/types.h>

/* As pthread_create: 0 or an error. */
int pn_background_start(pthread_t *thread, void *(*run)(void *), void *argument);
/* Wait until a thread that was joined is gone for the kernel too, and set its tid to 0: pthread_join returns a
 * little earlier, and CPython counts the threads that /proc/self/stat tells before it forks. */
void pn_background_gone(pid_t *ended);

#endif
