/*
 * cancel_queue: a cancel-safe queue. The driver keeps a list and a spin lock and gives the I/O manager six small
 * routines; IoCsq... does what is hard: the race between taking a packet off the list and cancelling it.
 *
 * Reads are queued. A write answers the oldest read that nobody has cancelled. When a handle is closed its cleanup ends
 * the reads that are left: no handle, nobody to wait.
 *
 * DriverEntry shows it on itself with three reads: one is cancelled, one answered, one left to cleanup.
 */
#include <ntifs.h>

#define QUEUE_READS 3

DRIVER_INITIALIZE DriverEntry;

static UNICODE_STRING QueueName = RTL_CONSTANT_STRING(L"\\Device\\CancelQueue");
static IO_CSQ         QueueCsq;
static KSPIN_LOCK     QueueLock;
static LIST_ENTRY     QueueList;

static NTSTATUS Complete(PIRP Irp, NTSTATUS Status)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = 0;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}

static VOID NTAPI QueueInsert(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    InsertTailList(&QueueList, &Irp->Tail.Overlay.ListEntry);
}

static VOID NTAPI QueueRemove(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

/* The packet after Irp, or the first; of the file that PeekContext is, if it is one. */
static PIRP NTAPI QueuePeek(PIO_CSQ Csq, PIRP Irp, PVOID PeekContext)
{
    UNREFERENCED_PARAMETER(Csq);
    PLIST_ENTRY link = Irp == NULL ? QueueList.Flink : Irp->Tail.Overlay.ListEntry.Flink;
    for (; link != &QueueList; link = link->Flink) {
        PIRP next = CONTAINING_RECORD(link, IRP, Tail.Overlay.ListEntry);
        if (PeekContext == NULL || IoGetCurrentIrpStackLocation(next)->FileObject == PeekContext) {
            return next;
        }
    }
    return NULL;
}

static VOID NTAPI QueueAcquire(PIO_CSQ Csq, PKIRQL Irql)
{
    UNREFERENCED_PARAMETER(Csq);
    KeAcquireSpinLock(&QueueLock, Irql);
}

static VOID NTAPI QueueRelease(PIO_CSQ Csq, KIRQL Irql)
{
    UNREFERENCED_PARAMETER(Csq);
    KeReleaseSpinLock(&QueueLock, Irql);
}

static VOID NTAPI QueueCancelled(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    Complete(Irp, STATUS_CANCELLED);
}

/* The queue marks the packet pending; after that it may be gone, so nothing of it is read. */
static NTSTATUS NTAPI QueueRead(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    IoCsqInsertIrp(&QueueCsq, Irp, NULL);
    return STATUS_PENDING;
}

static NTSTATUS NTAPI QueueWrite(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    PIRP read = IoCsqRemoveNextIrp(&QueueCsq, NULL);
    if (read == NULL) {
        return Complete(Irp, STATUS_NO_MORE_ENTRIES);
    }
    Complete(read, STATUS_SUCCESS);
    return Complete(Irp, STATUS_SUCCESS);
}

static NTSTATUS NTAPI QueueCleanup(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    PIRP read;
    while ((read = IoCsqRemoveNextIrp(&QueueCsq, IoGetCurrentIrpStackLocation(Irp)->FileObject)) != NULL) {
        Complete(read, STATUS_CANCELLED);
    }
    return Complete(Irp, STATUS_SUCCESS);
}

static NTSTATUS NTAPI QueueOpenClose(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    return Complete(Irp, STATUS_SUCCESS);
}

static VOID NTAPI QueueUnload(PDRIVER_OBJECT DriverObject)
{
    IoDeleteDevice(DriverObject->DeviceObject);
}

/* Send the reads through File, asynchronously; cancel the first, answer the second. */
static NTSTATUS UseQueue(HANDLE File, IO_STATUS_BLOCK *Blocks)
{
    static UCHAR    data;
    LARGE_INTEGER   offset = { .QuadPart = 0 };
    IO_STATUS_BLOCK block;
    for (ULONG i = 0; i < QUEUE_READS; i++) {
        NTSTATUS status = ZwReadFile(File, NULL, NULL, NULL, &Blocks[i], &data, 1, &offset, NULL);
        if (status != STATUS_PENDING) {
            return STATUS_UNSUCCESSFUL;
        }
    }
    IoCancelIrp(CONTAINING_RECORD(QueueList.Flink, IRP, Tail.Overlay.ListEntry));
    return ZwWriteFile(File, NULL, NULL, NULL, &block, &data, 1, &offset, NULL);
}

static NTSTATUS ShowQueue(VOID)
{
    static IO_STATUS_BLOCK blocks[QUEUE_READS];
    OBJECT_ATTRIBUTES      attributes;
    IO_STATUS_BLOCK        block;
    HANDLE                 file;
    InitializeObjectAttributes(&attributes, &QueueName, OBJ_KERNEL_HANDLE, NULL, NULL);
    NTSTATUS status = ZwOpenFile(&file, GENERIC_READ | GENERIC_WRITE, &attributes, &block, 0, 0);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = UseQueue(file, blocks);
    ZwClose(file); /* cleanup: the third read */
    for (ULONG i = 0; i < QUEUE_READS; i++) {
        DbgPrint("cancel_queue: read %lu ended with 0x%08lX\n", i + 1, (ULONG)blocks[i].Status);
    }
    return status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    PDEVICE_OBJECT device;
    NTSTATUS       status = IoCreateDevice(DriverObject, 0, &QueueName, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    InitializeListHead(&QueueList);
    KeInitializeSpinLock(&QueueLock);
    IoCsqInitialize(&QueueCsq, QueueInsert, QueueRemove, QueuePeek, QueueAcquire, QueueRelease, QueueCancelled);
    DriverObject->MajorFunction[IRP_MJ_CREATE] = QueueOpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLOSE] = QueueOpenClose;
    DriverObject->MajorFunction[IRP_MJ_CLEANUP] = QueueCleanup;
    DriverObject->MajorFunction[IRP_MJ_READ] = QueueRead;
    DriverObject->MajorFunction[IRP_MJ_WRITE] = QueueWrite;
    DriverObject->DriverUnload = QueueUnload;
    device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING; /* it is opened before DriverEntry returns */
    status = ShowQueue();
    if (!NT_SUCCESS(status)) {
        IoDeleteDevice(device);
    }
    return status;
}
