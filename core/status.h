/* What a core function says to its caller. The core never touches Python:
 * core/python/errors.c turns these into exceptions. */
#ifndef PN_STATUS_H
#define PN_STATUS_H

typedef enum {
    PN_OK = 0,
    PN_OWNER_DIED,   /* got the lock, but its last owner died holding it */
    PN_TIMEOUT,      /* the deadline passed; nothing was changed */
    PN_INTERRUPTED,  /* a signal or the end of a slice: look for signals, call again */
    PN_BUSY,         /* somebody else holds the lock right now */
    PN_EMPTY,        /* nothing to take */
    PN_FULL,         /* maxsize or max_bytes reached */
    PN_NEED_SEGMENT, /* the ring needs a larger segment; the lock was let go */
    PN_NEED_LEASES,  /* no free entry for a lease; the lock was let go */
    PN_NEED_TABLE,   /* the dictionary needs a larger table; the lock was let go */
    PN_NOTHING,      /* task_done() for nothing; no such dead letter */
    PN_SHUT_DOWN,    /* the queue was ended for all */
    PN_NOT_OWNER,    /* release by somebody who does not hold it */
    PN_TOO_MANY,     /* the thread holds more robust locks than the kernel would process */
    PN_TOO_BIG,      /* larger than the domain may ever be */
    PN_NO_MEMORY,    /* the domain's budget is spent; pn_domain.limit says which limit bound */
    PN_NO_SLOT,      /* the process table of the domain is full */
    PN_STALE,        /* the handle's object has been freed */
    PN_LAYOUT,       /* the other side uses another layout version */
    PN_NAMESPACE,    /* the other side lives in another pid namespace */
    PN_BROKEN,       /* the barrier was broken; its cell says why */
    PN_EXISTS,       /* another object has that name */
    PN_SYSTEM        /* a system call failed; errno is set */
} pn_status;

#endif
