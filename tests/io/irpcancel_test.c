/*
 * Cancelling packets, completing them from elsewhere, and threads that end with packets under way.
 */
#include "io/irp.h"

#include "io/psthread.h"
#include "tests/io/iofixture.h"
#include "tests/lib/ktest.h"

#define KT_ROUNDS 50u

/* A driver that keeps what it gets until it is completed or cancelled. */
typedef struct _KT_KEEPER {
    DRIVER_OBJECT *Driver;
    DEVICE_OBJECT *Device;
    IRP *volatile Kept;
    KEVENT         Arrived; /* a packet is kept */
    DEVICE_OBJECT *CancelDevice;
    KIRQL          CancelIrql;
    KIRQL          IrqlInside;
    volatile LONG  CancelCount;
} KT_KEEPER;

static KT_KEEPER KtKeeper;

static VOID NTAPI KtCancelKept(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    KtKeeper.CancelDevice = DeviceObject;
    KtKeeper.CancelIrql = Irp->CancelIrql;
    KtKeeper.IrqlInside = KeGetCurrentIrql();
    IoReleaseCancelSpinLock(Irp->CancelIrql);
    InterlockedIncrement(&KtKeeper.CancelCount);
    KtComplete(Irp, STATUS_CANCELLED, 0);
}

static NTSTATUS NTAPI KtKeepPacket(PDEVICE_OBJECT DeviceObject, PIRP Irp)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    IoMarkIrpPending(Irp);
    KtKeeper.Kept = Irp;
    IoSetCancelRoutine(Irp, KtCancelKept);
    KeSetEvent(&KtKeeper.Arrived, IO_NO_INCREMENT, FALSE);
    return STATUS_PENDING;
}

static void KtMakeKeeper(void)
{
    RtlZeroMemory(&KtKeeper, sizeof(KtKeeper));
    KeInitializeEvent(&KtKeeper.Arrived, SynchronizationEvent, FALSE);
    KtKeeper.Driver = KtCreateDriver(KtKeepPacket);
    KtKeeper.Device = KtCreateDevice(KtKeeper.Driver, NULL, 0);
}

static NTSTATUS KtSendFlush(KEVENT *Event, IO_STATUS_BLOCK *Block)
{
    KeInitializeEvent(Event, NotificationEvent, FALSE);
    IRP *irp = IoBuildSynchronousFsdRequest(IRP_MJ_FLUSH_BUFFERS, KtKeeper.Device, NULL, 0, NULL, Event, Block);
    return irp == NULL ? STATUS_INSUFFICIENT_RESOURCES : IoCallDriver(KtKeeper.Device, irp);
}

KTEST(io_irpcancel, the_routine_gets_the_lock_and_the_device)
{
    KEVENT          event;
    IO_STATUS_BLOCK block;
    KtMakeKeeper();
    KT_ASSERT_STATUS(KtSendFlush(&event, &block), STATUS_PENDING);
    KT_EXPECT_EQ(IoCancelIrp(KtKeeper.Kept), TRUE);
    KT_EXPECT_EQ(KtKeeper.CancelCount, 1);
    KT_EXPECT_EQ(KtKeeper.CancelDevice, KtKeeper.Device);
    KT_EXPECT_EQ(KtKeeper.CancelIrql, PASSIVE_LEVEL);
    KT_EXPECT_EQ(KtKeeper.IrqlInside, DISPATCH_LEVEL);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT_STATUS(block.Status, STATUS_CANCELLED); /* it was pending, so the block says how it ended */
    KtDeleteDriver(KtKeeper.Driver);
}

KTEST(io_irpcancel, without_a_routine_only_the_flag_is_set)
{
    IRP *irp = IoAllocateIrp(1, FALSE);
    KT_ASSERT_NOT_NULL(irp);
    KT_EXPECT_EQ(IoCancelIrp(irp), FALSE);
    KT_EXPECT_EQ(irp->Cancel, TRUE);
    IoFreeIrp(irp);
}

static VOID NTAPI KtCancelLater(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    KeWaitForSingleObject(&KtKeeper.Arrived, Executive, KernelMode, FALSE, NULL);
    IoCancelIrp(KtKeeper.Kept);
}

