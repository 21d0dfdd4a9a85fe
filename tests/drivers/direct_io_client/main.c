/*
 * direct_io_client: drives direct_io.sys, which is loaded before it, by the system services from kernel mode: open,
 * write, read, the four control methods, close. Its DriverEntry fails with the status of the first step that does not
 * do what it should.
 */
#include <ntifs.h>

#define CLIENT_BYTES 5000 /* two pages, neither of them whole */
#define CLIENT_TAG   'ilCD'

#define IOCTL_DIRECT(Method) CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + (Method), Method, FILE_ANY_ACCESS)

DRIVER_INITIALIZE DriverEntry;

static UNICODE_STRING ClientTarget = RTL_CONSTANT_STRING(L"\\Device\\DirectIo");

static VOID NTAPI ClientUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

static NTSTATUS Check(const char *Step, NTSTATUS Status, BOOLEAN IsRight)
{
    if (NT_SUCCESS(Status) && !IsRight) {
        Status = STATUS_DATA_ERROR;
    }
    DbgPrint("direct_io_client: %s 0x%08lX\n", Step, (ULONG)Status);
    return Status;
}

static void Fill(UCHAR *Buffer)
{
    for (ULONG i = 0; i < CLIENT_BYTES; i++) {
        Buffer[i] = (UCHAR)(i * 7);
    }
}

static BOOLEAN IsInverse(const UCHAR *Input, const UCHAR *Output)
{
    for (ULONG i = 0; i < CLIENT_BYTES; i++) {
        if (Output[i] != (UCHAR)~Input[i]) {
            return FALSE;
        }
    }
    return TRUE;
}

static NTSTATUS WriteAndRead(HANDLE File, UCHAR *Input, UCHAR *Output)
{
    IO_STATUS_BLOCK block = { .Information = 0 };
    LARGE_INTEGER   offset = { .QuadPart = 100 };
    Fill(Input);
    RtlZeroMemory(Output, CLIENT_BYTES);
    NTSTATUS status = ZwWriteFile(File, NULL, NULL, NULL, &block, Input, CLIENT_BYTES, &offset, NULL);
    status = Check("write", status, block.Information == CLIENT_BYTES);
    if (NT_SUCCESS(status)) {
        status = ZwReadFile(File, NULL, NULL, NULL, &block, Output, CLIENT_BYTES, &offset, NULL);
        status = Check("read", status, RtlCompareMemory(Input, Output, CLIENT_BYTES) == CLIENT_BYTES);
    }
    return status;
}

static NTSTATUS Control(HANDLE File, UCHAR *Input, UCHAR *Output, ULONG Method)
{
    static const char *const names[] = { "buffered", "in direct", "out direct", "neither" };
    IO_STATUS_BLOCK          block = { .Information = 0 };
    ULONG_PTR                sum = 0;
    Fill(Input);
    Fill(Output);
    for (ULONG i = 0; i < CLIENT_BYTES; i++) {
        sum += Output[i];
    }
    NTSTATUS status = ZwDeviceIoControlFile(File, NULL, NULL, NULL, &block, IOCTL_DIRECT(Method), Input, CLIENT_BYTES,
                                            Output, CLIENT_BYTES);
    BOOLEAN  isRight = Method == METHOD_IN_DIRECT ? block.Information == sum
                                                  : block.Information == CLIENT_BYTES && IsInverse(Input, Output);
    return Check(names[Method], status, isRight);
}

static NTSTATUS UseFile(HANDLE File, UCHAR *Buffers)
{
    UCHAR   *output = Buffers + CLIENT_BYTES;
    NTSTATUS status = WriteAndRead(File, Buffers, output);
    for (ULONG method = METHOD_BUFFERED; NT_SUCCESS(status) && method <= METHOD_NEITHER; method++) {
        status = Control(File, Buffers, output, method);
    }
    return status;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    OBJECT_ATTRIBUTES attributes;
    IO_STATUS_BLOCK   block;
    HANDLE            file;
    DriverObject->DriverUnload = ClientUnload;
    InitializeObjectAttributes(&attributes, &ClientTarget, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    NTSTATUS status = ZwCreateFile(&file, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, &block, NULL, 0, 0,
                                   FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    if (!NT_SUCCESS(status)) {
        return Check("open", status, TRUE);
    }
    UCHAR *buffers = ExAllocatePoolWithTag(NonPagedPoolNx, 2 * CLIENT_BYTES, CLIENT_TAG);
    status = buffers == NULL ? STATUS_INSUFFICIENT_RESOURCES : UseFile(file, buffers);
    if (buffers != NULL) {
        ExFreePoolWithTag(buffers, CLIENT_TAG);
    }
    ZwClose(file);
    return status;
}
