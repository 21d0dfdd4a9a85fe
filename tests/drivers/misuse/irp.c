/*
 * misuse: the rows of I/O request packets.
 */
#include "misuse.h"

static PIRP AllocatePacket(CCHAR StackSize)
{
    PIRP irp = IoAllocateIrp(StackSize, FALSE);
    MisuseRequire(irp != NULL);
    return irp;
}

static NTSTATUS NTAPI KeepPacket(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

static VOID NTAPI CancelPacket(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
}

static void CompleteTwice(void)
{
    PIRP irp = AllocatePacket(1);
    irp->Tail.Overlay.Thread = PsGetCurrentThread();
    IoCompleteRequest(irp, IO_NO_INCREMENT);
    IoCompleteRequest(irp, IO_NO_INCREMENT);
}

static void CancelAfterCompletion(void)
{
    PIRP irp = AllocatePacket(1);
    IoSetCompletionRoutine(irp, KeepPacket, NULL, TRUE, TRUE, TRUE);
    IoSetNextIrpStackLocation(irp);
    IoCompleteRequest(irp, IO_NO_INCREMENT); /* the routine keeps it */
    irp->CurrentLocation++;                  /* as after the second completion */
    IoSetCancelRoutine(irp, CancelPacket);
    IoCancelIrp(irp);
}

static void ForwardWithoutLocation(void)
{
    PIRP           irp = AllocatePacket(1);
    PDEVICE_OBJECT device = NULL;
    IoSetNextIrpStackLocation(irp);
    (void)IoCallDriver(device, irp);
}

static void FreeWhatIsNoPacket(void)
{
    UCHAR *block = MisuseAllocate(NonPagedPoolNx, sizeof(IRP));
    RtlZeroMemory(block, sizeof(IRP));
    IoFreeIrp((PIRP)block);
}

const MISUSE IrpMisuses[] = {
    { "M354", CompleteTwice },
    { "M355", CancelAfterCompletion },
    { "M361", ForwardWithoutLocation },
    { "M364", FreeWhatIsNoPacket },
    { NULL, NULL },
};
