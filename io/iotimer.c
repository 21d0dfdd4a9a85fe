/*
 * Device timers: a periodic kernel timer of a second whose DPC calls the driver's routine.
 */
#include "io/iotimer.h"

#include "kernel/ke/lock.h"

#define IOP_TIMER_TAG       0x6D546F49u /* "IoTm" */
#define IOP_TIMER_PERIOD_MS 1000
#define IOP_100NS_PER_MS    10000

typedef struct _IO_TIMER {
    KTIMER            Timer;
    KDPC              Dpc;
    PIO_TIMER_ROUTINE Routine;
    PVOID             Context;
    DEVICE_OBJECT    *Device;
} IO_TIMER;

static VOID NTAPI IopTimerExpired(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    IO_TIMER *timer = DeferredContext;
    timer->Routine(timer->Device, timer->Context);
}

NTSTATUS NTAPI IoInitializeTimer(PDEVICE_OBJECT DeviceObject, PIO_TIMER_ROUTINE TimerRoutine, PVOID Context)
{
    IRQL_MAX(PASSIVE_LEVEL);
    IO_TIMER *timer = DeviceObject->Timer;
    if (timer == NULL) {
        timer = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*timer), IOP_TIMER_TAG);
        if (timer == NULL) {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        KeInitializeTimerEx(&timer->Timer, NotificationTimer);
        KeInitializeDpc(&timer->Dpc, IopTimerExpired, timer);
        timer->Device = DeviceObject;
        DeviceObject->Timer = timer;
    }
    timer->Routine = TimerRoutine;
    timer->Context = Context;
    return STATUS_SUCCESS;
}

VOID NTAPI IoStartTimer(PDEVICE_OBJECT DeviceObject)
{
    LARGE_INTEGER due = { .QuadPart = -(LONGLONG)IOP_TIMER_PERIOD_MS * IOP_100NS_PER_MS };
    (void)KeSetTimerEx(&DeviceObject->Timer->Timer, due, IOP_TIMER_PERIOD_MS, &DeviceObject->Timer->Dpc);
}

VOID NTAPI IoStopTimer(PDEVICE_OBJECT DeviceObject)
{
    (void)KeCancelTimer(&DeviceObject->Timer->Timer);
}

void IopDeleteDeviceTimer(DEVICE_OBJECT *DeviceObject)
{
    if (DeviceObject->Timer == NULL) {
        return;
    }
    IoStopTimer(DeviceObject);
    KeFlushQueuedDpcs();
    ExFreePoolWithTag(DeviceObject->Timer, IOP_TIMER_TAG);
    DeviceObject->Timer = NULL;
}
