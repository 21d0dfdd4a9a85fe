/*
 * leak_mapping: leaves the mapping of an MDL from MmAllocatePagesForMdl behind, and the pages under it. A second MDL is
 * given back whole: MmFreePagesFromMdl takes its mapping along.
 */
#include <wdm.h>

#define PAGES_BYTES 0x2000

DRIVER_INITIALIZE DriverEntry;

static VOID NTAPI LeakUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

static PMDL MapPages(PVOID *Address)
{
    PHYSICAL_ADDRESS low = { .QuadPart = 0 };
    PHYSICAL_ADDRESS high = { .QuadPart = -1 };
    PMDL             mdl = MmAllocatePagesForMdlEx(low, high, low, PAGES_BYTES, MmCached, MM_ALLOCATE_FULLY_REQUIRED);
    if (mdl != NULL) {
        *Address = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
    }
    return mdl;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = LeakUnload;
    PVOID kept = NULL;
    PVOID freed = NULL;
    PMDL  keptMdl = MapPages(&kept);
    PMDL  freedMdl = MapPages(&freed);
    if (kept == NULL || freed == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlFillMemory(kept, PAGES_BYTES, 0x5A);
    RtlFillMemory(freed, PAGES_BYTES, 0xA5);
    DbgPrint("leak_mapping: MDL %p stays mapped at %p\n", keptMdl, kept);
    MmFreePagesFromMdl(freedMdl);
    ExFreePool(freedMdl);
    return STATUS_SUCCESS;
}
