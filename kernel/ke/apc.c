/*
 * Asynchronous procedure calls.
 *
 * Two kinds reach a thread in the kernel. A special APC (no normal routine) runs at APC_LEVEL, and only a guarded
 * region or APC_LEVEL keeps it out. A normal one first runs its kernel routine at APC_LEVEL, then its normal routine
 * at PASSIVE_LEVEL; critical regions keep it out, and another normal one that is in progress. Special ones stand
 * before normal ones in the queue.
 *
 * KernelApcPending says that the APC interrupt has something to look at. It is set with an APC's insertion, and by
 * whoever leaves the outermost critical or guarded region with an APC queued; it is cleared when the interrupt looks.
 * Set for a thread that runs, it comes with an interrupt to that thread's CPU; for another, the interrupt is
 * requested when the thread is switched to (KiSwapThread). An APC interrupt that finds the flag of its thread clear
 * has come too late for a thread that went away.
 *
 * Leaving a region needs no lock. The counters are the thread's own. An insertion links the APC, then interrupts: if
 * the interrupt came before the counter was written back, its sight of the queue came before the leaver's, who then
 * sees the APC; if after, the interrupt finds the counter at zero and delivers.
 *
 * User APCs are queued, and wake an alertable wait in user mode; the way out to ring 3 delivers them.
 */
#include "kernel/ke/apc.h"

#include "kernel/amd64/intrin.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/kobjects.h"
#include "kernel/ke/wait.h"

VOID NTAPI KeInitializeApc(PKAPC Apc, PKTHREAD Thread, KAPC_ENVIRONMENT Environment, PKKERNEL_ROUTINE KernelRoutine,
                           PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine, KPROCESSOR_MODE ApcMode,
                           PVOID NormalContext)
{
    RtlZeroMemory(Apc, sizeof(*Apc));
    Apc->Type = ApcObject;
    Apc->Size = sizeof(KAPC);
    Apc->Thread = Thread;
    Apc->ApcStateIndex = (CCHAR)(Environment == CurrentApcEnvironment ? Thread->ApcStateIndex : Environment);
    Apc->KernelRoutine = KernelRoutine;
    Apc->RundownRoutine = RundownRoutine;
    Apc->NormalRoutine = NormalRoutine;
    Apc->ApcMode = NormalRoutine != NULL ? ApcMode : KernelMode;
    Apc->NormalContext = NormalRoutine != NULL ? NormalContext : NULL;
}

/* The state that Apc is for: the one in effect, or the one put away while the thread is attached. */
static KAPC_STATE *KiApcStateOf(const KAPC *Apc) KI_DISPATCHER_LOCKED
{
    KTHREAD *thread = Apc->Thread;
    return Apc->ApcStateIndex == thread->ApcStateIndex ? &thread->ApcState : &thread->SavedApcState;
}

static VOID KiLinkApc(KAPC *Apc, LIST_ENTRY *Head) KI_DISPATCHER_LOCKED
{
    LIST_ENTRY *before = Head->Blink;
    if (Apc->NormalRoutine == NULL) {
        while (before != Head && CONTAINING_RECORD(before, KAPC, ApcListEntry)->NormalRoutine != NULL) {
            before = before->Blink;
        }
    }
    InsertHeadList(before, &Apc->ApcListEntry);
}

/* Could Thread, which waits, run the kernel APC now? */
static bool KiCanWaitBeInterrupted(const KTHREAD *Thread, const KAPC *Apc) KI_DISPATCHER_LOCKED
{
    if (Thread->WaitIrql >= APC_LEVEL || Thread->SpecialApcDisable != 0) {
        return false;
    }
    return Apc->NormalRoutine == NULL || (Thread->KernelApcDisable == 0 && !Thread->ApcState.KernelApcInProgress);
}

