/*
 * Events, semaphores, mutants, mutexes, fast and guarded mutexes.
 */
#include "kernel/ke/sync.h"

#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

#define ROUNDS 100

static NTSTATUS Poll(PVOID Object)
{
    LARGE_INTEGER now = { .QuadPart = 0 };
    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &now);
}

KTEST(ke_sync, event_states)
{
    KEVENT event;
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    KT_EXPECT_EQ(KeReadStateEvent(&event), 0);
    KT_EXPECT_EQ(KeSetEvent(&event, IO_NO_INCREMENT, FALSE), 0);
    KT_EXPECT_EQ(KeSetEvent(&event, IO_NO_INCREMENT, FALSE), 1);
    KT_EXPECT_STATUS(Poll(&event), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeReadStateEvent(&event), 1);
    KT_EXPECT_EQ(KeResetEvent(&event), 1);
    KT_EXPECT_EQ(KeResetEvent(&event), 0);
    KeInitializeEvent(&event, SynchronizationEvent, TRUE);
    KT_EXPECT_STATUS(Poll(&event), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeReadStateEvent(&event), 0);
    KeSetEvent(&event, IO_NO_INCREMENT, FALSE);
    KeClearEvent(&event);
    KT_EXPECT_STATUS(Poll(&event), STATUS_TIMEOUT);
}

static DECLSPEC_NOINLINE NTSTATUS TryReleaseSemaphore(KSEMAPHORE *Semaphore, LONG Adjustment)
{
    NTSTATUS status = STATUS_SUCCESS;
    __try {
        KeReleaseSemaphore(Semaphore, IO_NO_INCREMENT, Adjustment, FALSE);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = (NTSTATUS)GetExceptionCode();
    }
    return status;
}

