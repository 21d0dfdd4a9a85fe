/*
 * crash_raise: raises a status that nobody handles. Bug check 0x7E, first parameter that status.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    ExRaiseStatus(STATUS_DEVICE_DATA_ERROR);
}