/* A kernel APC was queued to the state that is in effect. */
static VOID KiSignalKernelApc(KTHREAD *Thread, const KAPC *Apc, KPRIORITY Increment) KI_DISPATCHER_LOCKED
{
    Thread->ApcState.KernelApcPending = TRUE;
    if (Thread->State == Running && Thread == KeGetCurrentThread()) {
        KiRequestSoftwareInterrupt(APC_LEVEL);
    } else if (Thread->State == Running) {
        KiRequestRemoteInterrupt(Thread->NextProcessor, APC_LEVEL);
    } else if (Thread->State == Waiting && KiCanWaitBeInterrupted(Thread, Apc)) {
        KiUnwaitThread(Thread, STATUS_KERNEL_APC, Increment);
    }
}

static VOID KiSignalUserApc(KTHREAD *Thread, KPRIORITY Increment) KI_DISPATCHER_LOCKED
{
    if (Thread->State == Waiting && Thread->WaitMode == UserMode && Thread->Alertable) {
        Thread->ApcState.UserApcPending = TRUE;
        KiUnwaitThread(Thread, STATUS_USER_APC, Increment);
    }
}

BOOLEAN NTAPI KeInsertQueueApc(PKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment)
{
    KTHREAD *thread = Apc->Thread;
    KIRQL    oldIrql = KiLockDispatcher();
    BOOLEAN  inserted = thread->ApcQueueable && !Apc->Inserted && (UCHAR)Apc->ApcStateIndex <= thread->ApcStateIndex;
    if (inserted) {
        KAPC_STATE *state = KiApcStateOf(Apc);
        Apc->SystemArgument1 = SystemArgument1;
        Apc->SystemArgument2 = SystemArgument2;
        Apc->Inserted = TRUE;
        KiLinkApc(Apc, &state->ApcListHead[(UCHAR)Apc->ApcMode]);
        if (Apc->ApcMode == KernelMode && state == &thread->ApcState) {
            KiSignalKernelApc(thread, Apc, Increment);
        } else if (Apc->ApcMode == UserMode) {
            KiSignalUserApc(thread, Increment);
        }
    }
    KiExitDispatcher(oldIrql);
    return inserted;
}

BOOLEAN NTAPI KeRemoveQueueApc(PKAPC Apc)
{
    KIRQL   oldIrql = KiLockDispatcher();
    BOOLEAN removed = Apc->Inserted;
    if (removed) {
        RemoveEntryList(&Apc->ApcListEntry);
        Apc->Inserted = FALSE;
    }
    KiUnlockDispatcher(oldIrql);
    return removed;
}

bool KiIsKernelApcDue(const KTHREAD *Thread, KIRQL Irql)
{
    return Thread->ApcState.KernelApcPending && Thread->SpecialApcDisable == 0 && Irql < APC_LEVEL;
}

/* Take out the APC that Thread is to run now into *Copy, or return NULL. */
static KAPC *KiTakeKernelApc(KTHREAD *Thread, KAPC *Copy)
{
    KIRQL       oldIrql = KiLockDispatcher();
    KAPC_STATE *state = &Thread->ApcState;
    LIST_ENTRY *head = &state->ApcListHead[KernelMode];
    KAPC       *apc = NULL;
    state->KernelApcPending = FALSE;
    if (Thread->SpecialApcDisable == 0 && !IsListEmpty(head)) {
        apc = CONTAINING_RECORD(head->Flink, KAPC, ApcListEntry);
        if (apc->NormalRoutine != NULL && (Thread->KernelApcDisable != 0 || state->KernelApcInProgress)) {
            apc = NULL;
        }
    }
    if (apc != NULL) {
        RemoveEntryList(&apc->ApcListEntry);
        apc->Inserted = FALSE;
        *Copy = *apc;
    }
    KiUnlockDispatcher(oldIrql);
    return apc;
}

