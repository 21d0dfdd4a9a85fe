/*
 * The scheduler.
 *
 * Problem. Of the threads that can run, each CPU runs one of the highest priority that may run on it, at once: a
 * thread that becomes ready preempts a lesser one on any CPU.
 *
 * Representation. A queue per priority holds the Ready threads; KiReadySummary has a bit for each queue that is not
 * empty. A thread that has been chosen for a CPU but does not run there yet is that CPU's NextThread (Standby).
 * KiIdleSummary has a bit for each CPU that runs its idle thread and has no NextThread. Idle threads are in no queue.
 *
 * Locking and IRQL. One lock, KiDispatcherLock, guards all of it, waits and timers included. It is held across a
 * context switch: the thread that goes out acquires it, the thread that comes in releases it on the same CPU. So
 * whoever holds the lock never sees a thread that is half switched: a thread in a queue, or on the list of the dead,
 * has left its stack.
 *
 * How a choice takes effect. Setting another CPU's NextThread is followed by a dispatch interrupt to it. For the own
 * CPU KiExitDispatcher switches at once where the caller was below DISPATCH_LEVEL, requests the interrupt where it
 * was not, and leaves it to KiDispatchInterrupt from within a DPC, as that looks at NextThread after the last DPC. A
 * dispatch interrupt reads NextThread without the lock: whoever sets it later interrupts again.
 *
 * Idle. Work reaches an idle CPU by interrupt alone and is done within it, the switch to another thread included;
 * hence the idle loop has nothing to test before it halts, and an interrupt just before the HLT leaves nothing
 * undone.
 *
 * Invariant. No Ready thread has a higher priority than what a CPU of its affinity runs or has as NextThread.
 */
#include "kernel/ke/schedule.h"

#include "kernel/amd64/intrin.h"
#include "kernel/ke/apc.h"
#include "kernel/ke/dpc.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/timer.h"

KI_LOCK KiDispatcherLock = KI_LOCK_INIT(LOCK_DISPATCHER);

static LIST_ENTRY KiReadyQueues[MAXIMUM_PRIORITY];
static ULONG      KiReadySummary;
static KAFFINITY  KiIdleSummary;

static KAFFINITY KiProcessorBit(ULONG Number)
{
    return (KAFFINITY)1 << Number;
}

VOID KiInitializeScheduler(VOID)
{
    for (ULONG priority = 0; priority < MAXIMUM_PRIORITY; priority++) {
        InitializeListHead(&KiReadyQueues[priority]);
    }
    KiInitializeTimers();
    KiInitializeReaper();
}

VOID KiInitializeIdleThread(KPRCB *Prcb, KTHREAD *Idle, PVOID StackBase, PVOID StackLimit)
{
    RtlZeroMemory(Idle, sizeof(*Idle));
    KiInitializeThreadCommon(Idle, KiSystemProcess, StackBase, StackLimit);
    Idle->Priority = KI_IDLE_PRIORITY;
    Idle->BasePriority = KI_IDLE_PRIORITY;
    Idle->Affinity = KiProcessorBit(Prcb->Number);
    Idle->UserAffinity = Idle->Affinity;
    Idle->NextProcessor = Prcb->Number;
    Idle->State = Running;
    Prcb->IdleThread = Idle;
    Prcb->CurrentThread = Idle;
    KIRQL oldIrql = KiLockDispatcher();
    KiIdleSummary |= KiProcessorBit(Prcb->Number);
    KiUnlockDispatcher(oldIrql);
}

static VOID KiEnqueueThread(KTHREAD *Thread) KI_DISPATCHER_LOCKED
{
    LIST_ENTRY *queue = &KiReadyQueues[Thread->Priority];
    Thread->State = Ready;
    if (Thread->Preempted) {
        InsertHeadList(queue, &Thread->ReadyListEntry);
    } else {
        InsertTailList(queue, &Thread->ReadyListEntry);
    }
    Thread->Preempted = FALSE;
    KiReadySummary |= 1u << Thread->Priority;
}

