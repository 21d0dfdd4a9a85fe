/*
 * Cancel-safe queues: order, contexts, cancel before, in and after the queue, and on all processors at once.
 */
#include "io/csq.h"

#include "tests/io/iofixture.h"
#include "tests/lib/ktest.h"

#define KT_IRPS   4u
#define KT_ROUNDS 40u

/* A queue of one driver, and packets that nobody else has. */
typedef struct _KT_QUEUE {
    IO_CSQ        Csq; /* first: the callbacks are given its address */
    KSPIN_LOCK    Lock;
    LIST_ENTRY    List;
    volatile LONG Cancelled;
    volatile LONG Removed;
    NTSTATUS      InsertStatus;
    PVOID         InsertContext;
    IRP          *Irps[KT_IRPS];
} KT_QUEUE;

static VOID NTAPI KtInsert(PIO_CSQ Csq, PIRP Irp)
{
    InsertTailList(&((KT_QUEUE *)Csq)->List, &Irp->Tail.Overlay.ListEntry);
}

static NTSTATUS NTAPI KtInsertEx(PIO_CSQ Csq, PIRP Irp, PVOID InsertContext)
{
    KT_QUEUE *queue = (KT_QUEUE *)Csq;
    queue->InsertContext = InsertContext;
    if (NT_SUCCESS(queue->InsertStatus)) {
        KtInsert(Csq, Irp);
    }
    return queue->InsertStatus;
}

static VOID NTAPI KtRemove(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Csq);
    RemoveEntryList(&Irp->Tail.Overlay.ListEntry);
}

static PIRP NTAPI KtPeekNext(PIO_CSQ Csq, PIRP Irp, PVOID PeekContext)
{
    UNREFERENCED_PARAMETER(PeekContext);
    KT_QUEUE   *queue = (KT_QUEUE *)Csq;
    LIST_ENTRY *next = Irp == NULL ? queue->List.Flink : Irp->Tail.Overlay.ListEntry.Flink;
    return next == &queue->List ? NULL : CONTAINING_RECORD(next, IRP, Tail.Overlay.ListEntry);
}

static VOID NTAPI KtLock(PIO_CSQ Csq, PKIRQL Irql)
{
    *Irql = KeAcquireSpinLockRaiseToDpc(&((KT_QUEUE *)Csq)->Lock);
}

static VOID NTAPI KtUnlock(PIO_CSQ Csq, KIRQL Irql)
{
    KeReleaseSpinLock(&((KT_QUEUE *)Csq)->Lock, Irql);
}

static VOID NTAPI KtCancelled(PIO_CSQ Csq, PIRP Irp)
{
    UNREFERENCED_PARAMETER(Irp);
    InterlockedIncrement(&((KT_QUEUE *)Csq)->Cancelled);
}

static void KtMakeQueue(KT_QUEUE *Queue)
{
    RtlZeroMemory(Queue, sizeof(*Queue));
    InitializeListHead(&Queue->List);
    IoCsqInitialize(&Queue->Csq, KtInsert, KtRemove, KtPeekNext, KtLock, KtUnlock, KtCancelled);
    for (ULONG index = 0; index < KT_IRPS; index++) {
        Queue->Irps[index] = IoAllocateIrp(1, FALSE);
        KT_ASSERT_NOT_NULL(Queue->Irps[index]);
        IoSetNextIrpStackLocation(Queue->Irps[index]); /* as if a driver had it */
    }
}

static void KtDropQueue(const KT_QUEUE *Queue)
{
    for (ULONG index = 0; index < KT_IRPS; index++) {
        IoFreeIrp(Queue->Irps[index]);
    }
}

KTEST(io_csq, packets_come_out_in_order_and_were_marked_pending)
{
    KT_QUEUE queue;
    KtMakeQueue(&queue);
    for (ULONG index = 0; index < KT_IRPS; index++) {
        IoCsqInsertIrp(&queue.Csq, queue.Irps[index], NULL);
        KT_EXPECT_NE((ULONG_PTR)queue.Irps[index]->CancelRoutine, 0);
        KT_EXPECT_EQ(IoGetCurrentIrpStackLocation(queue.Irps[index])->Control, SL_PENDING_RETURNED);
    }
    for (ULONG index = 0; index < KT_IRPS; index++) {
        IRP *irp = IoCsqRemoveNextIrp(&queue.Csq, NULL);
        KT_EXPECT_EQ((ULONG_PTR)irp, (ULONG_PTR)queue.Irps[index]);
        KT_EXPECT_EQ((ULONG_PTR)irp->CancelRoutine, 0);
    }
    KT_EXPECT_NULL(IoCsqRemoveNextIrp(&queue.Csq, NULL));
    KtDropQueue(&queue);
}

KTEST(io_csq, a_context_finds_its_packet_once)
{
    KT_QUEUE           queue;
    IO_CSQ_IRP_CONTEXT first;
    IO_CSQ_IRP_CONTEXT second;
    KtMakeQueue(&queue);
    IoCsqInsertIrp(&queue.Csq, queue.Irps[0], &first);
    IoCsqInsertIrp(&queue.Csq, queue.Irps[1], &second);
    KT_EXPECT_EQ((ULONG_PTR)IoCsqRemoveIrp(&queue.Csq, &second), (ULONG_PTR)queue.Irps[1]);
    KT_EXPECT_NULL(IoCsqRemoveIrp(&queue.Csq, &second));
    KT_EXPECT_EQ((ULONG_PTR)IoCsqRemoveNextIrp(&queue.Csq, NULL), (ULONG_PTR)queue.Irps[0]);
    KT_EXPECT_NULL(IoCsqRemoveIrp(&queue.Csq, &first)); /* the packet left by another way */
    KtDropQueue(&queue);
}

