/*
 * A process to test in: made, attached to, left and deleted.
 */
#pragma once

#include "mm/space.h"

typedef struct _KT_SPACE {
    EPROCESS  *Process;
    KAPC_STATE ApcState;
} KT_SPACE;

/* Make a process and attach to it; false: a failure of the running test. PASSIVE_LEVEL. */
bool KtEnterSpace(KT_SPACE *Space);

/* Detach and drop the process's last reference. */
void KtLeaveSpace(KT_SPACE *Space);

/* Reserve and commit PageCount pages of the process that is attached to; NULL: a failure of the running test. */
UCHAR *KtCommitPages(const KT_SPACE *Space, ULONG PageCount, ULONG Protect);
