/*
 * Threads, the scheduler and attaching.
 */
#include "kernel/ke/thread.h"

#include "io/process.h"
#include "kernel/amd64/cpu.h"
#include "kernel/amd64/intrin.h"
#include "kernel/ke/attach.h"
#include "kernel/ke/schedule.h"
#include "kernel/rtl/stackwalk.h"
#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

#define LOW       4
#define MIDDLE    8
#define HIGH      12
#define SWITCHES  50
#define MANY      32
#define XMM_LANES 3

ULONG KtFindChangedXmm(ULONG64 Seed, void (*Routine)(void *Context), void *Context); /* tests/ke/xmm.asm */

/* What a thread saw when it began. */
typedef struct _BIRTH {
    KIRQL     Irql;
    ULONG64   Flags;
    CLIENT_ID Cid;
    bool      OnItsStack;
    bool      IsSystem;
} BIRTH;

static void NTAPI NoteBirth(PVOID Context)
{
    BIRTH         *birth = Context;
    const KTHREAD *self = KeGetCurrentThread();
    ULONG64        here = (ULONG64)_AddressOfReturnAddress();
    birth->Flags = __readeflags();
    birth->Irql = KeGetCurrentIrql();
    birth->Cid.UniqueThread = PsGetCurrentThreadId();
    birth->Cid.UniqueProcess = PsGetCurrentProcessId();
    birth->OnItsStack = here >= self->StackLimit && here < self->StackBase;
    birth->IsSystem = PsIsSystemThread(PsGetCurrentThread());
}

KTEST(ke_thread, begins_at_passive_level)
{
    BIRTH birth = { 0 };
    KtJoin(KtStart(NoteBirth, &birth));
    KT_EXPECT_EQ(birth.Irql, PASSIVE_LEVEL);
    KT_EXPECT_NE(birth.Flags & X86_EFLAGS_IF, 0);
    KT_EXPECT_NE(birth.Flags & X86_EFLAGS_AC, 0);
    KT_EXPECT_EQ(birth.Flags & X86_EFLAGS_DF, 0);
    KT_EXPECT_TRUE(birth.OnItsStack);
    KT_EXPECT_TRUE(birth.IsSystem);
}

KTEST(ke_thread, has_an_id_and_a_handle)
{
    BIRTH     birth = { 0 };
    HANDLE    handle;
    CLIENT_ID cid;
    PVOID     thread;
    KT_ASSERT_STATUS(PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, NULL, NULL, &cid, NoteBirth, &birth),
                     STATUS_SUCCESS);
    NTSTATUS status = ObReferenceObjectByHandle(handle, SYNCHRONIZE, *PsThreadType, KernelMode, &thread, NULL);
    KT_EXPECT_STATUS(ZwClose(handle), STATUS_SUCCESS);
    KT_ASSERT_STATUS(status, STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtWait(thread), STATUS_SUCCESS);
    KT_EXPECT_EQ((ULONG64)birth.Cid.UniqueThread, (ULONG64)cid.UniqueThread);
    KT_EXPECT_EQ((ULONG64)birth.Cid.UniqueProcess, (ULONG64)cid.UniqueProcess);
    KT_EXPECT_EQ((ULONG64)PsGetThreadId(thread), (ULONG64)cid.UniqueThread);
    KT_EXPECT_EQ((ULONG64)cid.UniqueProcess, PSP_SYSTEM_PROCESS_ID);
    KT_EXPECT_NE((ULONG64)cid.UniqueThread, (ULONG64)PsGetCurrentThreadId());
    KT_EXPECT_EQ((ULONG64)cid.UniqueThread % 4, 0);
    ObDereferenceObject(thread);
}

static void NTAPI TerminateDeep(PVOID Context)
{
    *(volatile LONG *)Context = 1;
    PsTerminateSystemThread(STATUS_UNSUCCESSFUL);
    *(volatile LONG *)Context = 2;
}

