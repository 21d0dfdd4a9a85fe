/*
 * Work items.
 *
 * Two queues, each a list under its lock, a semaphore that counts the list, and a few threads that are never more nor
 * fewer: critical and hypercritical items in one, all others in the other. An item belongs to its owner again before
 * its routine is called, which may queue it anew or free it; an item is queued while its List.Flink is not NULL
 * (ExInitializeWorkItem sets NULL).
 *
 * A work item must not wait for another one of its queue: with as many of those as threads, nobody is left to run the
 * other.
 *
 * An I/O work item holds a reference to its device or driver object from being queued until its routine has returned.
 *
 * Locking and IRQL. ExpQueue.Lock (LOCK_WORK_QUEUE), then the dispatcher's; queueing is for IRQL <= DISPATCH_LEVEL.
 */
#include "io/exwork.h"

#include "io/psthread.h"
#include "kernel/ke/kobjects.h"

#define EXP_WORK_ITEM_TAG 'tWxE' /* "ExWt" */

#define EXP_CRITICAL_PRIORITY 13
#define EXP_DELAYED_PRIORITY  12

typedef struct _EXP_QUEUE {
    KI_LOCK    Lock;        /* LOCK_WORK_QUEUE; guards the fields below but Available */
    LIST_ENTRY ListHead;    /* WORK_QUEUE_ITEM.List */
    ULONG      Unfinished;  /* items queued, and routines that run */
    KSEMAPHORE Available;   /* one for each item in the list */
    KEVENT     Finished;    /* notification: Unfinished is 0 */
    KPRIORITY  Priority;    /* constant */
    ULONG      ThreadCount; /* constant */
} EXP_QUEUE;

#define EXP_EMPTY_LIST(Head)               \
    {                                      \
        .Flink = &(Head), .Blink = &(Head) \
    }

/* Complete at link time, so that items can be queued from the first moment of boot. */
#define EXP_QUEUE_INIT(Self, PriorityOf, ThreadCountOf)                                                    \
    {                                                                                                      \
        .Lock = KI_LOCK_INIT(LOCK_WORK_QUEUE), .ListHead = EXP_EMPTY_LIST((Self).ListHead),                \
        .Available = { .Header = { .Type = SemaphoreObject,                                                \
                                   .WaitListHead = EXP_EMPTY_LIST((Self).Available.Header.WaitListHead) }, \
                       .Limit = MAXLONG },                                                                 \
        .Finished = { .Header = { .Type = EventNotificationObject,                                         \
                                  .SignalState = 1,                                                        \
                                  .WaitListHead = EXP_EMPTY_LIST((Self).Finished.Header.WaitListHead) } }, \
        .Priority = (PriorityOf), .ThreadCount = (ThreadCountOf),                                          \
    }

static EXP_QUEUE ExpQueues[] = {
    EXP_QUEUE_INIT(ExpQueues[0], EXP_CRITICAL_PRIORITY, 2),
    EXP_QUEUE_INIT(ExpQueues[1], EXP_DELAYED_PRIORITY, 3),
};

struct _IO_WORKITEM {
    WORK_QUEUE_ITEM         Item;
    PVOID                   IoObject; /* device or driver object */
    PIO_WORKITEM_ROUTINE    Routine;  /* NULL: RoutineEx */
    PIO_WORKITEM_ROUTINE_EX RoutineEx;
    PVOID                   Context;
};

static EXP_QUEUE *ExpQueueOf(WORK_QUEUE_TYPE QueueType)
{
    return QueueType == CriticalWorkQueue || QueueType == HyperCriticalWorkQueue ? &ExpQueues[0] : &ExpQueues[1];
}

VOID NTAPI ExQueueWorkItem(PWORK_QUEUE_ITEM WorkItem, WORK_QUEUE_TYPE QueueType)
{
    EXP_QUEUE *queue = ExpQueueOf(QueueType);
    KIRQL      oldIrql = KiAcquireLock(&queue->Lock);
    if (WorkItem->List.Flink != NULL) {
        KeBugCheckEx(INVALID_WORK_QUEUE_ITEM, (ULONG_PTR)WorkItem, (ULONG_PTR)queue, (ULONG_PTR)ExpQueues,
                     (ULONG_PTR)WorkItem->WorkerRoutine);
    }
    InsertTailList(&queue->ListHead, &WorkItem->List);
    if (queue->Unfinished++ == 0) {
        KeClearEvent(&queue->Finished);
    }
    (void)KeReleaseSemaphore(&queue->Available, IO_NO_INCREMENT, 1, FALSE);
    KiReleaseLock(&queue->Lock, oldIrql);
}

static WORK_QUEUE_ITEM *ExpTakeItem(EXP_QUEUE *Queue)
{
    (void)KeWaitForSingleObject(&Queue->Available, WrQueue, KernelMode, FALSE, NULL);
    KIRQL            oldIrql = KiAcquireLock(&Queue->Lock);
    WORK_QUEUE_ITEM *item = CONTAINING_RECORD(RemoveHeadList(&Queue->ListHead), WORK_QUEUE_ITEM, List);
    item->List.Flink = NULL;
    KiReleaseLock(&Queue->Lock, oldIrql);
    return item;
}