KTEST(io_csq, a_queued_packet_can_be_cancelled)
{
    KT_QUEUE           queue;
    IO_CSQ_IRP_CONTEXT context;
    KtMakeQueue(&queue);
    IoCsqInsertIrp(&queue.Csq, queue.Irps[0], &context);
    IoCsqInsertIrp(&queue.Csq, queue.Irps[1], NULL);
    KT_EXPECT_EQ(IoCancelIrp(queue.Irps[0]), TRUE);
    KT_EXPECT_EQ(IoCancelIrp(queue.Irps[1]), TRUE);
    KT_EXPECT_EQ(queue.Cancelled, 2);
    KT_EXPECT_TRUE(IsListEmpty(&queue.List));
    KT_EXPECT_NULL(IoCsqRemoveIrp(&queue.Csq, &context));
    KtDropQueue(&queue);
}

KTEST(io_csq, a_packet_cancelled_before_does_not_stay)
{
    KT_QUEUE queue;
    KtMakeQueue(&queue);
    KT_EXPECT_EQ(IoCancelIrp(queue.Irps[0]), FALSE);
    IoCsqInsertIrp(&queue.Csq, queue.Irps[0], NULL);
    KT_EXPECT_EQ(queue.Cancelled, 1);
    KT_EXPECT_TRUE(IsListEmpty(&queue.List));
    KtDropQueue(&queue);
}

KTEST(io_csq, removal_leaves_a_packet_that_is_being_cancelled)
{
    KT_QUEUE queue;
    KtMakeQueue(&queue);
    IoCsqInsertIrp(&queue.Csq, queue.Irps[0], NULL);
    IoCsqInsertIrp(&queue.Csq, queue.Irps[1], NULL);
    PDRIVER_CANCEL routine = IoSetCancelRoutine(queue.Irps[0], NULL); /* as far as a canceller comes without the lock */
    KT_EXPECT_EQ((ULONG_PTR)IoCsqRemoveNextIrp(&queue.Csq, NULL), (ULONG_PTR)queue.Irps[1]);
    KT_EXPECT_NULL(IoCsqRemoveNextIrp(&queue.Csq, NULL));
    IoAcquireCancelSpinLock(&queue.Irps[0]->CancelIrql);
    routine(NULL, queue.Irps[0]);
    KT_EXPECT_EQ(queue.Cancelled, 1);
    KtDropQueue(&queue);
}

KTEST(io_csq, the_ex_insertion_may_refuse)
{
    KT_QUEUE queue;
    int      context;
    KtMakeQueue(&queue);
    KT_ASSERT_STATUS(IoCsqInitializeEx(&queue.Csq, KtInsertEx, KtRemove, KtPeekNext, KtLock, KtUnlock, KtCancelled),
                     STATUS_SUCCESS);
    queue.InsertStatus = STATUS_DEVICE_BUSY;
    KT_EXPECT_STATUS(IoCsqInsertIrpEx(&queue.Csq, queue.Irps[0], NULL, &context), STATUS_DEVICE_BUSY);
    KT_EXPECT_EQ((ULONG_PTR)queue.InsertContext, (ULONG_PTR)&context);
    KT_EXPECT_EQ((ULONG_PTR)queue.Irps[0]->CancelRoutine, 0);
    KT_EXPECT_EQ(IoGetCurrentIrpStackLocation(queue.Irps[0])->Control, 0);
    queue.InsertStatus = STATUS_SUCCESS;
    KT_EXPECT_STATUS(IoCsqInsertIrpEx(&queue.Csq, queue.Irps[0], NULL, NULL), STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG_PTR)IoCsqRemoveNextIrp(&queue.Csq, NULL), (ULONG_PTR)queue.Irps[0]);
    KtDropQueue(&queue);
}

/* One packet of each round, queued by its processor; ended by whoever gets it. */
typedef struct _KT_STORM {
    KT_QUEUE Queue;
    IRP     *All[MAXIMUM_PROCESSORS][KT_ROUNDS];
} KT_STORM;

/* Queue packets, cancel every other one, and take whatever is first each time. */
static void KtUseQueue(ULONG Index, void *Context)
{
    KT_STORM *storm = Context;
    for (ULONG round = 0; round < KT_ROUNDS; round++) {
        IRP *irp = IoAllocateIrp(1, FALSE);
        storm->All[Index][round] = irp;
        KT_ASSERT_NOT_NULL(irp);
        IoSetNextIrpStackLocation(irp);
        IoCsqInsertIrp(&storm->Queue.Csq, irp, NULL);
        if ((Index + round) % 2 == 0) {
            IoCancelIrp(irp);
        }
        if (IoCsqRemoveNextIrp(&storm->Queue.Csq, NULL) != NULL) {
            InterlockedIncrement(&storm->Queue.Removed);
        }
    }
}

KTEST(io_csq, every_packet_has_one_end_on_all_processors)
{
    static KT_STORM storm;
    LONG            sent = 0;
    RtlZeroMemory(&storm, sizeof(storm));
    KtMakeQueue(&storm.Queue);
    KtRunOnEachProcessor(KtUseQueue, &storm);
    while (IoCsqRemoveNextIrp(&storm.Queue.Csq, NULL) != NULL) {
        storm.Queue.Removed++;
    }
    for (ULONG index = 0; index < MAXIMUM_PROCESSORS; index++) {
        for (ULONG round = 0; round < KT_ROUNDS && storm.All[index][round] != NULL; round++) {
            IoFreeIrp(storm.All[index][round]);
            sent++;
        }
    }
    KT_EXPECT_EQ(storm.Queue.Cancelled + storm.Queue.Removed, sent);
    KT_EXPECT_TRUE(IsListEmpty(&storm.Queue.List));
    KtDropQueue(&storm.Queue);
}
