/*
 * crash_null: writes through a null pointer at PASSIVE_LEVEL. Bug check 0x7E, STATUS_ACCESS_VIOLATION.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

__attribute__((noinline)) static VOID WriteThrough(volatile ULONG *Address)
{
    *Address = 1;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    WriteThrough(NULL);
    return STATUS_SUCCESS;
}
