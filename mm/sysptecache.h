/*
 * System PTEs as mappings take them: from caches of this CPU, which stand before MiSystemPteRegion.
 */
#pragma once

#include "mm/syspte.h"

void MiInitializeSystemPtes(SIZE_T PteCount);

/*
 * Take PteCount consecutive system PTEs whose tables exist, whose contents are zero and of which no CPU holds a
 * translation. They go back with the same count.
 *
 * => IRQL <= DISPATCH_LEVEL, interrupts on; takes no lock while the cache has a run, else LOCK_PTE_DRAIN, LOCK_SYSPTE.
 * => NULL when no run is long enough even after all caches were emptied, or for 0 PTEs.
 */
MMPTE *MiReserveSystemPtes(PFN_COUNT PteCount);

/* Give back a run whose entries are zero and flushed on every CPU. Same IRQL and locks. */
void MiReleaseSystemPtes(MMPTE *First, PFN_COUNT PteCount);

/* The same for entries that were cleared and not flushed: the run waits, and the caller owes nothing more. */
void MiReleaseSystemPtesNoFlush(MMPTE *First, PFN_COUNT PteCount);

/* No CPU holds a translation of a run that was released before the call. Contract of kernel/ke/tlb.h. */
void MiFlushWaitingSystemPtes(void);

/* Every run in a cache goes back to the region, flushed. IRQL <= DISPATCH_LEVEL. */
void MiDrainSystemPtes(void);

SIZE_T MiFreeSystemPteCount(void);    /* reservable or waiting, cached ones included; racy */
SIZE_T MiWaitingSystemPteCount(void); /* those whose flush may not have been; racy */
