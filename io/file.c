/*
 * File objects; file.h states the invariants.
 *
 * Every service that waits does it in IopSendAndWait: what the driver did with the packet, not what it returned, says
 * whether there is something to wait for. Where the two disagree the log names the driver.
 */
#include "io/file.h"

#include "io/device.h"
#include "io/irpdone.h"
#include "io/namespace.h"
#include "io/object.h"
#include "kernel/ke/lock.h"

#define IOP_OPTION_BITS        0x00FFFFFFu /* of Create.Options; the disposition stands above */
#define IOP_DISPOSITION_SHIFT  24
#define IOP_RETRY_100NS        100000 /* 10 ms */
#define IOP_ACCESS_READ        (FILE_READ_DATA | FILE_EXECUTE | GENERIC_READ | GENERIC_ALL)
#define IOP_ACCESS_WRITE       (FILE_WRITE_DATA | FILE_APPEND_DATA | GENERIC_WRITE | GENERIC_ALL)
#define IOP_SYNCHRONOUS_OPTION (FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT)

static void IopReportDisagreement(const DEVICE_OBJECT *Device, const IRP *Irp, NTSTATUS Status)
{
    DbgPrint("%wZ returned 0x%08lX for IRP %p, which it %s\n", &Device->DriverObject->DriverName, (ULONG)Status, Irp,
             Status == STATUS_PENDING ? "completed without marking it pending"
                                      : "marked pending, or has not completed");
}

NTSTATUS IopSendAndWait(DEVICE_OBJECT *Device, IRP *Irp, IO_STATUS_BLOCK *IoStatus)
{
    IRQL_MAX(PASSIVE_LEVEL);
    FILE_OBJECT *file = Irp->Tail.Overlay.OriginalFileObject;
    IOP_WAIT     wait = { .State = IopWaitInDispatch };
    KeInitializeEvent(&wait.Done, NotificationEvent, FALSE);
    IopTailOf(Irp)->Wait = &wait;
    Irp->Flags |= IRP_DEFER_IO_COMPLETION;
    IopQueueIrpToThread(Irp);
    NTSTATUS status = IofCallDriver(Device, Irp);
    bool isDeferred = _InterlockedCompareExchange(&wait.State, IopWaitBlocked, IopWaitInDispatch) == IopWaitDeferred;
    if ((status == STATUS_PENDING) == isDeferred) {
        IopReportDisagreement(Device, Irp, status);
    }
    if (isDeferred) {
        IopFinishIrp(Irp, file);
    } else {
        (void)KeWaitForSingleObject(&wait.Done, Executive, KernelMode, FALSE, NULL);
    }
    *IoStatus = wait.IoStatus;
    return wait.IoStatus.Status;
}

/* A packet to tell the driver of File's cleanup or close, which cannot fail: without memory it waits for some. */
static NTSTATUS IopNotifyDriver(FILE_OBJECT *File, UCHAR MajorFunction)
{
    LARGE_INTEGER   interval = { .QuadPart = -IOP_RETRY_100NS };
    DEVICE_OBJECT  *device = IoGetRelatedDeviceObject(File);
    IO_STATUS_BLOCK ioStatus;
    IRP            *irp;
    while ((irp = IoAllocateIrp(device->StackSize, FALSE)) == NULL) {
        (void)KeDelayExecutionThread(KernelMode, FALSE, &interval);
    }
    IO_STACK_LOCATION *location = IoGetNextIrpStackLocation(irp);
    irp->Tail.Overlay.Thread = PsGetCurrentThread();
    irp->Flags = IRP_SYNCHRONOUS_API | (MajorFunction == IRP_MJ_CLOSE ? IRP_CLOSE_OPERATION : 0);
    location->MajorFunction = MajorFunction;
    location->FileObject = File;
    return IopSendAndWait(device, irp, &ioStatus);
}

/* The last handle is closed. */
static void IopCloseFile(PVOID Object)
{
    FILE_OBJECT *file = Object;
    if ((file->Flags & (FO_FILE_OPEN | FO_CLEANUP_COMPLETE)) == FO_FILE_OPEN) {
        (void)IopNotifyDriver(file, IRP_MJ_CLEANUP);
        file->Flags |= FO_CLEANUP_COMPLETE;
    }
}

static void IopDeleteFile(PVOID Object)
{
    FILE_OBJECT *file = Object;
    if ((file->Flags & FO_FILE_OPEN) != 0) {
        (void)IopNotifyDriver(file, IRP_MJ_CLOSE);
    }
    if (file->DeviceObject != NULL) {
        IopReleaseDevice(file->DeviceObject);
        ObfDereferenceObject(file->DeviceObject);
    }
    if (file->RelatedFileObject != NULL) {
        ObfDereferenceObject(file->RelatedFileObject);
    }
    if (file->FileName.Buffer != NULL) {
        ExFreePool(file->FileName.Buffer);
    }
}

