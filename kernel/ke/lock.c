/*
 * KI_LOCK: a plain spin lock plus the rank check of checked builds. Its steps, and how ranks are kept, are in
 * lockcore.h.
 */
#include "kernel/ke/lock.h"

#include "kernel/ke/lockcore.h"

void KiAcquireLockAtDpcLevel(KI_LOCK *Lock) __attribute__((no_thread_safety_analysis))
{
    NT_ASSERT(KeGetCurrentIrql() >= DISPATCH_LEVEL);
    KiAcquireCore(Lock, Lock->Rank);
}

void KiReleaseLockFromDpcLevel(KI_LOCK *Lock) __attribute__((no_thread_safety_analysis))
{
    KiReleaseCore(Lock, Lock->Rank);
}

KIRQL KiAcquireLock(KI_LOCK *Lock) __attribute__((no_thread_safety_analysis))
{
    KIRQL oldIrql = KiRaiseToDispatch();
    KiAcquireCore(Lock, Lock->Rank);
    return oldIrql;
}

void KiReleaseLock(KI_LOCK *Lock, KIRQL OldIrql) __attribute__((no_thread_safety_analysis))
{
    KiReleaseCore(Lock, Lock->Rank);
    KiLowerFromDispatch(OldIrql);
}
