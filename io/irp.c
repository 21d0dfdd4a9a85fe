/*
 * I/O request packets; irp.h states the invariants, completion is io/irpdone.c.
 *
 * Checks that are always on, because what follows a miss is memory that somebody else owns: a packet sent with no stack
 * location left (0x35), and one given to IoFreeIrp that is no packet or that a thread still lists (0xC9, as the
 * verifier numbers it).
 */
#include "io/irp.h"

#include "io/psthread.h"

#define IOP_FREED_NOT_AN_IRP  1 /* bug-check-0xc9--driver-verifier-iomanager-violation.md */
#define IOP_FREED_IN_A_THREAD 2

#define IOP_CANCEL_POLL_100NS  100000 /* 10 ms */
#define IOP_POLLS_PER_REMINDER 500    /* 5 s */

/* Fill the header of a zeroed packet. */
static void IopFormatIrp(IRP *Irp, USHORT PacketBytes, CCHAR StackSize)
{
    Irp->Type = IO_TYPE_IRP;
    Irp->Size = PacketBytes;
    Irp->StackCount = StackSize;
    Irp->CurrentLocation = (CHAR)(StackSize + 1);
    Irp->ApcEnvironment = (CCHAR)KeGetCurrentThread()->ApcStateIndex;
    InitializeListHead(&Irp->ThreadListEntry);
    Irp->Tail.Overlay.CurrentStackLocation = (IO_STACK_LOCATION *)(Irp + 1) + StackSize;
}

/* For packets in a driver's own memory. Any IRQL at which that may be touched. */
VOID NTAPI IoInitializeIrp(PIRP Irp, USHORT PacketSize, CCHAR StackSize)
{
    RtlZeroMemory(Irp, PacketSize);
    IopFormatIrp(Irp, PacketSize, StackSize);
}

/* => IRQL <= DISPATCH_LEVEL; NULL without memory. */
PIRP NTAPI IoAllocateIrp(CCHAR StackSize, BOOLEAN ChargeQuota)
{
    UNREFERENCED_PARAMETER(ChargeQuota);
    if (StackSize < 0 || StackSize == MAXCHAR) {
        return NULL;
    }
    USHORT packetBytes = IoSizeOfIrp(StackSize);
    IRP   *irp = ExAllocatePoolWithTag(NonPagedPoolNx, packetBytes + sizeof(IOP_IRP_TAIL), IOP_IRP_TAG);
    if (irp != NULL) {
        RtlZeroMemory(irp, packetBytes + sizeof(IOP_IRP_TAIL));
        IopFormatIrp(irp, packetBytes, StackSize);
        irp->AllocationFlags = IOP_IRP_ALLOCATED;
    }
    return irp;
}

/* Neither the MDLs nor the buffers of the packet are freed. => IRQL <= DISPATCH_LEVEL. */
VOID NTAPI IoFreeIrp(PIRP Irp)
{
    if (Irp->Type != IO_TYPE_IRP) {
        KeBugCheckEx(DRIVER_VERIFIER_IOMANAGER_VIOLATION, IOP_FREED_NOT_AN_IRP, (ULONG_PTR)Irp, 0, 0);
    }
    if (!IsListEmpty(&Irp->ThreadListEntry)) {
        KeBugCheckEx(DRIVER_VERIFIER_IOMANAGER_VIOLATION, IOP_FREED_IN_A_THREAD, (ULONG_PTR)Irp, 0, 0);
    }
    Irp->Type = 0;
    ExFreePoolWithTag(Irp, IOP_IRP_TAG);
}

/* Make a packet that IoAllocateIrp made ready to be sent again. Any IRQL. */
VOID NTAPI IoReuseIrp(PIRP Irp, NTSTATUS Iostatus)
{
    UCHAR allocationFlags = Irp->AllocationFlags;
    IoInitializeIrp(Irp, Irp->Size, Irp->StackCount);
    Irp->AllocationFlags = allocationFlags;
    Irp->IoStatus.Status = Iostatus;
}

