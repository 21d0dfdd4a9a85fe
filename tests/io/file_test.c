/*
 * Files: opening devices, the requests that go through handles, cleanup and close.
 */
#include "io/file.h"

#include "io/object.h"
#include "io/psthread.h"
#include "tests/io/iofixture.h"
#include "tests/lib/ktest.h"

#define KT_BYTES  16u
#define KT_MAJORS 8u

#define KT_CODE CTL_CODE(FILE_DEVICE_UNKNOWN, 0x801, METHOD_BUFFERED, FILE_ANY_ACCESS)

/* A named device and what its driver was asked. */
typedef struct _KT_FILES {
    DRIVER_OBJECT *Driver;
    DEVICE_OBJECT *Device;
    ULONG          MajorCount;
    UCHAR          Majors[KT_MAJORS];
    FILE_OBJECT   *File;
    ULONG          Options;
    USHORT         Share;
    ACCESS_MASK    Access;
    WCHAR          Name[KT_BYTES];
    LONGLONG       Offset;
    ULONG          Length;
    NTSTATUS       CreateStatus;
    bool           Pend;   /* reads wait for a worker to complete them */
    bool           Forget; /* a pending read is not marked so */
    IRP           *Pended;
    KEVENT         Arrived;
} KT_FILES;

static KT_FILES KtFiles;

static void KtRecordCreate(const IO_STACK_LOCATION *Location)
{
    KtFiles.File = Location->FileObject;
    KtFiles.Options = Location->Parameters.Create.Options;
    KtFiles.Share = Location->Parameters.Create.ShareAccess;
    KtFiles.Access = Location->Parameters.Create.SecurityContext->DesiredAccess;
    RtlZeroMemory(KtFiles.Name, sizeof(KtFiles.Name));
    RtlCopyMemory(KtFiles.Name, Location->FileObject->FileName.Buffer, Location->FileObject->FileName.Length);
}

static NTSTATUS KtReadOrWrite(IRP *Irp)
{
    const IO_STACK_LOCATION *location = IoGetCurrentIrpStackLocation(Irp);
    KtFiles.Offset = location->Parameters.Read.ByteOffset.QuadPart;
    KtFiles.Length = location->Parameters.Read.Length;
    if (location->MajorFunction == IRP_MJ_READ && KtFiles.Pend) {
        if (!KtFiles.Forget) {
            IoMarkIrpPending(Irp);
        }
        KtFiles.Pended = Irp;
        KeSetEvent(&KtFiles.Arrived, IO_NO_INCREMENT, FALSE);
        return STATUS_PENDING;
    }
    if (location->MajorFunction == IRP_MJ_READ) {
        RtlFillMemory(Irp->AssociatedIrp.SystemBuffer, KtFiles.Length, 0x77);
    }
    return KtComplete(Irp, STATUS_SUCCESS, KtFiles.Length);
}

static NTSTATUS NTAPI KtFilesDispatch(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    const IO_STACK_LOCATION *location = IoGetCurrentIrpStackLocation(Irp);
    if (KtFiles.MajorCount < KT_MAJORS) {
        KtFiles.Majors[KtFiles.MajorCount++] = location->MajorFunction;
    }
    switch (location->MajorFunction) {
    case IRP_MJ_CREATE:
        KtRecordCreate(location);
        return KtComplete(Irp, KtFiles.CreateStatus, FILE_OPENED);
    case IRP_MJ_READ:
    case IRP_MJ_WRITE:
        return KtReadOrWrite(Irp);
    default:
        return KtComplete(Irp, STATUS_SUCCESS, 0);
    }
}

static void KtMakeFiles(void)
{
    RtlZeroMemory(&KtFiles, sizeof(KtFiles));
    KeInitializeEvent(&KtFiles.Arrived, SynchronizationEvent, FALSE);
    KtFiles.Driver = KtCreateDriver(KtFilesDispatch);
    KtFiles.Device = KtCreateDevice(KtFiles.Driver, L"\\Device\\KtFile", DO_BUFFERED_IO);
}

