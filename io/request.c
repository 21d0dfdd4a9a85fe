/*
 * Requests through files.
 *
 * A synchronous file has one request at a time: FILE_OBJECT.Lock, an event that is set while the file is free, is held
 * from before the packet is made until it is complete. An asynchronous one has any number, each told apart by its
 * status block and event.
 */
#include "io/request.h"

#include "io/file.h"
#include "io/object.h"
#include "kernel/ke/lock.h"

static bool IopIsSynchronous(const FILE_OBJECT *File)
{
    return (File->Flags & FO_SYNCHRONOUS_IO) != 0;
}

/* Where a read or write begins. */
static NTSTATUS IopChooseOffset(const FILE_OBJECT *File, const LARGE_INTEGER *ByteOffset, LARGE_INTEGER *Offset)
{
    bool isOwn = ByteOffset == NULL ||
                 (ByteOffset->HighPart == -1 && ByteOffset->LowPart == FILE_USE_FILE_POINTER_POSITION);
    if (isOwn && !IopIsSynchronous(File)) {
        return STATUS_INVALID_PARAMETER; /* an asynchronous file has no position */
    }
    *Offset = isOwn ? File->CurrentByteOffset : *ByteOffset;
    return STATUS_SUCCESS;
}

/* Fill the first driver's location and attach the data. */
static NTSTATUS IopFillRequest(IRP *Irp, const DEVICE_OBJECT *Device, FILE_OBJECT *File, const IOP_REQUEST *Request)
{
    IO_STACK_LOCATION *location = IoGetNextIrpStackLocation(Irp);
    const IOP_BUFFERS *buffers = &Request->Buffers;
    location->MajorFunction = Request->MajorFunction;
    location->FileObject = File;
    if (Request->MajorFunction == IRP_MJ_DEVICE_CONTROL) {
        location->Parameters.DeviceIoControl.IoControlCode = Request->IoControlCode;
        location->Parameters.DeviceIoControl.InputBufferLength = buffers->InputBytes;
        location->Parameters.DeviceIoControl.OutputBufferLength = buffers->OutputBytes;
        return IopAttachControl(Irp, Request->IoControlCode, buffers);
    }
    Irp->Flags |= Request->MajorFunction == IRP_MJ_READ ? IRP_READ_OPERATION : IRP_WRITE_OPERATION;
    location->Parameters.Read.Length = buffers->InputBytes + buffers->OutputBytes; /* one of them is 0 */
    location->Parameters.Read.Key = Request->Key;
    NTSTATUS status = IopChooseOffset(File, Request->ByteOffset, &location->Parameters.Read.ByteOffset);
    return NT_SUCCESS(status) ? IopAttachTransfer(Irp, Device->Flags, buffers) : status;
}

