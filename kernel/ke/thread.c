/*
 * How threads begin and end.
 *
 * A new thread's stack is built as KiSwapContext would have left it, returning to KiThreadStartup, whose return
 * address is 0: there every unwind of the stack ends.
 *
 * An ending thread signals itself and joins the list of the dead in one hold of the dispatcher lock that lasts until
 * it has left its stack for good. The reaper takes the dead from the list under the same lock, so it may free them at
 * once.
 */
#include "kernel/ke/thread.h"

#include "kernel/amd64/cpu.h"
#include "kernel/ke/apc.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/kobjects.h"
#include "kernel/ke/mutant.h"
#include "kernel/ke/schedule.h"
#include "kernel/ke/sync.h"
#include "kernel/ke/wait.h"

#define KI_DEFAULT_FPU_CONTROL 0x027F /* x64 ABI: 53-bit precision, round to nearest, all exceptions masked */
#define KI_DEFAULT_MXCSR       0x1F80 /* x64 ABI: round to nearest, all exceptions masked */

#define KI_HOME_BYTES 32 /* x64 ABI: what a caller leaves above the return address */

/* What KiSwapContext leaves on the stack, lowest address first. */
typedef struct _KI_SWITCH_FRAME {
    ULONG64 EFlags;
    ULONG64 R15;
    ULONG64 R14;
    ULONG64 R13;
    ULONG64 R12;
    ULONG64 Rdi;
    ULONG64 Rsi;
    ULONG64 Rbx;
    ULONG64 Rbp;
    ULONG64 ReturnAddress;
} KI_SWITCH_FRAME;

/* The top of a new thread's stack. */
typedef struct _KI_START_FRAME {
    KI_SWITCH_FRAME Switch;
    ULONG64         StartupReturnAddress; /* 0 */
    UCHAR           Home[KI_HOME_BYTES];
} KI_START_FRAME;
C_ASSERT(sizeof(KI_START_FRAME) % 8 == 0 && FIELD_OFFSET(KI_START_FRAME, StartupReturnAddress) == 80);

static LIST_ENTRY KiDeadThreads; /* KTHREAD.ThreadListEntry; dispatcher lock */
static KEVENT     KiReaperEvent; /* notification: the list is not empty */
static KEVENT     KiReaperIdle;  /* notification: all the dead are freed */

VOID KiInitializeReaper(VOID)
{
    InitializeListHead(&KiDeadThreads);
    KeInitializeEvent(&KiReaperEvent, NotificationEvent, FALSE);
    KeInitializeEvent(&KiReaperIdle, NotificationEvent, TRUE);
}

VOID KiInitializeThreadCommon(KTHREAD *Thread, KPROCESS *Process, PVOID StackBase, PVOID StackLimit)
{
    XSAVE_FORMAT *floating = (XSAVE_FORMAT *)(((ULONG_PTR)Thread->FloatingArea + 15) & ~(ULONG_PTR)15);
    Thread->Header.Type = ThreadObject;
    Thread->Header.Hand = 0;
    InitializeListHead(&Thread->Header.WaitListHead);
    Thread->StackBase = (ULONG64)StackBase;
    Thread->StackLimit = (ULONG64)StackLimit;
    floating->ControlWord = KI_DEFAULT_FPU_CONTROL;
    floating->MxCsr = KI_DEFAULT_MXCSR;
    Thread->FloatingState = floating;
    Thread->Process = Process;
    Thread->ApcState.Process = Process;
    for (ULONG mode = KernelMode; mode < MaximumMode; mode++) {
        InitializeListHead(&Thread->ApcState.ApcListHead[mode]);
        InitializeListHead(&Thread->SavedApcState.ApcListHead[mode]);
    }
    Thread->ApcQueueable = TRUE;
    Thread->PreviousMode = KernelMode;
    Thread->Quantum = KI_QUANTUM_TICKS;
    KeInitializeTimer(&Thread->Timer);
    InitializeListHead(&Thread->MutantListHead);
}

VOID KiInitializeThread(KTHREAD *Thread, const KI_THREAD_START *Start)
{
    ULONG64         base = (ULONG64)Start->StackBase;
    KI_START_FRAME *frame = (KI_START_FRAME *)(base - sizeof(KI_START_FRAME));
    RtlZeroMemory(Thread, sizeof(*Thread));
    KiInitializeThreadCommon(Thread, Start->Process, Start->StackBase, (PVOID)(base - KI_KERNEL_STACK_BYTES));
    RtlZeroMemory(frame, sizeof(*frame));
    frame->Switch.EFlags = X86_EFLAGS_IF | X86_EFLAGS_AC;
    frame->Switch.ReturnAddress = (ULONG64)KiThreadStartup;
    Thread->KernelStack = (ULONG64)frame;
    Thread->SystemRoutine = Start->SystemRoutine;
    Thread->StartRoutine = Start->StartRoutine;
    Thread->StartContext = Start->StartContext;
    Thread->Priority = KI_DEFAULT_PRIORITY;
    Thread->BasePriority = KI_DEFAULT_PRIORITY;
    Thread->Affinity = MAXULONG64;
    Thread->UserAffinity = MAXULONG64;
    Thread->State = Initialized;
}

