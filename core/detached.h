/* A program started apart: not a child, no terminal, no descriptors but one. */
#ifndef PN_DETACHED_H
#define PN_DETACHED_H

/* The environment variable by which the guardian knows what a process ran. */
#define PN_TREE_MARK "PROCESSION_TREE"

/* Execute argv[0] in a session of its own, re-parented at once, with `fd` as its descriptor 3
 * and /dev/null as 0, 1 and 2. Its parent in between has been waited for when this
 * returns. 0, or -1 with errno. */
int pn_run_detached(const char *const argv[], int fd);

#endif
