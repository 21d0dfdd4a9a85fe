/*
 * Bug-check callbacks.
 *
 * They run after the report is written, so that one which crashes costs nothing but itself. Each is marked as started
 * before it is called: a record is never run twice. The list is walked without its lock, which the crashed code may
 * hold.
 *
 * Locking and IRQL. KiCallbackLock, a plain spin lock, guards the list; registration is for IRQL <= DISPATCH_LEVEL.
 */
#include "kernel/ke/bugcallback.h"

static KSPIN_LOCK KiCallbackLock;
static LIST_ENTRY KiCallbacks = { &KiCallbacks, &KiCallbacks };

/* => FALSE: the record is registered already. */
BOOLEAN NTAPI KeRegisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD  CallbackRecord,
                                         PKBUGCHECK_CALLBACK_ROUTINE CallbackRoutine, PVOID Buffer, ULONG Length,
                                         PUCHAR Component)
{
    KIRQL   irql = KeAcquireSpinLockRaiseToDpc(&KiCallbackLock);
    BOOLEAN isNew = CallbackRecord->State == BufferEmpty;
    if (isNew) {
        CallbackRecord->CallbackRoutine = CallbackRoutine;
        CallbackRecord->Buffer = Buffer;
        CallbackRecord->Length = Length;
        CallbackRecord->Component = Component;
        CallbackRecord->Checksum = (ULONG_PTR)CallbackRoutine + (ULONG_PTR)Buffer + Length + (ULONG_PTR)Component;
        CallbackRecord->State = BufferInserted;
        InsertTailList(&KiCallbacks, &CallbackRecord->Entry);
    }
    KeReleaseSpinLock(&KiCallbackLock, irql);
    return isNew;
}

/* => FALSE: the record is not registered. */
BOOLEAN NTAPI KeDeregisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD CallbackRecord)
{
    KIRQL   irql = KeAcquireSpinLockRaiseToDpc(&KiCallbackLock);
    BOOLEAN isRegistered = CallbackRecord->State == BufferInserted;
    if (isRegistered) {
        CallbackRecord->State = BufferEmpty;
        RemoveEntryList(&CallbackRecord->Entry);
    }
    KeReleaseSpinLock(&KiCallbackLock, irql);
    return isRegistered;
}

void KiRunBugCheckCallbacks(void)
{
    for (LIST_ENTRY *link = KiCallbacks.Flink; link != &KiCallbacks; link = link->Flink) {
        KBUGCHECK_CALLBACK_RECORD *record = CONTAINING_RECORD(link, KBUGCHECK_CALLBACK_RECORD, Entry);
        if (record->State == BufferInserted) {
            record->State = BufferStarted;
            record->CallbackRoutine(record->Buffer, record->Length);
            record->State = BufferFinished;
        }
    }
}
