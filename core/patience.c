#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "patience.h"

#include <sched.h>

#define PAUSES 20
#define YIELDS 10
#define PROBE 8 /* where pausing was in vain, every 8th wait tries it again */

/* Pausing is the fastest while the other side runs on another CPU; where it shares ours, only giving
 * the CPU away helps. Which it is shows by what helped before. */
bool
pn_look_again(pn_word *in_vain, bool (*may_go)(void *context), void *context)
{
    uint32_t before = atomic_load_explicit(in_vain, memory_order_relaxed);
    bool pausing = pn_platform.cpus > 1 && before % PROBE == 0;
    for (int i = 0; pausing && i < PAUSES; i++) {
        if (may_go(context)) {
            atomic_store_explicit(in_vain, 0, memory_order_relaxed);
            return true;
        }
        pn_cpu_relax();
    }
    atomic_store_explicit(in_vain, before + 1, memory_order_relaxed);
    for (int i = 0; i < YIELDS; i++) {
        if (may_go(context)) {
            return true;
        }
        sched_yield();
    }
    return false;
}
