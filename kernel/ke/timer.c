/*
 * Timers.
 *
 * Representation. A wheel of TIMER_TABLE_SIZE buckets, each for the timers whose due time (interrupt time, 100 ns)
 * lies in the same 13 ms, modulo the wheel's 6.7 s; in a bucket the earliest stands first. A bucket's DueTime repeats
 * the first timer's, so that the clock interrupt, which takes no lock, can look at it with one load.
 *
 * The clock looks at each bucket from that of its last look to that of now, both included. KiExpireTimers, in CPU 0's
 * dispatch interrupt, has a hand of its own and so loses nothing when several ticks pass before it runs.
 *
 * A timer that is set while its moment passes. The setter stores the bucket's DueTime, executes a full fence and
 * reads KiInterruptTime; the clock stores KiInterruptTime, executes a full fence and reads the DueTimes. One of them
 * sees the other: the clock finds the timer, or the setter finds that it is due, takes it out and expires it itself.
 *
 * Locking and IRQL. The dispatcher lock guards everything but the clock's loads.
 */
#include "kernel/ke/timer.h"

#include "kernel/amd64/intrin.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/kobjects.h"
#include "kernel/ke/time.h"
#include "kernel/ke/wait.h"

#define KI_TIMER_BUCKET_SHIFT 17 /* 2^17 units of 100 ns: 13.1 ms, a little less than a tick */
#define KI_NO_TIMER           MAXULONG64
#define KI_UNITS_PER_MS       10000

typedef struct _KI_TIMER_BUCKET {
    LIST_ENTRY       ListHead; /* KTIMER.TimerListEntry, ascending DueTime */
    volatile ULONG64 DueTime;  /* of the first, or KI_NO_TIMER */
} KI_TIMER_BUCKET;

static KI_TIMER_BUCKET KiTimerTable[TIMER_TABLE_SIZE];
static ULONG64         KiClockHand;  /* number of the bucket of the clock's last look; CPU 0's clock interrupt */
static ULONG64         KiExpireHand; /* number of the bucket up to which timers were expired; dispatcher lock */
static volatile LONG   KiTimersDue;  /* the clock has seen one */

static KI_TIMER_BUCKET *KiBucket(ULONG64 Number)
{
    return &KiTimerTable[Number % TIMER_TABLE_SIZE];
}

/* The number from which to look so that each bucket is looked at once at most. */
static ULONG64 KiFirstBucket(ULONG64 Hand, ULONG64 Last)
{
    return Last - Hand < TIMER_TABLE_SIZE ? Hand : Last - TIMER_TABLE_SIZE + 1;
}

VOID KiInitializeTimers(VOID)
{
    for (ULONG index = 0; index < TIMER_TABLE_SIZE; index++) {
        InitializeListHead(&KiTimerTable[index].ListHead);
        KiTimerTable[index].DueTime = KI_NO_TIMER;
    }
}

KI_DUE_TIME KiDueTime(LARGE_INTEGER Time)
{
    ULONG64 now = KiInterruptTime;
    if (Time.QuadPart < 0) {
        return (KI_DUE_TIME){ .Kind = KiDueAt, .Time = now - (ULONG64)Time.QuadPart };
    }
    if ((ULONG64)Time.QuadPart <= now + KiSystemTimeBias) {
        return (KI_DUE_TIME){ .Kind = KiDueNow, .Time = now };
    }
    return (KI_DUE_TIME){ .Kind = KiDueAt, .Time = (ULONG64)Time.QuadPart - KiSystemTimeBias };
}

static VOID KiNoteFirstTimer(KI_TIMER_BUCKET *Bucket) KI_DISPATCHER_LOCKED
{
    Bucket->DueTime = IsListEmpty(&Bucket->ListHead)
                          ? KI_NO_TIMER
                          : CONTAINING_RECORD(Bucket->ListHead.Flink, KTIMER, TimerListEntry)->DueTime.QuadPart;
}

VOID KiRemoveTimer(KTIMER *Timer)
{
    RemoveEntryList(&Timer->TimerListEntry);
    Timer->Header.Inserted = FALSE;
    KiNoteFirstTimer(KiBucket(Timer->DueTime.QuadPart >> KI_TIMER_BUCKET_SHIFT));
}

bool KiInsertTimer(KTIMER *Timer, ULONG64 DueTime)
{
    KI_TIMER_BUCKET *bucket = KiBucket(DueTime >> KI_TIMER_BUCKET_SHIFT);
    LIST_ENTRY      *before = bucket->ListHead.Blink;
    while (before != &bucket->ListHead &&
           CONTAINING_RECORD(before, KTIMER, TimerListEntry)->DueTime.QuadPart > DueTime) {
        before = before->Blink;
    }
    Timer->DueTime.QuadPart = DueTime;
    Timer->Header.Inserted = TRUE;
    InsertHeadList(before, &Timer->TimerListEntry);
    KiNoteFirstTimer(bucket);
    KiFullFence(); /* see the essay: the clock's side of it is in KiCheckTimers */
    if (DueTime <= KiInterruptTime) {
        KiRemoveTimer(Timer);
        return false;
    }
    return true;
}