KTEST(ke_thread, terminates_itself)
{
    volatile LONG reached = 0;
    PETHREAD      thread = KtStart(TerminateDeep, (PVOID)&reached);
    KT_ASSERT_NOT_NULL(thread);
    KT_EXPECT_STATUS(KtWait(thread), STATUS_SUCCESS);
    KT_EXPECT_EQ(reached, 1);
    KT_EXPECT_STATUS(thread->ExitStatus, STATUS_UNSUCCESSFUL);
    KT_EXPECT_TRUE(PsIsThreadTerminating(thread));
    KtJoin(thread);
}

/* Several threads that give one CPU to each other, each with vector registers of its own. */
typedef struct _XMM_LANE {
    ULONG64        Seed;
    volatile LONG *Barrier; /* lanes that hold their values */
    ULONG          Changed;
} XMM_LANE;

static void YieldOften(void *Context)
{
    const XMM_LANE *lane = Context;
    LARGE_INTEGER   now = { .QuadPart = 0 };
    InterlockedIncrement(lane->Barrier);
    while (*lane->Barrier < XMM_LANES) {
        KeDelayExecutionThread(KernelMode, FALSE, &now);
    }
    for (ULONG count = 0; count < SWITCHES; count++) {
        KeDelayExecutionThread(KernelMode, FALSE, &now);
    }
}

static void NTAPI RunXmmLane(PVOID Context)
{
    XMM_LANE *lane = Context;
    KtBind(0, MIDDLE);
    lane->Changed = KtFindChangedXmm(lane->Seed, YieldOften, lane);
}

KTEST(ke_thread, switches_keep_vector_registers)
{
    volatile LONG barrier = 0;
    XMM_LANE      lanes[XMM_LANES];
    PETHREAD      threads[XMM_LANES];
    for (ULONG index = 0; index < XMM_LANES; index++) {
        lanes[index] = (XMM_LANE){ .Seed = 0x1000001ull * (index + 1), .Barrier = &barrier };
        threads[index] = KtStart(RunXmmLane, &lanes[index]);
    }
    for (ULONG index = 0; index < XMM_LANES; index++) {
        KtJoin(threads[index]);
        KT_EXPECT_EQ(lanes[index].Changed, 0);
    }
}

static void BeInterrupted(void *Context)
{
    UNREFERENCED_PARAMETER(Context);
    KtStall(100); /* some ticks of the clock, and what they preempt for */
}

KTEST(ke_thread, interrupts_keep_vector_registers)
{
    KT_EXPECT_EQ(KtFindChangedXmm(0x5A5A5A5A12345678ull, BeInterrupted, NULL), 0);
}

static void NTAPI CheckAcSet(PVOID Context)
{
    volatile LONG *wrong = Context;
    LARGE_INTEGER  now = { .QuadPart = 0 };
    KtBind(0, MIDDLE);
    for (ULONG count = 0; count < SWITCHES; count++) {
        if ((__readeflags() & X86_EFLAGS_AC) == 0) {
            *wrong = 1;
        }
        KeDelayExecutionThread(KernelMode, FALSE, &now);
    }
}

static void NTAPI CheckAcClear(PVOID Context)
{
    volatile LONG *wrong = Context;
    LARGE_INTEGER  now = { .QuadPart = 0 };
    KtBind(0, MIDDLE);
    for (ULONG count = 0; count < SWITCHES; count++) {
        KiClearAc();
        KeDelayExecutionThread(KernelMode, FALSE, &now);
        if ((__readeflags() & X86_EFLAGS_AC) != 0) {
            *wrong = 1;
        }
    }
    KiSetAc();
}

KTEST(ke_thread, flags_are_the_threads_own)
{
    volatile LONG wrong[2] = { 0 };
    PETHREAD      set = KtStart(CheckAcSet, (PVOID)&wrong[0]);
    PETHREAD      clear = KtStart(CheckAcClear, (PVOID)&wrong[1]);
    KtJoin(set);
    KtJoin(clear);
    KT_EXPECT_EQ(wrong[0], 0);
    KT_EXPECT_EQ(wrong[1], 0);
}

