/*
 * A driver's spin locks: the plain KSPIN_LOCK and the in-stack queued form.
 *
 * A plain lock's word is 0 while free, else the holder's KPRCB with bit 0 set: who holds a lock cannot move to
 * another CPU, so a CPU that finds itself in the word has asked twice (bug check 0xF). The word of a queued lock is
 * the last handle in the queue. The two forms do not mix on one lock.
 */
#pragma once

#include "kernel/ddk.h"
#include "kernel/ke/pcr.h"

/* Paces a loop that waits for another CPU; zeroed before the loop. */
typedef struct _KI_SPIN {
    ULONG   Polls;
    ULONG64 Deadline; /* TSC; 0 until the first look at it */
} KI_SPIN;

/* One turn of the loop. True when ten seconds are over. Any IRQL. */
bool KiSpin(KI_SPIN *Spin);

/* The word of a plain lock that this CPU holds. */
static inline KSPIN_LOCK KiSpinLockWord(void)
{
    return (KSPIN_LOCK)KiPrcb() | 1;
}

static inline bool KiTrySpinLock(KSPIN_LOCK *SpinLock)
{
    return _InterlockedCompareExchange64((volatile LONG64 *)SpinLock, (LONG64)KiSpinLockWord(), 0) == 0;
}

/* Spin, interrupts as they are, until SpinLock reads free; ten seconds end in KiReportHang. Any IRQL. */
VOID KiWaitUntilSpinLockFree(KSPIN_LOCK *SpinLock);

/*
 * The slow half of an acquire: spin likewise until SpinLock is this CPU's. One that this CPU holds already is bug
 * check 0xF.
 *
 * => the caller cannot move to another CPU: IRQL >= DISPATCH_LEVEL, or interrupts off.
 */
VOID KiWaitForSpinLock(KSPIN_LOCK *SpinLock);

/*
 * Acquire and release without touching CR8, for callers at an IRQL at which no other user of the lock interrupts
 * them.
 */
static inline VOID KiAcquireSpinLockNoIrql(KSPIN_LOCK *SpinLock)
{
    if (!KiTrySpinLock(SpinLock)) {
        KiWaitForSpinLock(SpinLock);
    }
}

static inline VOID KiReleaseSpinLockNoIrql(KSPIN_LOCK *SpinLock)
{
    *(volatile KSPIN_LOCK *)SpinLock = 0; /* x86 keeps the stores before it before it */
    _ReadWriteBarrier();
}

KIRQL      KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK SpinLock);
VOID NTAPI KiExportKeInitializeSpinLock(PKSPIN_LOCK SpinLock);
