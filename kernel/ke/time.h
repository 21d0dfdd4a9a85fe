/*
 * The time of day and KUSER_SHARED_DATA, through which drivers and programs read it inline.
 */
#pragma once

#include "kernel/ddk.h"

/* 100 ns units since boot, as of the last clock tick; written by CPU 0's clock interrupt alone. */
extern volatile ULONG64 KiInterruptTime;

/* System time is this much ahead of interrupt time: nothing sets the clock after boot. */
extern ULONG64 KiSystemTimeBias;

/*
 * Fill the shared page, which is mapped read-write at KI_USER_SHARED_DATA from now on; SystemTime is UTC now, in 100
 * ns since 1601. Once, before the clock ticks.
 */
VOID KiInitializeTime(ULONG64 SystemTime);

/* Say how many processors run, and how many pages of RAM there are, in the shared page. */
VOID KiPublishProcessorCount(ULONG Count);
VOID KiPublishPhysicalPages(ULONG Count);

/* Time goes on by Elapsed100ns. CPU 0, CLOCK_LEVEL. */
VOID KiUpdateSystemTime(ULONG64 Elapsed100ns);

/* The exports; the driver kit has macros of the same names. */
ULONG64    NTAPI(KeQueryInterruptTime)(VOID);
VOID       NTAPI(KeQuerySystemTime)(PLARGE_INTEGER CurrentTime);
VOID       NTAPI(KeQueryTickCount)(PLARGE_INTEGER TickCount);
VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime);
