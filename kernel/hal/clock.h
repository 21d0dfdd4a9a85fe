/*
 * Time: the TSC's and the APIC timer's rates, measured at boot; the 64 Hz clock interrupt; stalls and the performance
 * counter.
 */
#pragma once

#include "kernel/ddk.h"

#define HALP_CLOCK_HZ        64
#define HALP_CLOCK_INCREMENT 156250 /* 100 ns units between two ticks */

extern ULONG64 HalpTscPerMillisecond; /* nonzero from the start: a guess until the calibration */

/* Measure against the ACPI PM timer at PmTimerPort (PmTimerBits wide, 24 or 32). CPU 0, interrupts off or quiet. */
void HalpCalibrateClock(USHORT PmTimerPort, ULONG PmTimerBits);

/* Begin the periodic interrupt at Vector on this CPU. */
void HalpStartClock(UCHAR Vector);

/* No clock interrupts on this CPU from here on (benchmarks); HalpStartClock resumes. */
void HalpStopClock(void);