static VOID KiDequeueThread(KTHREAD *Thread) KI_DISPATCHER_LOCKED
{
    if (RemoveEntryList(&Thread->ReadyListEntry)) {
        KiReadySummary &= ~(1u << Thread->Priority);
    }
}

/*
 * Take out the first Ready thread of the highest priority from Minimum up that may run on Processor; NULL if there is
 * none.
 */
static KTHREAD *KiTakeReadyThread(ULONG Processor, KPRIORITY Minimum) KI_DISPATCHER_LOCKED
{
    ULONG priority;
    for (ULONG left = KiReadySummary; _BitScanReverse(&priority, left) && (KPRIORITY)priority >= Minimum;
         left &= ~(1u << priority)) {
        LIST_ENTRY *queue = &KiReadyQueues[priority];
        for (LIST_ENTRY *entry = queue->Flink; entry != queue; entry = entry->Flink) {
            KTHREAD *thread = CONTAINING_RECORD(entry, KTHREAD, ReadyListEntry);
            if ((thread->Affinity & KiProcessorBit(Processor)) != 0) {
                KiDequeueThread(thread);
                return thread;
            }
        }
    }
    return NULL;
}

/* Thread, or none (NULL), is what Prcb runs next. */
static VOID KiSetNextThread(KPRCB *Prcb, KTHREAD *Thread) KI_DISPATCHER_LOCKED
{
    KAFFINITY bit = KiProcessorBit(Prcb->Number);
    Prcb->NextThread = Thread;
    if (Thread == NULL) {
        if (Prcb->CurrentThread == Prcb->IdleThread) {
            KiIdleSummary |= bit;
        }
        return;
    }
    KiIdleSummary &= ~bit;
    Thread->State = Standby;
    Thread->NextProcessor = Prcb->Number;
    if (Prcb != KiPrcb()) {
        KiRequestRemoteInterrupt(Prcb->Number, DISPATCH_LEVEL);
    }
}

/*
 * The CPU where Thread should run now: one that is idle, or else the one whose thread is least, if less than Thread;
 * or NULL.
 */
static KPRCB *KiFindProcessor(const KTHREAD *Thread) KI_DISPATCHER_LOCKED
{
    KAFFINITY allowed = Thread->Affinity & (KAFFINITY)KiActiveProcessors;
    KAFFINITY idle = allowed & KiIdleSummary;
    KPRCB    *best = NULL;
    KPRIORITY least = Thread->Priority;
    ULONG     number;
    if (idle != 0) {
        if ((idle & KiProcessorBit(Thread->NextProcessor)) != 0) {
            return KiProcessorBlock[Thread->NextProcessor]; /* its caches and TLB may still know the thread */
        }
        _BitScanForward64(&number, idle);
        return KiProcessorBlock[number];
    }
    for (; _BitScanForward64(&number, allowed); allowed &= allowed - 1) {
        KPRCB         *prcb = KiProcessorBlock[number];
        const KTHREAD *other = prcb->NextThread != NULL ? prcb->NextThread : prcb->CurrentThread;
        if (other->Priority < least) {
            least = other->Priority;
            best = prcb;
        }
    }
    return best;
}

/*
 * The thread that loses its place as a NextThread looks for another; each turn is of a lower priority than the one
 * before.
 */
VOID KiReadyThread(KTHREAD *Thread)
{
    while (Thread != NULL) {
        KPRCB *prcb = KiFindProcessor(Thread);
        if (prcb == NULL) {
            KiEnqueueThread(Thread);
            return;
        }
        KTHREAD *displaced = prcb->NextThread;
        KiSetNextThread(prcb, Thread);
        if (displaced == prcb->IdleThread) {
            return;
        }
        if (displaced != NULL) {
            displaced->Preempted = TRUE;
        }
        Thread = displaced;
    }
}

