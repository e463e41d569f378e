/* What a process asks its template, and what that answers: over a SOCK_SEQPACKET pair.
 *
 * A question is a datagram: this, then the body, of which only the child knows what it means;
 * with its first descriptors. Others follow in datagrams of one byte. Descriptors stand in this
 * order: the streams that are open, the resource tracker's, the others.
 */
#ifndef PN_QUESTION_H
#define PN_QUESTION_H

#include <stdint.h>

enum {
    PN_MESSAGE_FDS = 253, /* SCM_MAX_FD: unix(7) */
    PN_LARGEST = 64 << 10 /* bytes of a datagram; a socket takes 200 KiB by default */
};

typedef struct {
    uint32_t kind; /* 0: a child; others mean something in Python only */
    uint32_t slot, generation;
    uint32_t descriptors;
    uint32_t streams; /* bit n: descriptor n, of 0, 1, 2, is open and passed */
    uint32_t flags;
    uint64_t ignored, blocked; /* signals, bit n - 1 for signal n */
} pn_question;

_Static_assert(sizeof(pn_question) == 40, "wire.py has the same");

typedef struct {
    uint32_t slot, generation;
    int32_t error; /* errno; 0: there is a child */
} pn_answer;

#endif
