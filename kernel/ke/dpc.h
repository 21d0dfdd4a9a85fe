/*
 * Deferred procedure calls: queued from any IRQL, run at DISPATCH_LEVEL on the CPU in whose queue they stand.
 */
#pragma once

#include "kernel/ke/pcr.h"

/* Run the DPCs of Prcb, the calling CPU's, until none is queued. DISPATCH_LEVEL, interrupts on, no lock held. */
VOID KiRetireDpcList(KPRCB *Prcb);

/* Does this CPU run a DPC routine now? */
static inline bool KiIsDpcActive(void)
{
    return KiPrcb()->DpcRoutineActive != 0;
}
