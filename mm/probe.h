/*
 * User addresses in the kernel's hands: limits, probes, and the copies that turn a fault into a status.
 */
#pragma once

#include "mm/layout.h"

/*
 * Copy between kernel memory and the current address space's user memory. The user's side may be anything: a kernel
 * address, a range that wraps, unmapped or read-only pages come back as the status that the access would raise.
 *
 * => IRQL <= APC_LEVEL. On failure any part of the target may have been written.
 */
NTSTATUS MiCopyFromUser(VOID *To, const VOID *UserFrom, SIZE_T ByteCount);
NTSTATUS MiCopyToUser(VOID *UserTo, const VOID *From, SIZE_T ByteCount);

/* Is [UserVa, UserVa + ByteCount) wholly the user's? Any IRQL; touches nothing. */
bool MiIsUserRange(const VOID *UserVa, SIZE_T ByteCount);
