/*
 * leak_pool: leaves a pool block behind, and frees another, which must not be reported.
 */
#include <wdm.h>

#define KEPT_TAG  'tpeK'
#define FREED_TAG 'eerF'

DRIVER_INITIALIZE DriverEntry;

static VOID NTAPI LeakUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = LeakUnload;
    PVOID freed = ExAllocatePoolWithTag(NonPagedPoolNx, 64, FREED_TAG);
    PVOID kept = ExAllocatePoolWithTag(NonPagedPoolNx, 200, KEPT_TAG);
    if (freed == NULL || kept == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    ExFreePoolWithTag(freed, FREED_TAG);
    return STATUS_SUCCESS;
}
