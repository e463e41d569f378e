/* Time: nanoseconds of CLOCK_MONOTONIC. A deadline is an absolute time. */
#ifndef PN_CLOCK_H
#define PN_CLOCK_H

#include <stdint.h>
#include <time.h>

#define PN_FOREVER INT64_MAX

static inline int64_t
pn_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
