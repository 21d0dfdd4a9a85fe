/*
 * Waiting for one and for several objects.
 */
#include "kernel/ke/wait.h"

#include "kernel/ke/time.h"
#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

#define UNITS_PER_MS 10000
#define MANY_OBJECTS 10
#define ROUNDS       200

static NTSTATUS Poll(PVOID Object)
{
    LARGE_INTEGER now = { .QuadPart = 0 };
    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &now);
}

KTEST(ke_wait, zero_timeout_polls)
{
    KEVENT event;
    KIRQL  oldIrql;
    KeInitializeEvent(&event, SynchronizationEvent, TRUE);
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql); /* where polling is allowed */
    NTSTATUS first = Poll(&event);
    NTSTATUS second = Poll(&event);
    KIRQL    irql = KeGetCurrentIrql();
    KeLowerIrql(oldIrql);
    KT_EXPECT_STATUS(first, STATUS_SUCCESS);
    KT_EXPECT_STATUS(second, STATUS_TIMEOUT);
    KT_EXPECT_EQ(irql, DISPATCH_LEVEL);
}

KTEST(ke_wait, relative_timeout_lasts)
{
    KEVENT        event;
    LARGE_INTEGER limit = KtMilliseconds(40);
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    ULONG64  start = KeQueryInterruptTime();
    NTSTATUS status = KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, &limit);
    KT_EXPECT_STATUS(status, STATUS_TIMEOUT);
    KT_EXPECT_GE(KeQueryInterruptTime() - start, 40 * UNITS_PER_MS);
    KT_EXPECT_TRUE(IsListEmpty(&event.Header.WaitListHead));
}

KTEST(ke_wait, absolute_timeout_lasts)
{
    KEVENT        event;
    LARGE_INTEGER limit, end;
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    KeQuerySystemTime(&limit);
    limit.QuadPart += 40 * UNITS_PER_MS;
    NTSTATUS status = KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, &limit);
    KeQuerySystemTime(&end);
    KT_EXPECT_STATUS(status, STATUS_TIMEOUT);
    KT_EXPECT_GE(end.QuadPart, limit.QuadPart);
    limit.QuadPart = 1; /* long over */
    KT_EXPECT_STATUS(KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, &limit), STATUS_TIMEOUT);
}

KTEST(ke_wait, delay_lasts)
{
    LARGE_INTEGER delay = KtMilliseconds(40);
    ULONG64       start = KeQueryInterruptTime();
    KT_EXPECT_STATUS(KeDelayExecutionThread(KernelMode, FALSE, &delay), STATUS_SUCCESS);
    KT_EXPECT_GE(KeQueryInterruptTime() - start, 40 * UNITS_PER_MS);
}

KTEST(ke_wait, any_takes_one)
{
    KEVENT     first, second;
    KSEMAPHORE third;
    PVOID      objects[] = { &first, &second, &third };
    KeInitializeEvent(&first, SynchronizationEvent, FALSE);
    KeInitializeEvent(&second, SynchronizationEvent, TRUE);
    KeInitializeSemaphore(&third, 2, 2);
    KT_EXPECT_STATUS(KeWaitForMultipleObjects(3, objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL),
                     STATUS_WAIT_1);
    KT_EXPECT_EQ(KeReadStateEvent(&second), 0);
    KT_EXPECT_EQ(KeReadStateSemaphore(&third), 2);
    KT_EXPECT_STATUS(KeWaitForMultipleObjects(3, objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL),
                     STATUS_WAIT_2);
    KT_EXPECT_EQ(KeReadStateSemaphore(&third), 1);
}

/* A thread in one wait for several objects. */
typedef struct _WAITER {
    PVOID          Objects[MANY_OBJECTS];
    KWAIT_BLOCK   *Blocks; /* NULL: the thread's own do */
    ULONG          Count;
    WAIT_TYPE      Type;
    NTSTATUS       Status;
    KIRQL          Irql;
    volatile LONG  Done;
    volatile LONG *Order; /* NULL, or counts the threads that are done */
    LONG           Place; /* in that order */
} WAITER;

static void NTAPI WaitOnce(PVOID Context)
{
    WAITER *waiter = Context;
    waiter->Status = KeWaitForMultipleObjects(waiter->Count, waiter->Objects, waiter->Type, Executive, KernelMode,
                                              FALSE, NULL, waiter->Blocks);
    waiter->Irql = KeGetCurrentIrql();
    if (waiter->Order != NULL) {
        waiter->Place = InterlockedIncrement(waiter->Order);
    }
    InterlockedExchange(&waiter->Done, 1);
}

static PETHREAD StartWaiter(WAITER *Waiter)
{
    PETHREAD thread = KtStart(WaitOnce, Waiter);
    if (thread != NULL) {
        (void)KtUntilWaiting(thread);
    }
    return thread;
}