KTEST(ke_sync, semaphore_counts_to_its_limit)
{
    KSEMAPHORE semaphore;
    KeInitializeSemaphore(&semaphore, 1, 3);
    KT_EXPECT_EQ(KeReleaseSemaphore(&semaphore, IO_NO_INCREMENT, 2, FALSE), 1);
    KT_EXPECT_STATUS(TryReleaseSemaphore(&semaphore, 1), STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    KT_EXPECT_STATUS(TryReleaseSemaphore(&semaphore, -1), STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    KT_EXPECT_STATUS(TryReleaseSemaphore(&semaphore, MAXLONG), STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    for (LONG left = 3; left > 0; left--) {
        KT_EXPECT_EQ(KeReadStateSemaphore(&semaphore), left);
        KT_EXPECT_STATUS(Poll(&semaphore), STATUS_SUCCESS);
    }
    KT_EXPECT_STATUS(Poll(&semaphore), STATUS_TIMEOUT);
}

static DECLSPEC_NOINLINE NTSTATUS TryReleaseMutant(KMUTANT *Mutant)
{
    NTSTATUS status = STATUS_SUCCESS;
    __try {
        KeReleaseMutant(Mutant, IO_NO_INCREMENT, FALSE, FALSE);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = (NTSTATUS)GetExceptionCode();
    }
    return status;
}

KTEST(ke_sync, mutant_is_recursive)
{
    KMUTANT mutant;
    KeInitializeMutant(&mutant, FALSE);
    KT_EXPECT_EQ(KeReadStateMutant(&mutant), 1);
    KT_EXPECT_STATUS(TryReleaseMutant(&mutant), STATUS_MUTANT_NOT_OWNED);
    KT_EXPECT_STATUS(Poll(&mutant), STATUS_SUCCESS);
    KT_EXPECT_STATUS(Poll(&mutant), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeReadStateMutant(&mutant), -1);
    KT_EXPECT_FALSE(KeAreApcsDisabled());
    KT_EXPECT_EQ(KeReleaseMutant(&mutant, IO_NO_INCREMENT, FALSE, FALSE), -1);
    KT_EXPECT_EQ(KeReleaseMutant(&mutant, IO_NO_INCREMENT, FALSE, FALSE), 0);
    KT_EXPECT_EQ(KeReadStateMutant(&mutant), 1);
    KT_EXPECT_STATUS(TryReleaseMutant(&mutant), STATUS_MUTANT_NOT_OWNED);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
}

KTEST(ke_sync, mutex_keeps_apcs_out)
{
    KMUTEX mutex;
    KeInitializeMutex(&mutex, 0);
    KT_EXPECT_EQ(KeReadStateMutex(&mutex), 1);
    KT_EXPECT_STATUS(KeWaitForSingleObject(&mutex, Executive, KernelMode, FALSE, NULL), STATUS_SUCCESS);
    KT_EXPECT_TRUE(KeAreApcsDisabled());
    KT_EXPECT_FALSE(KeAreAllApcsDisabled());
    KT_EXPECT_STATUS(Poll(&mutex), STATUS_SUCCESS);
    KT_EXPECT_EQ(KeReleaseMutex(&mutex, FALSE), -1);
    KT_EXPECT_TRUE(KeAreApcsDisabled());
    KT_EXPECT_EQ(KeReleaseMutex(&mutex, FALSE), 0);
    KT_EXPECT_FALSE(KeAreApcsDisabled());
}

static void NTAPI TakeAndEnd(PVOID Context)
{
    KeWaitForSingleObject(Context, Executive, KernelMode, FALSE, NULL);
}

KTEST(ke_sync, mutant_of_an_ended_thread_is_abandoned)
{
    KMUTANT mutant;
    KEVENT  event;
    PVOID   objects[] = { &event, &mutant };
    KeInitializeMutant(&mutant, FALSE);
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    KtJoin(KtStart(TakeAndEnd, &mutant));
    KT_EXPECT_EQ(KeReadStateMutant(&mutant), 1);
    KT_EXPECT_STATUS(TryReleaseMutant(&mutant), STATUS_ABANDONED);
    KT_EXPECT_STATUS(KeWaitForMultipleObjects(2, objects, WaitAny, Executive, KernelMode, FALSE, NULL, NULL),
                     STATUS_ABANDONED_WAIT_0 + 1);
    KeReleaseMutant(&mutant, IO_NO_INCREMENT, FALSE, FALSE);
    KT_EXPECT_STATUS(Poll(&mutant), STATUS_SUCCESS); /* it is abandoned once */
    KeReleaseMutant(&mutant, IO_NO_INCREMENT, FALSE, FALSE);
}

KTEST(ke_sync, fast_mutex_raises_to_apc_level)
{
    FAST_MUTEX mutex;
    ExInitializeFastMutex(&mutex);
    ExAcquireFastMutex(&mutex);
    KIRQL   held = KeGetCurrentIrql();
    BOOLEAN second = ExTryToAcquireFastMutex(&mutex);
    ExReleaseFastMutex(&mutex);
    KT_EXPECT_EQ(held, APC_LEVEL);
    KT_EXPECT_FALSE(second);
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_TRUE(ExTryToAcquireFastMutex(&mutex));
    held = KeGetCurrentIrql();
    ExReleaseFastMutex(&mutex);
    KT_EXPECT_EQ(held, APC_LEVEL);
    KeEnterCriticalRegion();
    ExAcquireFastMutexUnsafe(&mutex);
    held = KeGetCurrentIrql();
    ExReleaseFastMutexUnsafe(&mutex);
    KeLeaveCriticalRegion();
    KT_EXPECT_EQ(held, PASSIVE_LEVEL);
    KT_EXPECT_EQ(mutex.Count, 1);
}

KTEST(ke_sync, guarded_mutex_enters_a_region)
{
    KGUARDED_MUTEX mutex;
    KeInitializeGuardedMutex(&mutex);
    KeAcquireGuardedMutex(&mutex);
    KT_EXPECT_TRUE(KeAreAllApcsDisabled());
    KT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KT_EXPECT_FALSE(KeTryToAcquireGuardedMutex(&mutex));
    KeReleaseGuardedMutex(&mutex);
    KT_EXPECT_FALSE(KeAreAllApcsDisabled());
    KT_EXPECT_TRUE(KeTryToAcquireGuardedMutex(&mutex));
    KeReleaseGuardedMutex(&mutex);
    KT_EXPECT_EQ(mutex.Count, 1);
}

/* Each kind of mutex around a sum of its own. */
typedef struct _MUTEX_SUMS {
    KMUTEX         Mutex;
    FAST_MUTEX     Fast;
    KGUARDED_MUTEX Guarded;
    volatile ULONG MutexSum;
    volatile ULONG FastSum;
    volatile ULONG GuardedSum;
} MUTEX_SUMS;

static void AddUnderMutexes(ULONG Index, void *Context)
{
    MUTEX_SUMS *sums = Context;
    UNREFERENCED_PARAMETER(Index);
    for (ULONG round = 0; round < ROUNDS; round++) {
        KeWaitForMutexObject(&sums->Mutex, Executive, KernelMode, FALSE, NULL);
        sums->MutexSum++;
        KeReleaseMutex(&sums->Mutex, FALSE);
        ExAcquireFastMutex(&sums->Fast);
        sums->FastSum++;
        ExReleaseFastMutex(&sums->Fast);
        KeAcquireGuardedMutex(&sums->Guarded);
        sums->GuardedSum++;
        KeReleaseGuardedMutex(&sums->Guarded);
    }
}

KTEST(ke_sync, exclusion_on_all_processors)
{
    MUTEX_SUMS sums = { .MutexSum = 0 };
    KeInitializeMutex(&sums.Mutex, 0);
    ExInitializeFastMutex(&sums.Fast);
    KeInitializeGuardedMutex(&sums.Guarded);
    KtRunOnEachProcessor(AddUnderMutexes, &sums);
    ULONG expected = KeQueryActiveProcessorCount(NULL) * ROUNDS;
    KT_EXPECT_EQ(sums.MutexSum, expected);
    KT_EXPECT_EQ(sums.FastSum, expected);
    KT_EXPECT_EQ(sums.GuardedSum, expected);
}
