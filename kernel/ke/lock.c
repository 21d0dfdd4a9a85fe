/*
 * KI_LOCK: a plain spin lock plus the rank check of checked builds.
 *
 * The ranks that a CPU holds stand in its KPRCB, a bit each: a holder is at DISPATCH_LEVEL or above and cannot move. The
 * dispatcher lock is held across a context switch and released by the thread that comes in; rank and owner are the
 * CPU's, so nothing needs to be handed over.
 */
#include "kernel/ke/lock.h"

#include "kernel/ke/pcr.h"
#include "kernel/ke/spinlock.h"

#if DBG
#define KI_NOTE_ACQUIRE(Prcb, LockRank)                                                                                \
    do {                                                                                                               \
        NT_ASSERT((Prcb)->HeldRanks >> (LockRank) == 0); /* neither it nor a higher one */                             \
        (Prcb)->HeldRanks |= 1u << (LockRank);                                                                         \
    } while (0)
#define KI_NOTE_RELEASE(Prcb, LockRank)                                                                                \
    do {                                                                                                               \
        NT_ASSERT(((Prcb)->HeldRanks >> (LockRank) & 1) != 0);                                                         \
        (Prcb)->HeldRanks ^= 1u << (LockRank);                                                                         \
    } while (0)
#else
#define KI_NOTE_ACQUIRE(Prcb, LockRank) ((void)(Prcb))
#define KI_NOTE_RELEASE(Prcb, LockRank) ((void)(Prcb))
#endif

static inline void KiAcquire(KI_LOCK *Lock) __attribute__((no_thread_safety_analysis))
{
    KPRCB *prcb = KiPrcb();
    KI_NOTE_ACQUIRE(prcb, Lock->Rank);
    KiAcquireSpinLockNoIrql(&Lock->Lock);
    Lock->Owner = prcb->Number + 1;
}

static inline void KiRelease(KI_LOCK *Lock) __attribute__((no_thread_safety_analysis))
{
    KPRCB *prcb = KiPrcb();
    KI_NOTE_RELEASE(prcb, Lock->Rank);
    Lock->Owner = 0;
    KiReleaseSpinLockNoIrql(&Lock->Lock);
}

void KiAcquireLockAtDpcLevel(KI_LOCK *Lock) __attribute__((no_thread_safety_analysis))
{
    NT_ASSERT(KeGetCurrentIrql() >= DISPATCH_LEVEL);
    KiAcquire(Lock);
}

void KiReleaseLockFromDpcLevel(KI_LOCK *Lock) __attribute__((no_thread_safety_analysis))
{
    KiRelease(Lock);
}

KIRQL KiAcquireLock(KI_LOCK *Lock) __attribute__((no_thread_safety_analysis))
{
    KIRQL oldIrql = KeGetCurrentIrql();
    if (oldIrql < DISPATCH_LEVEL) {
        __writecr8(DISPATCH_LEVEL);
    }
    KiAcquire(Lock);
    return oldIrql;
}

void KiReleaseLock(KI_LOCK *Lock, KIRQL OldIrql) __attribute__((no_thread_safety_analysis))
{
    KiRelease(Lock);
    if (OldIrql < DISPATCH_LEVEL) {
        __writecr8(OldIrql);
    }
}
