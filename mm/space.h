/*
 * Address spaces of processes: page tables of their own below MI_SYSTEM_START, ranges of private memory, demand-zero
 * pages.
 */
#pragma once

#include "kernel/ke/lock.h"
#include "kernel/ke/process.h"
#include "mm/pfn.h"

/*
 * A range of pages in one state. Ranges are sorted and disjoint; those that one reservation made share AllocationBase.
 * Neighbours of one reservation and state are one range.
 */
typedef struct _MI_RANGE {
    LIST_ENTRY Links;          /* EPROCESS.RangeListHead, ascending */
    ULONG64    First;          /* page-aligned */
    ULONG64    End;            /* page-aligned, exclusive */
    ULONG64    AllocationBase; /* where the reservation begins */
    ULONG      Protect;        /* PAGE_..., PAGE_GUARD; 0: reserved, not committed */
    ULONG      Fixed;          /* not 0: the system's own, neither freed nor protected by the process */
} MI_RANGE;

typedef struct _EPROCESS {
    KPROCESS        Pcb;             /* first: KPROCESS and EPROCESS are one address */
    KI_LOCK         SpaceLock;       /* LOCK_SPACE: the ranges, every user PTE and the tables that hold them */
    LIST_ENTRY      RangeListHead;   /* MI_RANGE */
    SIZE_T          PrivatePages;    /* frames in use; guarded by SpaceLock */
    SIZE_T          TablePages;      /* page tables, the top-level one included; guarded by SpaceLock */
    volatile LONG64 LockedPages;     /* pages that MDLs hold locked; atomic */
    PFN_NUMBER      RootFrame;       /* of the top-level table */
    HANDLE          UniqueProcessId; /* io/process.c */
    LIST_ENTRY      ProcessLinks;    /* io/process.c */
    UCHAR           ImageFileName[16];
} EPROCESS;

C_ASSERT(FIELD_OFFSET(EPROCESS, Pcb) == 0);

/* The system's own address space: the tables of boot, no user memory. Ready before the first thread. */
extern EPROCESS MiSystemProcess;

void MiInitializeSystemSpace(void);

/* Whose address space the calling thread uses: its process, or the one it is attached to. Any IRQL. */
EPROCESS *MiCurrentProcess(void);

/*
 * Give Process (zeroed memory; the object around it is made elsewhere) an address space with nothing in it but
 * KUSER_SHARED_DATA, and initialise its KPROCESS.
 *
 * => IRQL <= DISPATCH_LEVEL. STATUS_INSUFFICIENT_RESOURCES leaves nothing behind: Process is then not to be deleted.
 */
NTSTATUS MiInitializeAddressSpace(EPROCESS *Process);

/*
 * Take the address space down: every frame, every table. Pages that are still locked are bug check 0x76.
 *
 * => PASSIVE_LEVEL; no thread belongs to Process or is attached to it.
 */
VOID MiDeleteAddressSpace(EPROCESS *Process);

/* The private frame that a user entry holds, mapped or withheld, or MI_PFN_NONE. */
static inline PFN_NUMBER MiOwnedFrame(MMPTE Pte)
{
    bool owns = MiPteIsValid(Pte) ? (Pte.Value & MI_PTE_OWNED) != 0
                                  : MiPteKind(Pte) == MiPteNoAccess && MiPteFrame(Pte) != 0;
    return owns ? MiPteFrame(Pte) : MI_PFN_NONE;
}