VOID KiStartThread(KTHREAD *Thread)
{
    KIRQL oldIrql = KiLockDispatcher();
    InsertTailList(&Thread->Process->ThreadListHead, &Thread->ThreadListEntry);
    KiReadyThread(Thread);
    KiExitDispatcher(oldIrql);
}

/* Takes over what the outgoing thread's KiSwapThread would have done after the switch. */
DECLSPEC_NORETURN VOID KiEnterThread(VOID) __attribute__((no_thread_safety_analysis))
{
    KTHREAD *thread = KeGetCurrentThread();
    if (thread->ApcState.KernelApcPending) {
        KiRequestSoftwareInterrupt(APC_LEVEL);
    }
    KiUnlockDispatcher(PASSIVE_LEVEL);
    thread->SystemRoutine(thread->StartRoutine, thread->StartContext);
    __builtin_trap(); /* it ends in KiTerminateThread */
}

DECLSPEC_NORETURN VOID KiTerminateThread(VOID) __attribute__((no_thread_safety_analysis))
{
    KTHREAD *thread = KeGetCurrentThread();
    (void)KiLockDispatcher();
    KiAbandonMutants(thread);
    thread->Header.SignalState = 1;
    KiWaitTest(&thread->Header, 0);
    RemoveEntryList(&thread->ThreadListEntry);
    InsertTailList(&KiDeadThreads, &thread->ThreadListEntry);
    KiClearEventLocked(&KiReaperIdle);
    KiSetEventLocked(&KiReaperEvent);
    thread->State = Terminated;
    KiSwapThread();
    __builtin_trap(); /* nobody switches to a dead thread */
}

/* The next of the dead, or NULL, and then the caller has freed all that came before. */
static KTHREAD *KiTakeDeadThread(VOID)
{
    KTHREAD *thread = NULL;
    KIRQL    oldIrql = KiLockDispatcher();
    if (IsListEmpty(&KiDeadThreads)) {
        KiClearEventLocked(&KiReaperEvent);
        KiSetEventLocked(&KiReaperIdle);
    } else {
        thread = CONTAINING_RECORD(RemoveHeadList(&KiDeadThreads), KTHREAD, ThreadListEntry);
    }
    KiExitDispatcher(oldIrql);
    return thread;
}

KTHREAD *KiWaitForDeadThread(VOID)
{
    KTHREAD *thread = KiTakeDeadThread();
    while (thread == NULL) {
        (void)KeWaitForSingleObject(&KiReaperEvent, Executive, KernelMode, FALSE, NULL);
        thread = KiTakeDeadThread();
    }
    return thread;
}

VOID KiWaitForReaper(VOID)
{
    (void)KeWaitForSingleObject(&KiReaperIdle, Executive, KernelMode, FALSE, NULL);
}

KPRIORITY NTAPI KeSetPriorityThread(PKTHREAD Thread, KPRIORITY Priority)
{
    KIRQL     oldIrql = KiLockDispatcher();
    KPRIORITY before = Thread->Priority;
    Priority = max(LOW_PRIORITY, min(Priority, HIGH_PRIORITY));
    Thread->BasePriority = (SCHAR)Priority;
    Thread->Quantum = KI_QUANTUM_TICKS;
    KiSetPriorityThread(Thread, Priority);
    KiExitDispatcher(oldIrql);
    return before;
}

KPRIORITY NTAPI KeQueryPriorityThread(PKTHREAD Thread)
{
    return *(volatile SCHAR *)&Thread->Priority;
}

/* Relative to the priority that threads start with; the increment before comes back. */
LONG NTAPI KeSetBasePriorityThread(PKTHREAD Thread, LONG Increment)
{
    LONG      before = Thread->BasePriority - KI_DEFAULT_PRIORITY;
    KPRIORITY base = KI_DEFAULT_PRIORITY + max(-KI_DEFAULT_PRIORITY, min(Increment, HIGH_PRIORITY));
    (void)KeSetPriorityThread(Thread, base);
    return before;
}

/* nf-wdm-kequeryruntimethread.md: ticks in the kernel; in user mode none, as nothing charges them there. */
ULONG NTAPI KeQueryRuntimeThread(PKTHREAD Thread, PULONG UserTime)
{
    *UserTime = 0;
    return Thread->KernelTime;
}

/*
 * Every thread switch and interrupt keeps the whole floating-point and vector state, so a driver has nothing to save.
 */
NTSTATUS NTAPI(KeSaveFloatingPointState)(PKFLOATING_SAVE FloatSave)
{
    UNREFERENCED_PARAMETER(FloatSave);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI(KeRestoreFloatingPointState)(PKFLOATING_SAVE FloatSave)
{
    UNREFERENCED_PARAMETER(FloatSave);
    return STATUS_SUCCESS;
}
