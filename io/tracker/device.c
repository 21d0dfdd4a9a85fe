/*
 * Tracked entries of devices and symbolic links. A link is known by its object, which its name alone keeps alive.
 */
#include "io/device.h"

#include "io/tracker/entries.h"

NTSTATUS NTAPI VfTrackIoCreateDevice(PDRIVER_OBJECT DriverObject, ULONG DeviceExtensionSize, PUNICODE_STRING DeviceName,
                                     DEVICE_TYPE DeviceType, ULONG DeviceCharacteristics, BOOLEAN Exclusive,
                                     PDEVICE_OBJECT *DeviceObject)
{
    NTSTATUS status = IoCreateDevice(DriverObject, DeviceExtensionSize, DeviceName, DeviceType, DeviceCharacteristics,
                                     Exclusive, DeviceObject);
    if (NT_SUCCESS(status)) {
        VfRecord(&(VF_RESOURCE){ .Kind = VfDevice, .Address = *DeviceObject, .ByteCount = (*DeviceObject)->Size },
                 VF_CALLER());
    }
    return status;
}

VOID NTAPI VfTrackIoDeleteDevice(PDEVICE_OBJECT DeviceObject)
{
    VfForget(VfDevice, DeviceObject);
    IoDeleteDevice(DeviceObject);
}

static NTSTATUS VfCreateSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName, const void *Caller)
{
    NTSTATUS status = IoCreateSymbolicLink(SymbolicLinkName, DeviceName);
    PVOID    link = NT_SUCCESS(status) ? IopReferenceSymbolicLink(SymbolicLinkName) : NULL;
    if (link != NULL) {
        SIZE_T byteCount = (SIZE_T)SymbolicLinkName->Length + DeviceName->Length;
        VfRecord(&(VF_RESOURCE){ .Kind = VfSymbolicLink, .Address = link, .ByteCount = byteCount }, Caller);
        ObfDereferenceObject(link);
    }
    return status;
}

NTSTATUS NTAPI VfTrackIoCreateSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName)
{
    return VfCreateSymbolicLink(SymbolicLinkName, DeviceName, VF_CALLER());
}

NTSTATUS NTAPI VfTrackIoCreateUnprotectedSymbolicLink(PUNICODE_STRING SymbolicLinkName, PUNICODE_STRING DeviceName)
{
    return VfCreateSymbolicLink(SymbolicLinkName, DeviceName, VF_CALLER());
}

NTSTATUS NTAPI VfTrackIoDeleteSymbolicLink(PUNICODE_STRING SymbolicLinkName)
{
    PVOID link = IopReferenceSymbolicLink(SymbolicLinkName);
    if (link != NULL) {
        VfForget(VfSymbolicLink, link);
        ObfDereferenceObject(link);
    }
    return IoDeleteSymbolicLink(SymbolicLinkName);
}
