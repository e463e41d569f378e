/* Looking for a moment before sleeping: a sleep and its wake cost 5 to 65 us, what is waited for is often there sooner. */
#ifndef PN_PATIENCE_H
#define PN_PATIENCE_H

#include "platform.h"

/* Did `may_go` become true meanwhile? `in_vain` is a word of the caller's own memory, one for each object that is waited
 * for, 0 at first: how many waits in a row pausing did not end. */
bool pn_look_again(pn_word *in_vain, bool (*may_go)(void *context), void *context);

#endif
