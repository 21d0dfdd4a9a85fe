/*
 * Threads and moments for the tests of the execution model. Waits have a limit that only a hang reaches.
 */
#include "tests/ke/kethread.h"

#include "kernel/amd64/intrin.h"
#include "kernel/hal/clock.h"
#include "tests/lib/ktest.h"

#define UNITS_PER_MS 10000

PETHREAD KtStart(PKSTART_ROUTINE Routine, PVOID Context)
{
    PETHREAD thread;
    NTSTATUS status = PspStartSystemThread(Routine, Context, &thread);
    if (!NT_SUCCESS(status)) {
        KtReport(__FILE__, __LINE__, "a thread: got status 0x%08lX", (ULONG)status);
        return NULL;
    }
    return thread;
}

VOID KtJoin(PETHREAD Thread)
{
    if (Thread != NULL) {
        (void)KeWaitForSingleObject(Thread, Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Thread);
    }
}

bool KtUntilWaiting(PETHREAD Thread)
{
    LARGE_INTEGER moment = KtMilliseconds(1);
    ULONG64       end = KeQueryInterruptTime() + (ULONG64)KT_PATIENCE_MS * UNITS_PER_MS;
    while (Thread->Tcb.State != Waiting) {
        if (KeQueryInterruptTime() > end) {
            KtReport(__FILE__, __LINE__, "a thread does not come to wait: its state is %u", Thread->Tcb.State);
            return false;
        }
        (void)KeDelayExecutionThread(KernelMode, FALSE, &moment);
    }
    return true;
}

bool KtSpinUntil(volatile LONG *Flag)
{
    ULONG64 end = __rdtsc() + HalpTscPerMillisecond * KT_PATIENCE_MS;
    while (*Flag == 0) {
        if (__rdtsc() > end) {
            return false;
        }
        KiPause();
    }
    return true;
}

LARGE_INTEGER KtMilliseconds(ULONG Milliseconds)
{
    return (LARGE_INTEGER){ .QuadPart = -(LONGLONG)Milliseconds * UNITS_PER_MS };
}

NTSTATUS KtWait(PVOID Object)
{
    LARGE_INTEGER limit = KtMilliseconds(KT_PATIENCE_MS);
    return KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, &limit);
}

VOID KtBind(ULONG Processor, KPRIORITY Priority)
{
    KeSetSystemAffinityThread((KAFFINITY)1 << Processor);
    (void)KeSetPriorityThread(KeGetCurrentThread(), Priority);
}

VOID KtStall(ULONG Milliseconds)
{
    ULONG64 end = __rdtsc() + HalpTscPerMillisecond * Milliseconds;
    while (__rdtsc() < end) {
        KiPause();
    }
}