/* A thread of a given priority on a given CPU that waits to be let go, and says when it runs. */
typedef struct _SLEEPER {
    ULONG         Processor;
    KPRIORITY     Priority;
    KEVENT        Go;
    volatile LONG Ran;
} SLEEPER;

static void NTAPI SleepThenRun(PVOID Context)
{
    SLEEPER *sleeper = Context;
    KtBind(sleeper->Processor, sleeper->Priority);
    KeWaitForSingleObject(&sleeper->Go, Executive, KernelMode, FALSE, NULL);
    InterlockedExchange(&sleeper->Ran, 1);
}

static PETHREAD StartSleeper(SLEEPER *Sleeper, ULONG Processor, KPRIORITY Priority)
{
    Sleeper->Processor = Processor;
    Sleeper->Priority = Priority;
    Sleeper->Ran = 0;
    KeInitializeEvent(&Sleeper->Go, NotificationEvent, FALSE);
    PETHREAD thread = KtStart(SleepThenRun, Sleeper);
    if (thread != NULL && !KtUntilWaiting(thread)) {
        KeSetEvent(&Sleeper->Go, IO_NO_INCREMENT, FALSE);
    }
    return thread;
}

/* The test's own thread goes on as it was. */
static void Unbind(void)
{
    (void)KeSetPriorityThread(KeGetCurrentThread(), KI_DEFAULT_PRIORITY);
    KeRevertToUserAffinityThread();
}

KTEST(ke_thread, higher_priority_preempts_at_once)
{
    SLEEPER  sleeper;
    PETHREAD thread = StartSleeper(&sleeper, 0, HIGH);
    KtBind(0, MIDDLE);
    KeSetEvent(&sleeper.Go, IO_NO_INCREMENT, FALSE);
    LONG ran = sleeper.Ran;
    Unbind();
    KT_EXPECT_EQ(ran, 1);
    KtJoin(thread);
}

KTEST(ke_thread, raised_irql_defers_preemption)
{
    SLEEPER  sleeper;
    KIRQL    oldIrql;
    PETHREAD thread = StartSleeper(&sleeper, 0, HIGH);
    KtBind(0, MIDDLE);
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    KeSetEvent(&sleeper.Go, IO_NO_INCREMENT, FALSE);
    KtStall(2);
    LONG raised = sleeper.Ran;
    KeLowerIrql(oldIrql);
    bool ran = KtSpinUntil(&sleeper.Ran);
    Unbind();
    KT_EXPECT_EQ(raised, 0);
    KT_EXPECT_TRUE(ran);
    KtJoin(thread);
}

KTEST(ke_thread, lower_priority_waits_its_turn)
{
    SLEEPER  sleeper;
    PETHREAD thread = StartSleeper(&sleeper, 0, LOW);
    KtBind(0, HIGH);
    KeSetEvent(&sleeper.Go, IO_NO_INCREMENT, FALSE);
    KtStall(80); /* more than a quantum */
    LONG ran = sleeper.Ran;
    Unbind();
    KT_EXPECT_EQ(ran, 0);
    KtJoin(thread);
}

KTEST(ke_thread, equal_priority_shares_by_quantum)
{
    SLEEPER  sleeper;
    PETHREAD thread = StartSleeper(&sleeper, 0, MIDDLE);
    KtBind(0, MIDDLE);
    KeSetEvent(&sleeper.Go, IO_NO_INCREMENT, FALSE);
    LONG atOnce = sleeper.Ran;
    bool ran = KtSpinUntil(&sleeper.Ran); /* only the end of this thread's quantum lets it run */
    Unbind();
    KT_EXPECT_EQ(atOnce, 0);
    KT_EXPECT_TRUE(ran);
    KtJoin(thread);
}

/* Keeps a CPU busy until told to stop. */
typedef struct _SPINNER {
    ULONG         Processor;
    KPRIORITY     Priority;
    volatile LONG Running;
    volatile LONG Stop;
} SPINNER;

static void NTAPI SpinUntilStopped(PVOID Context)
{
    SPINNER *spinner = Context;
    KtBind(spinner->Processor, spinner->Priority);
    InterlockedExchange(&spinner->Running, 1);
    (void)KtSpinUntil(&spinner->Stop);
}

