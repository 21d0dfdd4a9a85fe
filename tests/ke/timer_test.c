/*
 * Timers.
 */
#include "kernel/ke/timer.h"

#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

#define UNITS_PER_MS 10000
#define TIMER_COUNT  16
#define ROUNDS       200

static KDEFERRED_ROUTINE CountDpc;
static VOID NTAPI        CountDpc(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    InterlockedIncrement((volatile LONG *)DeferredContext);
}

KTEST(ke_timer, expires_when_due)
{
    KTIMER        timer;
    KDPC          dpc;
    volatile LONG runs = 0;
    KeInitializeTimer(&timer);
    KeInitializeDpc(&dpc, CountDpc, (PVOID)&runs);
    ULONG64 start = KeQueryInterruptTime();
    KT_EXPECT_FALSE(KeSetTimer(&timer, KtMilliseconds(30), &dpc));
    KT_EXPECT_FALSE(KeReadStateTimer(&timer));
    KT_EXPECT_STATUS(KtWait(&timer), STATUS_SUCCESS);
    KT_EXPECT_GE(KeQueryInterruptTime() - start, 30 * UNITS_PER_MS);
    KT_EXPECT_TRUE(KeReadStateTimer(&timer));
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(runs, 1);
    KT_EXPECT_FALSE(KeCancelTimer(&timer));
}

KTEST(ke_timer, cancelled_does_not_expire)
{
    KTIMER        timer;
    KDPC          dpc;
    volatile LONG runs = 0;
    LARGE_INTEGER longer = KtMilliseconds(60);
    KeInitializeTimer(&timer);
    KeInitializeDpc(&dpc, CountDpc, (PVOID)&runs);
    KT_EXPECT_FALSE(KeCancelTimer(&timer));
    KeSetTimer(&timer, KtMilliseconds(30), &dpc);
    BOOLEAN cancelled = KeCancelTimer(&timer);
    KeDelayExecutionThread(KernelMode, FALSE, &longer);
    KeFlushQueuedDpcs();
    KT_EXPECT_TRUE(cancelled);
    KT_EXPECT_FALSE(KeReadStateTimer(&timer));
    KT_EXPECT_EQ(runs, 0);
}

KTEST(ke_timer, setting_again_replaces)
{
    KTIMER timer;
    KeInitializeTimer(&timer);
    KeSetTimer(&timer, KtMilliseconds(60000), NULL);
    ULONG64 start = KeQueryInterruptTime();
    KT_EXPECT_TRUE(KeSetTimer(&timer, KtMilliseconds(20), NULL));
    KT_EXPECT_STATUS(KtWait(&timer), STATUS_SUCCESS);
    KT_EXPECT_GE(KeQueryInterruptTime() - start, 20 * UNITS_PER_MS);
    KT_EXPECT_FALSE(KeSetTimer(&timer, KtMilliseconds(60000), NULL));
    KT_EXPECT_FALSE(KeReadStateTimer(&timer));
    KT_EXPECT_TRUE(KeCancelTimer(&timer));
}

KTEST(ke_timer, past_due_expires_at_once)
{
    KTIMER        timer;
    KDPC          dpc;
    volatile LONG runs = 0;
    LARGE_INTEGER past;
    KeInitializeTimer(&timer);
    KeInitializeDpc(&dpc, CountDpc, (PVOID)&runs);
    KT_EXPECT_FALSE(KeSetTimer(&timer, (LARGE_INTEGER){ .QuadPart = 0 }, &dpc));
    KT_EXPECT_TRUE(KeReadStateTimer(&timer));
    KeQuerySystemTime(&past);
    past.QuadPart -= UNITS_PER_MS;
    KT_EXPECT_FALSE(KeSetTimer(&timer, past, NULL));
    KT_EXPECT_TRUE(KeReadStateTimer(&timer));
    KeFlushQueuedDpcs();
    KT_EXPECT_EQ(runs, 1);
}

KTEST(ke_timer, absolute_time)
{
    KTIMER        timer;
    LARGE_INTEGER due, end;
    KeInitializeTimer(&timer);
    KeQuerySystemTime(&due);
    due.QuadPart += 30 * UNITS_PER_MS;
    KeSetTimer(&timer, due, NULL);
    KT_EXPECT_STATUS(KtWait(&timer), STATUS_SUCCESS);
    KeQuerySystemTime(&end);
    KT_EXPECT_GE(end.QuadPart, due.QuadPart);
}

