/*
 * Spin locks.
 *
 * Whoever waits spins with CR8 at the lock's level and interrupts as they were, so shootdowns are served. A waiter
 * looks with plain reads and tries the locked instruction only when the word reads free: the line stays shared while
 * it waits. The queued form is an MCS queue: each waiter spins on its own handle, which its predecessor clears, so
 * the lock is handed over in the order of arrival.
 */
#include "kernel/ke/spinlock.h"

#include "kernel/amd64/intrin.h"
#include "kernel/hal/clock.h"
#include "kernel/ke/bugcheck.h"
#include "kernel/ke/irql.h"
#include "kernel/rtl/print.h"

#define KI_SPIN_LIMIT_MS       10000
#define KI_SPIN_POLLS_PER_LOOK 256 /* the TSC is not read at each poll */

#define KI_QUEUE_WAIT 1ull /* in KSPIN_LOCK_QUEUE.Lock: the predecessor has not handed the lock over */

bool KiSpin(KI_SPIN *Spin)
{
    KiPause();
    if (++Spin->Polls % KI_SPIN_POLLS_PER_LOOK != 0) {
        return false;
    }
    if (Spin->Deadline == 0) {
        Spin->Deadline = __rdtsc() + HalpTscPerMillisecond * KI_SPIN_LIMIT_MS;
    }
    return __rdtsc() > Spin->Deadline;
}

static DECLSPEC_NORETURN VOID KiReportStuckLock(const volatile KSPIN_LOCK *SpinLock)
{
    char         why[112];
    KSPIN_LOCK   word = *SpinLock;
    const KPRCB *holder = (const KPRCB *)(word & ~1ull);
    for (ULONG number = 0; number < KiProcessorCount; number++) {
        if (KiProcessorBlock[number] == holder) {
            RtlpFormat(why, sizeof(why), RtlpUtf8, "spin lock %p, held by CPU %lu, is not released for ten seconds",
                       (const void *)SpinLock, number);
            KiReportHang(why);
        }
    }
    RtlpFormat(why, sizeof(why), RtlpUtf8, "spin lock %p (word %p) is not released for ten seconds",
               (const void *)SpinLock, (void *)word);
    KiReportHang(why);
}

VOID KiWaitUntilSpinLockFree(KSPIN_LOCK *SpinLock)
{
    const volatile KSPIN_LOCK *word = SpinLock;
    KI_SPIN                    spin = { 0 };
    while (*word != 0) {
        if (KiSpin(&spin)) {
            KiReportStuckLock(word);
        }
    }
}

VOID KiWaitForSpinLock(KSPIN_LOCK *SpinLock)
{
    if (*(volatile KSPIN_LOCK *)SpinLock == KiSpinLockWord()) {
        KeBugCheckEx(SPIN_LOCK_ALREADY_OWNED, (ULONG_PTR)SpinLock, 0, 0, 0);
    }
    do {
        KiWaitUntilSpinLockFree(SpinLock);
    } while (!KiTrySpinLock(SpinLock));
}

static VOID KiReleaseOwnedSpinLock(KSPIN_LOCK *SpinLock)
{
    if (*(volatile KSPIN_LOCK *)SpinLock == 0) {
        KeBugCheckEx(SPIN_LOCK_NOT_OWNED, (ULONG_PTR)SpinLock, 0, 0, 0);
    }
    KiReleaseSpinLockNoIrql(SpinLock);
}

/* Raise to Level, or stay where it is higher; writing CR8 is dear, so not without need. The old level comes back. */
static KIRQL KiRaiseAtLeastTo(KIRQL Level)
{
    KIRQL oldIrql = KeGetCurrentIrql();
    if (oldIrql < Level) {
        __writecr8(Level);
    }
    return oldIrql;
}

static VOID KiLowerTo(KIRQL Level)
{
    if (KeGetCurrentIrql() != Level) {
        __writecr8(Level);
    }
}

VOID NTAPI KiExportKeInitializeSpinLock(PKSPIN_LOCK SpinLock)
{
    KeInitializeSpinLock(SpinLock);
}

KIRQL NTAPI KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK SpinLock)
{
    KIRQL oldIrql = KiRaiseAtLeastTo(DISPATCH_LEVEL);
    KiAcquireSpinLockNoIrql(SpinLock);
    return oldIrql;
}