/* Make the packet of Request; it takes references of its own to File and Event, which may be NULL. */
static NTSTATUS IopMakeRequest(const IOP_REQUEST *Request, FILE_OBJECT *File, KEVENT *Event, IRP **Packet)
{
    const DEVICE_OBJECT *device = IoGetRelatedDeviceObject(File);
    IRP                 *irp = IoAllocateIrp(device->StackSize, FALSE);
    if (irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    irp->RequestorMode = Request->Mode;
    NTSTATUS status = IopFillRequest(irp, device, File, Request);
    if (!NT_SUCCESS(status)) {
        IoFreeIrp(irp);
        return status;
    }
    irp->UserIosb = Request->IoStatusBlock;
    irp->UserEvent = Event;
    irp->Overlay.AsynchronousParameters.UserApcRoutine = Request->ApcRoutine;
    irp->Overlay.AsynchronousParameters.UserApcContext = Request->ApcContext;
    irp->Tail.Overlay.Thread = PsGetCurrentThread();
    irp->Tail.Overlay.OriginalFileObject = File;
    ObfReferenceObject(File);
    if (Event != NULL) {
        IopTailOf(irp)->Event = Event;
        ObfReferenceObject(Event);
    }
    *Packet = irp;
    return STATUS_SUCCESS;
}

static NTSTATUS IopSendRequest(const IOP_REQUEST *Request, FILE_OBJECT *File, KEVENT *Event)
{
    IO_STATUS_BLOCK ioStatus;
    IRP            *irp;
    NTSTATUS        status = IopMakeRequest(Request, File, Event, &irp);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (Event != NULL) {
        KeClearEvent(Event);
    }
    KeClearEvent(&File->Event);
    DEVICE_OBJECT *device = IoGetRelatedDeviceObject(File);
    if (IopIsSynchronous(File)) {
        irp->Flags |= IRP_SYNCHRONOUS_API;
        return IopSendAndWait(device, irp, &ioStatus);
    }
    IopQueueIrpToThread(irp);
    return IofCallDriver(device, irp);
}

static NTSTATUS IopSendInTurn(const IOP_REQUEST *Request, FILE_OBJECT *File, KEVENT *Event)
{
    if (!IopIsSynchronous(File)) {
        return IopSendRequest(Request, File, Event);
    }
    (void)KeWaitForSingleObject(&File->Lock, Executive, KernelMode, FALSE, NULL);
    NTSTATUS status = IopSendRequest(Request, File, Event);
    (void)KeSetEvent(&File->Lock, IO_NO_INCREMENT, FALSE);
    return status;
}

NTSTATUS IopRequest(const IOP_REQUEST *Request)
{
    IRQL_MAX(PASSIVE_LEVEL);
    PVOID    file;
    PVOID    event = NULL;
    NTSTATUS status = ObReferenceObjectByHandle(Request->FileHandle, Request->Access, &ObpFileType, Request->Mode,
                                                &file, NULL);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    if (Request->Event != NULL) {
        status = ObReferenceObjectByHandle(Request->Event, EVENT_MODIFY_STATE, &ObpEventType, Request->Mode, &event,
                                           NULL);
    }
    if (NT_SUCCESS(status)) {
        status = IopSendInTurn(Request, file, event);
    }
    if (event != NULL) {
        ObfDereferenceObject(event);
    }
    ObfDereferenceObject(file);
    return status;
}

NTSTATUS NTAPI ZwReadFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                          PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset,
                          PULONG Key)
{
    return IopRequest(&(IOP_REQUEST){
        .FileHandle = FileHandle,
        .Event = Event,
        .ApcRoutine = ApcRoutine,
        .ApcContext = ApcContext,
        .IoStatusBlock = IoStatusBlock,
        .Mode = KernelMode,
        .MajorFunction = IRP_MJ_READ,
        .Access = FILE_READ_DATA,
        .Buffers = { .Output = Buffer, .OutputBytes = Length },
        .Key = Key != NULL ? *Key : 0,
        .ByteOffset = ByteOffset,
    });
}

NTSTATUS NTAPI ZwWriteFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                           PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer, ULONG Length, PLARGE_INTEGER ByteOffset,
                           PULONG Key)
{
    return IopRequest(&(IOP_REQUEST){
        .FileHandle = FileHandle,
        .Event = Event,
        .ApcRoutine = ApcRoutine,
        .ApcContext = ApcContext,
        .IoStatusBlock = IoStatusBlock,
        .Mode = KernelMode,
        .MajorFunction = IRP_MJ_WRITE,
        .Access = FILE_WRITE_DATA,
        .Buffers = { .Input = Buffer, .InputBytes = Length },
        .Key = Key != NULL ? *Key : 0,
        .ByteOffset = ByteOffset,
    });
}

/* The access bits of a control code are those of the handle that it needs. */
C_ASSERT(FILE_READ_ACCESS == FILE_READ_DATA && FILE_WRITE_ACCESS == FILE_WRITE_DATA);

#define IOP_ACCESS_FROM_CTL_CODE(Code) (((Code) >> 14) & (FILE_READ_ACCESS | FILE_WRITE_ACCESS))

NTSTATUS NTAPI ZwDeviceIoControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                     PIO_STATUS_BLOCK IoStatusBlock, ULONG IoControlCode, PVOID InputBuffer,
                                     ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength)
{
    return IopRequest(&(IOP_REQUEST){
        .FileHandle = FileHandle,
        .Event = Event,
        .ApcRoutine = ApcRoutine,
        .ApcContext = ApcContext,
        .IoStatusBlock = IoStatusBlock,
        .Mode = KernelMode,
        .MajorFunction = IRP_MJ_DEVICE_CONTROL,
        .Access = IOP_ACCESS_FROM_CTL_CODE(IoControlCode),
        .Buffers = { InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength },
        .IoControlCode = IoControlCode,
    });
}
