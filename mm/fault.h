/*
 * Page faults: what is resolved, what becomes an exception, what ends the system.
 */
#pragma once

#include "kernel/ke/trapframe.h"
#include "mm/pte.h"

/*
 * Resolve a page fault, or say which exception it is.
 *
 * => IRQL <= APC_LEVEL, interrupts on: a fault at DISPATCH_LEVEL or above is the trap code's (0xA, 0xD1).
 * => STATUS_SUCCESS: run the instruction again. A user address that cannot be had: STATUS_ACCESS_VIOLATION,
 *    STATUS_GUARD_PAGE_VIOLATION, STATUS_IN_PAGE_ERROR or STATUS_NO_MEMORY, for the trap code to raise.
 * => a kernel address that cannot be had does not come back: 0x50, 0xBE, 0xFC; from ring 3 it is
 *    STATUS_ACCESS_VIOLATION.
 */
NTSTATUS MmAccessFault(ULONG64 ErrorCode, PVOID Address, KPROCESSOR_MODE Mode, KTRAP_FRAME *Frame);

/*
 * Did a stale translation cause the fault: the entry as it stands permits the access? Drops this CPU's translation
 * then. Never for the kernel's access to a present user page (that is SMAP's or SMEP's fault). Any IRQL, interrupts
 * on or off.
 */
bool MiIsSpuriousFault(ULONG64 ErrorCode, PVOID Address);

/*
 * Make the page at Va resident and see that Mode may access it: X86_PF_W in ErrorCode asks for writing. What page
 * locking does for a page that its fast path cannot take. Never a bug check: STATUS_ACCESS_VIOLATION and the like
 * come back.
 *
 * => IRQL <= APC_LEVEL. Nothing keeps the page after the return but what the caller knows: look at the entry again.
 */
NTSTATUS MiMakeResident(ULONG64 ErrorCode, const void *Va, KPROCESSOR_MODE Mode);
