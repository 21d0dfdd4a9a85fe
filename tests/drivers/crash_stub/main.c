/*
 * crash_stub: imports a routine that the kernel knows by name and does not carry out. It loads, and stops at the call.
 */
#include <ntifs.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    FsRtlIncrementCcFastReadNoWait();
    return STATUS_SUCCESS;
}
