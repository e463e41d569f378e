/* Clearing up after the dead. Idempotent: a second death in it is cleared by the next. */
#ifndef PN_SWEEP_H
#define PN_SWEEP_H

#include "domain.h"

/* Sweep every slot whose process is dead; how many lines were freed. */
int pn_sweep(pn_domain *domain);
/* Sweep one line now, whose process is known to be dead (reaped, or never started). */
void pn_sweep_slot(pn_domain *domain, uint32_t index, uint32_t generation);
/* At most once a second: called where something is made. */
void pn_sweep_sometimes(pn_domain *domain);

#endif
