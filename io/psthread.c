/*
 * Threads as objects.
 *
 * References. A thread that was started holds one on itself, which the reaper drops after it has freed the stack; a
 * handle and each caller who was given the pointer hold their own. So the object outlives the thread for those who
 * wait for it.
 *
 * Ids are multiples of 4, never used twice.
 *
 * The outermost frame of every system thread has an exception handler whose filter never accepts: an exception that
 * nobody handled is bug check 0x7E there, with the stack still whole.
 */
#include "io/psthread.h"

#include "io/irp.h"
#include "io/object.h"
#include "io/process.h"
#include "kernel/ke/apc.h"
#include "kernel/ke/exdispatch.h"
#include "mm/kstack.h"

#define PSP_THREAD_ID_STEP 4

static volatile LONG64 PspLastThreadId;

static DECLSPEC_NORETURN VOID PspExitThread(NTSTATUS ExitStatus)
{
    ETHREAD *thread = PsGetCurrentThread();
    if (KeGetCurrentIrql() != PASSIVE_LEVEL || thread->Tcb.CombinedApcDisable != 0) {
        KeBugCheckEx(KERNEL_APC_PENDING_DURING_EXIT, 0, thread->Tcb.CombinedApcDisable, KeGetCurrentIrql(), 0);
    }
    thread->Terminating = TRUE;
    thread->ExitStatus = ExitStatus;
    IopCancelThreadIrps(thread);
    KiRundownApcs();
    KiTerminateThread();
}

static VOID PspSystemThreadStartup(PKSTART_ROUTINE StartRoutine, PVOID StartContext)
{
    __try {
        StartRoutine(StartContext);
    } __except (KiSystemThreadFilter(GetExceptionInformation())) {
    }
    PspExitThread(STATUS_SUCCESS);
}

/* Frees all that a thread has, however far its making came. */
static void PspDeleteThread(PVOID Object)
{
    ETHREAD *thread = Object;
    if (thread->Tcb.StackBase != 0) {
        MiDeleteKernelStack((PVOID)thread->Tcb.StackBase);
    }
    if (thread->Process != NULL) {
        ObDereferenceObject(thread->Process);
    }
}

/* Free the stacks of threads that have ended; the objects go with their last reference. */
static VOID NTAPI PspReaper(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    for (;;) {
        KTHREAD *thread = KiWaitForDeadThread();
        MiDeleteKernelStack((PVOID)thread->StackBase);
        thread->StackBase = 0;
        ObDereferenceObject(thread);
    }
}

VOID PspInitialize(VOID)
{
    PETHREAD reaper;
    ObpThreadType.Delete = PspDeleteThread;
    PspInitializeProcesses();
    NTSTATUS status = PspStartSystemThread(PspReaper, NULL, &reaper);
    if (!NT_SUCCESS(status)) {
        KeBugCheckEx(PROCESS1_INITIALIZATION_FAILED, (ULONG_PTR)status, 0, 0, 0);
    }
    ObDereferenceObject(reaper);
}

/* Make a thread of Process that does not run yet, with one reference. */
static NTSTATUS PspCreateThread(EPROCESS *Process, PKSTART_ROUTINE StartRoutine, PVOID StartContext, ETHREAD **Thread)
{
    PVOID    stackBase;
    PVOID    object;
    NTSTATUS status = ObpCreateObject(*PsThreadType, sizeof(ETHREAD), &object);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = MiCreateKernelStack(&stackBase);
    if (!NT_SUCCESS(status)) {
        ObDereferenceObject(object);
        return status;
    }
    ETHREAD *thread = object;
    KiInitializeThread(&thread->Tcb, &(KI_THREAD_START){
                                         .Process = &Process->Pcb,
                                         .StackBase = stackBase,
                                         .SystemRoutine = PspSystemThreadStartup,
                                         .StartRoutine = StartRoutine,
                                         .StartContext = StartContext,
                                     });
    InitializeListHead(&thread->IrpListHead);
    ObReferenceObject(Process);
    thread->Process = Process;
    thread->ExitStatus = STATUS_PENDING;
    thread->Cid.UniqueProcess = Process->UniqueProcessId;
    thread->Cid.UniqueThread = (HANDLE)(_InterlockedExchangeAdd64(&PspLastThreadId, PSP_THREAD_ID_STEP) +
                                        PSP_THREAD_ID_STEP);
    *Thread = thread;
    return STATUS_SUCCESS;
}

