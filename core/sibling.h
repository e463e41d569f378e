/* A sibling: a child that a process makes for its parent.
 *
 * A template (src/procession/_process/template.py) is a small process with little to copy. The
 * children that it forks shall be real children of the process that asked for them, which waits
 * for them, signals them and reads how they ended: clone(2) with CLONE_PARENT does that. The C
 * library knows nothing of such a clone, so what its fork() does in the child is done here:
 *
 *   the thread's cached id     the kernel writes it (CLONE_CHILD_SETTID) where the C library
 *                              keeps it; found by prctl(PR_GET_TID_ADDRESS) or before the robust
 *                              list's head, and trusted only if the word there is our tid
 *   the robust list            emptied and registered again
 *   handlers of pthread_atfork ours only; the caller has no other thread, so no lock of another
 *                              library can be held by one that is not there any more
 *
 * [window] The kernel writes the child's pid into its line of the process table
 * (CLONE_PARENT_SETTID) before the child runs and before it looks whether the caller was killed.
 * So when a template is dead: the line has a pid <=> the child exists.
 */
#ifndef PN_SIBLING_H
#define PN_SIBLING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct pn_domain pn_domain;

/* Does this C library keep a thread's id where it can be found? Asked once, by the main thread. */
bool pn_sibling_possible(void);

/* As fork(), but the child is our parent's, and has the line of the table that was reserved for
 * it. -1 with errno: EBUSY, there is another thread; ESTALE, the line is not reserved any more;
 * ENOSYS, not possible here; or what clone(2) says. */
pid_t pn_sibling(pn_domain *domain, uint32_t slot, uint32_t generation);

/* How many threads this process has; -1: /proc does not tell. 2 us. */
int pn_thread_count(void);

#endif
