/*
 * Virtual memory of a process: reserving, committing, freeing, protecting.
 */
#pragma once

#include "mm/space.h"

/*
 * Reserve, commit, free and protect private memory, as the virtual-memory services of the same names document it: on
 * return *Base and *Bytes are the range in whole pages. Protect: PAGE_NOACCESS, READONLY, READWRITE, EXECUTE,
 * EXECUTE_READ, EXECUTE_READWRITE, the last five with PAGE_GUARD or not. Type: MEM_RESERVE, MEM_COMMIT, MEM_TOP_DOWN;
 * MEM_DECOMMIT, MEM_RELEASE.
 *
 * => IRQL <= APC_LEVEL; any address space may be current; acquires SpaceLock. *Base and *Bytes are kernel memory.
 * => whatever lost access is flushed from every CPU on return.
 */
NTSTATUS MiAllocateVirtual(EPROCESS *Process, PVOID *Base, SIZE_T *Bytes, ULONG Type, ULONG Protect);
NTSTATUS MiFreeVirtual(EPROCESS *Process, PVOID *Base, SIZE_T *Bytes, ULONG Type);
NTSTATUS MiProtectVirtual(EPROCESS *Process, PVOID *Base, SIZE_T *Bytes, ULONG Protect, ULONG *OldProtect);

/*
 * Addresses for a mapping of an MDL in user space: PageCount pages at *Va, or anywhere if that is NULL; *Va is the
 * address. The tables exist; the caller writes the entries, without MI_PTE_OWNED, and before it releases the
 * addresses clears and flushes them. The process can neither free nor protect such a range. A fault on it is only
 * resolved when the entry is valid.
 *
 * => IRQL <= APC_LEVEL; Process's address space is the current one; acquires SpaceLock.
 * => STATUS_CONFLICTING_ADDRESSES, STATUS_NO_MEMORY, STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS MiReserveUserMapping(EPROCESS *Process, PVOID *Va, PFN_COUNT PageCount, ULONG Protect);
VOID     MiReleaseUserMapping(EPROCESS *Process, PVOID Va, PFN_COUNT PageCount);
