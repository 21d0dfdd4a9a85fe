/*
 * Kernel APCs.
 */
#include "kernel/ke/apc.h"

#include "kernel/amd64/cpu.h"
#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

#define ROUNDS 100

/* What the routines of an APC found. */
typedef struct _APC_RECORD {
    volatile LONG KernelRuns;
    volatile LONG NormalRuns;
    KIRQL         KernelIrql;
    KIRQL         NormalIrql;
    bool          AcSet;
    PKTHREAD      Thread;
    PVOID         Arguments[3];
    KEVENT       *Done; /* NULL, or set by the last routine */
} APC_RECORD;

/* The APC is part of its record, which the kernel routine finds by it. */
typedef struct _TEST_APC {
    KAPC       Apc;
    APC_RECORD Record;
} TEST_APC;

static VOID NTAPI KernelRoutine(PKAPC Apc, PKNORMAL_ROUTINE *NormalRoutine, PVOID *NormalContext,
                                PVOID *SystemArgument1, PVOID *SystemArgument2)
{
    APC_RECORD *record = &CONTAINING_RECORD(Apc, TEST_APC, Apc)->Record;
    record->KernelIrql = KeGetCurrentIrql();
    record->AcSet = (__readeflags() & X86_EFLAGS_AC) != 0;
    record->Thread = KeGetCurrentThread();
    record->Arguments[0] = *NormalContext;
    record->Arguments[1] = *SystemArgument1;
    record->Arguments[2] = *SystemArgument2;
    InterlockedIncrement(&record->KernelRuns);
    if (*NormalRoutine == NULL && record->Done != NULL) {
        KeSetEvent(record->Done, IO_NO_INCREMENT, FALSE);
    }
}

static VOID NTAPI NormalRoutine(PVOID NormalContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    APC_RECORD *record = NormalContext;
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    record->NormalIrql = KeGetCurrentIrql();
    InterlockedIncrement(&record->NormalRuns);
    if (record->Done != NULL) {
        KeSetEvent(record->Done, IO_NO_INCREMENT, FALSE);
    }
}

static void InitializeSpecial(TEST_APC *Apc, PKTHREAD Thread)
{
    RtlZeroMemory(Apc, sizeof(*Apc));
    KeInitializeApc(&Apc->Apc, Thread, OriginalApcEnvironment, KernelRoutine, NULL, NULL, KernelMode, NULL);
}

static void InitializeNormal(TEST_APC *Apc, PKTHREAD Thread)
{
    RtlZeroMemory(Apc, sizeof(*Apc));
    KeInitializeApc(&Apc->Apc, Thread, OriginalApcEnvironment, KernelRoutine, NULL, NormalRoutine, KernelMode,
                    &Apc->Record);
}

