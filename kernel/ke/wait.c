/*
 * Waits.
 *
 * Representation. A waiting thread has a wait block for each object, linked to the object's WaitListHead in the order
 * of arrival, and one more, linked to the thread's own timer, when the wait has a time limit. WaitKey is what the
 * wait returns if that block alone satisfies it: the object's index, or STATUS_TIMEOUT.
 *
 * Atomicity. Everything happens under the dispatcher lock. A wait for all takes nothing until every object is
 * signalled and then takes all of them in one hold of the lock; so nobody sees some of the objects taken.
 *
 * Kernel APCs. A thread that waits at PASSIVE_LEVEL is woken (STATUS_KERNEL_APC) to run them and then waits again, at
 * the end of the objects' lists; a time limit is turned into a moment before the first wait, so it does not start
 * over.
 *
 * IRQL. A wait that may block needs IRQL <= APC_LEVEL, the documents say; it is checked before anything else, so that
 * a misuse shows although the object happens to be signalled.
 */
#include "kernel/ke/wait.h"

#include "kernel/ke/apc.h"
#include "kernel/ke/kobjects.h"
#include "kernel/ke/mutant.h"
#include "kernel/ke/timer.h"

#define KI_TIMER_WAIT_BLOCK THREAD_WAIT_OBJECTS /* in KTHREAD.WaitBlock */

typedef struct _KI_WAIT {
    PVOID          *Objects;
    KWAIT_BLOCK    *Blocks; /* Count of them */
    ULONG           Count;
    WAIT_TYPE       Type;
    KWAIT_REASON    Reason;
    KPROCESSOR_MODE Mode;
    BOOLEAN         Alertable;
    KI_DUE_TIME     Limit;
} KI_WAIT;

static bool KiIsSignalled(const DISPATCHER_HEADER *Object, const KTHREAD *Thread) KI_DISPATCHER_LOCKED
{
    return Object->SignalState > 0 ||
           (Object->Type == MutantObject && KiIsMutantOwner((const KMUTANT *)Object, Thread));
}

/* Thread's wait takes Object, which is signalled for it: 0, or STATUS_ABANDONED. */
static NTSTATUS KiTakeObject(DISPATCHER_HEADER *Object, KTHREAD *Thread) KI_DISPATCHER_LOCKED
{
    switch (Object->Type) {
    case EventSynchronizationObject:
    case TimerSynchronizationObject:
        Object->SignalState = 0;
        return STATUS_SUCCESS;
    case SemaphoreObject:
        Object->SignalState--;
        return STATUS_SUCCESS;
    case MutantObject:
        return KiTakeMutant((KMUTANT *)Object, Thread);
    default:
        return STATUS_SUCCESS;
    }
}

static bool KiAreAllSignalled(const KWAIT_BLOCK *Blocks, ULONG Count, const KTHREAD *Thread) KI_DISPATCHER_LOCKED
{
    for (ULONG index = 0; index < Count; index++) {
        if (!KiIsSignalled(Blocks[index].Object, Thread)) {
            return false;
        }
    }
    return true;
}

static NTSTATUS KiTakeAll(const KWAIT_BLOCK *Blocks, ULONG Count, KTHREAD *Thread) KI_DISPATCHER_LOCKED
{
    NTSTATUS status = STATUS_WAIT_0;
    for (ULONG index = 0; index < Count; index++) {
        status |= KiTakeObject(Blocks[index].Object, Thread);
    }
    return status;
}

VOID KiUnwaitThread(KTHREAD *Thread, NTSTATUS Status, KPRIORITY Increment)
{
    for (ULONG index = 0; index < Thread->WaitCount; index++) {
        RemoveEntryList(&Thread->WaitBlocks[index].WaitListEntry);
    }
    if (Thread->WaitTimerActive) {
        RemoveEntryList(&Thread->WaitBlock[KI_TIMER_WAIT_BLOCK].WaitListEntry);
        if (Thread->Timer.Header.Inserted) {
            KiRemoveTimer(&Thread->Timer);
        }
    }
    Thread->WaitStatus = Status;
    Thread->Quantum = KI_QUANTUM_TICKS;
    if (Thread->Priority < LOW_REALTIME_PRIORITY) {
        KPRIORITY boosted = Thread->BasePriority + Increment;
        boosted = min(boosted, LOW_REALTIME_PRIORITY - 1);
        Thread->Priority = (SCHAR)max(boosted, Thread->Priority);
    }
    KiReadyThread(Thread);
}

/*
 * The block behind a thread that was woken is found from the block before it: that one belongs to another thread, or
 * to a wait for all of the same thread that was looked at already, with the same result.
 */
