/* What the kernel tells in small files. proc(5) */
#ifndef PN_PROC_H
#define PN_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The beginning of a file, with a zero behind it; false: there is none, or it is empty. */
bool pn_read_text(const char *path, char *buffer, size_t size);
/* Has the process of these /proc/PID/maps that file mapped? `name`: how its path begins. */
bool pn_maps_file(const char *maps, const char *name, uint64_t inode);
/* How often this kernel killed for want of memory since it started; 0 also if it does not tell. */
uint64_t pn_oom_kills(void);
/* How long the main thread of a process ran, and waited to run; a zombie's, too. Unchanged if nobody knows. */
void pn_run_times(pid_t pid, int64_t *run_ns, int64_t *ready_ns);

#endif
