/*
 * Completion of I/O request packets.
 *
 * Problem. IoCompleteRequest is called in any context, up to DISPATCH_LEVEL, and the originator's data, status block
 * and event may be reached only in its own thread.
 *
 * Representation. Two halves. The first walks up the stack locations and calls completion routines in the completer's
 * context; any of them may keep the packet (STATUS_MORE_PROCESSING_REQUIRED). What reaches the top has its pages
 * unlocked and goes to the second half, IopFinishIrp: by a special kernel APC to the packet's thread or, when a
 * service waits in the call (IOP_WAIT) and its driver finished before it returned, by that service itself.
 *
 * A location's Control says when its routine is called: on success, on error, or when the packet was cancelled.
 * PendingReturned tells the routine whether the driver below marked the packet pending; where there is no routine the
 * mark moves up by itself.
 *
 * What the caller sees. A request that failed in the call, never having been pending, leaves the caller's status block
 * and event alone: its status is what the call returned. Everything else is written, then signalled.
 *
 * Locking and IRQL. A packet has one owner at a time, so there is no lock. First half <= DISPATCH_LEVEL, second
 * APC_LEVEL.
 */
#include "io/irpdone.h"

#include "io/irpbuffer.h"
#include "io/psthread.h"
#include "kernel/ke/apc.h"
#include "mm/probe.h"

/* Is Location's completion routine to be called? */
static bool IopWantsCompletion(const IRP *Irp, UCHAR Control)
{
    UCHAR outcome = NT_SUCCESS(Irp->IoStatus.Status) ? SL_INVOKE_ON_SUCCESS : SL_INVOKE_ON_ERROR;
    return (Control & outcome) != 0 || (Irp->Cancel && (Control & SL_INVOKE_ON_CANCEL) != 0);
}

/* Clear what a driver that used the location may have left in it: a packet may be sent down again. */
static void IopClearLocation(IO_STACK_LOCATION *Location)
{
    Location->MinorFunction = 0;
    Location->Flags = 0;
    Location->Control = 0;
    RtlZeroMemory(&Location->Parameters, sizeof(Location->Parameters));
    Location->FileObject = NULL;
}

/* Walk up; false when a completion routine kept the packet. */
static bool IopWalkUp(IRP *Irp)
{
    while (Irp->CurrentLocation <= Irp->StackCount) {
        IO_STACK_LOCATION *location = Irp->Tail.Overlay.CurrentStackLocation;
        UCHAR              control = location->Control;
        Irp->PendingReturned = (control & SL_PENDING_RETURNED) != 0;
        Irp->CurrentLocation++;
        Irp->Tail.Overlay.CurrentStackLocation++;
        IopClearLocation(location);
        bool           isAtTop = Irp->CurrentLocation > Irp->StackCount;
        DEVICE_OBJECT *device = isAtTop ? NULL : Irp->Tail.Overlay.CurrentStackLocation->DeviceObject;
        if (IopWantsCompletion(Irp, control)) {
            if (location->CompletionRoutine(device, Irp, location->Context) == STATUS_MORE_PROCESSING_REQUIRED) {
                return false;
            }
        } else if (Irp->PendingReturned && !isAtTop) {
            IoMarkIrpPending(Irp);
        }
    }
    Irp->CurrentLocation++;
    return true;
}

/* An associated packet has no caller of its own: the last one of its master completes that. */
static void IopCompleteAssociated(IRP *Irp, CCHAR PriorityBoost)
{
    IRP *master = Irp->AssociatedIrp.MasterIrp;
    IopFreeMdls(Irp);
    IoFreeIrp(Irp);
    if (_InterlockedDecrement(&master->AssociatedIrp.IrpCount) == 0) {
        IofCompleteRequest(master, PriorityBoost);
    }
}

/* Drop the references that the packet holds. */
static void IopReleaseReferences(const IRP *Irp, FILE_OBJECT *FileObject)
{
    if (IopTailOf(Irp)->Event != NULL) {
        ObfDereferenceObject(IopTailOf(Irp)->Event);
    }
    if (FileObject != NULL) {
        ObfDereferenceObject(FileObject);
    }
}

static VOID NTAPI IopFreeIrpInApc(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext,
                                  PVOID *SystemArgument1, PVOID *SystemArgument2)
{
    UNREFERENCED_PARAMETER(NormalRoutine);
    UNREFERENCED_PARAMETER(NormalContext);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    IoFreeIrp(CONTAINING_RECORD(Apc, IRP, Tail.Apc));
}

static VOID NTAPI IopRundownIrp(PKAPC Apc)
{
    IoFreeIrp(CONTAINING_RECORD(Apc, IRP, Tail.Apc));
}

/* The caller's status block, written before anything is signalled. A user's may have gone since: nobody to tell. */
static void IopWriteStatusBlock(const IRP *Irp)
{
    if (Irp->UserIosb == NULL) {
        return;
    }
    if (Irp->RequestorMode == KernelMode) {
        *Irp->UserIosb = Irp->IoStatus;
    } else {
        (void)MiCopyToUser(Irp->UserIosb, &Irp->IoStatus, sizeof(Irp->IoStatus));
    }
}

/* Hand the caller's APC routine the packet's own APC; the packet goes with it. False: there is no routine. */
static bool IopQueueUserApc(IRP *Irp)
{
    PIO_APC_ROUTINE routine = Irp->Overlay.AsynchronousParameters.UserApcRoutine;
    if (routine == NULL) {
        return false;
    }
    KeInitializeApc(&Irp->Tail.Apc, KeGetCurrentThread(), CurrentApcEnvironment, IopFreeIrpInApc, IopRundownIrp,
                    (PKNORMAL_ROUTINE)(ULONG_PTR)routine, Irp->RequestorMode,
                    Irp->Overlay.AsynchronousParameters.UserApcContext);
    return KeInsertQueueApc(&Irp->Tail.Apc, Irp->UserIosb, NULL, IO_NO_INCREMENT);
}

