/*
 * Devices: layout, names, stacks.
 */
#include "io/device.h"

#include "io/object.h"
#include "tests/lib/ktest.h"

#define DT_EXTENSION_BYTES 40u

/* A driver object that no image stands behind. */
static DRIVER_OBJECT *DtCreateDriver(void)
{
    DRIVER_OBJECT *driver = NULL;
    KT_EXPECT_STATUS(ObpCreateObject(&ObpDriverType, sizeof(*driver), (PVOID *)&driver), STATUS_SUCCESS);
    return driver;
}

static DEVICE_OBJECT *DtCreateDevice(DRIVER_OBJECT *Driver)
{
    DEVICE_OBJECT *device = NULL;
    KT_EXPECT_STATUS(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &device), STATUS_SUCCESS);
    return device;
}

KTEST(io_device, a_new_device_is_as_documented)
{
    DRIVER_OBJECT *driver = DtCreateDriver();
    UNICODE_STRING name = RTL_CONSTANT_STRING(L"\\Device\\KtDevice");
    DEVICE_OBJECT *device;
    DEVICE_OBJECT *second;
    KT_ASSERT_NOT_NULL(driver);
    KT_ASSERT_STATUS(
        IoCreateDevice(driver, DT_EXTENSION_BYTES, &name, FILE_DEVICE_DISK, FILE_DEVICE_SECURE_OPEN, TRUE, &device),
        STATUS_SUCCESS);
    KT_EXPECT_EQ(device->Type, 3);
    KT_EXPECT_EQ(device->Size, sizeof(DEVICE_OBJECT) + DT_EXTENSION_BYTES);
    KT_EXPECT_EQ(device->Flags, DO_DEVICE_INITIALIZING | DO_DEVICE_HAS_NAME | DO_EXCLUSIVE);
    KT_EXPECT_EQ(device->Characteristics, FILE_DEVICE_SECURE_OPEN);
    KT_EXPECT_EQ(device->StackSize, 1);
    KT_EXPECT_EQ(device->SectorSize, 512);
    KT_EXPECT_EQ((ULONG_PTR)device->DriverObject, (ULONG_PTR)driver);
    KT_EXPECT_EQ((ULONG_PTR)driver->DeviceObject, (ULONG_PTR)device);
    KT_EXPECT_EQ((ULONG_PTR)device->DeviceExtension % MEMORY_ALLOCATION_ALIGNMENT, 0);
    KT_EXPECT_GE((ULONG_PTR)device->DeviceExtension, (ULONG_PTR)(device + 1));
    KT_EXPECT_STATUS(IoCreateDevice(driver, 0, &name, FILE_DEVICE_DISK, 0, FALSE, &second),
                     STATUS_OBJECT_NAME_COLLISION);
    KT_EXPECT_NULL(second);
    IopFinishDeviceInitialization(driver);
    KT_EXPECT_EQ(device->Flags & DO_DEVICE_INITIALIZING, 0);
    IoDeleteDevice(device);
    KT_EXPECT_NULL(driver->DeviceObject);
    ObDereferenceObject(driver);
}

KTEST(io_device, deletion_takes_the_right_one_out_of_the_list)
{
    DRIVER_OBJECT *driver = DtCreateDriver();
    KT_ASSERT_NOT_NULL(driver);
    DEVICE_OBJECT *first = DtCreateDevice(driver);
    DEVICE_OBJECT *second = DtCreateDevice(driver);
    DEVICE_OBJECT *third = DtCreateDevice(driver);
    IoDeleteDevice(second);
    KT_EXPECT_EQ((ULONG_PTR)driver->DeviceObject, (ULONG_PTR)third);
    KT_EXPECT_EQ((ULONG_PTR)third->NextDevice, (ULONG_PTR)first);
    IoDeleteDevice(first);
    KT_EXPECT_NULL(third->NextDevice);
    IoDeleteDevice(third);
    ObDereferenceObject(driver);
}

KTEST(io_device, a_referenced_device_keeps_its_driver_object)
{
    DRIVER_OBJECT *driver = DtCreateDriver();
    KT_ASSERT_NOT_NULL(driver);
    DEVICE_OBJECT *device = DtCreateDevice(driver);
    ObReferenceObject(device);
    IoDeleteDevice(device);
    KT_EXPECT_EQ(ObDereferenceObject(driver), 1);
    KT_EXPECT_EQ((ULONG_PTR)device->DriverObject, (ULONG_PTR)driver);
    ObDereferenceObject(device);
}

KTEST(io_device, stacks_grow_and_shrink_at_the_top)
{
    DRIVER_OBJECT *driver = DtCreateDriver();
    KT_ASSERT_NOT_NULL(driver);
    DEVICE_OBJECT *bottom = DtCreateDevice(driver);
    DEVICE_OBJECT *middle = DtCreateDevice(driver);
    DEVICE_OBJECT *top = DtCreateDevice(driver);
    bottom->AlignmentRequirement = FILE_512_BYTE_ALIGNMENT;
    KT_EXPECT_EQ((ULONG_PTR)IoAttachDeviceToDeviceStack(middle, bottom), (ULONG_PTR)bottom);
    KT_EXPECT_EQ((ULONG_PTR)IoAttachDeviceToDeviceStack(top, bottom), (ULONG_PTR)middle);
    KT_EXPECT_EQ(top->StackSize, 3);
    KT_EXPECT_EQ(top->AlignmentRequirement, FILE_512_BYTE_ALIGNMENT);

    PDEVICE_OBJECT found = IoGetAttachedDeviceReference(bottom);
    KT_EXPECT_EQ((ULONG_PTR)found, (ULONG_PTR)top);
    ObDereferenceObject(found);
    found = IoGetLowerDeviceObject(top);
    KT_EXPECT_EQ((ULONG_PTR)found, (ULONG_PTR)middle);
    ObDereferenceObject(found);
    found = IoGetDeviceAttachmentBaseRef(top);
    KT_EXPECT_EQ((ULONG_PTR)found, (ULONG_PTR)bottom);
    ObDereferenceObject(found);

    IoDetachDevice(middle);
    IoDetachDevice(bottom);
    KT_EXPECT_NULL(IoGetLowerDeviceObject(middle));
    IoDeleteDevice(top);
    IoDeleteDevice(middle);
    IoDeleteDevice(bottom);
    ObDereferenceObject(driver);
}