VOID KiCheckTimers(VOID)
{
    ULONG64 now = KiInterruptTime;
    ULONG64 last = now >> KI_TIMER_BUCKET_SHIFT;
    bool    due = false;
    KiFullFence();
    for (ULONG64 number = KiFirstBucket(KiClockHand, last); number <= last && !due; number++) {
        due = KiBucket(number)->DueTime <= now;
    }
    KiClockHand = last;
    if (due) {
        KiTimersDue = 1;
        KiRequestSoftwareInterrupt(DISPATCH_LEVEL);
    }
}

/* Timer, in no queue, has come due: signal it, queue its DPC, and set it again if it is periodic. */
static VOID KiSignalTimer(KTIMER *Timer) KI_DISPATCHER_LOCKED
{
    ULONG64 period = (ULONG64)Timer->Period * KI_UNITS_PER_MS;
    Timer->Header.SignalState = 1;
    KiWaitTest(&Timer->Header, 0);
    if (Timer->Dpc != NULL) {
        LARGE_INTEGER now = { .QuadPart = (LONGLONG)(KiInterruptTime + KiSystemTimeBias) };
        KeInsertQueueDpc(Timer->Dpc, (PVOID)(ULONG_PTR)now.LowPart, (PVOID)(LONG_PTR)now.HighPart);
    }
    if (period != 0 && !KiInsertTimer(Timer, Timer->DueTime.QuadPart + period)) {
        while (!KiInsertTimer(Timer, KiInterruptTime + period)) {
            continue; /* periods were missed, so go on from now; a clock tick can come between the two looks at it */
        }
    }
}

VOID KiExpireTimers(VOID)
{
    if (_InterlockedExchange(&KiTimersDue, 0) == 0) {
        return;
    }
    KiAcquireLockAtDpcLevel(&KiDispatcherLock);
    ULONG64 now = KiInterruptTime;
    ULONG64 last = now >> KI_TIMER_BUCKET_SHIFT;
    for (ULONG64 number = KiFirstBucket(KiExpireHand, last); number <= last; number++) {
        KI_TIMER_BUCKET *bucket = KiBucket(number);
        while (bucket->DueTime <= now) {
            KTIMER *timer = CONTAINING_RECORD(bucket->ListHead.Flink, KTIMER, TimerListEntry);
            KiRemoveTimer(timer);
            KiSignalTimer(timer);
        }
    }
    KiExpireHand = last;
    KiReleaseLockFromDpcLevel(&KiDispatcherLock);
}

VOID NTAPI KeInitializeTimerEx(PKTIMER Timer, TIMER_TYPE Type)
{
    RtlZeroMemory(Timer, sizeof(*Timer));
    Timer->Header.Type = (UCHAR)(TimerNotificationObject + Type);
    Timer->Header.Hand = sizeof(KTIMER) / sizeof(ULONG);
    InitializeListHead(&Timer->Header.WaitListHead);
}

VOID NTAPI KeInitializeTimer(PKTIMER Timer)
{
    KeInitializeTimerEx(Timer, NotificationTimer);
}

BOOLEAN NTAPI KeSetTimerEx(PKTIMER Timer, LARGE_INTEGER DueTime, LONG Period, PKDPC Dpc)
{
    KIRQL       oldIrql = KiLockDispatcher();
    KI_DUE_TIME due = KiDueTime(DueTime);
    BOOLEAN     wasInserted = Timer->Header.Inserted != 0;
    if (wasInserted) {
        KiRemoveTimer(Timer);
    }
    Timer->Header.SignalState = 0;
    Timer->Dpc = Dpc;
    Timer->Period = (ULONG)Period;
    if (!KiInsertTimer(Timer, due.Time)) {
        KiSignalTimer(Timer);
    }
    KiExitDispatcher(oldIrql);
    return wasInserted;
}

BOOLEAN NTAPI KeSetTimer(PKTIMER Timer, LARGE_INTEGER DueTime, PKDPC Dpc)
{
    return KeSetTimerEx(Timer, DueTime, 0, Dpc);
}

/* Timers expire on ticks that come anyway: a tolerable delay saves nothing more. */
BOOLEAN NTAPI KeSetCoalescableTimer(PKTIMER Timer, LARGE_INTEGER DueTime, ULONG Period, ULONG TolerableDelay, PKDPC Dpc)
{
    UNREFERENCED_PARAMETER(TolerableDelay);
    return KeSetTimerEx(Timer, DueTime, (LONG)Period, Dpc);
}

BOOLEAN NTAPI KeCancelTimer(PKTIMER Timer)
{
    KIRQL   oldIrql = KiLockDispatcher();
    BOOLEAN wasInserted = Timer->Header.Inserted != 0;
    if (wasInserted) {
        KiRemoveTimer(Timer);
    }
    KiUnlockDispatcher(oldIrql);
    return wasInserted;
}

BOOLEAN NTAPI KeReadStateTimer(PKTIMER Timer)
{
    return *(volatile LONG *)&Timer->Header.SignalState != 0;
}
