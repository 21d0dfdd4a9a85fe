/*
 * Device queues, StartIo, device timers and remove locks.
 */
#include "io/startio.h"

#include "io/psthread.h"
#include "kernel/ke/devqueue.h"
#include "tests/io/iofixture.h"
#include "tests/lib/ktest.h"

#define KT_ENTRIES 4u

KTEST(io_startio, an_idle_queue_becomes_busy_and_inserts_nothing)
{
    KDEVICE_QUEUE       queue;
    KDEVICE_QUEUE_ENTRY entry[KT_ENTRIES];
    KeInitializeDeviceQueue(&queue);
    KT_EXPECT_EQ(KeInsertDeviceQueue(&queue, &entry[0]), FALSE);
    KT_EXPECT_EQ(KeInsertDeviceQueue(&queue, &entry[1]), TRUE);
    KT_EXPECT_EQ(KeInsertDeviceQueue(&queue, &entry[2]), TRUE);
    KT_EXPECT_EQ(KeRemoveEntryDeviceQueue(&queue, &entry[0]), FALSE);
    KT_EXPECT_EQ(KeRemoveEntryDeviceQueue(&queue, &entry[1]), TRUE);
    KT_EXPECT_EQ((ULONG_PTR)KeRemoveDeviceQueue(&queue), (ULONG_PTR)&entry[2]);
    KT_EXPECT_EQ(queue.Busy, TRUE);
    KT_EXPECT_NULL(KeRemoveDeviceQueue(&queue));
    KT_EXPECT_EQ(queue.Busy, FALSE);
}

KTEST(io_startio, keys_sort_and_select)
{
    static const ULONG  keys[KT_ENTRIES] = { 30, 10, 20, 20 };
    KDEVICE_QUEUE       queue;
    KDEVICE_QUEUE_ENTRY first;
    KDEVICE_QUEUE_ENTRY entry[KT_ENTRIES];
    KeInitializeDeviceQueue(&queue);
    KeInsertByKeyDeviceQueue(&queue, &first, 0);
    for (ULONG index = 0; index < KT_ENTRIES; index++) {
        KT_EXPECT_EQ(KeInsertByKeyDeviceQueue(&queue, &entry[index], keys[index]), TRUE);
    }
    KT_EXPECT_EQ((ULONG_PTR)KeRemoveByKeyDeviceQueue(&queue, 15), (ULONG_PTR)&entry[2]);
    KT_EXPECT_EQ((ULONG_PTR)KeRemoveByKeyDeviceQueue(&queue, 20), (ULONG_PTR)&entry[3]);
    KT_EXPECT_EQ((ULONG_PTR)KeRemoveByKeyDeviceQueueIfBusy(&queue, 31), (ULONG_PTR)&entry[1]); /* none: the first */
    KT_EXPECT_EQ((ULONG_PTR)KeRemoveDeviceQueue(&queue), (ULONG_PTR)&entry[0]);
}

static IRP  *KtStarted[KT_ENTRIES];
static ULONG KtStartedCount;
static KIRQL KtStartIrql;
static IRP  *KtCancelledIrp;

static VOID NTAPI KtStartIo(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KT_EXPECT_EQ((ULONG_PTR)DeviceObject->CurrentIrp, (ULONG_PTR)Irp);
    KtStartIrql = KeGetCurrentIrql();
    KtStarted[KtStartedCount++] = Irp;
}

static VOID NTAPI KtCancelPacket(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KeRemoveEntryDeviceQueue(&DeviceObject->DeviceQueue, &Irp->Tail.Overlay.DeviceQueueEntry);
    KtCancelledIrp = Irp;
    IoReleaseCancelSpinLock(Irp->CancelIrql);
}

static void KtStartNext(DEVICE_OBJECT *Device)
{
    KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
    IoStartNextPacket(Device, TRUE);
    KeLowerIrql(irql);
}

