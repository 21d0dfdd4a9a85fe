/*
 * Deferred procedure calls.
 *
 * Representation. Each CPU has a list in its KPRCB under DpcLock. A KDPC is queued when its DpcData, the KPRCB in
 * whose list it stands, is not NULL; the compare-exchange that sets it decides between CPUs that insert one KDPC at
 * the same time.
 *
 * Locking and IRQL. KeInsertQueueDpc comes from any IRQL, so DpcLock is held with interrupts off, for a few
 * instructions; its holders take no other lock and wait for nobody.
 *
 * One interrupt for many. DpcInterruptRequested is set, under the lock, by the insert that interrupts and cleared
 * when the list is looked at. While DpcRoutineActive is set the list will be looked at again before that flag is
 * cleared, under the same lock, so an insert then interrupts nobody.
 *
 * A KDPC belongs to its owner again before its routine is called: the routine may insert it, or free it.
 */
#include "kernel/ke/dpc.h"

#include "kernel/ke/ipi.h"
#include "kernel/ke/irql.h"
#include "kernel/ke/kobjects.h"
#include "kernel/ke/spinlock.h"

/* KDPC.Number: 0 is the inserting CPU, else this plus the number of the one that it is bound to. */
#define KI_DPC_BOUND 0x800u

static VOID KiInitializeDpc(KDPC *Dpc, UCHAR Type, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext)
{
    Dpc->Type = Type;
    Dpc->Importance = MediumImportance;
    Dpc->Number = 0;
    Dpc->DeferredRoutine = DeferredRoutine;
    Dpc->DeferredContext = DeferredContext;
    Dpc->DpcData = NULL;
}

VOID NTAPI KeInitializeDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext)
{
    KiInitializeDpc(Dpc, DpcObject, DeferredRoutine, DeferredContext);
}

/* Threaded DPCs run as ordinary ones, for which their routines must be ready (introduction-to-threaded-dpcs.md). */
VOID NTAPI KeInitializeThreadedDpc(PRKDPC Dpc, PKDEFERRED_ROUTINE DeferredRoutine, PVOID DeferredContext)
{
    KiInitializeDpc(Dpc, ThreadedDpcObject, DeferredRoutine, DeferredContext);
}

VOID NTAPI KeSetImportanceDpc(PRKDPC Dpc, KDPC_IMPORTANCE Importance)
{
    Dpc->Importance = (UCHAR)Importance;
}

VOID NTAPI KeSetTargetProcessorDpc(PRKDPC Dpc, CCHAR Number)
{
    Dpc->Number = (USHORT)(KI_DPC_BOUND + (UCHAR)Number);
}

NTSTATUS NTAPI KeSetTargetProcessorDpcEx(PKDPC Dpc, PPROCESSOR_NUMBER ProcNumber)
{
    if (ProcNumber->Group != 0 || ProcNumber->Reserved != 0 || ProcNumber->Number >= KiProcessorCount) {
        return STATUS_INVALID_PARAMETER;
    }
    KeSetTargetProcessorDpc(Dpc, (CCHAR)ProcNumber->Number);
    return STATUS_SUCCESS;
}

/* The CPU in whose list Dpc goes; one that does not run counts as the inserting one. Interrupts off. */
static KPRCB *KiDpcTarget(const KDPC *Dpc)
{
    ULONG number = Dpc->Number - KI_DPC_BOUND;
    return Dpc->Number >= KI_DPC_BOUND && number < KiProcessorCount ? KiProcessorBlock[number] : KiPrcb();
}

BOOLEAN NTAPI KeInsertQueueDpc(PRKDPC Dpc, PVOID SystemArgument1, PVOID SystemArgument2)
{
    bool   interruptsOn = KiDisableInterrupts();
    KPRCB *target = KiDpcTarget(Dpc);
    bool   interrupt = false;
    KiAcquireSpinLockNoIrql(&target->DpcLock);
    BOOLEAN inserted = _InterlockedCompareExchangePointer((PVOID volatile *)&Dpc->DpcData, target, NULL) == NULL;
    if (inserted) {
        Dpc->SystemArgument1 = SystemArgument1;
        Dpc->SystemArgument2 = SystemArgument2;
        if (Dpc->Importance == HighImportance) {
            InsertHeadList(&target->DpcListHead, &Dpc->DpcListEntry);
        } else {
            InsertTailList(&target->DpcListHead, &Dpc->DpcListEntry);
        }
        target->DpcQueueDepth++;
        interrupt = target->DpcRoutineActive == 0 && target->DpcInterruptRequested == 0;
        if (interrupt) {
            target->DpcInterruptRequested = 1;
        }
    }
    KiReleaseSpinLockNoIrql(&target->DpcLock);
    if (interrupt && target == KiPrcb()) {
        KiRequestSoftwareInterrupt(DISPATCH_LEVEL);
    } else if (interrupt) {
        KiRequestRemoteInterrupt(target->Number, DISPATCH_LEVEL);
    }
    KiRestoreInterrupts(interruptsOn);
    return inserted;
}