/* The APC is its owner's again when its kernel routine is called, which may free it. APC_LEVEL. */
static VOID KiRunKernelApc(KTHREAD *Thread, KAPC *Apc, KAPC *Copy)
{
    Copy->KernelRoutine(Apc, &Copy->NormalRoutine, &Copy->NormalContext, &Copy->SystemArgument1,
                        &Copy->SystemArgument2);
    if (KeGetCurrentIrql() != APC_LEVEL) {
        KeBugCheckEx(IRQL_UNEXPECTED_VALUE, (ULONG)KeGetCurrentIrql() << 16 | APC_LEVEL << 8,
                     (ULONG_PTR)Copy->KernelRoutine, (ULONG_PTR)Apc, (ULONG_PTR)Copy->NormalRoutine);
    }
    if (Copy->NormalRoutine != NULL) {
        Thread->ApcState.KernelApcInProgress = TRUE;
        KeLowerIrql(PASSIVE_LEVEL);
        Copy->NormalRoutine(Copy->NormalContext, Copy->SystemArgument1, Copy->SystemArgument2);
        KIRQL oldIrql;
        KeRaiseIrql(APC_LEVEL, &oldIrql);
        Thread->ApcState.KernelApcInProgress = FALSE;
    }
}

VOID KiApcInterrupt(KTRAP_FRAME *Frame)
{
    KTHREAD *thread = KeGetCurrentThread();
    KAPC     copy;
    UNREFERENCED_PARAMETER(Frame);
    KiSetAc(); /* thread code again; the frame restores what the interrupted code had */
    if (!thread->ApcState.KernelApcPending) {
        return;
    }
    for (KAPC *apc = KiTakeKernelApc(thread, &copy); apc != NULL; apc = KiTakeKernelApc(thread, &copy)) {
        KiRunKernelApc(thread, apc, &copy);
    }
}

/* The calling thread has left its last region: what was kept out comes in. */
static VOID KiRequestKeptApcs(KTHREAD *Thread)
{
    if (*(LIST_ENTRY *volatile *)&Thread->ApcState.ApcListHead[KernelMode].Flink !=
        &Thread->ApcState.ApcListHead[KernelMode]) {
        Thread->ApcState.KernelApcPending = TRUE;
        KiRequestSoftwareInterrupt(APC_LEVEL);
    }
}

VOID KiLeaveCriticalRegionThread(KTHREAD *Thread)
{
    if (++Thread->KernelApcDisable == 0 && Thread->SpecialApcDisable == 0) {
        KiRequestKeptApcs(Thread);
    }
}

VOID NTAPI KeEnterCriticalRegion(VOID)
{
    KeGetCurrentThread()->KernelApcDisable--;
}

VOID NTAPI KeLeaveCriticalRegion(VOID)
{
    KiLeaveCriticalRegionThread(KeGetCurrentThread());
}

VOID NTAPI KeEnterGuardedRegion(VOID)
{
    KeGetCurrentThread()->SpecialApcDisable--;
}

VOID NTAPI KeLeaveGuardedRegion(VOID)
{
    KTHREAD *thread = KeGetCurrentThread();
    if (++thread->SpecialApcDisable == 0) {
        KiRequestKeptApcs(thread);
    }
}

BOOLEAN NTAPI KeAreApcsDisabled(VOID)
{
    return KeGetCurrentThread()->CombinedApcDisable != 0;
}

BOOLEAN NTAPI KeAreAllApcsDisabled(VOID)
{
    return KeGetCurrentThread()->SpecialApcDisable != 0 || KeGetCurrentIrql() >= APC_LEVEL;
}

VOID KiRundownApcs(VOID)
{
    KTHREAD    *thread = KeGetCurrentThread();
    LIST_ENTRY *head = &thread->ApcState.ApcListHead[UserMode];
    KIRQL       oldIrql = KiLockDispatcher();
    thread->ApcQueueable = FALSE;
    KiUnlockDispatcher(oldIrql);
    while (!IsListEmpty(head)) { /* nobody inserts any more; removal is the owner's, who knows that the thread ends */
        KAPC *apc = CONTAINING_RECORD(RemoveHeadList(head), KAPC, ApcListEntry);
        apc->Inserted = FALSE;
        if (apc->RundownRoutine != NULL) {
            apc->RundownRoutine(apc);
        }
    }
}
