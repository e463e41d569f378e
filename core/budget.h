/* How many more bytes may be allocated: in a memory cgroup that is too small both
 * touching and fallocate end in SIGKILL, so the limits are read beforehand. */
#ifndef PN_BUDGET_H
#define PN_BUDGET_H

#include <stddef.h>
#include <stdint.h>

/* The smallest headroom of: every memory cgroup above this process (v1 and v2), and
 * 90% of MemAvailable. `name` gets the limit that bound, in words. */
uint64_t pn_budget(char *name, size_t size);

#endif