KTEST(ke_apc, special_runs_at_apc_level)
{
    TEST_APC apc;
    InitializeSpecial(&apc, KeGetCurrentThread());
    KT_EXPECT_TRUE(KeInsertQueueApc(&apc.Apc, (PVOID)0x11, (PVOID)0x22, IO_NO_INCREMENT));
    KT_EXPECT_TRUE(KtSpinUntil(&apc.Record.KernelRuns));
    KT_EXPECT_EQ(apc.Record.KernelIrql, APC_LEVEL);
    KT_EXPECT_TRUE(apc.Record.AcSet);
    KT_EXPECT_EQ((ULONG64)apc.Record.Arguments[1], 0x11);
    KT_EXPECT_EQ((ULONG64)apc.Record.Arguments[2], 0x22);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

KTEST(ke_apc, normal_runs_at_passive_level)
{
    TEST_APC apc;
    InitializeNormal(&apc, KeGetCurrentThread());
    KT_EXPECT_TRUE(KeInsertQueueApc(&apc.Apc, NULL, NULL, IO_NO_INCREMENT));
    KT_EXPECT_TRUE(KtSpinUntil(&apc.Record.NormalRuns));
    KT_EXPECT_EQ(apc.Record.KernelIrql, APC_LEVEL);
    KT_EXPECT_EQ(apc.Record.NormalIrql, PASSIVE_LEVEL);
    KT_EXPECT_EQ((ULONG64)apc.Record.Arguments[0], (ULONG64)&apc.Record);
}

KTEST(ke_apc, apc_level_defers)
{
    TEST_APC apc;
    KIRQL    oldIrql;
    InitializeSpecial(&apc, KeGetCurrentThread());
    KeRaiseIrql(APC_LEVEL, &oldIrql);
    BOOLEAN first = KeInsertQueueApc(&apc.Apc, NULL, NULL, IO_NO_INCREMENT);
    BOOLEAN second = KeInsertQueueApc(&apc.Apc, NULL, NULL, IO_NO_INCREMENT);
    KtStall(1);
    LONG raised = apc.Record.KernelRuns;
    KeLowerIrql(oldIrql); /* inline: nothing but the hardware delivers */
    KT_EXPECT_TRUE(KtSpinUntil(&apc.Record.KernelRuns));
    KT_EXPECT_TRUE(first);
    KT_EXPECT_FALSE(second);
    KT_EXPECT_EQ(raised, 0);
    KT_EXPECT_EQ(apc.Record.KernelRuns, 1);
}

KTEST(ke_apc, removed_does_not_run)
{
    TEST_APC apc;
    KIRQL    oldIrql;
    InitializeSpecial(&apc, KeGetCurrentThread());
    KeRaiseIrql(APC_LEVEL, &oldIrql);
    KeInsertQueueApc(&apc.Apc, NULL, NULL, IO_NO_INCREMENT);
    BOOLEAN removed = KeRemoveQueueApc(&apc.Apc);
    KeLowerIrql(oldIrql);
    KtStall(1);
    KT_EXPECT_TRUE(removed);
    KT_EXPECT_FALSE(KeRemoveQueueApc(&apc.Apc));
    KT_EXPECT_EQ(apc.Record.KernelRuns, 0);
}

KTEST(ke_apc, critical_region_keeps_normal_ones_out)
{
    TEST_APC normal, special;
    InitializeNormal(&normal, KeGetCurrentThread());
    InitializeSpecial(&special, KeGetCurrentThread());
    KeEnterCriticalRegion();
    KeEnterCriticalRegion();
    bool apcsOff = KeAreApcsDisabled();
    bool allOff = KeAreAllApcsDisabled();
    KeInsertQueueApc(&normal.Apc, NULL, NULL, IO_NO_INCREMENT);
    KeInsertQueueApc(&special.Apc, NULL, NULL, IO_NO_INCREMENT);
    bool specialRan = KtSpinUntil(&special.Record.KernelRuns);
    KeLeaveCriticalRegion();
    KtStall(1);
    LONG within = normal.Record.KernelRuns;
    KeLeaveCriticalRegion();
    KT_EXPECT_TRUE(KtSpinUntil(&normal.Record.NormalRuns));
    KT_EXPECT_TRUE(apcsOff);
    KT_EXPECT_FALSE(allOff);
    KT_EXPECT_TRUE(specialRan);
    KT_EXPECT_EQ(within, 0);
    KT_EXPECT_FALSE(KeAreApcsDisabled());
}

KTEST(ke_apc, guarded_region_keeps_all_out)
{
    TEST_APC special;
    InitializeSpecial(&special, KeGetCurrentThread());
    KeEnterGuardedRegion();
    bool allOff = KeAreAllApcsDisabled();
    KeInsertQueueApc(&special.Apc, NULL, NULL, IO_NO_INCREMENT);
    KtStall(1);
    LONG within = special.Record.KernelRuns;
    KeLeaveGuardedRegion();
    KT_EXPECT_TRUE(KtSpinUntil(&special.Record.KernelRuns));
    KT_EXPECT_TRUE(allOff);
    KT_EXPECT_EQ(within, 0);
}

static void NTAPI WaitForEvent(PVOID Context)
{
    KeWaitForSingleObject(Context, Executive, KernelMode, FALSE, NULL);
}

KTEST(ke_apc, interrupts_a_wait_that_goes_on)
{
    KEVENT   event;
    TEST_APC apc;
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    PETHREAD thread = KtStart(WaitForEvent, &event);
    KT_ASSERT_NOT_NULL(thread);
    for (ULONG round = 0; round < 3 && KtUntilWaiting(thread); round++) {
        InitializeNormal(&apc, &thread->Tcb);
        KT_EXPECT_TRUE(KeInsertQueueApc(&apc.Apc, NULL, NULL, IO_NO_INCREMENT));
        KT_EXPECT_TRUE(KtSpinUntil(&apc.Record.NormalRuns));
        KT_EXPECT_EQ((ULONG64)apc.Record.Thread, (ULONG64)thread);
        KT_EXPECT_EQ(thread->Tcb.Header.SignalState, 0);
    }
    KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
    KtJoin(thread);
}

/* A thread that runs, and keeps running, without a call into the kernel. */
typedef struct _BUSY {
    volatile LONG Running;
    volatile LONG Stop;
} BUSY;

static void NTAPI StayBusy(PVOID Context)
{
    BUSY *busy = Context;
    if (KeQueryActiveProcessorCount(NULL) > 1) {
        KtBind(1, KI_DEFAULT_PRIORITY);
    }
    InterlockedExchange(&busy->Running, 1);
    (void)KtSpinUntil(&busy->Stop);
}

KTEST(ke_apc, interrupts_a_running_thread)
{
    BUSY     busy = { 0 };
    TEST_APC apc;
    if (KeQueryActiveProcessorCount(NULL) > 1) {
        KeSetSystemAffinityThread(1);
    }
    PETHREAD thread = KtStart(StayBusy, &busy);
    KT_ASSERT_NOT_NULL(thread);
    KT_EXPECT_TRUE(KtSpinUntil(&busy.Running));
    InitializeSpecial(&apc, &thread->Tcb);
    KT_EXPECT_TRUE(KeInsertQueueApc(&apc.Apc, NULL, NULL, IO_NO_INCREMENT));
    KT_EXPECT_TRUE(KtSpinUntil(&apc.Record.KernelRuns));
    KT_EXPECT_EQ((ULONG64)apc.Record.Thread, (ULONG64)thread);
    InterlockedExchange(&busy.Stop, 1);
    KtJoin(thread);
    KeRevertToUserAffinityThread();
}

KTEST(ke_apc, ended_thread_takes_none)
{
    KEVENT   event;
    TEST_APC apc;
    KeInitializeEvent(&event, NotificationEvent, TRUE);
    PETHREAD thread = KtStart(WaitForEvent, &event);
    KT_ASSERT_NOT_NULL(thread);
    KT_EXPECT_STATUS(KtWait(thread), STATUS_SUCCESS);
    InitializeSpecial(&apc, &thread->Tcb);
    KT_EXPECT_FALSE(KeInsertQueueApc(&apc.Apc, NULL, NULL, IO_NO_INCREMENT));
    KtJoin(thread);
}

/* A thread that waits, and enters and leaves regions, while all CPUs send it APCs. */
typedef struct _TARGET {
    PETHREAD      Thread;
    volatile LONG Stop;
    volatile LONG Sent;
    volatile LONG Received;
} TARGET;

static void NTAPI BeTarget(PVOID Context)
{
    TARGET       *target = Context;
    LARGE_INTEGER brief = { .QuadPart = -1 };
    while (target->Stop == 0) {
        KeEnterCriticalRegion();
        KeEnterGuardedRegion();
        KeLeaveGuardedRegion();
        KeDelayExecutionThread(KernelMode, FALSE, &brief);
        KeLeaveCriticalRegion();
        KeDelayExecutionThread(KernelMode, FALSE, &brief);
    }
}

static void SendApcs(ULONG Index, void *Context)
{
    TARGET  *target = Context;
    TEST_APC apc;
    KEVENT   done;
    KeInitializeEvent(&done, SynchronizationEvent, FALSE);
    for (ULONG round = 0; round < ROUNDS; round++) {
        if ((round + Index) % 2 == 0) {
            InitializeSpecial(&apc, &target->Thread->Tcb);
        } else {
            InitializeNormal(&apc, &target->Thread->Tcb);
        }
        apc.Record.Done = &done;
        if (KeInsertQueueApc(&apc.Apc, NULL, NULL, IO_NO_INCREMENT)) {
            InterlockedIncrement(&target->Sent);
            if (KtWait(&done) == STATUS_SUCCESS) {
                InterlockedIncrement(&target->Received);
            }
        }
    }
}

KTEST(ke_apc, none_is_lost_on_all_processors)
{
    TARGET target = { .Stop = 0 };
    target.Thread = KtStart(BeTarget, &target);
    KT_ASSERT_NOT_NULL(target.Thread);
    KtRunOnEachProcessor(SendApcs, &target);
    InterlockedExchange(&target.Stop, 1);
    KtJoin(target.Thread);
    KT_EXPECT_EQ(target.Sent, ROUNDS * KeQueryActiveProcessorCount(NULL));
    KT_EXPECT_EQ(target.Received, target.Sent);
}