/* Tell everyone who may wait: the caller's event or else the file's, and the service. */
static void IopSignalCompletion(const IRP *Irp, FILE_OBJECT *FileObject, IOP_WAIT *Wait)
{
    if (FileObject != NULL) {
        FileObject->FinalStatus = Irp->IoStatus.Status;
    }
    if (Irp->UserEvent != NULL) {
        (void)KeSetEvent(Irp->UserEvent, IO_NO_INCREMENT, FALSE);
    } else if (FileObject != NULL) {
        (void)KeSetEvent(&FileObject->Event, IO_NO_INCREMENT, FALSE);
    }
    if (Wait != NULL && Wait->State != IopWaitDeferred) {
        (void)KeSetEvent(&Wait->Done, IO_NO_INCREMENT, FALSE);
    }
}

void IopFinishIrp(IRP *Irp, FILE_OBJECT *FileObject)
{
    IOP_WAIT *wait = IopTailOf(Irp)->Wait;
    NTSTATUS  status = IopFinishBuffers(Irp);
    if (!NT_SUCCESS(status)) {
        Irp->IoStatus.Status = status; /* the driver has done its part, and the caller does not get it */
    }
    IopFreeMdls(Irp);
    IopDequeueIrpFromThread(Irp);
    bool isInCall = wait != NULL ? wait->State == IopWaitDeferred : !Irp->PendingReturned;
    bool isToldByCall = isInCall && NT_ERROR(Irp->IoStatus.Status);
    if (wait != NULL) {
        wait->IoStatus = Irp->IoStatus;
    }
    if (!isToldByCall) {
        IopWriteStatusBlock(Irp);
        IopSignalCompletion(Irp, FileObject, wait);
    }
    IopReleaseReferences(Irp, FileObject);
    if (isToldByCall || !IopQueueUserApc(Irp)) {
        IoFreeIrp(Irp);
    }
}

static VOID NTAPI IopFinishInApc(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext,
                                 PVOID *SystemArgument1, PVOID *SystemArgument2)
{
    UNREFERENCED_PARAMETER(NormalRoutine);
    UNREFERENCED_PARAMETER(NormalContext);
    UNREFERENCED_PARAMETER(SystemArgument2);
    IopFinishIrp(CONTAINING_RECORD(Apc, IRP, Tail.Apc), *SystemArgument1);
}

/* The thread has ended, so nobody is there to be told: only what the packet holds is given back. */
static void IopAbandonIrp(IRP *Irp, FILE_OBJECT *FileObject)
{
    Irp->Flags &= ~(ULONG)IRP_INPUT_OPERATION;
    (void)IopFinishBuffers(Irp);
    IopFreeMdls(Irp);
    IopReleaseReferences(Irp, FileObject);
    IoFreeIrp(Irp);
}

static VOID NTAPI IopAbandonInApc(PKAPC Apc)
{
    IopAbandonIrp(CONTAINING_RECORD(Apc, IRP, Tail.Apc), Apc->SystemArgument1);
}

/* Have the second half run on the packet's thread. The APC lies over the fields that it is made from. */
static void IopQueueFinish(IRP *Irp, CCHAR PriorityBoost)
{
    KTHREAD     *thread = (KTHREAD *)Irp->Tail.Overlay.Thread;
    FILE_OBJECT *fileObject = Irp->Tail.Overlay.OriginalFileObject;
    if (thread == NULL || (Irp->AllocationFlags & IOP_IRP_ALLOCATED) == 0) {
        DbgPrint("IRP %p has come back to nobody: who allocated it set no completion routine that keeps it\n", Irp);
        KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, (ULONG_PTR)Irp, 0, 0, 0);
    }
    KeInitializeApc(&Irp->Tail.Apc, thread, (KAPC_ENVIRONMENT)Irp->ApcEnvironment, IopFinishInApc, IopAbandonInApc,
                    NULL, KernelMode, NULL);
    if (!KeInsertQueueApc(&Irp->Tail.Apc, fileObject, NULL, PriorityBoost)) {
        IopAbandonIrp(Irp, fileObject);
    }
}

/* Does a service wait in the call, to finish what its driver completed without having it pending? */
static bool IopIsDeferred(const IRP *Irp)
{
    IOP_WAIT *wait = (Irp->AllocationFlags & IOP_IRP_ALLOCATED) != 0 ? IopTailOf(Irp)->Wait : NULL;
    return wait != NULL && !Irp->PendingReturned &&
           _InterlockedCompareExchange(&wait->State, IopWaitDeferred, IopWaitInDispatch) == IopWaitInDispatch;
}

/* => bug check 0x44 for a packet that was completed before. */
VOID FASTCALL IofCompleteRequest(PIRP Irp, CCHAR PriorityBoost)
{
    if (Irp->Type != IO_TYPE_IRP || Irp->CurrentLocation > Irp->StackCount + 1) {
        KeBugCheckEx(MULTIPLE_IRP_COMPLETE_REQUESTS, (ULONG_PTR)Irp, 0, 0, 0);
    }
    if (!IopWalkUp(Irp)) {
        return;
    }
    if ((Irp->Flags & IRP_ASSOCIATED_IRP) != 0) {
        IopCompleteAssociated(Irp, PriorityBoost);
        return;
    }
    IopUnlockMdls(Irp);
    if (!IopIsDeferred(Irp)) {
        IopQueueFinish(Irp, PriorityBoost);
    }
}
