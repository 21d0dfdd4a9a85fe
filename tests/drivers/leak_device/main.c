/*
 * leak_device: leaves a device, its symbolic link, a system thread and a periodic timer behind.
 */
#include <wdm.h>

DRIVER_INITIALIZE DriverEntry;

static UNICODE_STRING LeakDeviceName = RTL_CONSTANT_STRING(L"\\Device\\Leak");
static UNICODE_STRING LeakLinkName = RTL_CONSTANT_STRING(L"\\??\\Leak");
static KEVENT         LeakNever;
static KTIMER         LeakTimer;
static KTIMER         LeakExpired;

static VOID NTAPI LeakUnload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
}

static VOID NTAPI LeakThread(PVOID StartContext)
{
    UNREFERENCED_PARAMETER(StartContext);
    KeWaitForSingleObject(&LeakNever, Executive, KernelMode, FALSE, NULL);
}

/* Two timers: one goes on for ever, one has expired when the driver is unloaded and is no leak. */
static VOID StartTimers(VOID)
{
    LARGE_INTEGER soon = { .QuadPart = -10000 };
    KeInitializeTimer(&LeakTimer);
    KeSetTimerEx(&LeakTimer, soon, 100, NULL);
    KeInitializeTimer(&LeakExpired);
    KeSetTimer(&LeakExpired, soon, NULL);
    KeWaitForSingleObject(&LeakExpired, Executive, KernelMode, FALSE, NULL);
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    PDEVICE_OBJECT device;
    HANDLE         thread;
    DriverObject->DriverUnload = LeakUnload;
    KeInitializeEvent(&LeakNever, NotificationEvent, FALSE);
    StartTimers();
    NTSTATUS status = IoCreateDevice(DriverObject, 0, &LeakDeviceName, FILE_DEVICE_UNKNOWN, 0, FALSE, &device);
    if (NT_SUCCESS(status)) {
        status = IoCreateSymbolicLink(&LeakLinkName, &LeakDeviceName);
    }
    if (NT_SUCCESS(status)) {
        status = PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, LeakThread, NULL);
    }
    if (NT_SUCCESS(status)) {
        ZwClose(thread);
    }
    return status;
}
