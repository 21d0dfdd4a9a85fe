/*
 * entry_fails: DriverEntry fails and leaves a pool block behind.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(DriverObject);
    UNREFERENCED_PARAMETER(RegistryPath);
    PVOID block = ExAllocatePoolWithTag(NonPagedPoolNx, 48, 'liaF');
    DbgPrint("entry_fails: keeps %p\n", block);
    return STATUS_UNSUCCESSFUL;
}