static NTSTATUS KtOpen(PCWSTR Path, HANDLE Root, ULONG Options, HANDLE *Handle)
{
    UNICODE_STRING    name;
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK   block;
    RtlInitUnicodeString(&name, Path);
    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, Root, NULL);
    NTSTATUS status = ZwCreateFile(Handle, GENERIC_READ | SYNCHRONIZE, &attributes, &block, NULL, 0, FILE_SHARE_READ,
                                   FILE_OPEN, Options, NULL, 0);
    if (NT_SUCCESS(status)) {
        KT_EXPECT_EQ(block.Information, FILE_OPENED);
    }
    return status;
}

static void KtExpectMajors(const UCHAR *Majors, ULONG Count)
{
    KT_EXPECT_EQ(KtFiles.MajorCount, Count);
    KT_EXPECT_MEMEQ(KtFiles.Majors, Majors, Count);
}

KTEST(io_file, open_and_close_send_create_cleanup_close)
{
    static const UCHAR majors[] = { IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE };
    HANDLE             handle;
    KtMakeFiles();
    KT_ASSERT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, FILE_SYNCHRONOUS_IO_NONALERT, &handle), STATUS_SUCCESS);
    KT_EXPECT_EQ(KtFiles.Options, FILE_SYNCHRONOUS_IO_NONALERT | (FILE_OPEN << 24));
    KT_EXPECT_EQ(KtFiles.Share, FILE_SHARE_READ);
    KT_EXPECT_EQ(KtFiles.Access, GENERIC_READ | SYNCHRONIZE);
    KT_EXPECT_EQ(KtFiles.File->Flags & FO_SYNCHRONOUS_IO, FO_SYNCHRONOUS_IO);
    KT_EXPECT_EQ((ULONG_PTR)KtFiles.File->DeviceObject, (ULONG_PTR)KtFiles.Device);
    KT_EXPECT_EQ(KtFiles.Device->ReferenceCount, 1);
    KT_EXPECT_STATUS(ZwClose(handle), STATUS_SUCCESS);
    KtExpectMajors(majors, RTL_NUMBER_OF(majors));
    KT_EXPECT_EQ(KtFiles.Device->ReferenceCount, 0);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, close_waits_for_the_last_reference)
{
    HANDLE handle;
    PVOID  file;
    KtMakeFiles();
    KT_ASSERT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, 0, &handle), STATUS_SUCCESS);
    KT_ASSERT_STATUS(ObReferenceObjectByHandle(handle, 0, *IoFileObjectType, KernelMode, &file, NULL), STATUS_SUCCESS);
    ZwClose(handle);
    KT_EXPECT_EQ(KtFiles.MajorCount, 2); /* create, cleanup */
    ObDereferenceObject(file);
    KT_EXPECT_EQ(KtFiles.MajorCount, 3);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, what_follows_the_device_is_the_files_name)
{
    HANDLE         root;
    HANDLE         relative;
    UNICODE_STRING link = RTL_CONSTANT_STRING(L"\\??\\KtFileLink");
    UNICODE_STRING target = RTL_CONSTANT_STRING(L"\\Device\\KtFile");
    KtMakeFiles();
    KT_ASSERT_STATUS(IoCreateSymbolicLink(&link, &target), STATUS_SUCCESS);
    KT_ASSERT_STATUS(KtOpen(L"\\DosDevices\\KtFileLink\\a\\b", NULL, 0, &root), STATUS_SUCCESS);
    KT_EXPECT_MEMEQ(KtFiles.Name, L"\\a\\b", 10);
    FILE_OBJECT *first = KtFiles.File;
    KT_ASSERT_STATUS(KtOpen(L"c", root, 0, &relative), STATUS_SUCCESS);
    KT_EXPECT_MEMEQ(KtFiles.Name, L"c", 4);
    KT_EXPECT_EQ((ULONG_PTR)KtFiles.File->RelatedFileObject, (ULONG_PTR)first);
    ZwClose(relative);
    ZwClose(root);
    IoDeleteSymbolicLink(&link);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, a_create_that_fails_is_followed_by_nothing)
{
    static const UCHAR majors[] = { IRP_MJ_CREATE };
    HANDLE             handle = NULL;
    KtMakeFiles();
    KtFiles.CreateStatus = STATUS_ACCESS_DENIED;
    KT_EXPECT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, 0, &handle), STATUS_ACCESS_DENIED);
    KtExpectMajors(majors, RTL_NUMBER_OF(majors));
    KT_EXPECT_EQ(KtFiles.Device->ReferenceCount, 0);
    KT_EXPECT_STATUS(KtOpen(L"\\Device\\KtNoFile", NULL, 0, &handle), STATUS_OBJECT_NAME_NOT_FOUND);
    KT_EXPECT_STATUS(KtOpen(L"\\Device", NULL, 0, &handle), STATUS_OBJECT_TYPE_MISMATCH);
    KT_EXPECT_STATUS(
        KtOpen(L"\\Device\\KtFile", NULL, FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT, &handle),
        STATUS_INVALID_PARAMETER);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, exclusive_and_unfinished_devices_refuse)
{
    HANDLE first;
    HANDLE second;
    KtMakeFiles();
    KtFiles.Device->Flags |= DO_DEVICE_INITIALIZING;
    KT_EXPECT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, 0, &first), STATUS_NO_SUCH_DEVICE);
    KtFiles.Device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    KtFiles.Device->Flags |= DO_EXCLUSIVE;
    KT_ASSERT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, 0, &first), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, 0, &second), STATUS_ACCESS_DENIED);
    ZwClose(first);
    KT_ASSERT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, 0, &second), STATUS_SUCCESS);
    ZwClose(second);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, reads_and_writes_carry_offset_and_length)
{
    HANDLE          handle;
    IO_STATUS_BLOCK block = { .Information = 0 };
    UCHAR           data[KT_BYTES] = { 0 };
    LARGE_INTEGER   offset = { .QuadPart = 4096 };
    KtMakeFiles();
    KT_ASSERT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, FILE_SYNCHRONOUS_IO_NONALERT, &handle), STATUS_SUCCESS);
    KT_EXPECT_STATUS(ZwReadFile(handle, NULL, NULL, NULL, &block, data, KT_BYTES, &offset, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(KtFiles.Offset, 4096);
    KT_EXPECT_EQ(KtFiles.Length, KT_BYTES);
    KT_EXPECT_EQ(block.Information, KT_BYTES);
    KT_EXPECT_EQ(data[KT_BYTES - 1], 0x77);
    KtFiles.File->CurrentByteOffset.QuadPart = 99;
    KT_EXPECT_STATUS(ZwWriteFile(handle, NULL, NULL, NULL, &block, data, 3, NULL, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ(KtFiles.Offset, 99);
    KT_EXPECT_EQ(block.Information, 3);
    KT_EXPECT_STATUS(ZwDeviceIoControlFile(handle, NULL, NULL, NULL, &block, KT_CODE, data, 4, data, 8),
                     STATUS_SUCCESS);
    KT_EXPECT_EQ(block.Information, 0);
    ZwClose(handle);
    KT_EXPECT_STATUS(ZwReadFile(handle, NULL, NULL, NULL, &block, data, 1, &offset, NULL), STATUS_INVALID_HANDLE);
    KtDeleteDriver(KtFiles.Driver);
}

static VOID NTAPI KtCompletePended(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&KtFiles.Arrived, Executive, KernelMode, FALSE, NULL);
    RtlFillMemory(KtFiles.Pended->AssociatedIrp.SystemBuffer, KT_BYTES, 0x55);
    KtComplete(KtFiles.Pended, STATUS_SUCCESS, KT_BYTES);
}

/* Read through a handle opened with Options while another thread completes; a synchronous read returns its end. */
static void KtReadPended(ULONG Options, HANDLE Event, IO_STATUS_BLOCK *Block, UCHAR *Data)
{
    HANDLE        handle;
    PETHREAD      thread;
    LARGE_INTEGER offset = { .QuadPart = 0 };
    KT_ASSERT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, Options, &handle), STATUS_SUCCESS);
    KtFiles.Pend = true;
    KT_ASSERT_STATUS(PspStartSystemThread(KtCompletePended, NULL, &thread), STATUS_SUCCESS);
    NTSTATUS status = ZwReadFile(handle, Event, NULL, NULL, Block, Data, KT_BYTES, &offset, NULL);
    KT_EXPECT_STATUS(status, Options != 0 ? STATUS_SUCCESS : STATUS_PENDING);
    KT_EXPECT_STATUS(ZwWaitForSingleObject(Event != NULL ? Event : handle, FALSE, NULL), STATUS_SUCCESS);
    KT_EXPECT_STATUS(Block->Status, STATUS_SUCCESS);
    KT_EXPECT_EQ(Data[0], 0x55);
    KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(thread);
    ZwClose(handle);
}