KTEST(ke_thread, preempts_on_another_processor)
{
    SLEEPER sleeper;
    SPINNER spinner = { .Processor = 1, .Priority = LOW };
    if (KeQueryActiveProcessorCount(NULL) < 2) {
        KT_SKIP("needs two processors");
    }
    PETHREAD high = StartSleeper(&sleeper, 1, HIGH);
    PETHREAD low = KtStart(SpinUntilStopped, &spinner);
    KtBind(0, MIDDLE);
    KT_EXPECT_TRUE(KtSpinUntil(&spinner.Running));
    KeSetEvent(&sleeper.Go, IO_NO_INCREMENT, FALSE);
    KT_EXPECT_TRUE(KtSpinUntil(&sleeper.Ran));
    InterlockedExchange(&spinner.Stop, 1);
    Unbind();
    KtJoin(high);
    KtJoin(low);
}

KTEST(ke_thread, lowered_priority_gives_way)
{
    SLEEPER  sleeper;
    PETHREAD thread = StartSleeper(&sleeper, 0, MIDDLE);
    KtBind(0, HIGH);
    KeSetEvent(&sleeper.Go, IO_NO_INCREMENT, FALSE);
    LONG      before = sleeper.Ran;
    KPRIORITY old = KeSetPriorityThread(KeGetCurrentThread(), LOW);
    LONG      after = sleeper.Ran;
    KPRIORITY now = KeQueryPriorityThread(KeGetCurrentThread());
    Unbind();
    KT_EXPECT_EQ(before, 0);
    KT_EXPECT_EQ(old, HIGH);
    KT_EXPECT_EQ(now, LOW);
    KT_EXPECT_EQ(after, 1);
    KtJoin(thread);
}

KTEST(ke_thread, raising_a_ready_thread_runs_it)
{
    SLEEPER  sleeper;
    PETHREAD thread = StartSleeper(&sleeper, 0, LOW);
    KT_ASSERT_NOT_NULL(thread);
    KtBind(0, MIDDLE);
    KeSetEvent(&sleeper.Go, IO_NO_INCREMENT, FALSE);
    LONG before = sleeper.Ran;
    KeSetPriorityThread(&thread->Tcb, HIGH);
    LONG after = sleeper.Ran;
    Unbind();
    KT_EXPECT_EQ(before, 0);
    KT_EXPECT_EQ(after, 1);
    KtJoin(thread);
}

KTEST(ke_thread, affinity_moves_the_thread)
{
    ULONG     count = KeQueryActiveProcessorCount(NULL);
    KAFFINITY before = 0;
    for (ULONG number = 0; number < count; number++) {
        KAFFINITY old = KeSetSystemAffinityThreadEx((KAFFINITY)1 << number);
        KT_EXPECT_EQ(KeGetCurrentProcessorNumber(), number);
        KT_EXPECT_EQ(old, before);
        before = (KAFFINITY)1 << number;
    }
    KT_EXPECT_EQ(KeSetSystemAffinityThreadEx((KAFFINITY)1 << count), 0);
    KT_EXPECT_EQ(KeGetCurrentProcessorNumber(), count - 1);
    KeRevertToUserAffinityThreadEx(0);
    KT_EXPECT_EQ(KeSetSystemAffinityThreadEx(1), 0);
    KeRevertToUserAffinityThread();
}

KTEST(ke_thread, affinity_at_dispatch_level_waits)
{
    KIRQL oldIrql;
    if (KeQueryActiveProcessorCount(NULL) < 2) {
        KT_SKIP("needs two processors");
    }
    KeSetSystemAffinityThread(1);
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    KeSetSystemAffinityThread(2);
    ULONG raised = KeGetCurrentProcessorNumber();
    KeLowerIrql(oldIrql);
    KtStall(1);
    ULONG lowered = KeGetCurrentProcessorNumber();
    KeRevertToUserAffinityThread();
    KT_EXPECT_EQ(raised, 0);
    KT_EXPECT_EQ(lowered, 1);
}