NTSTATUS FASTCALL IofCallDriver(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    Irp->CurrentLocation--;
    if (Irp->CurrentLocation <= 0) {
        KeBugCheckEx(NO_MORE_IRP_STACK_LOCATIONS, (ULONG_PTR)Irp, 0, 0, 0);
    }
    IO_STACK_LOCATION *location = --Irp->Tail.Overlay.CurrentStackLocation;
    location->DeviceObject = DeviceObject;
    return DeviceObject->DriverObject->MajorFunction[location->MajorFunction](DeviceObject, Irp);
}

NTSTATUS NTAPI IopInvalidDeviceRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    Irp->IoStatus.Status = STATUS_INVALID_DEVICE_REQUEST;
    Irp->IoStatus.Information = 0;
    IofCompleteRequest(Irp, IO_NO_INCREMENT);
    return STATUS_INVALID_DEVICE_REQUEST;
}

void IopQueueIrpToThread(IRP *Irp)
{
    KeEnterGuardedRegion();
    InsertTailList(&PsGetCurrentThread()->IrpListHead, &Irp->ThreadListEntry);
    KeLeaveGuardedRegion();
}

void IopDequeueIrpFromThread(IRP *Irp)
{
    KeEnterGuardedRegion();
    RemoveEntryList(&Irp->ThreadListEntry);
    InitializeListHead(&Irp->ThreadListEntry);
    KeLeaveGuardedRegion();
}

/* => whether something is left. */
static bool IopCancelListedIrps(const ETHREAD *Thread)
{
    KeEnterGuardedRegion();
    for (LIST_ENTRY *link = Thread->IrpListHead.Flink; link != &Thread->IrpListHead; link = link->Flink) {
        IRP *irp = CONTAINING_RECORD(link, IRP, ThreadListEntry);
        if (!irp->Cancel) {
            IoCancelIrp(irp);
        }
    }
    bool isAnyLeft = !IsListEmpty(&Thread->IrpListHead);
    KeLeaveGuardedRegion();
    return isAnyLeft;
}

static void IopPrintListedIrps(const ETHREAD *Thread)
{
    KeEnterGuardedRegion();
    for (LIST_ENTRY *link = Thread->IrpListHead.Flink; link != &Thread->IrpListHead; link = link->Flink) {
        const IRP           *irp = CONTAINING_RECORD(link, IRP, ThreadListEntry);
        const DEVICE_OBJECT *device = irp->CurrentLocation <= irp->StackCount
                                          ? irp->Tail.Overlay.CurrentStackLocation->DeviceObject
                                          : NULL;
        UNICODE_STRING       nobody = RTL_CONSTANT_STRING(L"no driver");
        DbgPrint("thread %p cannot end: IRP %p was cancelled and %wZ does not complete it\n", Thread, irp,
                 device != NULL ? &device->DriverObject->DriverName : &nobody);
    }
    KeLeaveGuardedRegion();
}

void IopCancelThreadIrps(ETHREAD *Thread)
{
    LARGE_INTEGER interval = { .QuadPart = -IOP_CANCEL_POLL_100NS };
    for (ULONG polls = 1; IopCancelListedIrps(Thread); polls++) {
        (void)KeDelayExecutionThread(KernelMode, FALSE, &interval);
        if (polls % IOP_POLLS_PER_REMINDER == 0) {
            IopPrintListedIrps(Thread);
        }
    }
}

/* The process on whose behalf Irp was sent; NULL: it has no thread. Any IRQL. */
PEPROCESS NTAPI IoGetRequestorProcess(PIRP Irp)
{
    const ETHREAD *thread = Irp->Tail.Overlay.Thread;
    return thread != NULL ? thread->Process : NULL;
}

BOOLEAN NTAPI IoIs32bitProcess(PIRP Irp)
{
    UNREFERENCED_PARAMETER(Irp);
    return FALSE;
}
