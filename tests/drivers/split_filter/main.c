/*
 * split_filter: a filter over direct_io.sys, loaded between it and direct_io_client.sys, that sends each read and write
 * down in pieces of at most a page, each described by a partial MDL of the request's own.
 *
 * The pieces share one packet and one MDL of the filter's. IoBuildPartialMdl copies the frames of a part of the
 * source: nothing is locked anew, so nothing is unlocked. Before the MDL serves the next piece MmPrepareMdlForReuse
 * drops the mapping that the driver below may have made. The filter's packet never reaches the I/O manager: the
 * completion routine keeps it, or the partial MDL would be unlocked, which is nobody's to do.
 *
 * Pieces go one after the other, in the dispatch routine, which waits: enough to show the MDLs. Other requests are
 * passed on as they are.
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

static UNICODE_STRING SplitTarget = RTL_CONSTANT_STRING(L"\\Device\\DirectIo");
static PDEVICE_OBJECT SplitLower;
static ULONG          SplitPieceCount;

static NTSTATUS NTAPI PassOn(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    IoSkipCurrentIrpStackLocation(Irp);
    return IoCallDriver(SplitLower, Irp);
}

static NTSTATUS NTAPI KeepPiece(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Send [Done, Done + ByteCount) of the request with Piece, whose MDL is Part. */
static NTSTATUS SendPiece(PIRP Irp, PIRP Piece, PMDL Part, ULONG Done, ULONG ByteCount)
{
    KEVENT             event;
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(Irp);
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    IoReuseIrp(Piece, STATUS_SUCCESS);
    IoBuildPartialMdl(Irp->MdlAddress, Part, (PUCHAR)MmGetMdlVirtualAddress(Irp->MdlAddress) + Done, ByteCount);
    Piece->MdlAddress = Part;
    PIO_STACK_LOCATION next = IoGetNextIrpStackLocation(Piece);
    next->MajorFunction = location->MajorFunction;
    next->FileObject = location->FileObject;
    next->Parameters.Read.Length = ByteCount;
    next->Parameters.Read.ByteOffset.QuadPart = location->Parameters.Read.ByteOffset.QuadPart + Done;
    IoSetCompletionRoutine(Piece, KeepPiece, &event, TRUE, TRUE, TRUE);
    (void)IoCallDriver(SplitLower, Piece);
    KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
    MmPrepareMdlForReuse(Part);
    SplitPieceCount++;
    return Piece->IoStatus.Status;
}

/* The whole request, piece by piece; *Done bytes of it were carried out. */
static NTSTATUS SendPieces(PIRP Irp, PIRP Piece, PMDL Part, ULONG_PTR *Done)
{
    ULONG    byteCount = MmGetMdlByteCount(Irp->MdlAddress);
    NTSTATUS status = STATUS_SUCCESS;
    *Done = 0;
    while (NT_SUCCESS(status) && *Done < byteCount) {
        ULONG pieceBytes = min(PAGE_SIZE, byteCount - (ULONG)*Done);
        status = SendPiece(Irp, Piece, Part, (ULONG)*Done, pieceBytes);
        if (NT_SUCCESS(status) && Piece->IoStatus.Information == 0) {
            break;
        }
        *Done += NT_SUCCESS(status) ? Piece->IoStatus.Information : 0;
    }
    return status;
}

static NTSTATUS NTAPI SplitReadWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    if (Irp->MdlAddress == NULL) {
        return PassOn(DeviceObject, Irp);
    }
    PIRP piece = IoAllocateIrp(SplitLower->StackSize, FALSE);
    PMDL part = IoAllocateMdl(MmGetMdlVirtualAddress(Irp->MdlAddress), MmGetMdlByteCount(Irp->MdlAddress), FALSE, FALSE,
                              NULL); /* room for a piece at any offset */
    NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
    Irp->IoStatus.Information = 0;
    if (piece != NULL && part != NULL) {
        status = SendPieces(Irp, piece, part, &Irp->IoStatus.Information);
    }
    if (part != NULL) {
        IoFreeMdl(part);
    }
    if (piece != NULL) {
        IoFreeIrp(piece);
    }
    Irp->IoStatus.Status = status;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return status;
}

static VOID NTAPI SplitUnload(PDRIVER_OBJECT DriverObject)
{
    DbgPrint("split_filter: %lu pieces\n", SplitPieceCount);
    IoDetachDevice(SplitLower);
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    PDEVICE_OBJECT device;
    for (ULONG major = 0; major <= IRP_MJ_MAXIMUM_FUNCTION; major++) {
        DriverObject->MajorFunction[major] = PassOn;
    }
    DriverObject->MajorFunction[IRP_MJ_READ] = SplitReadWrite;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = SplitReadWrite;
    DriverObject->DriverUnload = SplitUnload;
    NTSTATUS status = IoCreateDevice(DriverObject, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = IoAttachDevice(device, &SplitTarget, &SplitLower);
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(device);
        return status;
    }
    device->Flags |= SplitLower->Flags & (DO_DIRECT_IO | DO_BUFFERED_IO); /* or the I/O manager makes no MDL */
    return STATUS_SUCCESS;
}
