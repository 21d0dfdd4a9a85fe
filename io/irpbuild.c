/*
 * Packets made to order: the IoBuild...Request routines, and associated packets.
 *
 * A synchronous one stands in the thread's list and is freed by completion; its driver must never free it. An
 * asynchronous one belongs to its maker, who frees it, and what is attached to it, in a completion routine.
 */
#include "io/irpbuffer.h"

/* A packet for DeviceObject's stack from the calling thread in kernel mode; *Location is that of the first driver. */
static IRP *IopAllocateForDevice(const DEVICE_OBJECT *DeviceObject, IO_STACK_LOCATION **Location)
{
    IRP *irp = IoAllocateIrp(DeviceObject->StackSize, FALSE);
    if (irp != NULL) {
        irp->Tail.Overlay.Thread = PsGetCurrentThread();
        irp->RequestorMode = KernelMode;
        *Location = IoGetNextIrpStackLocation(irp);
    }
    return irp;
}

/* Read and Write have the same layout. */
static void IopSetTransfer(IO_STACK_LOCATION *Location, ULONG Length, const LARGE_INTEGER *StartingOffset)
{
    Location->Parameters.Read.Length = Length;
    if (StartingOffset != NULL) {
        Location->Parameters.Read.ByteOffset = *StartingOffset;
    }
}

C_ASSERT(FIELD_OFFSET(IO_STACK_LOCATION, Parameters.Read.ByteOffset) ==
         FIELD_OFFSET(IO_STACK_LOCATION, Parameters.Write.ByteOffset));

/* NULL: no memory, or Buffer cannot be used so. */
PIRP NTAPI IoBuildAsynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject, PVOID Buffer, ULONG Length,
                                         PLARGE_INTEGER StartingOffset, PIO_STATUS_BLOCK IoStatusBlock)
{
    IO_STACK_LOCATION *location;
    IRP               *irp = IopAllocateForDevice(DeviceObject, &location);
    if (irp == NULL) {
        return NULL;
    }
    location->MajorFunction = (UCHAR)MajorFunction;
    irp->UserIosb = IoStatusBlock;
    IOP_BUFFERS buffers = { 0 };
    if (MajorFunction == IRP_MJ_READ) {
        irp->Flags = IRP_READ_OPERATION;
        buffers = (IOP_BUFFERS){ .Output = Buffer, .OutputBytes = Length };
    } else if (MajorFunction == IRP_MJ_WRITE) {
        irp->Flags = IRP_WRITE_OPERATION;
        buffers = (IOP_BUFFERS){ .Input = Buffer, .InputBytes = Length };
    } else {
        return irp;
    }
    IopSetTransfer(location, Length, StartingOffset);
    if (!NT_SUCCESS(IopAttachTransfer(irp, DeviceObject->Flags, &buffers))) {
        IoFreeIrp(irp);
        return NULL;
    }
    return irp;
}

PIRP NTAPI IoBuildSynchronousFsdRequest(ULONG MajorFunction, PDEVICE_OBJECT DeviceObject, PVOID Buffer, ULONG Length,
                                        PLARGE_INTEGER StartingOffset, PKEVENT Event, PIO_STATUS_BLOCK IoStatusBlock)
{
    IRP *irp = IoBuildAsynchronousFsdRequest(MajorFunction, DeviceObject, Buffer, Length, StartingOffset,
                                             IoStatusBlock);
    if (irp != NULL) {
        irp->Flags |= IRP_SYNCHRONOUS_API;
        irp->UserEvent = Event;
        IopQueueIrpToThread(irp);
    }
    return irp;
}

PIRP NTAPI IoBuildDeviceIoControlRequest(ULONG IoControlCode, PDEVICE_OBJECT DeviceObject, PVOID InputBuffer,
                                         ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength,
                                         BOOLEAN InternalDeviceIoControl, PKEVENT Event, PIO_STATUS_BLOCK IoStatusBlock)
{
    IO_STACK_LOCATION *location;
    IRP               *irp = IopAllocateForDevice(DeviceObject, &location);
    if (irp == NULL) {
        return NULL;
    }
    IOP_BUFFERS buffers = { InputBuffer, InputBuffer != NULL ? InputBufferLength : 0, OutputBuffer,
                            OutputBuffer != NULL ? OutputBufferLength : 0 };
    location->MajorFunction = InternalDeviceIoControl ? IRP_MJ_INTERNAL_DEVICE_CONTROL : IRP_MJ_DEVICE_CONTROL;
    location->Parameters.DeviceIoControl.IoControlCode = IoControlCode;
    location->Parameters.DeviceIoControl.InputBufferLength = InputBufferLength;
    location->Parameters.DeviceIoControl.OutputBufferLength = OutputBufferLength;
    if (!NT_SUCCESS(IopAttachControl(irp, IoControlCode, &buffers))) {
        IoFreeIrp(irp);
        return NULL;
    }
    irp->Flags |= IRP_SYNCHRONOUS_API;
    irp->UserIosb = IoStatusBlock;
    irp->UserEvent = Event;
    IopQueueIrpToThread(irp);
    return irp;
}

/* A packet for part of the master's work; the maker has set or will set AssociatedIrp.IrpCount of the master. */
PIRP NTAPI IoMakeAssociatedIrp(PIRP Irp, CCHAR StackSize)
{
    IRP *irp = IoAllocateIrp(StackSize, FALSE);
    if (irp != NULL) {
        irp->Flags |= IRP_ASSOCIATED_IRP;
        irp->AssociatedIrp.MasterIrp = Irp;
        irp->Tail.Overlay.Thread = Irp->Tail.Overlay.Thread;
        irp->RequestorMode = Irp->RequestorMode;
    }
    return irp;
}
