/*
 * direct_io: a device that takes its data in each of the four ways, so that a driver's author sees what arrives where.
 *
 *     METHOD_BUFFERED    one copy in AssociatedIrp.SystemBuffer serves as input and output
 *     METHOD_IN_DIRECT   the input copied there; the caller's other buffer locked for reading, in Irp->MdlAddress
 *     METHOD_OUT_DIRECT  the same, locked for writing
 *     METHOD_NEITHER     the caller's own addresses: Type3InputBuffer and Irp->UserBuffer
 *
 * Every control inverts its input into its output, but METHOD_IN_DIRECT, whose buffer carries data to the device: it
 * answers with the sum of the bytes, which comes back as the status block's Information.
 *
 * Reads and writes are direct (DO_DIRECT_IO): the I/O manager has allocated the MDL, locked its pages and chained it to
 * the packet. The driver asks for a system address and lets the completion unlock and free it: it must do neither.
 */
#include <ntddk.h>

#define DIRECT_BYTES 8192 /* that the device remembers */

#define IOCTL_BUFFERED   CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define IOCTL_IN_DIRECT  CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_IN_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_OUT_DIRECT CTL_CODE(FILE_DEVICE_UNKNOWN, 0x802, METHOD_OUT_DIRECT, FILE_ANY_ACCESS)
#define IOCTL_NEITHER    CTL_CODE(FILE_DEVICE_UNKNOWN, 0x803, METHOD_NEITHER, FILE_ANY_ACCESS)

DRIVER_INITIALIZE DriverEntry;

static UNICODE_STRING DirectName = RTL_CONSTANT_STRING(L"\\Device\\DirectIo");

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static void Invert(UCHAR *To, const UCHAR *From, ULONG ByteCount)
{
    for (ULONG i = 0; i < ByteCount; i++) {
        To[i] = (UCHAR)~From[i];
    }
}

/* The system address of what the MDL describes, which the driver only reads or only writes. */
static UCHAR *MapMdl(PIRP Irp)
{
    return MmGetSystemAddressForMdlSafe(Irp->MdlAddress, NormalPagePriority);
}

static NTSTATUS NTAPI DirectOpenClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS, 0);
}

/* The device's memory is its extension; what lies beyond is its end. */
static NTSTATUS NTAPI DirectReadWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(Irp);
    ULONGLONG          offset = (ULONGLONG)location->Parameters.Read.ByteOffset.QuadPart;
    ULONG              byteCount = location->Parameters.Read.Length;
    if (byteCount == 0) {
        return Complete(Irp, STATUS_SUCCESS, 0); /* no MDL is made for nothing */
    }
    if (offset >= DIRECT_BYTES) {
        return Complete(Irp, STATUS_END_OF_FILE, 0);
    }
    byteCount = (ULONG)min(byteCount, DIRECT_BYTES - offset);
    UCHAR *device = (UCHAR *)DeviceObject->DeviceExtension + offset;
    UCHAR *buffer = MapMdl(Irp);
    if (buffer == NULL) {
        return Complete(Irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    }
    if (location->MajorFunction == IRP_MJ_READ) {
        RtlCopyMemory(buffer, device, byteCount);
    } else {
        RtlCopyMemory(device, buffer, byteCount);
    }
    return Complete(Irp, STATUS_SUCCESS, byteCount);
}

static NTSTATUS InDirect(PIRP Irp, ULONG ByteCount)
{
    const UCHAR *data = Irp->MdlAddress != NULL ? MapMdl(Irp) : NULL;
    ULONG_PTR    sum = 0;
    if (data == NULL) {
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    for (ULONG i = 0; i < ByteCount; i++) {
        sum += data[i];
    }
    return Complete(Irp, STATUS_SUCCESS, sum);
}

static NTSTATUS NTAPI DirectControl(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    PIO_STACK_LOCATION location = IoGetCurrentIrpStackLocation(Irp);
    ULONG              outputBytes = location->Parameters.DeviceIoControl.OutputBufferLength;
    ULONG              byteCount = min(location->Parameters.DeviceIoControl.InputBufferLength, outputBytes);
    const UCHAR       *input = Irp->AssociatedIrp.SystemBuffer;
    UCHAR             *output = NULL;
    switch (location->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_IN_DIRECT:
        return InDirect(Irp, outputBytes);
    case IOCTL_BUFFERED:
        output = Irp->AssociatedIrp.SystemBuffer;
        break;
    case IOCTL_OUT_DIRECT:
        output = Irp->MdlAddress != NULL ? MapMdl(Irp) : NULL;
        break;
    case IOCTL_NEITHER: /* from kernel mode: a user's addresses would be probed and touched under __try */
        input = location->Parameters.DeviceIoControl.Type3InputBuffer;
        output = Irp->UserBuffer;
        break;
    default:
        return Complete(Irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    if (byteCount == 0 || input == NULL || output == NULL) {
        return Complete(Irp, STATUS_INVALID_PARAMETER, 0);
    }
    Invert(output, input, byteCount);
    return Complete(Irp, STATUS_SUCCESS, byteCount);
}

static VOID NTAPI DirectUnload(PDRIVER_OBJECT DriverObject)
{
    IoDeleteDevice(DriverObject->DeviceObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    PDEVICE_OBJECT device;
    NTSTATUS status = IoCreateDevice(DriverObject, DIRECT_BYTES, &DirectName, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    device->Flags |= DO_DIRECT_IO;
    DriverObject->MajorFunction[IRP_MJ_CREATE] = DirectOpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = DirectOpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = DirectOpenClose;
    DriverObject->MajorFunction[IRP_MJ_READ] = DirectReadWrite;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = DirectReadWrite;
    DriverObject->MajorFunction[IRP_MJ_DEVICE_CONTROL] = DirectControl;
    DriverObject->DriverUnload = DirectUnload;
    return STATUS_SUCCESS;
}