/* What Prcb is to run has become less, or may not run there any more: take a Ready thread that is more, or none. */
static VOID KiRefillProcessor(KPRCB *Prcb) KI_DISPATCHER_LOCKED
{
    const KTHREAD *current = Prcb->CurrentThread;
    bool           stays = (current->Affinity & KiProcessorBit(Prcb->Number)) != 0;
    if (Prcb->NextThread != NULL) {
        return;
    }
    KTHREAD *next = KiTakeReadyThread(Prcb->Number, stays ? current->Priority + 1 : 0);
    if (next == NULL && !stays) {
        next = Prcb->IdleThread;
    }
    if (next != NULL) {
        KiSetNextThread(Prcb, next);
    }
}

/* What the calling CPU runs next; afterwards it has no NextThread. */
static KTHREAD *KiSelectThread(KPRCB *Prcb) KI_DISPATCHER_LOCKED
{
    KTHREAD *next = Prcb->NextThread;
    if (next != NULL) {
        Prcb->NextThread = NULL;
    } else {
        next = KiTakeReadyThread(Prcb->Number, 0);
        if (next == NULL) {
            next = Prcb->IdleThread;
        }
    }
    if (next == Prcb->IdleThread) {
        KiIdleSummary |= KiProcessorBit(Prcb->Number);
    }
    return next;
}

VOID KiSwapThread(VOID)
{
    KPRCB   *prcb = KiPrcb();
    KTHREAD *from = prcb->CurrentThread;
    KTHREAD *to = KiSelectThread(prcb);
    to->State = Running;
    to->NextProcessor = prcb->Number;
    prcb->QuantumEnd = 0;
    if (to == from) {
        return; /* it was made ready, and nobody is more */
    }
    to->ContextSwitches++;
    KiSetKernelStack(to->StackBase);
    if (to->ApcState.Process != prcb->CurrentProcess) {
        KiSwapProcess(to->ApcState.Process, prcb->CurrentProcess);
    }
    KiSwapContext(from, to);
    if (from->ApcState.KernelApcPending) {
        KiRequestSoftwareInterrupt(APC_LEVEL); /* an APC that came meanwhile interrupted nobody */
    }
}

/* Another thread is due on the calling CPU: the current one goes back to where it can run. */
static VOID KiPreemptThread(KPRCB *Prcb) KI_DISPATCHER_LOCKED
{
    KTHREAD *current = Prcb->CurrentThread;
    if (current != Prcb->IdleThread) {
        KiReadyThread(current);
    }
    KiSwapThread();
}

VOID KiAdmitNextThread(KIRQL OldIrql)
{
    KPRCB *prcb = KiPrcb();
    if (OldIrql < DISPATCH_LEVEL) {
        prcb->CurrentThread->Preempted = TRUE;
        KiPreemptThread(prcb);
    } else if (prcb->DpcRoutineActive == 0) {
        KiRequestSoftwareInterrupt(DISPATCH_LEVEL);
    }
}

DECLSPEC_NORETURN VOID KiIdleLoop(VOID)
{
    KiLockDispatcher();
    KiRefillProcessor(KiPrcb()); /* what was made ready before this CPU could be chosen for it */
    KiExitDispatcher(PASSIVE_LEVEL);
    for (;;) {
        _enable();
        KiHalt();
    }
}

/* Give the current thread a new quantum, take away a boost step by step, and let an equal thread run. */
static VOID KiEndQuantum(KPRCB *Prcb) KI_DISPATCHER_LOCKED
{
    KTHREAD *thread = Prcb->CurrentThread;
    Prcb->QuantumEnd = 0;
    if (thread == Prcb->IdleThread) {
        return;
    }
    thread->Quantum = KI_QUANTUM_TICKS;
    if (thread->Priority < LOW_REALTIME_PRIORITY && thread->Priority > thread->BasePriority) {
        thread->Priority--;
    }
    if (Prcb->NextThread == NULL) {
        KTHREAD *next = KiTakeReadyThread(Prcb->Number, thread->Priority);
        if (next != NULL) {
            KiSetNextThread(Prcb, next);
        }
    }
}