static VOID ExpFinishItem(EXP_QUEUE *Queue)
{
    KIRQL oldIrql = KiAcquireLock(&Queue->Lock);
    if (--Queue->Unfinished == 0) {
        (void)KeSetEvent(&Queue->Finished, IO_NO_INCREMENT, FALSE);
    }
    KiReleaseLock(&Queue->Lock, oldIrql);
}

static VOID NTAPI ExpWorker(PVOID Context)
{
    EXP_QUEUE *queue = Context;
    (void)KeSetPriorityThread(KeGetCurrentThread(), queue->Priority);
    for (;;) {
        WORK_QUEUE_ITEM       *item = ExpTakeItem(queue);
        PWORKER_THREAD_ROUTINE routine = item->WorkerRoutine;
        PVOID                  parameter = item->Parameter;
        routine(parameter);
        if (KeGetCurrentIrql() != PASSIVE_LEVEL) {
            KeBugCheckEx(WORKER_THREAD_RETURNED_AT_BAD_IRQL, (ULONG_PTR)routine, KeGetCurrentIrql(),
                         (ULONG_PTR)parameter, (ULONG_PTR)item);
        }
        ExpFinishItem(queue);
    }
}

VOID ExpInitializeWorkers(VOID)
{
    for (ULONG index = 0; index < RTL_NUMBER_OF(ExpQueues); index++) {
        for (ULONG count = 0; count < ExpQueues[index].ThreadCount; count++) {
            PETHREAD thread;
            NTSTATUS status = PspStartSystemThread(ExpWorker, &ExpQueues[index], &thread);
            if (!NT_SUCCESS(status)) {
                KeBugCheckEx(PHASE1_INITIALIZATION_FAILED, (ULONG_PTR)status, 0, 0, 0);
            }
            ObDereferenceObject(thread);
        }
    }
}

VOID ExpWaitForWorkers(VOID)
{
    for (ULONG index = 0; index < RTL_NUMBER_OF(ExpQueues); index++) {
        (void)KeWaitForSingleObject(&ExpQueues[index].Finished, Executive, KernelMode, FALSE, NULL);
    }
}

/* The routine may free the item, so nothing of it is read afterwards. */
static VOID NTAPI ExpRunIoWorkItem(PVOID Parameter)
{
    struct _IO_WORKITEM *item = Parameter;
    PVOID                object = item->IoObject;
    if (item->Routine != NULL) {
        item->Routine(object, item->Context);
    } else {
        item->RoutineEx(object, item->Context, item);
    }
    ObDereferenceObject(object);
}

static VOID ExpQueueIoWorkItem(PIO_WORKITEM IoWorkItem, WORK_QUEUE_TYPE QueueType, PVOID Context)
{
    IoWorkItem->Context = Context;
    ObReferenceObject(IoWorkItem->IoObject);
    ExQueueWorkItem(&IoWorkItem->Item, QueueType);
}

ULONG NTAPI IoSizeofWorkItem(VOID)
{
    return sizeof(struct _IO_WORKITEM);
}

VOID NTAPI IoInitializeWorkItem(PVOID IoObject, PIO_WORKITEM IoWorkItem)
{
    RtlZeroMemory(IoWorkItem, sizeof(*IoWorkItem));
    IoWorkItem->IoObject = IoObject;
    ExInitializeWorkItem(&IoWorkItem->Item, ExpRunIoWorkItem, IoWorkItem);
}

/* => IoWorkItem is queued: bug check 0xE4. */
VOID NTAPI IoUninitializeWorkItem(PIO_WORKITEM IoWorkItem)
{
    if (IoWorkItem->Item.List.Flink != NULL) {
        KeBugCheckEx(WORKER_INVALID, 0, (ULONG_PTR)IoWorkItem, (ULONG_PTR)IoWorkItem, sizeof(*IoWorkItem));
    }
}

PIO_WORKITEM NTAPI IoAllocateWorkItem(PDEVICE_OBJECT DeviceObject)
{
    struct _IO_WORKITEM *item = ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*item), EXP_WORK_ITEM_TAG);
    if (item != NULL) {
        IoInitializeWorkItem(DeviceObject, item);
    }
    return item;
}

VOID NTAPI IoFreeWorkItem(PIO_WORKITEM IoWorkItem)
{
    IoUninitializeWorkItem(IoWorkItem);
    ExFreePoolWithTag(IoWorkItem, EXP_WORK_ITEM_TAG);
}

VOID NTAPI IoQueueWorkItem(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE WorkerRoutine, WORK_QUEUE_TYPE QueueType,
                           PVOID Context)
{
    IoWorkItem->Routine = WorkerRoutine;
    ExpQueueIoWorkItem(IoWorkItem, QueueType, Context);
}

VOID NTAPI IoQueueWorkItemEx(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE_EX WorkerRoutine, WORK_QUEUE_TYPE QueueType,
                             PVOID Context)
{
    IoWorkItem->Routine = NULL;
    IoWorkItem->RoutineEx = WorkerRoutine;
    ExpQueueIoWorkItem(IoWorkItem, QueueType, Context);
}
