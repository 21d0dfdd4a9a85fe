/*
 * missing_import: calls two routines of the driver kit that this kernel does not have. Both are named, and it is not
 * loaded.
 */
#include <ntddk.h>

DRIVER_INITIALIZE DriverEntry;

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    IoRegisterBootDriverReinitialization(DriverObject, NULL, NULL);
    IoRaiseInformationalHardError(STATUS_UNSUCCESSFUL, RegistryPath, NULL);
    return STATUS_SUCCESS;
}
