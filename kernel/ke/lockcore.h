/*
 * The steps of a KI_LOCK, for lock.c and for the one lock that is worth inlining, the dispatcher's (schedule.h).
 *
 * The ranks that a CPU holds stand in its KPRCB, a bit each: a holder is at DISPATCH_LEVEL or above and cannot move.
 * The dispatcher lock is held across a context switch and released by the thread that comes in; rank and owner are
 * the CPU's, so nothing needs to be handed over.
 */
#pragma once

#include "kernel/ke/lock.h"
#include "kernel/ke/pcr.h"
#include "kernel/ke/spinlock.h"

/* Rank is Lock's, given apart so that it can be a constant. */
static inline void KiAcquireCore(KI_LOCK *Lock, LOCK_RANK Rank) __attribute__((no_thread_safety_analysis))
{
    KPRCB *prcb = KiPrcb();
    NT_ASSERT(prcb->HeldRanks >> Rank == 0); /* neither this one nor one behind it */
    if (DBG) {
        prcb->HeldRanks |= 1u << Rank;
    }
    KiAcquireSpinLockNoIrql(&Lock->Lock);
    Lock->Owner = prcb->Number + 1;
}

static inline void KiReleaseCore(KI_LOCK *Lock, LOCK_RANK Rank) __attribute__((no_thread_safety_analysis))
{
    KPRCB *prcb = KiPrcb();
    NT_ASSERT(Lock->Owner == prcb->Number + 1);
    if (DBG) {
        prcb->HeldRanks &= ~(1u << Rank);
    }
    Lock->Owner = 0;
    KiReleaseSpinLockNoIrql(&Lock->Lock);
}

/* Raise to DISPATCH_LEVEL unless there or above; writing CR8 is dear. The old level comes back. */
static inline KIRQL KiRaiseToDispatch(void)
{
    KIRQL oldIrql = KeGetCurrentIrql();
    if (oldIrql < DISPATCH_LEVEL) {
        __writecr8(DISPATCH_LEVEL);
    }
    return oldIrql;
}

static inline void KiLowerFromDispatch(KIRQL OldIrql)
{
    if (OldIrql < DISPATCH_LEVEL) {
        __writecr8(OldIrql);
    }
}