KTEST(ke_wait, any_of_many)
{
    KEVENT      events[MANY_OBJECTS];
    KWAIT_BLOCK blocks[MANY_OBJECTS];
    WAITER      waiter = { .Blocks = blocks, .Count = MANY_OBJECTS, .Type = WaitAny };
    for (ULONG index = 0; index < MANY_OBJECTS; index++) {
        KeInitializeEvent(&events[index], SynchronizationEvent, FALSE);
        waiter.Objects[index] = &events[index];
    }
    PETHREAD thread = StartWaiter(&waiter);
    KeSetEvent(&events[7], IO_NO_INCREMENT, FALSE);
    KtJoin(thread);
    KT_EXPECT_STATUS(waiter.Status, STATUS_WAIT_0 + 7);
    KT_EXPECT_EQ(waiter.Irql, PASSIVE_LEVEL);
    for (ULONG index = 0; index < MANY_OBJECTS; index++) {
        KT_EXPECT_EQ(KeReadStateEvent(&events[index]), 0);
        KT_EXPECT_TRUE(IsListEmpty(&events[index].Header.WaitListHead));
    }
}

KTEST(ke_wait, all_takes_nothing_before_everything)
{
    KEVENT     event;
    KSEMAPHORE semaphore;
    WAITER     waiter = { .Objects = { &event, &semaphore }, .Count = 2, .Type = WaitAll };
    KeInitializeEvent(&event, SynchronizationEvent, FALSE);
    KeInitializeSemaphore(&semaphore, 0, 5);
    PETHREAD thread = StartWaiter(&waiter);
    KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
    KT_EXPECT_EQ(KeReadStateEvent(&event), 1); /* still anybody's */
    KT_EXPECT_STATUS(Poll(&event), STATUS_SUCCESS);
    KeReleaseSemaphore(&semaphore, IO_NO_INCREMENT, 2, FALSE);
    KT_EXPECT_EQ(KeReadStateSemaphore(&semaphore), 2);
    KT_EXPECT_EQ(waiter.Done, 0);
    KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
    KT_EXPECT_EQ(KeReadStateEvent(&event), 0); /* both were taken in that moment */
    KT_EXPECT_EQ(KeReadStateSemaphore(&semaphore), 1);
    KtJoin(thread);
    KT_EXPECT_STATUS(waiter.Status, STATUS_WAIT_0);
}

KTEST(ke_wait, all_signalled_does_not_block)
{
    KEVENT        event;
    KMUTANT       mutant;
    PVOID         objects[] = { &event, &mutant };
    LARGE_INTEGER now = { .QuadPart = 0 };
    KeInitializeEvent(&event, NotificationEvent, TRUE);
    KeInitializeMutant(&mutant, TRUE); /* one's own is signalled */
    KT_EXPECT_STATUS(KeWaitForMultipleObjects(2, objects, WaitAll, Executive, KernelMode, FALSE, &now, NULL),
                     STATUS_WAIT_0);
    KT_EXPECT_EQ(KeReadStateMutant(&mutant), -1);
    KeReleaseMutant(&mutant, IO_NO_INCREMENT, FALSE, FALSE);
    KeReleaseMutant(&mutant, IO_NO_INCREMENT, FALSE, FALSE);
    KeClearEvent(&event);
    KT_EXPECT_STATUS(KeWaitForMultipleObjects(2, objects, WaitAll, Executive, KernelMode, FALSE, &now, NULL),
                     STATUS_TIMEOUT);
    KT_EXPECT_EQ(KeReadStateMutant(&mutant), 1);
}

KTEST(ke_wait, oldest_is_served_first)
{
    KEVENT        event;
    volatile LONG order = 0;
    WAITER        waiters[3];
    PETHREAD      threads[3];
    KeInitializeEvent(&event, SynchronizationEvent, FALSE);
    for (ULONG index = 0; index < 3; index++) {
        waiters[index] = (WAITER){ .Objects = { &event }, .Count = 1, .Type = WaitAny, .Order = &order };
        threads[index] = StartWaiter(&waiters[index]);
    }
    for (ULONG index = 0; index < 3; index++) {
        KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
        KtJoin(threads[index]);
        KT_EXPECT_EQ(waiters[index].Place, index + 1);
    }
}

KTEST(ke_wait, notification_serves_all)
{
    KEVENT   event;
    WAITER   waiters[3];
    PETHREAD threads[3];
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    for (ULONG index = 0; index < 3; index++) {
        waiters[index] = (WAITER){ .Objects = { &event }, .Count = 1, .Type = WaitAny };
        threads[index] = StartWaiter(&waiters[index]);
    }
    KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
    for (ULONG index = 0; index < 3; index++) {
        KtJoin(threads[index]);
    }
    KT_EXPECT_EQ(KeReadStateEvent(&event), 1);
}

KTEST(ke_wait, pulse_serves_who_waits)
{
    KEVENT event;
    WAITER waiter = { .Objects = { &event }, .Count = 1, .Type = WaitAny };
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    PETHREAD thread = StartWaiter(&waiter);
    KT_EXPECT_EQ(KePulseEvent(&event, IO_NO_INCREMENT, FALSE), 0);
    KtJoin(thread);
    KT_EXPECT_EQ(KeReadStateEvent(&event), 0);
}

