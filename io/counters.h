/*
 * The kernel's own counts, for drivers that demonstrate (the tour) and tests that measure. Not part of Windows: a
 * driver finds the routine by MmGetSystemRoutineAddress and does without it elsewhere.
 */
#pragma once

#include "kernel/ddk.h"

/* Only ever extended at its end. */
typedef struct _PINFOLD_COUNTERS {
    ULONG64 SystemPtesTotal;
    ULONG64 SystemPtesFree;
    ULONG64 FlushRequests;   /* shootdowns that asked another CPU */
    ULONG64 FlushInterrupts; /* interrupts sent for them */
    ULONG64 FramesFree;
} PINFOLD_COUNTERS;

/* Any IRQL; the counts are taken one after the other, racily. */
VOID NTAPI PinfoldReadCounters(PINFOLD_COUNTERS *Counters);
