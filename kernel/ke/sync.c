/*
 * Events and semaphores. Every state changes under the dispatcher lock; the routines that only read take none.
 */
#include "kernel/ke/sync.h"

#include "kernel/ke/kobjects.h"
#include "kernel/ke/wait.h"

VOID KiSetEventLocked(KEVENT *Event)
{
    Event->Header.SignalState = 1;
    KiWaitTest(&Event->Header, 0);
}

VOID KiClearEventLocked(KEVENT *Event)
{
    Event->Header.SignalState = 0;
}

VOID NTAPI KeInitializeEvent(PRKEVENT Event, EVENT_TYPE Type, BOOLEAN State)
{
    Event->Header.Lock = 0;
    Event->Header.Type = (UCHAR)(EventNotificationObject + Type);
    Event->Header.Size = sizeof(KEVENT) / sizeof(ULONG);
    Event->Header.SignalState = State != FALSE;
    InitializeListHead(&Event->Header.WaitListHead);
}

LONG NTAPI KeSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
    KIRQL oldIrql = KiLockDispatcher();
    LONG  before = Event->Header.SignalState;
    Event->Header.SignalState = 1;
    if (before == 0 && !IsListEmpty(&Event->Header.WaitListHead)) {
        KiWaitTest(&Event->Header, Increment);
    }
    KiExitDispatcherForWait(oldIrql, Wait);
    return before;
}

/* The waits that can be satisfied at this moment are; then the event is not signalled. */
LONG NTAPI KePulseEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait)
{
    KIRQL oldIrql = KiLockDispatcher();
    LONG  before = Event->Header.SignalState;
    Event->Header.SignalState = 1;
    KiWaitTest(&Event->Header, Increment);
    Event->Header.SignalState = 0;
    KiExitDispatcherForWait(oldIrql, Wait);
    return before;
}

LONG NTAPI KeResetEvent(PRKEVENT Event)
{
    KIRQL oldIrql = KiLockDispatcher();
    LONG  before = Event->Header.SignalState;
    Event->Header.SignalState = 0;
    KiUnlockDispatcher(oldIrql);
    return before;
}

VOID NTAPI KeClearEvent(PRKEVENT Event)
{
    (void)KeResetEvent(Event);
}

LONG NTAPI KeReadStateEvent(PRKEVENT Event)
{
    return *(volatile LONG *)&Event->Header.SignalState;
}

VOID NTAPI KeInitializeSemaphore(PRKSEMAPHORE Semaphore, LONG Count, LONG Limit)
{
    Semaphore->Header.Lock = 0;
    Semaphore->Header.Type = SemaphoreObject;
    Semaphore->Header.Size = sizeof(KSEMAPHORE) / sizeof(ULONG);
    Semaphore->Header.SignalState = Count;
    Semaphore->Limit = Limit;
    InitializeListHead(&Semaphore->Header.WaitListHead);
}

/* => a count beyond the limit raises STATUS_SEMAPHORE_LIMIT_EXCEEDED and changes nothing. */
LONG NTAPI KeReleaseSemaphore(PRKSEMAPHORE Semaphore, KPRIORITY Increment, LONG Adjustment, BOOLEAN Wait)
{
    KIRQL oldIrql = KiLockDispatcher();
    LONG  before = Semaphore->Header.SignalState;
    if (Adjustment < 0 || Adjustment > Semaphore->Limit - before) {
        KiUnlockDispatcher(oldIrql);
        ExRaiseStatus(STATUS_SEMAPHORE_LIMIT_EXCEEDED);
    }
    Semaphore->Header.SignalState = before + Adjustment;
    KiWaitTest(&Semaphore->Header, Increment);
    KiExitDispatcherForWait(oldIrql, Wait);
    return before;
}

LONG NTAPI KeReadStateSemaphore(PRKSEMAPHORE Semaphore)
{
    return *(volatile LONG *)&Semaphore->Header.SignalState;
}
