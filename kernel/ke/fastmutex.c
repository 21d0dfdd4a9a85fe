/*
 * Fast mutexes and guarded mutexes: one mechanism; a fast mutex keeps its owner at APC_LEVEL, a guarded mutex in a
 * guarded region.
 *
 * Count is 1 while free, 0 when owned, -n when n threads wait. Who finds it at 0 or less waits on the event, which is
 * of the kind that lets one thread through; a release that leaves waiters sets it and has thereby made one of them
 * the owner.
 */
#include "kernel/ke/fastmutex.h"

/* bug-check-0x192; newer than the driver kit's list. */
#define KERNEL_AUTO_BOOST_LOCK_ACQUISITION_WITH_RAISED_IRQL 0x192

/* One layout: see KiGuardedCore. */
C_ASSERT(FIELD_OFFSET(KGUARDED_MUTEX, Count) == FIELD_OFFSET(FAST_MUTEX, Count));
C_ASSERT(FIELD_OFFSET(KGUARDED_MUTEX, Owner) == FIELD_OFFSET(FAST_MUTEX, Owner));
C_ASSERT(FIELD_OFFSET(KGUARDED_MUTEX, Contention) == FIELD_OFFSET(FAST_MUTEX, Contention));
C_ASSERT(FIELD_OFFSET(KGUARDED_MUTEX, Gate) == FIELD_OFFSET(FAST_MUTEX, Event));
C_ASSERT(sizeof(KGATE) == sizeof(KEVENT) && sizeof(KGUARDED_MUTEX) == sizeof(FAST_MUTEX));

static FAST_MUTEX *KiGuardedCore(PKGUARDED_MUTEX GuardedMutex)
{
    return (FAST_MUTEX *)GuardedMutex;
}

static VOID KiAcquireMutexCore(FAST_MUTEX *Mutex, KWAIT_REASON Reason)
{
    if (_InterlockedDecrement(&Mutex->Count) != 0) {
        _InterlockedIncrement((volatile LONG *)&Mutex->Contention);
        (void)KeWaitForSingleObject(&Mutex->Event, Reason, KernelMode, FALSE, NULL);
    }
    Mutex->Owner = KeGetCurrentThread();
}

static BOOLEAN KiTryMutexCore(FAST_MUTEX *Mutex)
{
    if (_InterlockedCompareExchange(&Mutex->Count, 0, 1) != 1) {
        return FALSE;
    }
    Mutex->Owner = KeGetCurrentThread();
    return TRUE;
}

static VOID KiReleaseMutexCore(FAST_MUTEX *Mutex)
{
    Mutex->Owner = NULL;
    if (_InterlockedIncrement(&Mutex->Count) <= 0) {
        (void)KeSetEvent(&Mutex->Event, IO_NO_INCREMENT, FALSE);
    }
}

/* A thread at DISPATCH_LEVEL could not wait for the mutex: bug check 0x192, whether it would have to or not. */
static KIRQL KiRaiseForMutex(const FAST_MUTEX *Mutex)
{
    KIRQL oldIrql = KeGetCurrentIrql();
    if (oldIrql > APC_LEVEL) {
        KeBugCheckEx(KERNEL_AUTO_BOOST_LOCK_ACQUISITION_WITH_RAISED_IRQL, (ULONG_PTR)KeGetCurrentThread(),
                     (ULONG_PTR)Mutex, oldIrql, 0);
    }
    __writecr8(APC_LEVEL);
    return oldIrql;
}

VOID NTAPI KiExportExInitializeFastMutex(PFAST_MUTEX FastMutex)
{
    ExInitializeFastMutex(FastMutex);
}

VOID FASTCALL ExAcquireFastMutex(PFAST_MUTEX FastMutex)
{
    KIRQL oldIrql = KiRaiseForMutex(FastMutex);
    KiAcquireMutexCore(FastMutex, WrFastMutex);
    FastMutex->OldIrql = oldIrql;
}

BOOLEAN FASTCALL ExTryToAcquireFastMutex(PFAST_MUTEX FastMutex)
{
    KIRQL oldIrql = KiRaiseForMutex(FastMutex);
    if (!KiTryMutexCore(FastMutex)) {
        KeLowerIrql(oldIrql);
        return FALSE;
    }
    FastMutex->OldIrql = oldIrql;
    return TRUE;
}

VOID FASTCALL ExReleaseFastMutex(PFAST_MUTEX FastMutex)
{
    KIRQL oldIrql = (KIRQL)FastMutex->OldIrql; /* the next owner's from the release on */
    KiReleaseMutexCore(FastMutex);
    KeLowerIrql(oldIrql);
}

VOID FASTCALL ExAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex)
{
    KiAcquireMutexCore(FastMutex, WrFastMutex);
}

VOID FASTCALL ExReleaseFastMutexUnsafe(PFAST_MUTEX FastMutex)
{
    KiReleaseMutexCore(FastMutex);
}

VOID FASTCALL KeInitializeGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    RtlZeroMemory(GuardedMutex, sizeof(*GuardedMutex));
    ExInitializeFastMutex(KiGuardedCore(GuardedMutex));
}

VOID FASTCALL KeAcquireGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    KeEnterGuardedRegion();
    KiAcquireMutexCore(KiGuardedCore(GuardedMutex), WrGuardedMutex);
}

VOID FASTCALL KeReleaseGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    KiReleaseMutexCore(KiGuardedCore(GuardedMutex));
    KeLeaveGuardedRegion();
}

BOOLEAN FASTCALL KeTryToAcquireGuardedMutex(PKGUARDED_MUTEX GuardedMutex)
{
    KeEnterGuardedRegion();
    if (!KiTryMutexCore(KiGuardedCore(GuardedMutex))) {
        KeLeaveGuardedRegion();
        return FALSE;
    }
    return TRUE;
}

VOID FASTCALL KeAcquireGuardedMutexUnsafe(PKGUARDED_MUTEX GuardedMutex)
{
    KiAcquireMutexCore(KiGuardedCore(GuardedMutex), WrGuardedMutex);
}

VOID FASTCALL KeReleaseGuardedMutexUnsafe(PKGUARDED_MUTEX GuardedMutex)
{
    KiReleaseMutexCore(KiGuardedCore(GuardedMutex));
}
