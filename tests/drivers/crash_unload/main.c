/*
 * crash_unload: DriverUnload reads a null pointer. Bug check 0x7E, and DriverUnload is named on the stack.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

__attribute__((noinline)) static ULONG ReadThrough(const volatile ULONG *Address)
{
    return *Address;
}

static VOID NTAPI CrashUnload(PDRIVER_OBJECT DriverObject)
{
    DbgPrint("crash_unload: %lu %p\n", ReadThrough(NULL), DriverObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = CrashUnload;
    return STATUS_SUCCESS;
}
