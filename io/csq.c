/*
 * Cancel-safe queues.
 *
 * Representation. While a packet is queued, Tail.Overlay.DriverContext[3] points to the queue, or to the context that
 * it was inserted with and that points to the queue; the first word of either says which.
 *
 * Invariant. Under the queue's lock, a packet in the driver's list either has IopCancelQueued as its cancel routine or
 * is being cancelled by somebody who waits for the lock. So whoever gets the routine out of the packet owns it: removal
 * that finds it gone leaves the packet to the canceller.
 *
 * Locking and IRQL. The driver's lock, taken by its own callbacks; <= DISPATCH_LEVEL.
 */
#include "io/csq.h"

#define IOP_CSQ_SLOT 3 /* of DriverContext: the driver has the others */

NTSTATUS NTAPI IoCsqInitialize(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP CsqInsertIrp, PIO_CSQ_REMOVE_IRP CsqRemoveIrp,
                               PIO_CSQ_PEEK_NEXT_IRP CsqPeekNextIrp, PIO_CSQ_ACQUIRE_LOCK CsqAcquireLock,
                               PIO_CSQ_RELEASE_LOCK          CsqReleaseLock,
                               PIO_CSQ_COMPLETE_CANCELED_IRP CsqCompleteCanceledIrp)
{
    *Csq = (IO_CSQ){
        .Type = IO_TYPE_CSQ,
        .CsqInsertIrp = CsqInsertIrp,
        .CsqRemoveIrp = CsqRemoveIrp,
        .CsqPeekNextIrp = CsqPeekNextIrp,
        .CsqAcquireLock = CsqAcquireLock,
        .CsqReleaseLock = CsqReleaseLock,
        .CsqCompleteCanceledIrp = CsqCompleteCanceledIrp,
    };
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI IoCsqInitializeEx(PIO_CSQ Csq, PIO_CSQ_INSERT_IRP_EX CsqInsertIrp, PIO_CSQ_REMOVE_IRP CsqRemoveIrp,
                                 PIO_CSQ_PEEK_NEXT_IRP CsqPeekNextIrp, PIO_CSQ_ACQUIRE_LOCK CsqAcquireLock,
                                 PIO_CSQ_RELEASE_LOCK          CsqReleaseLock,
                                 PIO_CSQ_COMPLETE_CANCELED_IRP CsqCompleteCanceledIrp)
{
    NTSTATUS status = IoCsqInitialize(Csq, (PIO_CSQ_INSERT_IRP)(ULONG_PTR)CsqInsertIrp, CsqRemoveIrp, CsqPeekNextIrp,
                                      CsqAcquireLock, CsqReleaseLock, CsqCompleteCanceledIrp);
    Csq->Type = IO_TYPE_CSQ_EX;
    return status;
}

/* The context of a queued packet, or NULL: its slot names the queue itself. */
static IO_CSQ_IRP_CONTEXT *IopCsqContextOf(const IRP *Irp)
{
    const ULONG *type = Irp->Tail.Overlay.DriverContext[IOP_CSQ_SLOT];
    return *type == IO_TYPE_CSQ_IRP_CONTEXT ? (IO_CSQ_IRP_CONTEXT *)(ULONG_PTR)type : NULL;
}

/* Take Irp, whose cancel routine the caller has, off its queue. The queue's lock is held. */
static void IopUnqueueLocked(IO_CSQ *Csq, IRP *Irp)
{
    IO_CSQ_IRP_CONTEXT *context = IopCsqContextOf(Irp);
    if (context != NULL) {
        context->Irp = NULL;
    }
    Csq->CsqRemoveIrp(Csq, Irp);
    Irp->Tail.Overlay.DriverContext[IOP_CSQ_SLOT] = NULL;
}

static VOID NTAPI IopCancelQueued(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    const IO_CSQ_IRP_CONTEXT *context = IopCsqContextOf(Irp);
    IO_CSQ                   *csq = context != NULL ? context->Csq : Irp->Tail.Overlay.DriverContext[IOP_CSQ_SLOT];
    KIRQL                     irql;
    csq->CsqAcquireLock(csq, &irql);
    IopUnqueueLocked(csq, Irp);
    csq->CsqReleaseLock(csq, irql);
    csq->CsqCompleteCanceledIrp(csq, Irp);
}

/* Enter the packet into the driver's list. The queue's lock is held. */
static NTSTATUS IopEnqueueLocked(IO_CSQ *Csq, IRP *Irp, PVOID InsertContext)
{
    if (Csq->Type == IO_TYPE_CSQ_EX) {
        return ((PIO_CSQ_INSERT_IRP_EX)(ULONG_PTR)Csq->CsqInsertIrp)(Csq, Irp, InsertContext);
    }
    Csq->CsqInsertIrp(Csq, Irp);
    return STATUS_SUCCESS;
}

/* => the insertion routine's failure; the packet is then the caller's, as it was. */
NTSTATUS NTAPI IoCsqInsertIrpEx(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context, PVOID InsertContext)
{
    KIRQL irql;
    PVOID slot = Csq;
    if (Context != NULL) {
        *Context = (IO_CSQ_IRP_CONTEXT){ .Type = IO_TYPE_CSQ_IRP_CONTEXT, .Irp = Irp, .Csq = Csq };
        slot = Context;
    }
    Csq->CsqAcquireLock(Csq, &irql);
    Irp->Tail.Overlay.DriverContext[IOP_CSQ_SLOT] = slot;
    NTSTATUS status = IopEnqueueLocked(Csq, Irp, InsertContext);
    if (!NT_SUCCESS(status)) {
        Irp->Tail.Overlay.DriverContext[IOP_CSQ_SLOT] = NULL;
        Csq->CsqReleaseLock(Csq, irql);
        return status;
    }
    IoMarkIrpPending(Irp);
    IoSetCancelRoutine(Irp, IopCancelQueued);
    /* A cancel before the routine was set found none to call; one after it waits for the lock. */
    bool isCancelled = Irp->Cancel && IoSetCancelRoutine(Irp, NULL) != NULL;
    if (isCancelled) {
        IopUnqueueLocked(Csq, Irp);
    }
    Csq->CsqReleaseLock(Csq, irql);
    if (isCancelled) {
        Csq->CsqCompleteCanceledIrp(Csq, Irp);
    }
    return status;
}

VOID NTAPI IoCsqInsertIrp(PIO_CSQ Csq, PIRP Irp, PIO_CSQ_IRP_CONTEXT Context)
{
    (void)IoCsqInsertIrpEx(Csq, Irp, Context, NULL);
}

/* => NULL: it was cancelled, or is being. */
PIRP NTAPI IoCsqRemoveIrp(PIO_CSQ Csq, PIO_CSQ_IRP_CONTEXT Context)
{
    KIRQL irql;
    Csq->CsqAcquireLock(Csq, &irql);
    IRP *irp = Context->Irp;
    if (irp != NULL && IoSetCancelRoutine(irp, NULL) != NULL) {
        IopUnqueueLocked(Csq, irp);
    } else {
        irp = NULL;
    }
    Csq->CsqReleaseLock(Csq, irql);
    return irp;
}

/* => the first packet that PeekContext fits and that nobody cancels; NULL: none. */
PIRP NTAPI IoCsqRemoveNextIrp(PIO_CSQ Csq, PVOID PeekContext)
{
    KIRQL irql;
    Csq->CsqAcquireLock(Csq, &irql);
    IRP *irp = Csq->CsqPeekNextIrp(Csq, NULL, PeekContext);
    while (irp != NULL && IoSetCancelRoutine(irp, NULL) == NULL) {
        irp = Csq->CsqPeekNextIrp(Csq, irp, PeekContext);
    }
    if (irp != NULL) {
        IopUnqueueLocked(Csq, irp);
    }
    Csq->CsqReleaseLock(Csq, irql);
    return irp;
}
