/*
 * Attaching to a process.
 *
 * The state in effect is always KTHREAD.ApcState; the one of the thread's own process lies in SavedApcState while it
 * is attached, and the states of attachments in between in the KAPC_STATEs of the callers. A KAPC_STATE that was
 * filled by an attach to the process in use already holds KI_SAME_PROCESS in its Process, and by the first attachment
 * NULL.
 */
#include "kernel/ke/attach.h"

#include "kernel/ke/apc.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/schedule.h"

#define KI_SAME_PROCESS ((KPROCESS *)1)

/* Move a state with all that is queued in it. */
static VOID KiMoveApcState(const KAPC_STATE *From, KAPC_STATE *To) KI_DISPATCHER_LOCKED
{
    *To = *From;
    for (ULONG mode = KernelMode; mode < MaximumMode; mode++) {
        const LIST_ENTRY *from = &From->ApcListHead[mode];
        LIST_ENTRY       *to = &To->ApcListHead[mode];
        if (IsListEmpty(from)) {
            InitializeListHead(to);
        } else {
            to->Flink->Blink = to;
            to->Blink->Flink = to;
        }
    }
}

static VOID KiInitializeApcState(KAPC_STATE *State, KPROCESS *Process) KI_DISPATCHER_LOCKED
{
    RtlZeroMemory(State, sizeof(*State));
    InitializeListHead(&State->ApcListHead[KernelMode]);
    InitializeListHead(&State->ApcListHead[UserMode]);
    State->Process = Process;
}

static VOID KiCheckAttach(const KTHREAD *Thread, KPROCESS *Process)
{
    if (KiIsDpcActive()) {
        KeBugCheckEx(INVALID_PROCESS_ATTACH_ATTEMPT, (ULONG_PTR)Process, (ULONG_PTR)Thread->ApcState.Process,
                     Thread->ApcStateIndex, 1);
    }
}

/* Put the state in effect away in Saved and go on in Process. */
static VOID KiAttach(KTHREAD *Thread, KPROCESS *Process, KAPC_STATE *Saved) KI_DISPATCHER_LOCKED
{
    KiMoveApcState(&Thread->ApcState, Saved);
    KiInitializeApcState(&Thread->ApcState, Process);
    Thread->ApcStateIndex = AttachedApcEnvironment;
    KiSwapProcess(Process, Saved->Process);
}

/*
 * Acquire the dispatcher lock with every kernel APC run that can be: those of the state that is given up must not be
 * left.
 */
static KIRQL KiLockForDetach(const KTHREAD *Thread) KI_DISPATCHER_ACQUIRES
{
    KIRQL oldIrql = KiLockDispatcher();
    while (KiIsKernelApcDue(Thread, oldIrql)) {
        KiUnlockDispatcher(oldIrql); /* the interrupt that delivers it is pending */
        oldIrql = KiLockDispatcher();
    }
    return oldIrql;
}

/* Go back to the state in Saved. What was queued to it meanwhile comes in when the IRQL allows. */
static VOID KiDetach(KTHREAD *Thread, const KAPC_STATE *Saved, KAPC_ENVIRONMENT Environment) KI_DISPATCHER_LOCKED
{
    KPROCESS *from = Thread->ApcState.Process;
    if (!IsListEmpty(&Thread->ApcState.ApcListHead[KernelMode]) ||
        !IsListEmpty(&Thread->ApcState.ApcListHead[UserMode]) || Thread->ApcState.KernelApcInProgress) {
        KeBugCheckEx(INVALID_PROCESS_DETACH_ATTEMPT, 0, 0, 0, 0);
    }
    KiMoveApcState(Saved, &Thread->ApcState);
    Thread->ApcStateIndex = (UCHAR)Environment;
    if (Thread->ApcState.Process != from) {
        KiSwapProcess(Thread->ApcState.Process, from);
    }
    if (!IsListEmpty(&Thread->ApcState.ApcListHead[KernelMode])) {
        Thread->ApcState.KernelApcPending = TRUE;
        KiRequestSoftwareInterrupt(APC_LEVEL);
    }
}

VOID NTAPI KeStackAttachProcess(PKPROCESS Process, PKAPC_STATE ApcState)
{
    KTHREAD *thread = KeGetCurrentThread();
    KiCheckAttach(thread, Process);
    KIRQL oldIrql = KiLockDispatcher();
    if (Process == thread->ApcState.Process) {
        ApcState->Process = KI_SAME_PROCESS;
    } else if (thread->ApcStateIndex == OriginalApcEnvironment) {
        KiAttach(thread, Process, &thread->SavedApcState);
        ApcState->Process = NULL;
    } else {
        KiAttach(thread, Process, ApcState);
    }
    KiUnlockDispatcher(oldIrql);
}

VOID NTAPI KeUnstackDetachProcess(PKAPC_STATE ApcState)
{
    KTHREAD *thread = KeGetCurrentThread();
    if (ApcState->Process == KI_SAME_PROCESS) {
        return;
    }
    KIRQL oldIrql = KiLockForDetach(thread);
    if (thread->ApcStateIndex == OriginalApcEnvironment) {
        KeBugCheckEx(INVALID_PROCESS_DETACH_ATTEMPT, 0, 0, 0, 0);
    }
    if (ApcState->Process == NULL) {
        KiDetach(thread, &thread->SavedApcState, OriginalApcEnvironment);
    } else {
        KiDetach(thread, ApcState, AttachedApcEnvironment);
    }
    KiUnlockDispatcher(oldIrql);
}

VOID NTAPI KeAttachProcess(PKPROCESS Process)
{
    KTHREAD *thread = KeGetCurrentThread();
    KiCheckAttach(thread, Process);
    KIRQL oldIrql = KiLockDispatcher();
    if (Process != thread->ApcState.Process) {
        if (thread->ApcStateIndex != OriginalApcEnvironment) {
            KeBugCheckEx(INVALID_PROCESS_ATTACH_ATTEMPT, (ULONG_PTR)Process, (ULONG_PTR)thread->ApcState.Process,
                         thread->ApcStateIndex, 0);
        }
        KiAttach(thread, Process, &thread->SavedApcState);
    }
    KiUnlockDispatcher(oldIrql);
}

/* Without an attachment it does nothing: the KeAttachProcess before it may have been to the process in use. */
VOID NTAPI KeDetachProcess(VOID)
{
    KTHREAD *thread = KeGetCurrentThread();
    KIRQL    oldIrql = KiLockForDetach(thread);
    if (thread->ApcStateIndex != OriginalApcEnvironment) {
        KiDetach(thread, &thread->SavedApcState, OriginalApcEnvironment);
    }
    KiUnlockDispatcher(oldIrql);
}

BOOLEAN NTAPI KeIsAttachedProcess(VOID)
{
    return KeGetCurrentThread()->ApcStateIndex != OriginalApcEnvironment;
}
