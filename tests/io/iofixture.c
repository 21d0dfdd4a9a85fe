/*
 * Drivers and devices for tests; iofixture.h states the contract.
 */
#include "tests/io/iofixture.h"

#include "io/device.h"
#include "io/irp.h"
#include "io/object.h"
#include "tests/lib/ktest.h"

DRIVER_OBJECT *KtCreateDriver(PDRIVER_DISPATCH Dispatch)
{
    DRIVER_OBJECT *driver = NULL;
    KT_EXPECT_STATUS(ObpCreateObject(&ObpDriverType, sizeof(*driver), (PVOID *)&driver), STATUS_SUCCESS);
    for (ULONG major = 0; driver != NULL && major <= IRP_MJ_MAXIMUM_FUNCTION; major++) {
        driver->MajorFunction[major] = Dispatch != NULL ? Dispatch : IopInvalidDeviceRequest;
    }
    return driver;
}

DEVICE_OBJECT *KtCreateDevice(DRIVER_OBJECT *Driver, PCWSTR Name, ULONG Flags)
{
    DEVICE_OBJECT *device = NULL;
    UNICODE_STRING name;
    RtlInitUnicodeString(&name, Name);
    KT_EXPECT_STATUS(IoCreateDevice(Driver, 0, Name != NULL ? &name : NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device),
                     STATUS_SUCCESS);
    if (device != NULL) {
        device->Flags |= Flags;
        device->Flags &= ~(ULONG)DO_DEVICE_INITIALIZING;
    }
    return device;
}

void KtDeleteDriver(DRIVER_OBJECT *Driver)
{
    while (Driver->DeviceObject != NULL) {
        IoDeleteDevice(Driver->DeviceObject);
    }
    ObDereferenceObject(Driver);
}

NTSTATUS KtComplete(IRP *Irp, NTSTATUS Status, ULONG_PTR Information)
{
    Irp->IoStatus.Status = Status;
    Irp->IoStatus.Information = Information;
    IoCompleteRequest(Irp, IO_NO_INCREMENT);
    return Status;
}