KTEST(ke_thread, group_affinity)
{
    GROUP_AFFINITY affinity = { .Mask = 1 };
    GROUP_AFFINITY previous;
    KeSetSystemGroupAffinityThread(&affinity, &previous);
    KT_EXPECT_EQ(previous.Mask, 0);
    KT_EXPECT_EQ(KeGetCurrentProcessorNumber(), 0);
    KeRevertToUserGroupAffinityThread(&previous);
    KT_EXPECT_EQ(KeSetSystemAffinityThreadEx(1), 0);
    KeRevertToUserAffinityThreadEx(0);
}

/* Do the frames of a walk hold an address within a page after Routine? */
static bool FramesPass(PVOID const *Frames, ULONG Count, const void *Routine)
{
    for (ULONG index = 0; index < Count; index++) {
        ULONG64 offset = (ULONG64)Frames[index] - (ULONG64)Routine;
        if (offset < PAGE_SIZE / 4) {
            return true;
        }
    }
    return false;
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wframe-larger-than=" /* a CONTEXT, on a test's stack */
KTEST(ke_thread, stack_of_a_waiting_thread_can_be_walked)
{
    SLEEPER  sleeper;
    PVOID    frames[32];
    CONTEXT  context;
    PETHREAD thread = StartSleeper(&sleeper, 0, MIDDLE);
    KT_ASSERT_NOT_NULL(thread);
    RtlpCaptureRegisters(&context);
    context.Rip = (ULONG64)KiSwapContextResume;
    context.Rsp = thread->Tcb.KernelStack;
    ULONG count = RtlpWalkStack(&context, frames, RTL_NUMBER_OF(frames));
    KT_EXPECT_TRUE(FramesPass(frames, count, KiSwapThread));
    KT_EXPECT_TRUE(FramesPass(frames, count, SleepThenRun));
    KT_EXPECT_TRUE(FramesPass(frames, count, KiThreadStartup));
    KT_EXPECT_LT(count, RTL_NUMBER_OF(frames));
    KeSetEvent(&sleeper.Go, IO_NO_INCREMENT, FALSE);
    KtJoin(thread);
}
#pragma clang diagnostic pop

/* Many threads that come, wait for each other and go. */
typedef struct _CROWD {
    KSEMAPHORE    Turns;
    volatile LONG Steps;
} CROWD;

static void NTAPI JoinCrowd(PVOID Context)
{
    CROWD        *crowd = Context;
    LARGE_INTEGER now = { .QuadPart = 0 };
    for (ULONG round = 0; round < SWITCHES; round++) {
        KeWaitForSingleObject(&crowd->Turns, Executive, KernelMode, FALSE, NULL);
        InterlockedIncrement(&crowd->Steps);
        if (round % 8 == 0) {
            KeDelayExecutionThread(KernelMode, FALSE, &now);
        }
        KeSetPriorityThread(KeGetCurrentThread(), (KPRIORITY)(4 + round % 8));
        KeReleaseSemaphore(&crowd->Turns, IO_NO_INCREMENT, 1, FALSE);
    }
}

KTEST(ke_thread, many_on_all_processors)
{
    CROWD     crowd = { .Steps = 0 };
    PETHREAD *threads = ExAllocatePoolWithTag(NonPagedPoolNx, MANY * sizeof(PETHREAD), 'htTK');
    KT_ASSERT_NOT_NULL(threads);
    KeInitializeSemaphore(&crowd.Turns, 3, 3);
    for (ULONG index = 0; index < MANY; index++) {
        threads[index] = KtStart(JoinCrowd, &crowd);
    }
    for (ULONG index = 0; index < MANY; index++) {
        KtJoin(threads[index]);
    }
    KT_EXPECT_EQ(crowd.Steps, MANY * SWITCHES);
    KT_EXPECT_EQ(KeReadStateSemaphore(&crowd.Turns), 3);
    ExFreePoolWithTag(threads, 'htTK');
}

static void StartAndJoin(ULONG Index, void *Context)
{
    UNREFERENCED_PARAMETER(Index);
    UNREFERENCED_PARAMETER(Context);
    for (ULONG round = 0; round < 10; round++) {
        BIRTH birth = { 0 };
        KtJoin(KtStart(NoteBirth, &birth));
        KT_EXPECT_TRUE(birth.OnItsStack);
    }
}

KTEST(ke_thread, come_and_go_on_all_processors)
{
    KtRunOnEachProcessor(StartAndJoin, NULL);
}

KTEST(ke_thread, attaching_changes_the_process)
{
    EPROCESS  *process;
    KAPC_STATE outer, same, inner;
    PEPROCESS  system = IoGetCurrentProcess();
    KT_ASSERT_STATUS(PspCreateProcess(&process), STATUS_SUCCESS);
    KeStackAttachProcess(&process->Pcb, &outer);
    PEPROCESS attached = IoGetCurrentProcess();
    ULONG64   root = __readcr3();
    KeStackAttachProcess(&process->Pcb, &same);
    KeUnstackDetachProcess(&same);
    PEPROCESS stillAttached = IoGetCurrentProcess();
    KeStackAttachProcess(&system->Pcb, &inner);
    PEPROCESS nested = IoGetCurrentProcess();
    KeUnstackDetachProcess(&inner);
    PEPROCESS back = IoGetCurrentProcess();
    KeUnstackDetachProcess(&outer);
    KT_EXPECT_EQ((ULONG64)attached, (ULONG64)process);
    KT_EXPECT_EQ(root, process->Pcb.DirectoryTableBase);
    KT_EXPECT_EQ((ULONG64)stillAttached, (ULONG64)process);
    KT_EXPECT_EQ((ULONG64)nested, (ULONG64)system);
    KT_EXPECT_EQ((ULONG64)back, (ULONG64)process);
    KT_EXPECT_EQ((ULONG64)IoGetCurrentProcess(), (ULONG64)system);
    KT_EXPECT_EQ(__readcr3(), system->Pcb.DirectoryTableBase);
    KT_EXPECT_EQ(process->Pcb.ActiveProcessors, 0);
    ObDereferenceObject(process);
}

KTEST(ke_thread, simple_attaching)
{
    EPROCESS *process;
    PEPROCESS system = IoGetCurrentProcess();
    KT_ASSERT_STATUS(PspCreateProcess(&process), STATUS_SUCCESS);
    KeDetachProcess(); /* nothing to undo, nothing done */
    KeAttachProcess(&process->Pcb);
    KeAttachProcess(&process->Pcb);
    PEPROCESS attached = IoGetCurrentProcess();
    BOOLEAN   isAttached = KeIsAttachedProcess();
    KeDetachProcess();
    KT_EXPECT_EQ((ULONG64)attached, (ULONG64)process);
    KT_EXPECT_TRUE(isAttached);
    KT_EXPECT_FALSE(KeIsAttachedProcess());
    KT_EXPECT_EQ((ULONG64)IoGetCurrentProcess(), (ULONG64)system);
    ObDereferenceObject(process);
}

/* A thread that is attached takes its address space along, from CPU to CPU. */
KTEST(ke_thread, switches_load_the_address_space)
{
    EPROCESS  *process;
    KAPC_STATE state;
    ULONG      wrong = 0;
    KT_ASSERT_STATUS(PspCreateProcess(&process), STATUS_SUCCESS);
    KeStackAttachProcess(&process->Pcb, &state);
    for (ULONG round = 0; round < 4; round++) {
        for (ULONG number = 0; number < KeQueryActiveProcessorCount(NULL); number++) {
            LARGE_INTEGER moment = KtMilliseconds(1);
            KeSetSystemAffinityThread((KAFFINITY)1 << number);
            KeDelayExecutionThread(KernelMode, FALSE, &moment);
            wrong += __readcr3() != process->Pcb.DirectoryTableBase;
        }
    }
    KeUnstackDetachProcess(&state);
    KeRevertToUserAffinityThread();
    KT_EXPECT_EQ(wrong, 0);
    KT_EXPECT_EQ(process->Pcb.ActiveProcessors, 0);
    ObDereferenceObject(process);
}