KTEST(ke_timer, periodic_until_cancelled)
{
    KTIMER        timer;
    KDPC          dpc;
    volatile LONG runs = 0;
    LARGE_INTEGER longer = KtMilliseconds(60);
    KeInitializeTimerEx(&timer, SynchronizationTimer);
    KeInitializeDpc(&dpc, CountDpc, (PVOID)&runs);
    ULONG64 start = KeQueryInterruptTime();
    KeSetTimerEx(&timer, KtMilliseconds(20), 20, &dpc);
    for (ULONG period = 1; period <= 4; period++) {
        KT_EXPECT_STATUS(KtWait(&timer), STATUS_SUCCESS);
    }
    KT_EXPECT_GE(KeQueryInterruptTime() - start, 80 * UNITS_PER_MS);
    KT_EXPECT_TRUE(KeCancelTimer(&timer));
    KeFlushQueuedDpcs();
    LONG atCancel = runs;
    KeDelayExecutionThread(KernelMode, FALSE, &longer);
    KT_EXPECT_GE(atCancel, 4);
    KT_EXPECT_EQ(runs, atCancel);
}

KTEST(ke_timer, shortest_period)
{
    KTIMER timer;
    KeInitializeTimerEx(&timer, SynchronizationTimer);
    KeSetCoalescableTimer(&timer, (LARGE_INTEGER){ .QuadPart = 0 }, 1, 0, NULL);
    for (ULONG period = 0; period < 5; period++) {
        KT_EXPECT_STATUS(KtWait(&timer), STATUS_SUCCESS);
    }
    KT_EXPECT_TRUE(KeCancelTimer(&timer));
}

KTEST(ke_timer, synchronization_timer_serves_one)
{
    KTIMER        timer;
    LARGE_INTEGER now = { .QuadPart = 0 };
    KeInitializeTimerEx(&timer, SynchronizationTimer);
    KeSetTimer(&timer, KtMilliseconds(10), NULL);
    KT_EXPECT_STATUS(KtWait(&timer), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KeWaitForSingleObject(&timer, Executive, KernelMode, FALSE, &now), STATUS_TIMEOUT);
}

/* Timers that share a bucket of the wheel are told apart by the lap. */
KTEST(ke_timer, far_ones_wait_for_their_lap)
{
    KTIMER near, far, farther;
    KeInitializeTimer(&near);
    KeInitializeTimer(&far);
    KeInitializeTimer(&farther);
    const LONGLONG lap = 6710886 * 10; /* 2^26 units of 100 ns, about */
    KeSetTimer(&farther, (LARGE_INTEGER){ .QuadPart = -50 * UNITS_PER_MS - 200 * lap }, NULL);
    KeSetTimer(&far, (LARGE_INTEGER){ .QuadPart = -50 * UNITS_PER_MS - 100 * lap }, NULL);
    KeSetTimer(&near, (LARGE_INTEGER){ .QuadPart = -50 * UNITS_PER_MS }, NULL);
    KT_EXPECT_STATUS(KtWait(&near), STATUS_SUCCESS);
    KT_EXPECT_FALSE(KeReadStateTimer(&far));
    KT_EXPECT_TRUE(KeCancelTimer(&farther));
    KT_EXPECT_TRUE(KeCancelTimer(&far));
}

/* All CPUs set, cancel and wait for timers of their own, and fight for one that they share. */
static void SetAndCancel(ULONG Index, void *Context)
{
    KTIMER *shared = Context;
    KTIMER  own;
    KeInitializeTimer(&own);
    for (ULONG round = 0; round < ROUNDS; round++) {
        KeSetTimer(&own, (LARGE_INTEGER){ .QuadPart = -(LONGLONG)(1 + (round * 7919 + Index) % 300000) }, NULL);
        KeSetTimer(shared, (LARGE_INTEGER){ .QuadPart = -(LONGLONG)(1 + round * 104729 % 200000) }, NULL);
        if (round % 16 == 0) {
            KT_EXPECT_STATUS(KtWait(&own), STATUS_SUCCESS);
        } else {
            KeCancelTimer(&own);
        }
        if (round % 3 == 0) {
            KeCancelTimer(shared);
        }
    }
}

KTEST(ke_timer, set_and_cancel_on_all_processors)
{
    KTIMER shared;
    KeInitializeTimer(&shared);
    KtRunOnEachProcessor(SetAndCancel, &shared);
    KeCancelTimer(&shared);
    KT_EXPECT_FALSE(KeSetTimer(&shared, KtMilliseconds(5), NULL));
    KT_EXPECT_STATUS(KtWait(&shared), STATUS_SUCCESS);
}

KTEST(ke_timer, many_expire_in_order)
{
    KTIMER *timers = ExAllocatePoolWithTag(NonPagedPoolNx, TIMER_COUNT * sizeof(KTIMER), 'mtTK');
    KT_ASSERT_NOT_NULL(timers);
    for (ULONG index = 0; index < TIMER_COUNT; index++) {
        KeInitializeTimer(&timers[index]);
        KeSetTimer(&timers[index], KtMilliseconds(10 * (TIMER_COUNT - index)), NULL);
    }
    for (ULONG index = TIMER_COUNT; index-- > 0;) {
        KT_EXPECT_STATUS(KtWait(&timers[index]), STATUS_SUCCESS);
    }
    ExFreePoolWithTag(timers, 'mtTK');
}
