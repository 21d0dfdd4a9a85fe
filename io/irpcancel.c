/*
 * Cancelling I/O request packets, and the system's one cancel spin lock.
 *
 * IoSetCancelRoutine, a macro of the driver kit, exchanges IRP.CancelRoutine atomically: whoever gets the routine out
 * of the packet, a canceller or the driver that is about to complete it, decides its end. The lock is the interface's:
 * a cancel routine is called with it held and releases it to Irp->CancelIrql. It ranks nowhere among the kernel's own
 * locks, since drivers take it around calls of theirs.
 */
#include "io/irp.h"

static KSPIN_LOCK IopCancelLock;

VOID NTAPI IoAcquireCancelSpinLock(PKIRQL Irql)
{
    *Irql = KeAcquireSpinLockRaiseToDpc(&IopCancelLock);
}

VOID NTAPI IoReleaseCancelSpinLock(KIRQL Irql)
{
    KeReleaseSpinLock(&IopCancelLock, Irql);
}

/* => TRUE: a cancel routine was called. Bug check 0x48 when the packet was completed with its routine still set. */
BOOLEAN NTAPI IoCancelIrp(PIRP Irp)
{
    KIRQL irql;
    IoAcquireCancelSpinLock(&irql);
    Irp->Cancel = TRUE;
    PDRIVER_CANCEL routine = IoSetCancelRoutine(Irp, NULL);
    if (routine == NULL) {
        IoReleaseCancelSpinLock(irql);
        return FALSE;
    }
    if (Irp->CurrentLocation > Irp->StackCount + 1) {
        KeBugCheckEx(CANCEL_STATE_IN_COMPLETED_IRP, (ULONG_PTR)Irp, (ULONG_PTR)routine, 0, 0);
    }
    Irp->CancelIrql = irql;
    routine(IoGetCurrentIrpStackLocation(Irp)->DeviceObject, Irp);
    return TRUE;
}