void IopInitializeFiles(void)
{
    ObpFileType.Delete = IopDeleteFile;
    ObpFileType.Close = IopCloseFile;
}

static ULONG IopFileFlags(ULONG CreateOptions)
{
    static const struct {
        ULONG Option;
        ULONG Flag;
    } rows[] = {
        { IOP_SYNCHRONOUS_OPTION, FO_SYNCHRONOUS_IO },
        { FILE_SYNCHRONOUS_IO_ALERT, FO_ALERTABLE_IO },
        { FILE_NO_INTERMEDIATE_BUFFERING, FO_NO_INTERMEDIATE_BUFFERING },
        { FILE_WRITE_THROUGH, FO_WRITE_THROUGH },
        { FILE_SEQUENTIAL_ONLY, FO_SEQUENTIAL_ONLY },
        { FILE_RANDOM_ACCESS, FO_RANDOM_ACCESS },
    };
    ULONG flags = 0;
    for (ULONG index = 0; index < RTL_NUMBER_OF(rows); index++) {
        flags |= (CreateOptions & rows[index].Option) != 0 ? rows[index].Flag : 0;
    }
    return flags;
}

/* The device of another file, and File's name as it stands in Attributes; *Device is referenced. */
static NTSTATUS IopResolveRelative(const OBJECT_ATTRIBUTES *Attributes, FILE_OBJECT *File, DEVICE_OBJECT **Device)
{
    PVOID    root;
    NTSTATUS status = ObReferenceObjectByHandle(Attributes->RootDirectory, 0, &ObpFileType, KernelMode, &root, NULL);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    File->RelatedFileObject = root;
    status = ObpCopyString(Attributes->ObjectName, &File->FileName);
    if (NT_SUCCESS(status)) {
        *Device = File->RelatedFileObject->DeviceObject;
        ObfReferenceObject(*Device);
    }
    return status;
}

/* Find and claim the device that Attributes means; what follows its name goes to File, which holds what is taken. */
static NTSTATUS IopResolveTarget(const OBJECT_ATTRIBUTES *Attributes, FILE_OBJECT *File)
{
    DEVICE_OBJECT *device;
    NTSTATUS       status = Attributes->RootDirectory != NULL
                                ? IopResolveRelative(Attributes, File, &device)
                                : ObpReferenceDevice(Attributes->ObjectName, &device, &File->FileName);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = IopClaimDevice(device);
    if (NT_SUCCESS(status)) {
        File->DeviceObject = device;
    } else {
        ObfDereferenceObject(device);
    }
    return status;
}

