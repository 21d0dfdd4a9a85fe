/*
 * hello: the smallest driver worth starting from. It makes a device with a symbolic link and takes both back.
 *
 * A driver is one folder of C files compiled against <wdm.h> (or <ntddk.h>) and linked with the driver kit's import
 * libraries, nothing else; the same sources build for Windows. Outside this repository:
 *
 *     clang --target=x86_64-w64-windows-gnu -fms-extensions -isystem /usr/share/mingw-w64/include/ddk -O2 -g -c main.c
 *     x86_64-w64-mingw32-gcc -shared -nostdlib -Wl,--subsystem,native -Wl,-e,DriverEntry -o hello.sys main.o \
 *         -lntoskrnl -lhal
 *     scripts/pinfold run hello.sys
 *
 * The run gives four results: load, DriverEntry, unload and leaks. Forget IoDeleteDevice and the last one fails, naming
 * the device and the function that made it.
 */
#include <wdm.h>

#define HELLO_TAG 'lleH'

typedef struct _HELLO_EXTENSION {
    PWCHAR Greeting; /* pool of ours, freed in DriverUnload */
} HELLO_EXTENSION;

static UNICODE_STRING HelloDeviceName = RTL_CONSTANT_STRING(L"\\Device\\Hello");
static UNICODE_STRING HelloLinkName = RTL_CONSTANT_STRING(L"\\DosDevices\\Hello");

DRIVER_INITIALIZE    DriverEntry;
static DRIVER_UNLOAD HelloUnload;

static VOID NTAPI HelloUnload(PDRIVER_OBJECT DriverObject)
{
    PDEVICE_OBJECT   device = DriverObject->DeviceObject;
    HELLO_EXTENSION *extension = device->DeviceExtension;
    DbgPrint("hello: good bye\n");
    IoDeleteSymbolicLink(&HelloLinkName);
    ExFreePoolWithTag(extension->Greeting, HELLO_TAG);
    IoDeleteDevice(device);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    static const WCHAR greeting[] = L"hello, world";
    PDEVICE_OBJECT     device;
    NTSTATUS status = IoCreateDevice(DriverObject, sizeof(HELLO_EXTENSION), &HelloDeviceName, FILE_DEVICE_UNKNOWN,
                                     FILE_DEVICE_SECURE_OPEN, FALSE, &device);
    if (!NT_SUCCESS(status)) {
        return status;
    }

    HELLO_EXTENSION *extension = device->DeviceExtension;
    extension->Greeting = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(greeting), HELLO_TAG);
    if (extension->Greeting == NULL) {
        IoDeleteDevice(device);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    RtlCopyMemory(extension->Greeting, greeting, sizeof(greeting));

    status = IoCreateSymbolicLink(&HelloLinkName, &HelloDeviceName);
    if (!NT_SUCCESS(status)) {
        ExFreePoolWithTag(extension->Greeting, HELLO_TAG);
        IoDeleteDevice(device);
        return status;
    }
    DriverObject->DriverUnload = HelloUnload;
    DbgPrint("hello: %ws from %wZ, registered at %wZ\n", extension->Greeting, &DriverObject->DriverName, RegistryPath);
    return STATUS_SUCCESS;
}
