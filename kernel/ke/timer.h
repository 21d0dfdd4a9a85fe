/*
 * Timers.
 */
#pragma once

#include "kernel/ke/schedule.h"

/* A moment as an API's caller gives it: no limit, already over, or an interrupt time. */
typedef enum _KI_DUE_KIND {
    KiDueNever,
    KiDueNow,
    KiDueAt,
} KI_DUE_KIND;

typedef struct _KI_DUE_TIME {
    KI_DUE_KIND Kind;
    ULONG64     Time; /* interrupt time; not for KiDueNever */
} KI_DUE_TIME;

/* Time, relative when negative, else system time, of which 0 is long over. Any IRQL. */
KI_DUE_TIME KiDueTime(LARGE_INTEGER Time);

/* The same for a time limit, which may be NULL: never. */
static inline KI_DUE_TIME KiDueLimit(const LARGE_INTEGER *Timeout)
{
    return Timeout != NULL ? KiDueTime(*Timeout) : (KI_DUE_TIME){ .Kind = KiDueNever };
}

VOID KiInitializeTimers(VOID);

/* From the clock interrupt of CPU 0, after interrupt time went on: have KiExpireTimers called where a timer is due. */
VOID KiCheckTimers(VOID);

/* Signal what is due. CPU 0, DISPATCH_LEVEL, no lock held. */
VOID KiExpireTimers(VOID);

/* Queue Timer to expire at DueTime. False, and nothing done, when that is over. Timer is not queued. */
bool KiInsertTimer(KTIMER *Timer, ULONG64 DueTime) KI_DISPATCHER_LOCKED;

/* Timer is queued. */
VOID KiRemoveTimer(KTIMER *Timer) KI_DISPATCHER_LOCKED;
