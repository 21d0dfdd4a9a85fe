/*
 * Deferred procedure calls.
 */
#include "kernel/ke/dpc.h"

#include "kernel/amd64/cpu.h"
#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

#define STRESS_ROUNDS 500
#define RESTARTS      20

/* What a DPC routine found. */
typedef struct _DPC_RECORD {
    volatile LONG Runs;
    KIRQL         Irql;
    ULONG         Processor;
    bool          AcSet;
    bool          InterruptsOn;
    bool          Active;
    PVOID         Argument1;
    PVOID         Argument2;
    LONG          Restarts; /* times the routine is to queue itself again */
} DPC_RECORD;

static KDEFERRED_ROUTINE RecordDpc;
static VOID NTAPI        RecordDpc(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    DPC_RECORD *record = DeferredContext;
    ULONG64     flags = __readeflags();
    record->Irql = KeGetCurrentIrql();
    record->Processor = KeGetCurrentProcessorNumber();
    record->AcSet = (flags & X86_EFLAGS_AC) != 0;
    record->InterruptsOn = (flags & X86_EFLAGS_IF) != 0;
    record->Active = KiIsDpcActive();
    record->Argument1 = SystemArgument1;
    record->Argument2 = SystemArgument2;
    if (record->Restarts > 0) {
        record->Restarts--;
        KeInsertQueueDpc(Dpc, SystemArgument1, SystemArgument2);
    }
    InterlockedIncrement(&record->Runs);
}

KTEST(ke_dpc, runs_at_dispatch_level)
{
    KDPC       dpc;
    DPC_RECORD record = { .Runs = 0 };
    KeInitializeDpc(&dpc, RecordDpc, &record);
    KT_EXPECT_TRUE(KeInsertQueueDpc(&dpc, (PVOID)0x11, (PVOID)0x22));
    KT_EXPECT_TRUE(KtSpinUntil(&record.Runs));
    KT_EXPECT_EQ(record.Irql, DISPATCH_LEVEL);
    KT_EXPECT_FALSE(record.AcSet);
    KT_EXPECT_TRUE(record.InterruptsOn);
    KT_EXPECT_TRUE(record.Active);
    KT_EXPECT_EQ((ULONG64)record.Argument1, 0x11);
    KT_EXPECT_EQ((ULONG64)record.Argument2, 0x22);
    KT_EXPECT_FALSE(KiIsDpcActive());
    KeFlushQueuedDpcs();
}

KTEST(ke_dpc, is_queued_once)
{
    KDPC       dpc;
    DPC_RECORD record = { .Runs = 0 };
    KIRQL      oldIrql;
    KeInitializeDpc(&dpc, RecordDpc, &record);
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    BOOLEAN first = KeInsertQueueDpc(&dpc, (PVOID)1, NULL);
    BOOLEAN second = KeInsertQueueDpc(&dpc, (PVOID)2, NULL);
    KeLowerIrql(oldIrql);
    KeFlushQueuedDpcs();
    KT_EXPECT_TRUE(first);
    KT_EXPECT_FALSE(second);
    KT_EXPECT_EQ(record.Runs, 1);
    KT_EXPECT_EQ((ULONG64)record.Argument1, 1);
}

KTEST(ke_dpc, removed_does_not_run)
{
    KDPC       dpc;
    DPC_RECORD record = { .Runs = 0 };
    KIRQL      oldIrql;
    KeInitializeDpc(&dpc, RecordDpc, &record);
    KT_EXPECT_FALSE(KeRemoveQueueDpc(&dpc));
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    KeInsertQueueDpc(&dpc, NULL, NULL);
    BOOLEAN removed = KeRemoveQueueDpc(&dpc);
    KeLowerIrql(oldIrql);
    KeFlushQueuedDpcs();
    KT_EXPECT_TRUE(removed);
    KT_EXPECT_EQ(record.Runs, 0);
    KeInsertQueueDpc(&dpc, NULL, NULL); /* the interrupt that the removed one asked for must not be owed for ever */
    KT_EXPECT_TRUE(KtSpinUntil(&record.Runs));
    KeFlushQueuedDpcs();
}

KTEST(ke_dpc, runs_where_it_is_bound)
{
    for (ULONG number = 0; number < KeQueryActiveProcessorCount(NULL); number++) {
        KDPC             dpc;
        DPC_RECORD       record = { .Runs = 0 };
        PROCESSOR_NUMBER target = { .Number = (UCHAR)number };
        KeInitializeDpc(&dpc, RecordDpc, &record);
        KT_EXPECT_STATUS(KeSetTargetProcessorDpcEx(&dpc, &target), STATUS_SUCCESS);
        KeInsertQueueDpc(&dpc, NULL, NULL);
        KT_EXPECT_TRUE(KtSpinUntil(&record.Runs));
        KT_EXPECT_EQ(record.Processor, number);
        KeFlushQueuedDpcs();
    }
}

KTEST(ke_dpc, target_must_exist)
{
    KDPC             dpc;
    DPC_RECORD       record = { .Runs = 0 };
    PROCESSOR_NUMBER missing = { .Number = (UCHAR)KeQueryActiveProcessorCount(NULL) };
    PROCESSOR_NUMBER group = { .Group = 1 };
    KeInitializeDpc(&dpc, RecordDpc, &record);
    KT_EXPECT_STATUS(KeSetTargetProcessorDpcEx(&dpc, &missing), STATUS_INVALID_PARAMETER);
    KT_EXPECT_STATUS(KeSetTargetProcessorDpcEx(&dpc, &group), STATUS_INVALID_PARAMETER);
}