KTEST(io_startio, packets_start_one_at_a_time)
{
    IRP           *irps[KT_ENTRIES];
    DRIVER_OBJECT *driver = KtCreateDriver(NULL);
    DEVICE_OBJECT *device = KtCreateDevice(driver, NULL, 0);
    driver->DriverStartIo = KtStartIo;
    KtStartedCount = 0;
    for (ULONG index = 0; index < KT_ENTRIES; index++) {
        irps[index] = IoAllocateIrp(1, FALSE);
        KT_ASSERT_NOT_NULL(irps[index]);
        IoSetNextIrpStackLocation(irps[index]);
        IoGetCurrentIrpStackLocation(irps[index])->DeviceObject = device;
        irps[index]->Cancel = index == 3; /* cancelled before it came */
        IoStartPacket(device, irps[index], NULL, KtCancelPacket);
    }
    KT_EXPECT_EQ(KtStartedCount, 1);
    KT_EXPECT_EQ(KtStartIrql, DISPATCH_LEVEL);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_EQ((ULONG_PTR)KtCancelledIrp, (ULONG_PTR)irps[3]);
    KT_EXPECT_EQ(IoCancelIrp(irps[1]), TRUE);
    KT_EXPECT_EQ((ULONG_PTR)KtCancelledIrp, (ULONG_PTR)irps[1]);
    KtStartNext(device);
    KT_EXPECT_EQ(KtStartedCount, 2);
    KT_EXPECT_EQ((ULONG_PTR)KtStarted[1], (ULONG_PTR)irps[2]);
    KtStartNext(device);
    KT_EXPECT_EQ(KtStartedCount, 2);
    KT_EXPECT_NULL(device->CurrentIrp);
    for (ULONG index = 0; index < KT_ENTRIES; index++) {
        IoFreeIrp(irps[index]);
    }
    KtDeleteDriver(driver);
}

static VOID NTAPI KtTick(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
}

KTEST(io_startio, a_device_timer_ticks_until_its_device_goes)
{
    KEVENT         ticked;
    DRIVER_OBJECT *driver = KtCreateDriver(NULL);
    DEVICE_OBJECT *device = KtCreateDevice(driver, NULL, 0);
    KeInitializeEvent(&ticked, SynchronizationEvent, FALSE);
    KT_ASSERT_STATUS(IoInitializeTimer(device, KtTick, &ticked), STATUS_SUCCESS);
    IoStartTimer(device);
    KeWaitForSingleObject(&ticked, Executive, KernelMode, FALSE, NULL);
    IoStopTimer(device);
    IoStartTimer(device);
    KtDeleteDriver(driver); /* the runner compares pool; a tick into a freed device would be a bug check */
}

static VOID NTAPI KtReleaseLater(PVOID Context)
{
    IO_REMOVE_LOCK *lock = Context;
    while (IoAcquireRemoveLock(lock, NULL) == STATUS_SUCCESS) {
        LARGE_INTEGER interval = { .QuadPart = -10000 };
        IoReleaseRemoveLock(lock, NULL);
        KeDelayExecutionThread(KernelMode, FALSE, &interval);
    }
    IoReleaseRemoveLock(lock, KtReleaseLater); /* the hold that the test took for this thread */
}

KTEST(io_startio, removal_waits_for_the_last_holder)
{
    IO_REMOVE_LOCK lock;
    PETHREAD       thread;
    IoInitializeRemoveLock(&lock, 0, 0, 0);
    KT_ASSERT_STATUS(IoAcquireRemoveLock(&lock, KtReleaseLater), STATUS_SUCCESS);
    KT_ASSERT_STATUS(IoAcquireRemoveLock(&lock, NULL), STATUS_SUCCESS);
    KT_ASSERT_STATUS(PspStartSystemThread(KtReleaseLater, &lock, &thread), STATUS_SUCCESS);
    IoReleaseRemoveLockAndWait(&lock, NULL);
    KT_EXPECT_EQ(lock.Common.IoCount, 0);
    KT_EXPECT_STATUS(IoAcquireRemoveLock(&lock, NULL), STATUS_DELETE_PENDING);
    KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(thread);
}
