/*
 * Threads: what one is, and how one begins and ends. kernel/ke/schedule.h says which runs where.
 */
#pragma once

#include "kernel/ke/lock.h"
#include "kernel/ke/pcr.h"
#include "kernel/ke/process.h"

#define KI_KERNEL_STACK_BYTES 0x6000 /* 24 KiB, a guard page below */

#define KI_DEFAULT_PRIORITY 8
#define KI_IDLE_PRIORITY    (-1) /* below every thread, so any thread preempts it */
#define KI_QUANTUM_TICKS    2    /* clock ticks of 1/64 s before an equal thread gets its turn */

typedef enum _KTHREAD_STATE {
    Initialized,
    Ready,
    Running,
    Standby,
    Terminated,
    Waiting,
    Transition,
    DeferredReady
} KTHREAD_STATE;

/* Fields are guarded by the dispatcher lock unless their note says otherwise; "own" means the thread itself. */
typedef struct _KTHREAD {
    DISPATCHER_HEADER Header;        /* signalled when the thread has ended */
    ULONG64           KernelStack;   /* saved RSP while not running; kernel/amd64/switch.asm knows the offset */
    ULONG64           StackBase;     /* one past the highest byte */
    ULONG64           StackLimit;    /* lowest usable byte */
    PVOID             FloatingState; /* FXSAVE area, 16-aligned, inside this structure; offset known to switch.asm */
    KAPC_STATE        ApcState;      /* ApcState.Process is the address space in use */
    KAPC_STATE        SavedApcState; /* while attached */

    KPROCESS  *Process;         /* to which the thread belongs; constant */
    LIST_ENTRY ThreadListEntry; /* KPROCESS.ThreadListHead; once dead, the list of the dead */

    LIST_ENTRY     ReadyListEntry; /* while Ready */
    KAFFINITY      Affinity;       /* where it may run: UserAffinity, or what KeSetSystemAffinityThread said */
    KAFFINITY      UserAffinity;
    BOOLEAN        SystemAffinityActive;
    volatile UCHAR State;           /* KTHREAD_STATE */
    SCHAR          Priority;        /* 0..31, KI_IDLE_PRIORITY */
    SCHAR          BasePriority;    /* Priority without the boost of a wait that ended; below 16 it decays to this */
    volatile SCHAR Quantum;         /* ticks left; counted down by the clock of the CPU it runs on */
    BOOLEAN        Preempted;       /* goes to the head of its ready queue, since its quantum has not ended */
    ULONG          NextProcessor;   /* where it runs, is to run next, or ran last */
    ULONG          KernelTime;      /* ticks; clock interrupt */
    ULONG64        ContextSwitches; /* times it was switched to */

    KWAIT_BLOCK     WaitBlock[THREAD_WAIT_OBJECTS + 1]; /* the last is the time limit's */
    KWAIT_BLOCK    *WaitBlocks;                         /* while Waiting: WaitCount blocks, linked to their objects */
    ULONG           WaitCount;
    NTSTATUS        WaitStatus;      /* how the wait ended */
    KTIMER          Timer;           /* of the time limit */
    BOOLEAN         WaitTimerActive; /* the last wait block is linked to Timer */
    KIRQL           WaitIrql;        /* below which the thread will be when the wait ends */
    KPROCESSOR_MODE WaitMode;
    BOOLEAN         Alertable;
    UCHAR           WaitReason;     /* KWAIT_REASON */
    BOOLEAN         WaitNext;       /* own: it came from a Ke routine with Wait = TRUE, still at DISPATCH_LEVEL */
    LIST_ENTRY      MutantListHead; /* KMUTANT.MutantListEntry: those it owns */

    union {
        struct {
            volatile SHORT KernelApcDisable;  /* own: 0, or -n in n critical regions */
            volatile SHORT SpecialApcDisable; /* own: 0, or -n in n guarded regions */
        };
        volatile ULONG CombinedApcDisable;
    };
    UCHAR           ApcStateIndex; /* KAPC_ENVIRONMENT: OriginalApcEnvironment, or Attached */
    BOOLEAN         ApcQueueable;  /* false once it ends */
    KPROCESSOR_MODE PreviousMode;  /* own */

    VOID (*SystemRoutine)(PKSTART_ROUTINE StartRoutine, PVOID StartContext); /* constant */
    PKSTART_ROUTINE StartRoutine;                                            /* constant */
    PVOID           StartContext;                                            /* constant */

    UCHAR FloatingArea[sizeof(XSAVE_FORMAT) + 15]; /* FloatingState lies in it */
} KTHREAD;

C_ASSERT(FIELD_OFFSET(KTHREAD, KernelStack) == 0x18);
C_ASSERT(FIELD_OFFSET(KTHREAD, FloatingState) == 0x30);

/* What a thread starts with. SystemRoutine runs first, at PASSIVE_LEVEL, calls StartRoutine and does not return. */
typedef struct _KI_THREAD_START {
    KPROCESS *Process;
    PVOID     StackBase; /* of a stack of KI_KERNEL_STACK_BYTES */
    VOID (*SystemRoutine)(PKSTART_ROUTINE StartRoutine, PVOID StartContext);
    PKSTART_ROUTINE StartRoutine;
    PVOID           StartContext;
} KI_THREAD_START;

/* Make Thread from memory that the caller owns; it does not run before KiStartThread. Any IRQL. */
VOID KiInitializeThread(KTHREAD *Thread, const KI_THREAD_START *Start);

/* => IRQL <= DISPATCH_LEVEL; acquires the dispatcher lock. Thread may have run and ended before this returns. */
VOID KiStartThread(KTHREAD *Thread);

/* What InitializeThread and an idle thread have in common; the caller has zeroed Thread. */
VOID KiInitializeThreadCommon(KTHREAD *Thread, KPROCESS *Process, PVOID StackBase, PVOID StackLimit);

/*
 * End the calling thread: mutants that it owns are abandoned, it is signalled, and it goes on the list of the dead.
 *
 * => PASSIVE_LEVEL, APC queues run down; acquires the dispatcher lock.
 */
DECLSPEC_NORETURN VOID KiTerminateThread(VOID);

/*
 * A thread that ended and that no CPU runs any more: its stack and its memory are the caller's. Waits for one.
 *
 * => PASSIVE_LEVEL; one caller at a time.
 */
KTHREAD *KiWaitForDeadThread(VOID);

/*
 * Wait until every thread that was signalled before the call has been taken by KiWaitForDeadThread and freed.
 * PASSIVE_LEVEL.
 */
VOID KiWaitForReaper(VOID);

/* First C code of a thread, called by KiThreadStartup with the dispatcher lock held. */
DECLSPEC_NORETURN VOID KiEnterThread(VOID);

VOID KiInitializeReaper(VOID);

/*
 * kernel/amd64/switch.asm: save the registers of From, go on where To stopped. Returns when From is switched to
 * again, perhaps on another CPU. => DISPATCH_LEVEL, the dispatcher lock held.
 */
VOID KiSwapContext(KTHREAD *From, KTHREAD *To);
VOID KiThreadStartup(VOID);

/* Where a thread that does not run will go on: with RSP = KernelStack the unwinder starts here. */
extern const UCHAR KiSwapContextResume[];

ULONG NTAPI KeQueryRuntimeThread(PKTHREAD Thread, PULONG UserTime);
NTSTATUS    NTAPI(KeSaveFloatingPointState)(PKFLOATING_SAVE FloatSave);
NTSTATUS    NTAPI(KeRestoreFloatingPointState)(PKFLOATING_SAVE FloatSave);
