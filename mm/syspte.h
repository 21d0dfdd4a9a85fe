/*
 * Regions of PTEs: reserve runs, release them. The system-PTE region is one; kernel stacks, I/O space, driver images
 * and tests have their own.
 */
#pragma once

#include "kernel/ke/lock.h"
#include "mm/pte.h"

#define MI_PTE_BINS 26u /* lengths 2^0 to 2^25, the largest region */

/* Fields without a note are guarded by Lock. All indices count PTEs from Base. */
typedef struct _MI_PTE_REGION {
    MMPTE  *Base;              /* constant after init */
    ULONG   PteCount;          /* constant after init */
    KI_LOCK Lock;              /* LOCK_SYSPTE */
    ULONG   Tail;              /* everything from here up is free and on no list */
    ULONG   TablesEnd;         /* tables exist below it; never under Tail, never falls */
    ULONG   FreeCount;         /* PTEs in listed runs, the tail not included */
    ULONG   RunCount;          /* listed runs */
    ULONG   BinsUsed;          /* bit n: Bins[n] is not empty */
    ULONG   Bins[MI_PTE_BINS]; /* first run of [2^n, 2^(n+1)) PTEs, index + 1; 0: none */
} MI_PTE_REGION;

static inline bool MiIsPteOfRegion(const MI_PTE_REGION *Region, const MMPTE *Pte)
{
    return Pte >= Region->Base && Pte < Region->Base + Region->PteCount;
}

extern MI_PTE_REGION MiSystemPteRegion; /* mappings of MDLs: MI_REGION_SYSTEM_PTES, less with `sysptes=N` */

/* Make an empty region of PteCount (at most 2^25) PTEs, those of the addresses from BaseVa up. Makes no table yet. */
void MiInitializePteRegion(MI_PTE_REGION *Region, void *BaseVa, SIZE_T PteCount);

/*
 * Take PteCount consecutive PTEs whose tables exist and whose contents are zero.
 *
 * => IRQL <= DISPATCH_LEVEL; acquires Region->Lock (LOCK_SYSPTE).
 * => no CPU holds a translation for the run.
 * => NULL when no run is long enough or no memory is left for tables, or for 0 PTEs; never raises, never bugchecks.
 */
MMPTE *MiReservePtes(MI_PTE_REGION *Region, PFN_COUNT PteCount);

/*
 * Give the run back. Its entries are zero and flushed on every CPU; checked build: asserted.
 */
void MiReleasePtes(MI_PTE_REGION *Region, MMPTE *First, PFN_COUNT PteCount);

bool MiAreZeroPtes(const MMPTE *First, PFN_COUNT PteCount);

SIZE_T MiFreePteCount(const MI_PTE_REGION *Region); /* PTEs not reserved now; racy */
SIZE_T MiTotalPteCount(const MI_PTE_REGION *Region);
SIZE_T MiLargestFreeRun(MI_PTE_REGION *Region);
void   MiCheckPteRegion(MI_PTE_REGION *Region); /* walk and assert everything; IRQL <= DISPATCH_LEVEL */
