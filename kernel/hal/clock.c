/*
 * The ACPI PM timer (3.579545 MHz, always there on a PC) is the yardstick. The TSC is assumed constant and equal on all
 * CPUs, as QEMU's and every processor of the last decade's is.
 */
#include "kernel/hal/clock.h"

#include "kernel/amd64/intrin.h"
#include "kernel/hal/lapic.h"

#define HALP_PM_TIMER_HZ        3579545ull
#define HALP_CALIBRATION_TICKS  (HALP_PM_TIMER_HZ / 100) /* 10 ms */
#define HALP_GUESSED_TSC_PER_MS 1000000ull               /* 1 GHz: errs toward short waits only on faster processors */

ULONG64 HalpTscPerMillisecond = HALP_GUESSED_TSC_PER_MS;

static ULONG HalpTimerCount; /* APIC timer count of one tick */

void HalpCalibrateClock(USHORT PmTimerPort, ULONG PmTimerBits)
{
    ULONG mask = PmTimerBits >= 32 ? MAXULONG : (1ul << PmTimerBits) - 1;
    HalpStartTimerMasked(MAXULONG);
    ULONG   start = __indword(PmTimerPort) & mask;
    ULONG64 tscStart = __rdtsc();
    ULONG   elapsed;
    do {
        elapsed = (__indword(PmTimerPort) - start) & mask;
    } while (elapsed < HALP_CALIBRATION_TICKS);
    ULONG64 tsc = __rdtsc() - tscStart;
    ULONG64 counted = MAXULONG - HalpReadTimer();
    HalpTscPerMillisecond = tsc * HALP_PM_TIMER_HZ / elapsed / 1000;
    HalpTimerCount = (ULONG)(counted * HALP_PM_TIMER_HZ / elapsed / HALP_CLOCK_HZ);
}

void HalpStartClock(UCHAR Vector)
{
    HalpArmTimer(Vector, HalpTimerCount);
}

void HalpStopClock(void)
{
    HalpStartTimerMasked(0);
}

VOID NTAPI KeStallExecutionProcessor(ULONG MicroSeconds)
{
    ULONG64 end = __rdtsc() + MicroSeconds * HalpTscPerMillisecond / 1000;
    while (__rdtsc() < end) {
        KiPause();
    }
}

/* nf-wdm-kequeryperformancecounter.md: the counter and, where asked for, its ticks per second. Any IRQL. */
LARGE_INTEGER NTAPI KeQueryPerformanceCounter(PLARGE_INTEGER PerformanceFrequency)
{
    if (PerformanceFrequency != NULL) {
        PerformanceFrequency->QuadPart = (LONGLONG)(HalpTscPerMillisecond * 1000);
    }
    return (LARGE_INTEGER){ .QuadPart = (LONGLONG)__rdtsc() };
}