KTEST(io_irpcancel, a_waiting_thread_is_woken_by_another)
{
    PETHREAD        thread;
    KEVENT          event;
    IO_STATUS_BLOCK block;
    KtMakeKeeper();
    KT_ASSERT_STATUS(PspStartSystemThread(KtCancelLater, NULL, &thread), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtSendFlush(&event, &block), STATUS_PENDING);
    KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT_STATUS(block.Status, STATUS_CANCELLED);
    KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
    ObDereferenceObject(thread);
    KtDeleteDriver(KtKeeper.Driver);
}

static VOID NTAPI KtSendAndEnd(PVOID Context)
{
    static KEVENT          event; /* outlives the thread, as a packet's must */
    static IO_STATUS_BLOCK block;
    *(NTSTATUS *)Context = KtSendFlush(&event, &block);
}

KTEST(io_irpcancel, a_thread_that_ends_cancels_what_it_sent)
{
    PETHREAD thread;
    NTSTATUS sent = STATUS_SUCCESS;
    KtMakeKeeper();
    KT_ASSERT_STATUS(PspStartSystemThread(KtSendAndEnd, &sent, &thread), STATUS_SUCCESS);
    KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT_STATUS(sent, STATUS_PENDING);
    KT_EXPECT_EQ(KtKeeper.CancelCount, 1);
    KT_EXPECT_TRUE(IsListEmpty(&thread->IrpListHead));
    ObDereferenceObject(thread);
    KtDeleteDriver(KtKeeper.Driver);
}

/* A completer against a canceller. */
typedef struct _KT_RACE {
    KEVENT        Done;  /* the packet has come back */
    KEVENT        Tried; /* the completer has had its turn */
    volatile LONG Completed;
} KT_RACE;

/* Completes the kept packet unless the canceller was first. */
static VOID NTAPI KtCompleteRacing(PVOID Context)
{
    KT_RACE *race = Context;
    for (ULONG round = 0; round < KT_ROUNDS; round++) {
        KeWaitForSingleObject(&KtKeeper.Arrived, Executive, KernelMode, FALSE, NULL);
        IRP *irp = KtKeeper.Kept;
        if (IoSetCancelRoutine(irp, NULL) != NULL) {
            InterlockedIncrement(&race->Completed);
            KtComplete(irp, STATUS_SUCCESS, 0);
        }
        KeSetEvent(&race->Tried, IO_NO_INCREMENT, FALSE);
    }
}

/* The originator's routine keeps the packet, so that cancelling it never meets freed memory. */
static NTSTATUS NTAPI KtKeepForOriginator(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context)
{
    UNREFERENCED_PARAMETER(DeviceObject);
    UNREFERENCED_PARAMETER(Irp);
    KeSetEvent(Context, IO_NO_INCREMENT, FALSE);
    return STATUS_MORE_PROCESSING_REQUIRED;
}

KTEST(io_irpcancel, completion_and_cancel_race_to_one_end)
{
    PETHREAD thread;
    KT_RACE  race = { .Completed = 0 };
    LONG     succeeded = 0;
    KtMakeKeeper();
    KeInitializeEvent(&race.Done, SynchronizationEvent, FALSE);
    KeInitializeEvent(&race.Tried, SynchronizationEvent, FALSE);
    IRP *irp = IoAllocateIrp(1, FALSE);
    KT_ASSERT_NOT_NULL(irp);
    KT_ASSERT_STATUS(PspStartSystemThread(KtCompleteRacing, &race, &thread), STATUS_SUCCESS);
    for (ULONG round = 0; round < KT_ROUNDS; round++) {
        IoReuseIrp(irp, STATUS_SUCCESS);
        IoSetCompletionRoutine(irp, KtKeepForOriginator, &race.Done, TRUE, TRUE, TRUE);
        IoCallDriver(KtKeeper.Device, irp);
        IoCancelIrp(irp);
        KeWaitForSingleObject(&race.Done, Executive, KernelMode, FALSE, NULL);
        KeWaitForSingleObject(&race.Tried, Executive, KernelMode, FALSE, NULL);
        succeeded += NT_SUCCESS(irp->IoStatus.Status);
    }
    KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, NULL);
    KT_EXPECT_EQ(succeeded, race.Completed);
    KT_EXPECT_EQ(KtKeeper.CancelCount + race.Completed, KT_ROUNDS);
    ObDereferenceObject(thread);
    IoFreeIrp(irp);
    KtDeleteDriver(KtKeeper.Driver);
}
