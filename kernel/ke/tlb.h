/*
 * TLB shootdown between CPUs.
 *
 * What a caller may rely on when any of these returns: no CPU holds a translation for the range that was made from an
 * entry as it stood before the call. The caller has changed the entries first (pte.h, suffix NoFlush).
 *
 * => any IRQL below IPI_LEVEL, any lock held except those taken with interrupts off; interrupts on.
 */
#pragma once

#include "kernel/ddk.h"
#include "kernel/ke/process.h"

#define KI_FULL_FLUSH_PAGES 64 /* above it one full flush is cheaper than that many INVLPG and the misses it spares */

void KiFlushSystemRange(const void *Va, PFN_COUNT PageCount);
void KiFlushProcessRange(KPROCESS *Process, const void *Va, PFN_COUNT PageCount);
void KiFlushEntireTb(void);

/*
 * Generations: flushes of every entry on every CPU, counted. Whoever clears entries, executes a full fence and then
 * reads the generation knows that no CPU holds their translations once that generation is over.
 */
extern volatile LONG64 KiTlbBegun; /* number of the last flush of everything that began */

static inline ULONG64 KiReadTlbGeneration(void)
{
    return (ULONG64)KiTlbBegun;
}

bool KiIsTlbGenerationOver(ULONG64 Generation);

/* See that it is over: wait for a flush that another CPU has begun since, or else flush. Contract as above. */
void KiFinishTlbGeneration(ULONG64 Generation);

/* Drop this CPU's translation of one page. */
void KiFlushLocalPage(const void *Va);

typedef struct _KI_TLB_COUNTERS {
    ULONG64 Requests;    /* calls that asked some other CPU */
    ULONG64 Interrupts;  /* IPIs sent for them */
    ULONG64 Merged;      /* requests that an interrupt or flush already on its way served: one a CPU spared */
    ULONG64 Pages;       /* pages flushed on this CPU */
    ULONG64 FullFlushes; /* whole-TLB flushes on this CPU */
} KI_TLB_COUNTERS;

/* The sum over all CPUs; racy. */
KI_TLB_COUNTERS KiReadTlbCounters(void);
