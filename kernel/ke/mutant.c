/*
 * Mutants and mutexes. A mutex is a mutant whose owner is in a critical region while it owns it (ApcDisable), and which
 * may not be left behind by a thread that ends.
 */
#include "kernel/ke/mutant.h"

#include "kernel/ke/apc.h"
#include "kernel/ke/kobjects.h"
#include "kernel/ke/wait.h"

static VOID KiInitializeMutant(KMUTANT *Mutant, UCHAR ApcDisable)
{
    RtlZeroMemory(Mutant, sizeof(*Mutant));
    Mutant->Header.Type = MutantObject;
    Mutant->Header.Size = sizeof(KMUTANT) / sizeof(ULONG);
    Mutant->Header.SignalState = 1;
    InitializeListHead(&Mutant->Header.WaitListHead);
    Mutant->ApcDisable = ApcDisable;
}

NTSTATUS KiTakeMutant(KMUTANT *Mutant, KTHREAD *Thread)
{
    if (--Mutant->Header.SignalState != 0) {
        return STATUS_SUCCESS;
    }
    NTSTATUS status = Mutant->Abandoned ? STATUS_ABANDONED : STATUS_SUCCESS;
    Mutant->Abandoned = FALSE;
    Mutant->OwnerThread = Thread;
    Thread->KernelApcDisable = (SHORT)(Thread->KernelApcDisable - Mutant->ApcDisable);
    InsertTailList(&Thread->MutantListHead, &Mutant->MutantListEntry);
    return status;
}

static VOID KiFreeMutant(KMUTANT *Mutant, KPRIORITY Increment) KI_DISPATCHER_LOCKED
{
    RemoveEntryList(&Mutant->MutantListEntry);
    Mutant->OwnerThread = NULL;
    Mutant->Header.SignalState = 1;
    KiWaitTest(&Mutant->Header, Increment);
}

VOID KiAbandonMutants(KTHREAD *Thread)
{
    while (!IsListEmpty(&Thread->MutantListHead)) {
        KMUTANT *mutant = CONTAINING_RECORD(Thread->MutantListHead.Flink, KMUTANT, MutantListEntry);
        if (mutant->ApcDisable != 0) {
            KeBugCheckEx(THREAD_TERMINATE_HELD_MUTEX, (ULONG_PTR)Thread, (ULONG_PTR)mutant, 0, 0);
        }
        mutant->Abandoned = TRUE;
        KiFreeMutant(mutant, 0);
    }
}

VOID NTAPI KeInitializeMutant(PRKMUTANT Mutant, BOOLEAN InitialOwner)
{
    KiInitializeMutant(Mutant, 0);
    if (InitialOwner) {
        KIRQL oldIrql = KiLockDispatcher();
        (void)KiTakeMutant(Mutant, KeGetCurrentThread());
        KiUnlockDispatcher(oldIrql);
    }
}

VOID NTAPI KeInitializeMutex(PRKMUTEX Mutex, ULONG Level)
{
    UNREFERENCED_PARAMETER(Level);
    KiInitializeMutant(Mutex, 1);
}

LONG NTAPI KeReadStateMutant(PRKMUTANT Mutant)
{
    return *(volatile LONG *)&Mutant->Header.SignalState;
}

LONG NTAPI KeReadStateMutex(PRKMUTEX Mutex)
{
    return KeReadStateMutant(Mutex);
}

/*
 * => not the owner: STATUS_MUTANT_NOT_OWNED is raised, or STATUS_ABANDONED where the mutant is abandoned already. With
 *    Abandoned the ownership ends however often it was taken.
 */
LONG NTAPI KeReleaseMutant(PRKMUTANT Mutant, KPRIORITY Increment, BOOLEAN Abandoned, BOOLEAN Wait)
{
    KTHREAD *thread = KeGetCurrentThread();
    KIRQL    oldIrql = KiLockDispatcher();
    LONG     before = Mutant->Header.SignalState;
    if (!KiIsMutantOwner(Mutant, thread)) {
        NTSTATUS status = Mutant->Abandoned ? STATUS_ABANDONED : STATUS_MUTANT_NOT_OWNED;
        KiUnlockDispatcher(oldIrql);
        ExRaiseStatus(status);
    }
    bool leaves = false;
    if (Abandoned || before == 0) {
        leaves = Mutant->ApcDisable != 0;
        Mutant->Abandoned = Abandoned;
        KiFreeMutant(Mutant, Increment);
    } else {
        Mutant->Header.SignalState = before + 1;
    }
    KiExitDispatcherForWait(oldIrql, Wait);
    if (leaves) {
        KiLeaveCriticalRegionThread(thread);
    }
    return before;
}

LONG NTAPI KeReleaseMutex(PRKMUTEX Mutex, BOOLEAN Wait)
{
    return KeReleaseMutant(Mutex, 1, FALSE, Wait);
}
