/* Waiting for the lock of a file: flock(2) until a deadline.
 *
 * flock(2) sleeps in the kernel and knows no deadline. So a thread of ours sleeps there, the caller on a word beside it;
 * when time is up, or a signal comes, the thread is cancelled within the system call. The lock belongs to the open file, not to
 * the thread that asked, so whether it came in the last moment is found out by asking once more.
 * Without a deadline the caller sleeps in flock(2) itself.
 */
#ifndef PN_FILELOCK_H
#define PN_FILELOCK_H

#include "slots.h"
#include "waits.h"

/* Take it if it is free: PN_OK, PN_BUSY, PN_INTERRUPTED or PN_SYSTEM. */
pn_status pn_file_lock_try(int fd);
/* Wait for it: PN_OK, PN_TIMEOUT, PN_INTERRUPTED or PN_SYSTEM. No thread of ours is left when it returns. */
pn_status pn_file_lock_wait(int fd, int64_t deadline);
/* Where the file stands that this line waits for; its owner has it open. False: that cannot be told, or not any more. */
bool pn_file_lock_path(pn_domain *domain, const pn_wait *wait, char *path, size_t size);

#endif