BOOLEAN NTAPI KeRemoveQueueDpc(PRKDPC Dpc)
{
    bool    interruptsOn = KiDisableInterrupts();
    BOOLEAN removed = FALSE;
    KPRCB  *target = Dpc->DpcData;
    if (target != NULL) {
        KiAcquireSpinLockNoIrql(&target->DpcLock);
        if (Dpc->DpcData == target) { /* still there: it may have run, and have been queued elsewhere */
            RemoveEntryList(&Dpc->DpcListEntry);
            target->DpcQueueDepth--;
            Dpc->DpcData = NULL;
            removed = TRUE;
        }
        KiReleaseSpinLockNoIrql(&target->DpcLock);
    }
    KiRestoreInterrupts(interruptsOn);
    return removed;
}

/* Take the first DPC out into *Copy. False, and DpcRoutineActive cleared, when there is none. */
static bool KiTakeDpc(KPRCB *Prcb, KDPC **Dpc, KDPC *Copy)
{
    bool found;
    _disable();
    KiAcquireSpinLockNoIrql(&Prcb->DpcLock);
    Prcb->DpcInterruptRequested = 0;
    found = !IsListEmpty(&Prcb->DpcListHead);
    Prcb->DpcRoutineActive = found;
    if (found) {
        *Dpc = CONTAINING_RECORD(RemoveHeadList(&Prcb->DpcListHead), KDPC, DpcListEntry);
        Copy->DeferredRoutine = (*Dpc)->DeferredRoutine;
        Copy->DeferredContext = (*Dpc)->DeferredContext;
        Copy->SystemArgument1 = (*Dpc)->SystemArgument1;
        Copy->SystemArgument2 = (*Dpc)->SystemArgument2;
        (*Dpc)->DpcData = NULL;
        Prcb->DpcQueueDepth--;
        Prcb->DpcCount++;
    }
    KiReleaseSpinLockNoIrql(&Prcb->DpcLock);
    _enable();
    return found;
}

VOID KiRetireDpcList(KPRCB *Prcb)
{
    KDPC *dpc;
    KDPC  copy;
    if (Prcb->DpcInterruptRequested == 0) {
        return; /* nothing is queued, and who queues something from here on interrupts again */
    }
    while (KiTakeDpc(Prcb, &dpc, &copy)) {
        copy.DeferredRoutine(dpc, copy.DeferredContext, copy.SystemArgument1, copy.SystemArgument2);
        if (KeGetCurrentIrql() != DISPATCH_LEVEL) {
            KeBugCheckEx(IRQL_UNEXPECTED_VALUE, (ULONG)KeGetCurrentIrql() << 16 | DISPATCH_LEVEL << 8,
                         (ULONG_PTR)copy.DeferredRoutine, (ULONG_PTR)dpc, (ULONG_PTR)copy.DeferredContext);
        }
    }
}

static KDEFERRED_ROUTINE KiFlushDpcRoutine;
static VOID NTAPI KiFlushDpcRoutine(PKDPC Dpc, PVOID DeferredContext, PVOID SystemArgument1, PVOID SystemArgument2)
{
    UNREFERENCED_PARAMETER(Dpc);
    UNREFERENCED_PARAMETER(SystemArgument1);
    UNREFERENCED_PARAMETER(SystemArgument2);
    (void)KeSetEvent(DeferredContext, IO_NO_INCREMENT, FALSE);
}

/* On each CPU in turn a DPC of ours goes to the end of the list: when it runs, those queued before it have returned. */
VOID NTAPI KeFlushQueuedDpcs(VOID)
{
    for (ULONG number = 0; number < KiProcessorCount; number++) {
        KDPC   dpc;
        KEVENT done;
        KeInitializeEvent(&done, NotificationEvent, FALSE);
        KeInitializeDpc(&dpc, KiFlushDpcRoutine, &done);
        KeSetTargetProcessorDpc(&dpc, (CCHAR)number);
        (void)KeInsertQueueDpc(&dpc, NULL, NULL);
        (void)KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, NULL);
    }
}
