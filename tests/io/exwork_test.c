/*
 * Work items.
 */
#include "io/exwork.h"

#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

#define ITEM_COUNT 64

/* What a work routine found. */
typedef struct _WORK_RECORD {
    KEVENT        Done;
    KIRQL         Irql;
    bool          System;
    PVOID         Object;
    PVOID         Item;
    volatile LONG Runs;
    LONG          Restarts;
} WORK_RECORD;

static void NoteWork(WORK_RECORD *Record)
{
    Record->Irql = KeGetCurrentIrql();
    Record->System = PsIsSystemThread(PsGetCurrentThread());
    Record->Runs++;
    KeSetEvent(&Record->Done, IO_NO_INCREMENT, FALSE);
}

static VOID NTAPI Work(PVOID Parameter)
{
    NoteWork(Parameter);
}

KTEST(io_exwork, runs_at_passive_level)
{
    static const WORK_QUEUE_TYPE types[] = { CriticalWorkQueue, DelayedWorkQueue, HyperCriticalWorkQueue };
    for (ULONG index = 0; index < RTL_NUMBER_OF(types); index++) {
        WORK_RECORD     record = { .Runs = 0 };
        WORK_QUEUE_ITEM item;
        KIRQL           oldIrql;
        KeInitializeEvent(&record.Done, NotificationEvent, FALSE);
        ExInitializeWorkItem(&item, Work, &record);
        KeRaiseIrql(DISPATCH_LEVEL, &oldIrql); /* where they may be queued from */
        ExQueueWorkItem(&item, types[index]);
        KeLowerIrql(oldIrql);
        KT_EXPECT_STATUS(KtWait(&record.Done), STATUS_SUCCESS);
        ExpWaitForWorkers();
        KT_EXPECT_EQ(record.Irql, PASSIVE_LEVEL);
        KT_EXPECT_TRUE(record.System);
        KT_EXPECT_EQ(record.Runs, 1);
    }
}

/* An item that queues itself anew, as it may once its routine was called. */
typedef struct _RESTARTER {
    WORK_QUEUE_ITEM Item;
    WORK_RECORD     Record;
} RESTARTER;

static VOID NTAPI Restart(PVOID Parameter)
{
    RESTARTER *restarter = Parameter;
    if (restarter->Record.Restarts-- > 0) {
        ExQueueWorkItem(&restarter->Item, DelayedWorkQueue);
    } else {
        NoteWork(&restarter->Record);
    }
}

KTEST(io_exwork, may_queue_itself)
{
    RESTARTER restarter = { .Record = { .Restarts = 20 } };
    KeInitializeEvent(&restarter.Record.Done, NotificationEvent, FALSE);
    ExInitializeWorkItem(&restarter.Item, Restart, &restarter);
    ExQueueWorkItem(&restarter.Item, DelayedWorkQueue);
    KT_EXPECT_STATUS(KtWait(&restarter.Record.Done), STATUS_SUCCESS);
    ExpWaitForWorkers();
    KT_EXPECT_EQ(restarter.Record.Restarts, -1);
}

static VOID NTAPI IoWork(PDEVICE_OBJECT DeviceObject, PVOID Context)
{
    WORK_RECORD *record = Context;
    record->Object = DeviceObject;
    NoteWork(record);
}

static VOID NTAPI IoWorkThatFrees(PVOID IoObject, PVOID Context, PIO_WORKITEM IoWorkItem)
{
    WORK_RECORD *record = Context;
    record->Object = IoObject;
    record->Item = IoWorkItem;
    IoFreeWorkItem(IoWorkItem);
    NoteWork(record);
}

/* Any object does for the device: all that is done with it is to hold it. */
KTEST(io_exwork, io_items_hold_their_object)
{
    WORK_RECORD  record = { .Runs = 0 };
    PVOID        object = PsGetCurrentThread();
    PIO_WORKITEM item = IoAllocateWorkItem(object);
    KT_ASSERT_NOT_NULL(item);
    KeInitializeEvent(&record.Done, SynchronizationEvent, FALSE);
    IoQueueWorkItem(item, IoWork, CriticalWorkQueue, &record);
    KT_EXPECT_STATUS(KtWait(&record.Done), STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG64)record.Object, (ULONG64)object);
    ExpWaitForWorkers();
    IoQueueWorkItemEx(item, IoWorkThatFrees, DelayedWorkQueue, &record);
    KT_EXPECT_STATUS(KtWait(&record.Done), STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG64)record.Item, (ULONG64)item);
    KT_EXPECT_EQ(record.Runs, 2);
    ExpWaitForWorkers();
}

KTEST(io_exwork, items_in_memory_of_the_caller)
{
    WORK_RECORD  record = { .Runs = 0 };
    PIO_WORKITEM item = ExAllocatePoolWithTag(NonPagedPoolNx, IoSizeofWorkItem(), 'iwTK');
    KT_ASSERT_NOT_NULL(item);
    KeInitializeEvent(&record.Done, NotificationEvent, FALSE);
    IoInitializeWorkItem(PsGetCurrentThread(), item);
    IoQueueWorkItem(item, IoWork, DelayedWorkQueue, &record);
    KT_EXPECT_STATUS(KtWait(&record.Done), STATUS_SUCCESS);
    ExpWaitForWorkers();
    IoUninitializeWorkItem(item);
    ExFreePoolWithTag(item, 'iwTK');
}

static VOID NTAPI CountWork(PVOID Parameter)
{
    InterlockedIncrement((volatile LONG *)Parameter);
}

static void QueueMany(ULONG Index, void *Context)
{
    WORK_QUEUE_ITEM *items = ExAllocatePoolWithTag(NonPagedPoolNx, ITEM_COUNT * sizeof(WORK_QUEUE_ITEM), 'iwTK');
    if (items == NULL) {
        KT_EXPECT_NOT_NULL(items);
        return;
    }
    for (ULONG index = 0; index < ITEM_COUNT; index++) {
        ExInitializeWorkItem(&items[index], CountWork, Context);
        ExQueueWorkItem(&items[index], (index + Index) % 2 == 0 ? CriticalWorkQueue : DelayedWorkQueue);
    }
    ExpWaitForWorkers();
    ExFreePoolWithTag(items, 'iwTK');
}

KTEST(io_exwork, each_runs_once_on_all_processors)
{
    volatile LONG runs = 0;
    KtRunOnEachProcessor(QueueMany, (void *)&runs);
    KT_EXPECT_EQ(runs, ITEM_COUNT * KeQueryActiveProcessorCount(NULL));
}