/* Ask the driver. */
static NTSTATUS IopSendCreate(FILE_OBJECT *File, const IOP_OPEN *Open, IO_STATUS_BLOCK *IoStatus)
{
    DEVICE_OBJECT *device = IoGetRelatedDeviceObject(File);
    IRP           *irp = IoAllocateIrp(device->StackSize, FALSE);
    if (irp == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ACCESS_STATE        accessState = { .OriginalDesiredAccess = Open->DesiredAccess,
                                        .PreviouslyGrantedAccess = Open->DesiredAccess };
    IO_SECURITY_CONTEXT security = { .AccessState = &accessState,
                                     .DesiredAccess = Open->DesiredAccess,
                                     .FullCreateOptions = Open->CreateOptions };
    IO_STACK_LOCATION  *location = IoGetNextIrpStackLocation(irp);
    irp->Flags = IRP_CREATE_OPERATION | IRP_SYNCHRONOUS_API;
    irp->Tail.Overlay.Thread = PsGetCurrentThread();
    irp->Tail.Overlay.OriginalFileObject = File;
    ObfReferenceObject(File);
    location->MajorFunction = IRP_MJ_CREATE;
    location->FileObject = File;
    location->Parameters.Create.SecurityContext = &security;
    location->Parameters.Create.Options = (Open->CreateOptions & IOP_OPTION_BITS) |
                                          (Open->CreateDisposition << IOP_DISPOSITION_SHIFT);
    location->Parameters.Create.FileAttributes = (USHORT)Open->FileAttributes;
    location->Parameters.Create.ShareAccess = (USHORT)Open->ShareAccess;
    return IopSendAndWait(device, irp, IoStatus);
}

static NTSTATUS IopCheckOpen(const OBJECT_ATTRIBUTES *Attributes, const IOP_OPEN *Open)
{
    ULONG synchronous = Open->CreateOptions & IOP_SYNCHRONOUS_OPTION;
    if (Open->CreateDisposition > FILE_MAXIMUM_DISPOSITION || synchronous == IOP_SYNCHRONOUS_OPTION ||
        (synchronous != 0 && (Open->DesiredAccess & SYNCHRONIZE) == 0)) {
        return STATUS_INVALID_PARAMETER;
    }
    return Attributes == NULL || Attributes->ObjectName == NULL ? STATUS_OBJECT_PATH_SYNTAX_BAD : STATUS_SUCCESS;
}

static void IopFormatFile(FILE_OBJECT *File, const IOP_OPEN *Open)
{
    File->Type = IO_TYPE_FILE;
    File->Size = sizeof(*File);
    File->Flags = IopFileFlags(Open->CreateOptions);
    File->ReadAccess = (Open->DesiredAccess & IOP_ACCESS_READ) != 0;
    File->WriteAccess = (Open->DesiredAccess & IOP_ACCESS_WRITE) != 0;
    File->DeleteAccess = (Open->DesiredAccess & DELETE) != 0;
    File->SharedRead = (Open->ShareAccess & FILE_SHARE_READ) != 0;
    File->SharedWrite = (Open->ShareAccess & FILE_SHARE_WRITE) != 0;
    File->SharedDelete = (Open->ShareAccess & FILE_SHARE_DELETE) != 0;
    InitializeListHead(&File->IrpList);
    KeInitializeEvent(&File->Lock, SynchronizationEvent, TRUE);
    KeInitializeEvent(&File->Event, NotificationEvent, FALSE);
}

NTSTATUS IopOpenFile(const OBJECT_ATTRIBUTES *Attributes, const IOP_OPEN *Open, IO_STATUS_BLOCK *IoStatus,
                     FILE_OBJECT **File)
{
    IRQL_MAX(PASSIVE_LEVEL);
    PVOID    object;
    NTSTATUS status = IopCheckOpen(Attributes, Open);
    if (NT_SUCCESS(status)) {
        status = ObpCreateObject(&ObpFileType, sizeof(FILE_OBJECT), &object);
    }
    if (!NT_SUCCESS(status)) {
        return status;
    }
    FILE_OBJECT *file = object;
    IopFormatFile(file, Open);
    status = IopResolveTarget(Attributes, file);
    if (NT_SUCCESS(status)) {
        status = IopSendCreate(file, Open, IoStatus);
    }
    if (!NT_SUCCESS(status)) {
        ObfDereferenceObject(file);
        return status;
    }
    file->Flags |= FO_FILE_OPEN;
    *File = file;
    return status;
}

PDEVICE_OBJECT NTAPI IoGetRelatedDeviceObject(PFILE_OBJECT FileObject)
{
    return IoGetAttachedDevice(FileObject->DeviceObject);
}

NTSTATUS NTAPI ZwCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                            PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes,
                            ULONG ShareAccess, ULONG CreateDisposition, ULONG CreateOptions, PVOID EaBuffer,
                            ULONG EaLength)
{
    UNREFERENCED_PARAMETER(AllocationSize);
    UNREFERENCED_PARAMETER(EaBuffer);
    UNREFERENCED_PARAMETER(EaLength);
    IOP_OPEN     open = { DesiredAccess, FileAttributes, ShareAccess, CreateDisposition, CreateOptions };
    FILE_OBJECT *file;
    NTSTATUS     status = IopOpenFile(ObjectAttributes, &open, IoStatusBlock, &file);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = ObpCreateHandle(file, DesiredAccess, FileHandle);
    if (NT_SUCCESS(status)) {
        file->Flags |= FO_HANDLE_CREATED;
    } else {
        IopCloseFile(file);
    }
    ObfDereferenceObject(file);
    return status;
}

NTSTATUS NTAPI ZwOpenFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                          PIO_STATUS_BLOCK IoStatusBlock, ULONG ShareAccess, ULONG OpenOptions)
{
    return ZwCreateFile(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, NULL, 0, ShareAccess, FILE_OPEN,
                        OpenOptions, NULL, 0);
}

/* The file object is open without a handle: its cleanup is past. The caller dereferences it, not the device. */
NTSTATUS NTAPI IoGetDeviceObjectPointer(PUNICODE_STRING ObjectName, ACCESS_MASK DesiredAccess, PFILE_OBJECT *FileObject,
                                        PDEVICE_OBJECT *DeviceObject)
{
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK   ioStatus;
    IOP_OPEN          open = { .DesiredAccess = DesiredAccess,
                               .CreateDisposition = FILE_OPEN,
                               .CreateOptions = FILE_NON_DIRECTORY_FILE };
    InitializeObjectAttributes(&attributes, ObjectName, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    NTSTATUS status = IopOpenFile(&attributes, &open, &ioStatus, FileObject);
    if (NT_SUCCESS(status)) {
        IopCloseFile(*FileObject);
        *DeviceObject = IoGetRelatedDeviceObject(*FileObject);
    }
    return status;
}

NTSTATUS NTAPI IoAttachDevice(PDEVICE_OBJECT SourceDevice, PUNICODE_STRING TargetDevice, PDEVICE_OBJECT *AttachedDevice)
{
    FILE_OBJECT   *file;
    DEVICE_OBJECT *target;
    NTSTATUS       status = IoGetDeviceObjectPointer(TargetDevice, FILE_READ_ATTRIBUTES, &file, &target);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = IoAttachDeviceToDeviceStackSafe(SourceDevice, target, AttachedDevice);
    ObfDereferenceObject(file);
    return status;
}
