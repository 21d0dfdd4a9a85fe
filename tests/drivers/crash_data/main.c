/*
 * crash_data: jumps into its data. Bug check 0xFC, an attempt to execute no-execute memory.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

static UCHAR Code[] = { 0xC3 }; /* ret */

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    VOID (*routine)(VOID) = (VOID(*)(VOID))(ULONG_PTR)Code;
    routine();
    return STATUS_SUCCESS;
}