/* With Wait = TRUE the IRQL stays up until the wait that must follow. */
KTEST(ke_wait, signal_and_wait)
{
    KEVENT event, never;
    WAITER waiter = { .Objects = { &event }, .Count = 1, .Type = WaitAny };
    KeInitializeEvent(&event, SynchronizationEvent, FALSE);
    KeInitializeEvent(&never, SynchronizationEvent, FALSE);
    PETHREAD      thread = StartWaiter(&waiter);
    LARGE_INTEGER limit = KtMilliseconds(20);
    KeSetEvent(&event, IO_NO_INCREMENT, TRUE);
    KIRQL    between = KeGetCurrentIrql();
    NTSTATUS status = KeWaitForSingleObject(&never, Executive, KernelMode, FALSE, &limit);
    KIRQL    after = KeGetCurrentIrql();
    KT_EXPECT_EQ(between, DISPATCH_LEVEL);
    KT_EXPECT_STATUS(status, STATUS_TIMEOUT);
    KT_EXPECT_EQ(after, PASSIVE_LEVEL);
    KtJoin(thread);
}

KTEST(ke_wait, ended_thread_is_signalled)
{
    KEVENT event;
    WAITER waiter = { .Objects = { &event }, .Count = 1, .Type = WaitAny };
    KeInitializeEvent(&event, SynchronizationEvent, FALSE);
    PETHREAD thread = StartWaiter(&waiter);
    KT_ASSERT_NOT_NULL(thread);
    KT_EXPECT_STATUS(Poll(thread), STATUS_TIMEOUT);
    KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
    KT_EXPECT_STATUS(KtWait(thread), STATUS_SUCCESS);
    KT_EXPECT_STATUS(Poll(thread), STATUS_SUCCESS);
    KtJoin(thread);
}

/* Tokens that all CPUs take, by all kinds of waits, and give back: none may be lost or made. */
typedef struct _TOKENS {
    KSEMAPHORE    Left;
    KSEMAPHORE    Right;
    volatile LONG Failures;
} TOKENS;

static void TakeAndGive(ULONG Index, void *Context)
{
    TOKENS       *tokens = Context;
    PVOID         objects[] = { &tokens->Left, &tokens->Right };
    LARGE_INTEGER brief = { .QuadPart = -1 };
    for (ULONG round = 0; round < ROUNDS; round++) {
        WAIT_TYPE      type = (round + Index) % 3 == 0 ? WaitAll : WaitAny;
        LARGE_INTEGER *limit = round % 5 == 0 ? &brief : NULL;
        NTSTATUS       status = KeWaitForMultipleObjects(2, objects, type, Executive, KernelMode, FALSE, limit, NULL);
        if (status == STATUS_TIMEOUT) {
            continue;
        }
        if (type == WaitAll || status == STATUS_WAIT_0) {
            KeReleaseSemaphore(&tokens->Left, IO_NO_INCREMENT, 1, FALSE);
        }
        if (type == WaitAll || status == STATUS_WAIT_1) {
            KeReleaseSemaphore(&tokens->Right, IO_NO_INCREMENT, 1, FALSE);
        }
        if (status != STATUS_WAIT_0 && status != STATUS_WAIT_1) {
            InterlockedIncrement(&tokens->Failures);
        }
    }
}

KTEST(ke_wait, tokens_are_kept_on_all_processors)
{
    TOKENS tokens = { .Failures = 0 };
    KeInitializeSemaphore(&tokens.Left, 2, 2);
    KeInitializeSemaphore(&tokens.Right, 1, 1);
    KtRunOnEachProcessor(TakeAndGive, &tokens);
    KT_EXPECT_EQ(tokens.Failures, 0);
    KT_EXPECT_EQ(KeReadStateSemaphore(&tokens.Left), 2);
    KT_EXPECT_EQ(KeReadStateSemaphore(&tokens.Right), 1);
}

/* Two threads a CPU that hand a turn to each other: lost wakeups end the test by its time limit. */
typedef struct _PING {
    KEVENT Ball[2];
} PING;

static void NTAPI ReturnBall(PVOID Context)
{
    PING *ping = Context;
    for (ULONG round = 0; round < ROUNDS; round++) {
        KeWaitForSingleObject(&ping->Ball[0], Executive, KernelMode, FALSE, NULL);
        KeSetEvent(&ping->Ball[1], IO_NO_INCREMENT, FALSE);
    }
}

static void PlayPing(ULONG Index, void *Context)
{
    PING ping;
    UNREFERENCED_PARAMETER(Index);
    UNREFERENCED_PARAMETER(Context);
    KeInitializeEvent(&ping.Ball[0], SynchronizationEvent, FALSE);
    KeInitializeEvent(&ping.Ball[1], SynchronizationEvent, FALSE);
    PETHREAD thread = KtStart(ReturnBall, &ping);
    for (ULONG round = 0; thread != NULL && round < ROUNDS; round++) {
        KeSetEvent(&ping.Ball[0], IO_NO_INCREMENT, FALSE);
        KT_EXPECT_STATUS(KtWait(&ping.Ball[1]), STATUS_SUCCESS);
    }
    KtJoin(thread);
}

KTEST(ke_wait, no_wakeup_is_lost)
{
    KtRunOnEachProcessor(PlayPing, NULL);
}
