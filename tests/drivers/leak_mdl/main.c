/*
 * leak_mdl: leaves a locked MDL behind: its pages, its lock and the MDL itself are never given back.
 */
#include <wdm.h>

#define BUFFER_BYTES 0x3000
#define BUFFER_TAG   'ffuB'

DRIVER_INITIALIZE DriverEntry;

static VOID NTAPI LeakUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

/* Compilers of the mingw kind guard calls alone by __try, so the buffer is locked by a call: MmProbeAndLockPages. */
static NTSTATUS LockBuffer(PMDL Mdl)
{
    __try {
        MmProbeAndLockPages(Mdl, KernelMode, IoWriteAccess);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return STATUS_ACCESS_VIOLATION;
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = LeakUnload;
    PVOID buffer = ExAllocatePoolWithTag(PagedPool, BUFFER_BYTES, BUFFER_TAG);
    if (buffer == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    PMDL mdl = IoAllocateMdl(buffer, BUFFER_BYTES, FALSE, FALSE, NULL);
    if (mdl == NULL) {
        ExFreePoolWithTag(buffer, BUFFER_TAG);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    return LockBuffer(mdl);
}
