/*
 * crash_code: writes to code of the kernel. Bug check 0xBE, an attempt to write to read-only memory.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    UNICODE_STRING  name = RTL_CONSTANT_STRING(L"KeBugCheckEx");
    volatile UCHAR *code = MmGetSystemRoutineAddress(&name);
    *code = 0xC3;
    return STATUS_SUCCESS;
}