VOID KiWaitTest(DISPATCHER_HEADER *Object, KPRIORITY Increment)
{
    LIST_ENTRY *head = &Object->WaitListHead;
    LIST_ENTRY *entry = head->Flink;
    while (Object->SignalState > 0 && entry != head) {
        KWAIT_BLOCK *block = CONTAINING_RECORD(entry, KWAIT_BLOCK, WaitListEntry);
        KTHREAD     *thread = block->Thread;
        LIST_ENTRY  *before = entry->Blink;
        if (block->WaitType == WaitAny) {
            NTSTATUS status = KiTakeObject(Object, thread);
            KiUnwaitThread(thread, block->WaitKey | status, Increment);
            entry = before->Flink;
        } else if (KiAreAllSignalled(thread->WaitBlocks, thread->WaitCount, thread)) {
            NTSTATUS status = KiTakeAll(thread->WaitBlocks, thread->WaitCount, thread);
            KiUnwaitThread(thread, status, Increment);
            entry = before->Flink;
        } else {
            entry = entry->Flink;
        }
    }
}

VOID KiExitDispatcherForWait(KIRQL OldIrql, BOOLEAN Wait)
{
    KTHREAD *thread = KeGetCurrentThread();
    if (!Wait) {
        KiExitDispatcher(OldIrql);
        return;
    }
    thread->WaitNext = TRUE;
    thread->WaitIrql = OldIrql;
    KiExitDispatcher(DISPATCH_LEVEL);
}

/* Acquire the dispatcher lock for a wait; the IRQL at which the wait returns comes back. */
static KIRQL KiEnterWait(KTHREAD *Thread) KI_DISPATCHER_ACQUIRES
{
    KIRQL oldIrql = KiLockDispatcher();
    if (Thread->WaitNext) {
        Thread->WaitNext = FALSE;
        return Thread->WaitIrql;
    }
    return oldIrql;
}

/* Is the wait satisfied as things stand? Takes the objects if so. */
static bool KiTryWait(const KI_WAIT *Wait, KTHREAD *Thread, NTSTATUS *Status) KI_DISPATCHER_LOCKED
{
    for (ULONG index = 0; index < Wait->Count; index++) {
        DISPATCHER_HEADER *object = Wait->Objects[index];
        if (object->Type == MutantObject && KiIsMutantExhausted((const KMUTANT *)object, Thread)) {
            *Status = STATUS_MUTANT_LIMIT_EXCEEDED;
            return true;
        }
        if (Wait->Type == WaitAny && KiIsSignalled(object, Thread)) {
            *Status = (NTSTATUS)index | KiTakeObject(object, Thread);
            return true;
        }
        Wait->Blocks[index].Object = object;
    }
    if (Wait->Type == WaitAll && KiAreAllSignalled(Wait->Blocks, Wait->Count, Thread)) {
        *Status = KiTakeAll(Wait->Blocks, Wait->Count, Thread);
        return true;
    }
    return false;
}

static VOID KiLinkWaitBlock(KWAIT_BLOCK *Block, KTHREAD *Thread, DISPATCHER_HEADER *Object,
                            USHORT Key) KI_DISPATCHER_LOCKED
{
    Block->Thread = Thread;
    Block->Object = Object;
    Block->WaitKey = Key;
    Block->WaitType = WaitAny;
    InsertTailList(&Object->WaitListHead, &Block->WaitListEntry);
}

/* Block until the wait ends; false when its time is up before it begins. */
static bool KiBlockThread(const KI_WAIT *Wait, KTHREAD *Thread, KIRQL OldIrql) KI_DISPATCHER_LOCKED
{
    NT_ASSERT(Thread != KiPrcb()->IdleThread);
    Thread->WaitTimerActive = Wait->Limit.Kind == KiDueAt;
    if (Thread->WaitTimerActive) {
        Thread->Timer.Header.SignalState = 0;
        if (!KiInsertTimer(&Thread->Timer, Wait->Limit.Time)) {
            return false;
        }
        KiLinkWaitBlock(&Thread->WaitBlock[KI_TIMER_WAIT_BLOCK], Thread, &Thread->Timer.Header, STATUS_TIMEOUT);
    }
    for (ULONG index = 0; index < Wait->Count; index++) {
        KWAIT_BLOCK *block = &Wait->Blocks[index];
        KiLinkWaitBlock(block, Thread, Wait->Objects[index], (USHORT)index);
        block->WaitType = (UCHAR)Wait->Type;
        block->NextWaitBlock = &Wait->Blocks[(index + 1) % Wait->Count];
    }
    Thread->WaitBlocks = Wait->Blocks;
    Thread->WaitCount = Wait->Count;
    Thread->WaitMode = Wait->Mode;
    Thread->Alertable = Wait->Alertable;
    Thread->WaitReason = (UCHAR)Wait->Reason;
    Thread->WaitIrql = OldIrql;
    Thread->State = Waiting;
    KiSwapThread();
    return true;
}