KTEST(io_file, a_synchronous_read_waits_for_completion)
{
    IO_STATUS_BLOCK block = { .Status = STATUS_PENDING };
    UCHAR           data[KT_BYTES] = { 0 };
    KtMakeFiles();
    KtReadPended(FILE_SYNCHRONOUS_IO_NONALERT, NULL, &block, data);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, an_asynchronous_read_signals_event_or_file)
{
    HANDLE          event;
    IO_STATUS_BLOCK block = { .Status = STATUS_PENDING };
    UCHAR           data[KT_BYTES] = { 0 };
    KtMakeFiles();
    KT_ASSERT_STATUS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, NULL, NotificationEvent, TRUE), STATUS_SUCCESS);
    KtReadPended(0, event, &block, data);
    data[0] = 0;
    block.Status = STATUS_PENDING;
    KtReadPended(0, NULL, &block, data);
    ZwClose(event);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, a_pending_status_without_the_mark_is_survived)
{
    IO_STATUS_BLOCK block = { .Status = STATUS_PENDING };
    UCHAR           data[KT_BYTES] = { 0 };
    KtMakeFiles();
    KtFiles.Forget = true;
    KtReadPended(FILE_SYNCHRONOUS_IO_NONALERT, NULL, &block, data);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, an_asynchronous_file_has_no_position)
{
    HANDLE          handle;
    IO_STATUS_BLOCK block;
    UCHAR           data[KT_BYTES];
    KtMakeFiles();
    KT_ASSERT_STATUS(KtOpen(L"\\Device\\KtFile", NULL, 0, &handle), STATUS_SUCCESS);
    KT_EXPECT_STATUS(ZwReadFile(handle, NULL, NULL, NULL, &block, data, KT_BYTES, NULL, NULL),
                     STATUS_INVALID_PARAMETER);
    ZwClose(handle);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, a_device_pointer_is_the_top_of_the_stack)
{
    static const UCHAR majors[] = { IRP_MJ_CREATE, IRP_MJ_CLEANUP, IRP_MJ_CLOSE };
    UNICODE_STRING     name = RTL_CONSTANT_STRING(L"\\Device\\KtFile");
    FILE_OBJECT       *file;
    DEVICE_OBJECT     *device;
    DEVICE_OBJECT     *lower;
    KtMakeFiles();
    DEVICE_OBJECT *filter = KtCreateDevice(KtFiles.Driver, NULL, 0);
    KT_ASSERT_STATUS(IoAttachDevice(filter, &name, &lower), STATUS_SUCCESS);
    KtExpectMajors(majors, RTL_NUMBER_OF(majors));
    KT_EXPECT_EQ((ULONG_PTR)lower, (ULONG_PTR)KtFiles.Device);
    KT_ASSERT_STATUS(IoGetDeviceObjectPointer(&name, FILE_ALL_ACCESS, &file, &device), STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG_PTR)device, (ULONG_PTR)filter);
    KT_EXPECT_EQ((ULONG_PTR)file->DeviceObject, (ULONG_PTR)KtFiles.Device);
    ObDereferenceObject(file);
    IoDetachDevice(lower);
    KtDeleteDriver(KtFiles.Driver);
}

KTEST(io_file, an_events_name_goes_with_its_last_handle)
{
    HANDLE            event;
    HANDLE            again;
    UNICODE_STRING    name = RTL_CONSTANT_STRING(L"\\BaseNamedObjects\\KtEvent");
    OBJECT_ATTRIBUTES attributes;
    InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE, NULL, NULL);
    KT_ASSERT_STATUS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE), STATUS_SUCCESS);
    KT_EXPECT_STATUS(ZwCreateEvent(&again, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE),
                     STATUS_OBJECT_NAME_COLLISION);
    LONG previous = 5;
    KT_EXPECT_STATUS(ZwSetEvent(event, &previous), STATUS_SUCCESS);
    KT_EXPECT_EQ(previous, 0);
    KT_EXPECT_STATUS(ZwWaitForSingleObject(event, FALSE, NULL), STATUS_SUCCESS);
    ZwClose(event);
    KT_ASSERT_STATUS(ZwCreateEvent(&again, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE), STATUS_SUCCESS);
    ZwClose(again);
}
