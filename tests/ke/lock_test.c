/*
 * Spin locks, IRQL and the lock-free lists.
 */
#include "kernel/ke/lock.h"

#include "kernel/ke/interlocked.h"
#include "kernel/ke/irql.h"
#include "kernel/ke/spinlock.h"
#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

#define ROUNDS        2000
#define QUEUED_ROUNDS 50 /* each hand-over waits for one certain virtual CPU: dear where the host has fewer */
#define LIST_TAG      'tsTK'
#define NODE_COUNT    64
#define DEVICE_IRQL   5

static KDEFERRED_ROUTINE CountDpc;
static VOID NTAPI        CountDpc(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    InterlockedIncrement((volatile LONG *)DeferredContext);
}

/* Queue a DPC to this CPU at its present IRQL and give it every chance to run: how often it did. */
static LONG CountWhileRaised(KDPC *Dpc, volatile LONG *Count)
{
    KeInitializeDpc(Dpc, CountDpc, (PVOID)Count);
    KeSetTargetProcessorDpc(Dpc, (CCHAR)KeGetCurrentProcessorNumber());
    KeInsertQueueDpc(Dpc, NULL, NULL);
    KtStall(2);
    return *Count;
}

KTEST(ke_lock, spin_lock_keeps_dpcs_out)
{
    KSPIN_LOCK    lock;
    KDPC          dpc;
    volatile LONG count = 0;
    KIRQL         oldIrql;
    KeInitializeSpinLock(&lock);
    KeAcquireSpinLock(&lock, &oldIrql);
    KIRQL heldIrql = KeGetCurrentIrql();
    LONG  whileHeld = CountWhileRaised(&dpc, &count);
    KeReleaseSpinLock(&lock, oldIrql);
    KT_EXPECT_EQ(oldIrql, PASSIVE_LEVEL);
    KT_EXPECT_EQ(heldIrql, DISPATCH_LEVEL);
    KT_EXPECT_EQ(whileHeld, 0);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_TRUE(KtSpinUntil(&count));
    KeFlushQueuedDpcs();
}