KIRQL KeAcquireSpinLockRaiseToSynch(PKSPIN_LOCK SpinLock)
{
    KIRQL oldIrql = KiRaiseAtLeastTo(KI_SYNCH_LEVEL);
    KiAcquireSpinLockNoIrql(SpinLock);
    return oldIrql;
}

VOID NTAPI KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock)
{
    KiAcquireSpinLockNoIrql(SpinLock);
}

VOID NTAPI KeReleaseSpinLock(PKSPIN_LOCK SpinLock, KIRQL NewIrql)
{
    KiReleaseOwnedSpinLock(SpinLock);
    KiLowerTo(NewIrql);
}

VOID NTAPI KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK SpinLock)
{
    KiReleaseOwnedSpinLock(SpinLock);
}

BOOLEAN FASTCALL KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock)
{
    return KiTrySpinLock(SpinLock);
}

BOOLEAN FASTCALL KeTestSpinLock(PKSPIN_LOCK SpinLock)
{
    return *(volatile KSPIN_LOCK *)SpinLock == 0;
}

/* Every DPC here runs at DISPATCH_LEVEL, threaded ones too, and then CR8 is not touched. */
KIRQL FASTCALL KeAcquireSpinLockForDpc(PKSPIN_LOCK SpinLock)
{
    return KeAcquireSpinLockRaiseToDpc(SpinLock);
}

VOID FASTCALL KeReleaseSpinLockForDpc(PKSPIN_LOCK SpinLock, KIRQL OldIrql)
{
    KeReleaseSpinLock(SpinLock, OldIrql);
}

VOID FASTCALL KeAcquireInStackQueuedSpinLockAtDpcLevel(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle)
{
    KSPIN_LOCK_QUEUE    *self = &LockHandle->LockQueue;
    volatile KSPIN_LOCK *handOver = (volatile KSPIN_LOCK *)&self->Lock;
    KI_SPIN              spin = { 0 };
    self->Next = NULL;
    *handOver = (KSPIN_LOCK)SpinLock | KI_QUEUE_WAIT; /* before the predecessor can see this handle */
    KSPIN_LOCK_QUEUE *before = _InterlockedExchangePointer((PVOID volatile *)SpinLock, self);
    if (before == NULL) {
        *handOver = (KSPIN_LOCK)SpinLock;
        return;
    }
    before->Next = self;
    while ((*handOver & KI_QUEUE_WAIT) != 0) {
        if (KiSpin(&spin)) {
            KiReportStuckLock(SpinLock);
        }
    }
    _ReadWriteBarrier();
}

VOID FASTCALL KeReleaseInStackQueuedSpinLockFromDpcLevel(PKLOCK_QUEUE_HANDLE LockHandle)
{
    KSPIN_LOCK_QUEUE *self = &LockHandle->LockQueue;
    KI_SPIN           spin = { 0 };
    if (self->Next == NULL) {
        if (_InterlockedCompareExchangePointer((PVOID volatile *)self->Lock, NULL, self) == self) {
            return; /* nobody waits */
        }
        while (self->Next == NULL) { /* a successor is between its exchange and its link */
            if (KiSpin(&spin)) {
                KiReportStuckLock(self->Lock);
            }
        }
    }
    *(volatile KSPIN_LOCK *)&self->Next->Lock &= ~KI_QUEUE_WAIT; /* the successor writes it no more: it waits */
    _ReadWriteBarrier();
}

VOID FASTCALL KeAcquireInStackQueuedSpinLock(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle)
{
    LockHandle->OldIrql = KiRaiseAtLeastTo(DISPATCH_LEVEL);
    KeAcquireInStackQueuedSpinLockAtDpcLevel(SpinLock, LockHandle);
}

VOID FASTCALL KeReleaseInStackQueuedSpinLock(PKLOCK_QUEUE_HANDLE LockHandle)
{
    KIRQL oldIrql = LockHandle->OldIrql;
    KeReleaseInStackQueuedSpinLockFromDpcLevel(LockHandle);
    KiLowerTo(oldIrql);
}

VOID FASTCALL KeAcquireInStackQueuedSpinLockForDpc(PKSPIN_LOCK SpinLock, PKLOCK_QUEUE_HANDLE LockHandle)
{
    KeAcquireInStackQueuedSpinLock(SpinLock, LockHandle);
}

VOID FASTCALL KeReleaseInStackQueuedSpinLockForDpc(PKLOCK_QUEUE_HANDLE LockHandle)
{
    KeReleaseInStackQueuedSpinLock(LockHandle);
}