VOID KiDispatchInterrupt(KTRAP_FRAME *Frame)
{
    KPRCB *prcb = KiPrcb();
    UNREFERENCED_PARAMETER(Frame);
    if (prcb->Number == 0) {
        KiExpireTimers();
    }
    KiRetireDpcList(prcb);
    if (prcb->QuantumEnd == 0 && prcb->NextThread == NULL) {
        return;
    }
    KiAcquireLockAtDpcLevel(&KiDispatcherLock);
    prcb->CurrentThread->Preempted = prcb->QuantumEnd == 0;
    if (prcb->QuantumEnd != 0) {
        KiEndQuantum(prcb);
    }
    if (prcb->NextThread != NULL) {
        KiPreemptThread(prcb);
    }
    KiReleaseLockFromDpcLevel(&KiDispatcherLock);
}

VOID KiUpdateRunTime(VOID)
{
    KPRCB   *prcb = KiPrcb();
    KTHREAD *thread = prcb->CurrentThread;
    prcb->TickCount++;
    thread->KernelTime++;
    if (thread == prcb->IdleThread) {
        return;
    }
    if (thread->Quantum > 0) {
        thread->Quantum--;
    }
    if (thread->Quantum == 0) {
        prcb->QuantumEnd = 1;
        KiRequestSoftwareInterrupt(DISPATCH_LEVEL);
    }
}

VOID KiYieldExecution(VOID)
{
    KIRQL    oldIrql = KiLockDispatcher();
    KPRCB   *prcb = KiPrcb();
    KTHREAD *thread = prcb->CurrentThread;
    if (prcb->NextThread == NULL) {
        KTHREAD *next = KiTakeReadyThread(prcb->Number, thread->Priority);
        if (next != NULL) {
            KiSetNextThread(prcb, next);
        }
    }
    if (prcb->NextThread != NULL) {
        thread->Quantum = KI_QUANTUM_TICKS;
        thread->Preempted = FALSE;
        KiPreemptThread(prcb);
    }
    KiUnlockDispatcher(oldIrql);
}

/* A NextThread is chosen anew after what it was chosen by has changed. */
static VOID KiReconsiderStandby(KTHREAD *Thread) KI_DISPATCHER_LOCKED
{
    KPRCB *prcb = KiProcessorBlock[Thread->NextProcessor];
    KiSetNextThread(prcb, NULL);
    KiReadyThread(Thread);
    KiRefillProcessor(prcb);
}

VOID KiSetPriorityThread(KTHREAD *Thread, KPRIORITY Priority)
{
    KPRIORITY before = Thread->Priority;
    if (Thread->State == Ready) {
        KiDequeueThread(Thread);
    }
    Thread->Priority = (SCHAR)Priority;
    switch (Thread->State) {
    case Ready:
        KiReadyThread(Thread);
        break;
    case Standby:
        KiReconsiderStandby(Thread);
        break;
    case Running:
        if (Priority < before) {
            KiRefillProcessor(KiProcessorBlock[Thread->NextProcessor]);
        }
        break;
    default:
        break;
    }
}

VOID KiSetAffinityThread(KTHREAD *Thread, KAFFINITY Affinity)
{
    KPRCB *prcb = KiProcessorBlock[Thread->NextProcessor];
    bool   stays = (Affinity & KiProcessorBit(prcb->Number)) != 0;
    if (Thread->State == Ready) {
        KiDequeueThread(Thread);
    }
    Thread->Affinity = Affinity;
    switch (Thread->State) {
    case Ready:
        KiReadyThread(Thread);
        break;
    case Standby:
        if (!stays) {
            KiReconsiderStandby(Thread);
        }
        break;
    case Running:
        KiRefillProcessor(prcb);
        break;
    default:
        break;
    }
}