/* Notes the order in which DPCs ran. */
typedef struct _DPC_ORDER {
    ULONG Count;
    ULONG Marks[4];
} DPC_ORDER;

static KDEFERRED_ROUTINE OrderDpc;
static VOID NTAPI        OrderDpc(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    DPC_ORDER *order = DeferredContext;
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument2);
    order->Marks[order->Count++] = (ULONG)(ULONG_PTR)SystemArgument1;
}

KTEST(ke_dpc, important_ones_run_first)
{
    KDPC      dpcs[3];
    DPC_ORDER order = { .Count = 0 };
    KIRQL     oldIrql;
    for (ULONG index = 0; index < 3; index++) {
        KeInitializeDpc(&dpcs[index], OrderDpc, &order);
    }
    KeSetImportanceDpc(&dpcs[2], HighImportance);
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    for (ULONG index = 0; index < 3; index++) {
        KeInsertQueueDpc(&dpcs[index], (PVOID)(ULONG_PTR)index, NULL);
    }
    KeLowerIrql(oldIrql);
    KeFlushQueuedDpcs();
    KT_ASSERT_EQ(order.Count, 3);
    KT_EXPECT_EQ(order.Marks[0], 2);
    KT_EXPECT_EQ(order.Marks[1], 0);
    KT_EXPECT_EQ(order.Marks[2], 1);
}

KTEST(ke_dpc, may_queue_itself)
{
    KDPC       dpc;
    DPC_RECORD record = { .Restarts = RESTARTS };
    KeInitializeDpc(&dpc, RecordDpc, &record);
    KeInsertQueueDpc(&dpc, NULL, NULL);
    for (ULONG flushes = 0; flushes <= RESTARTS; flushes++) {
        KeFlushQueuedDpcs(); /* behind at least one more run each */
    }
    KT_EXPECT_EQ(record.Runs, RESTARTS + 1);
    KT_EXPECT_FALSE(KeRemoveQueueDpc(&dpc));
}

static KDEFERRED_ROUTINE SlowDpc;
static VOID NTAPI        SlowDpc(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    KtStall(5);
    InterlockedIncrement((volatile LONG *)DeferredContext);
}

KTEST(ke_dpc, flush_waits_for_every_processor)
{
    ULONG         count = KeQueryActiveProcessorCount(NULL);
    volatile LONG done = 0;
    KDPC         *dpcs = ExAllocatePoolWithTag(NonPagedPoolNx, count * sizeof(KDPC), 'pdTK');
    KT_ASSERT_NOT_NULL(dpcs);
    for (ULONG number = 0; number < count; number++) {
        KeInitializeDpc(&dpcs[number], SlowDpc, (PVOID)&done);
        KeSetTargetProcessorDpc(&dpcs[number], (CCHAR)number);
        KeInsertQueueDpc(&dpcs[number], NULL, NULL);
    }
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(done, count);
    ExFreePoolWithTag(dpcs, 'pdTK');
}

static KDEFERRED_ROUTINE SetEventDpc;
static VOID NTAPI        SetEventDpc(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    KeSetEvent(DeferredContext, IO_NO_INCREMENT, FALSE);
}

KTEST(ke_dpc, wakes_threads)
{
    KDPC   dpc;
    KEVENT event;
    KeInitializeEvent(&event, SynchronizationEvent, FALSE);
    KeInitializeDpc(&dpc, SetEventDpc, &event);
    for (ULONG round = 0; round < 100; round++) {
        KeSetTargetProcessorDpc(&dpc, (CCHAR)(round % KeQueryActiveProcessorCount(NULL)));
        KT_EXPECT_TRUE(KeInsertQueueDpc(&dpc, NULL, NULL));
        KT_ASSERT_STATUS(KtWait(&event), STATUS_SUCCESS);
    }
    KeFlushQueuedDpcs();
}

/* All CPUs queue and remove the same few DPCs. */
typedef struct _DPC_STRESS {
    KDPC          Dpcs[3];
    volatile LONG Runs;
    volatile LONG Expected;
} DPC_STRESS;

static KDEFERRED_ROUTINE StressDpc;
static VOID NTAPI        StressDpc(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    DPC_STRESS *stress = DeferredContext;
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    InterlockedIncrement(&stress->Runs);
}

static void InsertAndRemove(ULONG Index, void *Context)
{
    DPC_STRESS *stress = Context;
    for (ULONG round = 0; round < STRESS_ROUNDS; round++) {
        KDPC *dpc = &stress->Dpcs[(round + Index) % RTL_NUMBER_OF(stress->Dpcs)];
        if (KeInsertQueueDpc(dpc, NULL, NULL)) {
            InterlockedIncrement(&stress->Expected);
        }
        if (round % 7 == 0 && KeRemoveQueueDpc(dpc)) {
            InterlockedDecrement(&stress->Expected);
        }
    }
}

KTEST(ke_dpc, each_insert_is_one_run)
{
    DPC_STRESS stress = { .Runs = 0 };
    for (ULONG index = 0; index < RTL_NUMBER_OF(stress.Dpcs); index++) {
        KeInitializeDpc(&stress.Dpcs[index], StressDpc, &stress);
    }
    KeSetTargetProcessorDpc(&stress.Dpcs[0], 0);
    KtRunOnEachProcessor(InsertAndRemove, &stress);
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(stress.Runs, stress.Expected);
}