/* One round of a wait: STATUS_KERNEL_APC when there must be another. */
static NTSTATUS KiWaitOnce(const KI_WAIT *Wait, KTHREAD *Thread)
{
    NTSTATUS status = STATUS_KERNEL_APC;
    KIRQL    oldIrql = KiEnterWait(Thread);
    if (KiIsKernelApcDue(Thread, oldIrql)) {
        KiExitDispatcher(oldIrql); /* the interrupt that delivers it is pending */
    } else if (KiTryWait(Wait, Thread, &status)) {
        KiExitDispatcher(oldIrql);
    } else if (Wait->Alertable && Wait->Mode == UserMode && !IsListEmpty(&Thread->ApcState.ApcListHead[UserMode])) {
        Thread->ApcState.UserApcPending = TRUE;
        status = STATUS_USER_APC;
        KiExitDispatcher(oldIrql);
    } else if (Wait->Limit.Kind == KiDueNow || !KiBlockThread(Wait, Thread, oldIrql)) {
        status = STATUS_TIMEOUT;
        KiExitDispatcher(oldIrql);
    } else {
        status = Thread->WaitStatus;
        KiUnlockDispatcher(oldIrql);
    }
    return status;
}

static NTSTATUS KiWaitForObjects(const KI_WAIT *Wait)
{
    KTHREAD *thread = KeGetCurrentThread();
    NTSTATUS status;
    do {
        status = KiWaitOnce(Wait, thread);
    } while (status == STATUS_KERNEL_APC);
    if (status == STATUS_MUTANT_LIMIT_EXCEEDED) {
        ExRaiseStatus(status);
    }
    return status;
}

/* At DISPATCH_LEVEL or above a thread may look, with a time limit of 0, but not wait. Caller: who is to blame. */
static VOID KiCheckWaitIrql(KIRQL Irql, const LARGE_INTEGER *Timeout, PVOID Object, PVOID Caller)
{
    KTHREAD *thread = KeGetCurrentThread();
    if ((Timeout != NULL && Timeout->QuadPart == 0) || thread->WaitNext) {
        return;
    }
    if (KiIsDpcActive()) {
        KeBugCheckEx(ATTEMPTED_SWITCH_FROM_DPC, (ULONG_PTR)thread, 0, thread->StackBase, 0);
    }
    KeBugCheckEx(IRQL_NOT_LESS_OR_EQUAL, (ULONG_PTR)Object, Irql, 0, (ULONG_PTR)Caller);
}

NTSTATUS NTAPI KeWaitForMultipleObjects(ULONG Count, PVOID Object[], WAIT_TYPE WaitType, KWAIT_REASON WaitReason,
                                        KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Timeout,
                                        PKWAIT_BLOCK WaitBlockArray)
{
    KIRQL         irql = KeGetCurrentIrql();
    const KI_WAIT wait = {
        .Objects = Object,
        .Blocks = WaitBlockArray != NULL ? WaitBlockArray : KeGetCurrentThread()->WaitBlock,
        .Count = Count,
        .Type = WaitType,
        .Reason = WaitReason,
        .Mode = WaitMode,
        .Alertable = Alertable,
        .Limit = KiDueLimit(Timeout),
    };
    if (Count > (WaitBlockArray != NULL ? MAXIMUM_WAIT_OBJECTS : THREAD_WAIT_OBJECTS)) {
        KeBugCheckEx(MAXIMUM_WAIT_OBJECTS_EXCEEDED, 0, 0, 0, 0);
    }
    if (irql >= DISPATCH_LEVEL) {
        KiCheckWaitIrql(irql, Timeout, Object, _ReturnAddress());
    }
    return KiWaitForObjects(&wait);
}

NTSTATUS NTAPI KeWaitForSingleObject(PVOID Object, KWAIT_REASON WaitReason, KPROCESSOR_MODE WaitMode, BOOLEAN Alertable,
                                     PLARGE_INTEGER Timeout)
{
    KIRQL         irql = KeGetCurrentIrql();
    const KI_WAIT wait = {
        .Objects = &Object,
        .Blocks = KeGetCurrentThread()->WaitBlock,
        .Count = 1,
        .Type = WaitAny,
        .Reason = WaitReason,
        .Mode = WaitMode,
        .Alertable = Alertable,
        .Limit = KiDueLimit(Timeout),
    };
    if (irql >= DISPATCH_LEVEL) {
        KiCheckWaitIrql(irql, Timeout, Object, _ReturnAddress());
    }
    return KiWaitForObjects(&wait);
}

NTSTATUS NTAPI KeDelayExecutionThread(KPROCESSOR_MODE WaitMode, BOOLEAN Alertable, PLARGE_INTEGER Interval)
{
    KIRQL         irql = KeGetCurrentIrql();
    const KI_WAIT wait = {
        .Type = WaitAny,
        .Reason = DelayExecution,
        .Mode = WaitMode,
        .Alertable = Alertable,
        .Limit = KiDueTime(*Interval),
    };
    if (irql >= DISPATCH_LEVEL) {
        KiCheckWaitIrql(irql, NULL, Interval, _ReturnAddress());
    }
    if (wait.Limit.Kind == KiDueNow) {
        KiYieldExecution();
        return STATUS_SUCCESS;
    }
    NTSTATUS status = KiWaitForObjects(&wait);
    return status == STATUS_TIMEOUT ? STATUS_SUCCESS : status;
}
