/*
 * The pages behind user addresses: faulting them in, changing their protection, taking them away.
 */
#pragma once

#include "mm/space.h"

/*
 * Resolve a fault of the current address space at Va, for ErrorCode (X86_PF_...): demand zero, a guard page, a
 * translation that is stale. Acquires SpaceLock.
 */
NTSTATUS MiUserFault(EPROCESS *Process, ULONG64 ErrorCode, const void *Va);

/* The valid entry for a private page of Frame under Protect, which permits some access. */
MMPTE MiMakeUserPte(PFN_NUMBER Frame, ULONG Protect);

/*
 * Take the private pages in [First, End) away, or put those there are under Protect: entries changed, every CPU
 * flushed, and then the frames released.
 *
 * => Process's address space is this CPU's, SpaceLock held.
 */
void MiRemoveUserPagesLocked(EPROCESS *Process, ULONG64 First, ULONG64 End)
    __attribute__((requires_capability(Process->SpaceLock)));
void MiProtectUserPagesLocked(EPROCESS *Process, ULONG64 First, ULONG64 End, ULONG Protect)
    __attribute__((requires_capability(Process->SpaceLock)));

/* See that the tables for [First, Last] exist. => as above; STATUS_NO_MEMORY. */
NTSTATUS MiMakeUserTablesLocked(EPROCESS *Process, const void *First, const void *Last)
    __attribute__((requires_capability(Process->SpaceLock)));