KTEST(ke_lock, raise_to_synch_holds_the_lock_there)
{
    KSPIN_LOCK lock = 0;
    KIRQL      oldIrql = KeAcquireSpinLockRaiseToSynch(&lock);
    KIRQL      heldIrql = KeGetCurrentIrql();
    bool       isFree = KeTestSpinLock(&lock) != 0;
    KeReleaseSpinLock(&lock, oldIrql);
    KT_EXPECT_EQ(oldIrql, PASSIVE_LEVEL);
    KT_EXPECT_EQ(heldIrql, KI_SYNCH_LEVEL);
    KT_EXPECT_FALSE(isFree);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

KTEST(ke_lock, queued_lock_keeps_dpcs_out)
{
    KSPIN_LOCK         lock = 0;
    KLOCK_QUEUE_HANDLE handle;
    KDPC               dpc;
    volatile LONG      count = 0;
    KeAcquireInStackQueuedSpinLock(&lock, &handle);
    KIRQL heldIrql = KeGetCurrentIrql();
    LONG  whileHeld = CountWhileRaised(&dpc, &count);
    KeReleaseInStackQueuedSpinLock(&handle);
    KT_EXPECT_EQ(heldIrql, DISPATCH_LEVEL);
    KT_EXPECT_EQ(whileHeld, 0);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_EQ(lock, 0);
    KT_EXPECT_TRUE(KtSpinUntil(&count));
    KeFlushQueuedDpcs();
}

/* Drivers lower the IRQL inline; the hardware alone lets the DPC run then. */
KTEST(ke_lock, inline_lowering_lets_dpcs_in)
{
    KDPC          dpc;
    volatile LONG count = 0;
    KIRQL         oldIrql;
    KeRaiseIrql(DEVICE_IRQL, &oldIrql);
    LONG raised = CountWhileRaised(&dpc, &count);
    KeLowerIrql(DISPATCH_LEVEL);
    KtStall(1);
    LONG atDispatch = count;
    KeLowerIrql(oldIrql);
    KT_EXPECT_EQ(raised, 0);
    KT_EXPECT_EQ(atDispatch, 0);
    KT_EXPECT_TRUE(KtSpinUntil(&count));
    KeFlushQueuedDpcs();
}

KTEST(ke_lock, exported_irql_routines)
{
    KIRQL oldIrql = KiExportKfRaiseIrql(APC_LEVEL);
    KT_EXPECT_EQ(oldIrql, PASSIVE_LEVEL);
    KT_EXPECT_EQ(KiExportKeGetCurrentIrql(), APC_LEVEL);
    KT_EXPECT_EQ(KiExportKeRaiseIrqlToDpcLevel(), APC_LEVEL);
    KT_EXPECT_EQ(KiExportKeGetCurrentProcessorNumber(), KeGetCurrentProcessorNumber());
    KT_EXPECT_EQ(KiExportKeRaiseIrqlToSynchLevel(), DISPATCH_LEVEL);
    KIRQL synchIrql = KeGetCurrentIrql();
    KiExportKeLowerIrql(oldIrql);
    KT_EXPECT_EQ(synchIrql, KI_SYNCH_LEVEL);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

KTEST(ke_lock, at_dpc_level_leaves_the_irql)
{
    KSPIN_LOCK lock = 0;
    KIRQL      oldIrql;
    KeRaiseIrql(DEVICE_IRQL, &oldIrql);
    KeAcquireSpinLockAtDpcLevel(&lock);
    KIRQL   heldIrql = KeGetCurrentIrql();
    BOOLEAN free = KeTestSpinLock(&lock);
    BOOLEAN second = KeTryToAcquireSpinLockAtDpcLevel(&lock);
    KeReleaseSpinLockFromDpcLevel(&lock);
    BOOLEAN third = KeTryToAcquireSpinLockAtDpcLevel(&lock);
    KeReleaseSpinLockFromDpcLevel(&lock);
    KIRQL endIrql = KeGetCurrentIrql();
    KeLowerIrql(oldIrql);
    KT_EXPECT_EQ(heldIrql, DEVICE_IRQL);
    KT_EXPECT_FALSE(free);
    KT_EXPECT_FALSE(second);
    KT_EXPECT_TRUE(third);
    KT_EXPECT_EQ(endIrql, DEVICE_IRQL);
    KT_EXPECT_TRUE(KeTestSpinLock(&lock));
}

/* What all CPUs add to, each form of lock around its own sum; the sums are not atomic. */
typedef struct _LOCK_SUMS {
    KSPIN_LOCK     Plain;
    KSPIN_LOCK     Queued;
    KSPIN_LOCK     Interlocked;
    KI_LOCK        Ranked;
    volatile ULONG PlainSum;
    volatile ULONG QueuedSum;
    ULONG          InterlockedSum;
    volatile ULONG RankedSum;
} LOCK_SUMS;

static void AddUnderLocks(ULONG Index, void *Context)
{
    LOCK_SUMS         *sums = Context;
    KLOCK_QUEUE_HANDLE handle;
    KIRQL              oldIrql;
    UNREFERENCED_PARAMETER(Index);
    for (ULONG round = 0; round < ROUNDS; round++) {
        KeAcquireSpinLock(&sums->Plain, &oldIrql);
        sums->PlainSum++;
        KeReleaseSpinLock(&sums->Plain, oldIrql);
        oldIrql = KiAcquireLock(&sums->Ranked);
        sums->RankedSum++;
        KiReleaseLock(&sums->Ranked, oldIrql);
        ExInterlockedAddUlong(&sums->InterlockedSum, 1, &sums->Interlocked);
    }
    for (ULONG round = 0; round < QUEUED_ROUNDS; round++) {
        KeAcquireInStackQueuedSpinLock(&sums->Queued, &handle);
        sums->QueuedSum++;
        KeReleaseInStackQueuedSpinLock(&handle);
    }
}

KTEST(ke_lock, exclusion_on_all_processors)
{
    LOCK_SUMS sums = { .Ranked = KI_LOCK_INIT(LOCK_TEST) };
    KtRunOnEachProcessor(AddUnderLocks, &sums);
    ULONG expected = KeQueryActiveProcessorCount(NULL) * ROUNDS;
    KT_EXPECT_EQ(sums.PlainSum, expected);
    KT_EXPECT_EQ(sums.QueuedSum, KeQueryActiveProcessorCount(NULL) * QUEUED_ROUNDS);
    KT_EXPECT_EQ(sums.RankedSum, expected);
    KT_EXPECT_EQ(sums.InterlockedSum, expected);
    KT_EXPECT_EQ(sums.Queued, 0);
}

KTEST(ke_lock, ranked_lock_knows_its_owner)
{
    KI_LOCK lock = KI_LOCK_INIT(LOCK_TEST);
    KIRQL   oldIrql = KiAcquireLock(&lock);
    ULONG   owner = lock.Owner;
    ULONG   self = KeGetCurrentProcessorNumber() + 1;
    KIRQL   heldIrql = KeGetCurrentIrql();
    KiReleaseLock(&lock, oldIrql);
    KT_EXPECT_EQ(owner, self);
    KT_EXPECT_EQ(heldIrql, DISPATCH_LEVEL);
    KT_EXPECT_EQ(lock.Owner, 0);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

KTEST(ke_lock, interlocked_lists)
{
    KSPIN_LOCK        lock = 0;
    LIST_ENTRY        head, first, second;
    SINGLE_LIST_ENTRY single = { NULL }, one, two;
    LARGE_INTEGER     sum = { .QuadPart = 5 };
    InitializeListHead(&head);
    KT_EXPECT_NULL(ExInterlockedRemoveHeadList(&head, &lock));
    KT_EXPECT_NULL(ExInterlockedInsertHeadList(&head, &first, &lock));
    KT_EXPECT_EQ((ULONG64)ExInterlockedInsertTailList(&head, &second, &lock), (ULONG64)&first);
    KT_EXPECT_EQ((ULONG64)ExInterlockedRemoveHeadList(&head, &lock), (ULONG64)&first);
    KT_EXPECT_EQ((ULONG64)ExInterlockedRemoveHeadList(&head, &lock), (ULONG64)&second);
    KT_EXPECT_NULL(ExInterlockedRemoveHeadList(&head, &lock));
    KT_EXPECT_NULL(ExInterlockedPushEntryList(&single, &one, &lock));
    KT_EXPECT_EQ((ULONG64)ExInterlockedPushEntryList(&single, &two, &lock), (ULONG64)&one);
    KT_EXPECT_EQ((ULONG64)ExInterlockedPopEntryList(&single, &lock), (ULONG64)&two);
    KT_EXPECT_EQ((ULONG64)ExInterlockedPopEntryList(&single, &lock), (ULONG64)&one);
    KT_EXPECT_NULL(ExInterlockedPopEntryList(&single, &lock));
    KT_EXPECT_EQ(ExInterlockedAddLargeInteger(&sum, (LARGE_INTEGER){ .QuadPart = -7 }, &lock).QuadPart, 5);
    KT_EXPECT_EQ(sum.QuadPart, -2);
}

KTEST(ke_lock, slist_is_a_stack)
{
    SLIST_HEADER head;
    SLIST_ENTRY  entries[3];
    InitializeSListHead(&head);
    KT_EXPECT_NULL(ExpInterlockedPopEntrySList(&head));
    KT_EXPECT_NULL(ExpInterlockedPushEntrySList(&head, &entries[0]));
    KT_EXPECT_EQ((ULONG64)ExpInterlockedPushEntrySList(&head, &entries[1]), (ULONG64)&entries[0]);
    KT_EXPECT_EQ(ExQueryDepthSList(&head), 2);
    KT_EXPECT_EQ((ULONG64)ExpInterlockedPopEntrySList(&head), (ULONG64)&entries[1]);
    ExpInterlockedPushEntrySList(&head, &entries[2]);
    SLIST_ENTRY *all = ExpInterlockedFlushSList(&head);
    KT_ASSERT_EQ((ULONG64)all, (ULONG64)&entries[2]);
    KT_EXPECT_EQ((ULONG64)all->Next, (ULONG64)&entries[0]);
    KT_EXPECT_NULL(entries[0].Next);
    KT_EXPECT_EQ(ExQueryDepthSList(&head), 0);
    KT_EXPECT_NULL(ExpInterlockedFlushSList(&head));
}

extern const UCHAR ExpInterlockedPopEntrySListResume[];
extern const UCHAR ExpInterlockedPopEntrySListFault[];

/* What the page fault handler does about a pop that read the link of a freed entry. */
KTEST(ke_lock, slist_pop_starts_over_when_the_list_changed)
{
    SLIST_HEADER head;
    SLIST_ENTRY  entry;
    InitializeSListHead(&head);
    ExpInterlockedPushEntrySList(&head, &entry);
    KTRAP_FRAME frame = { .Rip = (ULONG64)ExpInterlockedPopEntrySListFault,
                          .R8 = (ULONG64)&head,
                          .Rax = head.Alignment };
    KT_EXPECT_FALSE(ExpResumeSListPop(&frame));
    ExpInterlockedPopEntrySList(&head);
    KT_EXPECT_TRUE(ExpResumeSListPop(&frame));
    KT_EXPECT_EQ(frame.Rip, (ULONG64)ExpInterlockedPopEntrySListResume);
    KT_EXPECT_FALSE(ExpResumeSListPop(&frame));
}

typedef struct _SLIST_NODE {
    SLIST_ENTRY   Link;
    volatile LONG InUse; /* someone holds it */
} SLIST_NODE;

typedef struct _SLIST_FIELD {
    SLIST_HEADER  Head;
    volatile LONG Doubles; /* nodes that two held at once */
} SLIST_FIELD;

static void PopAndPush(ULONG Index, void *Context)
{
    SLIST_FIELD *field = Context;
    UNREFERENCED_PARAMETER(Index);
    for (ULONG round = 0; round < ROUNDS; round++) {
        SLIST_NODE *node = (SLIST_NODE *)ExpInterlockedPopEntrySList(&field->Head);
        if (node == NULL) {
            continue;
        }
        if (InterlockedExchange(&node->InUse, 1) != 0) {
            InterlockedIncrement(&field->Doubles);
        }
        InterlockedExchange(&node->InUse, 0);
        ExpInterlockedPushEntrySList(&field->Head, &node->Link);
    }
}

KTEST(ke_lock, slist_on_all_processors)
{
    SLIST_FIELD field = { .Doubles = 0 };
    ULONG       left = 0;
    SLIST_NODE *nodes = ExAllocatePoolWithTag(NonPagedPoolNx, NODE_COUNT * sizeof(SLIST_NODE), LIST_TAG);
    KT_ASSERT_NOT_NULL(nodes);
    InitializeSListHead(&field.Head);
    for (ULONG index = 0; index < NODE_COUNT; index++) {
        nodes[index].InUse = 0;
        ExpInterlockedPushEntrySList(&field.Head, &nodes[index].Link);
    }
    KtRunOnEachProcessor(PopAndPush, &field);
    KT_EXPECT_EQ(field.Doubles, 0);
    KT_EXPECT_EQ(ExQueryDepthSList(&field.Head), NODE_COUNT);
    while (ExpInterlockedPopEntrySList(&field.Head) != NULL) {
        left++;
    }
    KT_EXPECT_EQ(left, NODE_COUNT);
    ExFreePoolWithTag(nodes, LIST_TAG);
}
