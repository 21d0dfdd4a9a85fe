/*
 * PinfoldReadCounters. See counters.h.
 */
#include "io/counters.h"

#include "kernel/ke/tlb.h"
#include "mm/pfn.h"
#include "mm/sysptecache.h"

VOID NTAPI PinfoldReadCounters(PINFOLD_COUNTERS *Counters)
{
    KI_TLB_COUNTERS flushes = KiReadTlbCounters();
    *Counters = (PINFOLD_COUNTERS){
        .SystemPtesTotal = MiTotalPteCount(&MiSystemPteRegion),
        .SystemPtesFree = MiFreeSystemPteCount(),
        .FlushRequests = flushes.Requests,
        .FlushInterrupts = flushes.Interrupts,
        .FramesFree = MiFreeFrameCount(),
    };
}