/* The thread's own reference is taken before it can end. */
static VOID PspRunThread(ETHREAD *Thread)
{
    ObReferenceObject(Thread);
    KiStartThread(&Thread->Tcb);
}

NTSTATUS PspStartSystemThread(PKSTART_ROUTINE StartRoutine, PVOID StartContext, PETHREAD *Thread)
{
    NTSTATUS status = PspCreateThread(&MiSystemProcess, StartRoutine, StartContext, Thread);
    if (NT_SUCCESS(status)) {
        PspRunThread(*Thread);
    }
    return status;
}

/* The process of a handle, referenced; the system process for NULL. */
static NTSTATUS PspReferenceTarget(HANDLE ProcessHandle, EPROCESS **Process)
{
    PVOID    object = &MiSystemProcess;
    NTSTATUS status = STATUS_SUCCESS;
    if (ProcessHandle == NULL) {
        ObReferenceObject(object);
    } else if (ProcessHandle == NtCurrentProcess()) {
        object = KeGetCurrentThread()->ApcState.Process;
        ObReferenceObject(object);
    } else {
        status = ObReferenceObjectByHandle(ProcessHandle, 0, *PsProcessType, KernelMode, &object, NULL);
    }
    *Process = object;
    return status;
}

NTSTATUS NTAPI PsCreateSystemThread(PHANDLE ThreadHandle, ULONG DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                                    HANDLE ProcessHandle, PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine,
                                    PVOID StartContext)
{
    EPROCESS *process;
    ETHREAD  *thread;
    UNREFERENCED_PARAMETER(ObjectAttributes);
    NTSTATUS status = PspReferenceTarget(ProcessHandle, &process);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = PspCreateThread(process, StartRoutine, StartContext, &thread);
    ObDereferenceObject(process);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    status = ObpCreateHandle(thread, DesiredAccess, ThreadHandle);
    if (NT_SUCCESS(status)) {
        if (ClientId != NULL) {
            *ClientId = thread->Cid;
        }
        PspRunThread(thread);
    }
    ObDereferenceObject(thread);
    return status;
}

/* => returns only a failure: STATUS_INVALID_PARAMETER for a thread that is not the system's. */
NTSTATUS NTAPI PsTerminateSystemThread(NTSTATUS ExitStatus)
{
    if (!PsIsSystemThread(PsGetCurrentThread())) {
        return STATUS_INVALID_PARAMETER;
    }
    PspExitThread(ExitStatus);
}

BOOLEAN NTAPI PsIsSystemThread(PETHREAD Thread)
{
    return Thread->Tcb.SystemRoutine == PspSystemThreadStartup;
}

BOOLEAN NTAPI PsIsThreadTerminating(PETHREAD Thread)
{
    return Thread->Terminating;
}

HANDLE NTAPI PsGetCurrentThreadId(VOID)
{
    return PsGetCurrentThread()->Cid.UniqueThread;
}

HANDLE NTAPI PsGetThreadId(PETHREAD Thread)
{
    return Thread->Cid.UniqueThread;
}

HANDLE NTAPI PsGetThreadProcessId(PETHREAD Thread)
{
    return Thread->Cid.UniqueProcess;
}

KPROCESSOR_MODE NTAPI ExGetPreviousMode(VOID)
{
    return KeGetCurrentThread()->PreviousMode;
}

PETHREAD NTAPI KiExportPsGetCurrentThread(VOID)
{
    return PsGetCurrentThread();
}

PVOID NTAPI IoGetInitialStack(VOID)
{
    return (PVOID)KeGetCurrentThread()->StackBase;
}

/* Of the thread's stack, whatever runs on it. */
VOID NTAPI IoGetStackLimits(PULONG_PTR LowLimit, PULONG_PTR HighLimit)
{
    const KTHREAD *thread = KeGetCurrentThread();
    *LowLimit = thread->StackLimit;
    *HighLimit = thread->StackBase;
}
