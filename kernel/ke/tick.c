/*
 * The clock interrupt: every CPU counts its quantum, CPU 0 keeps the time of day for all, from the TSC, so a tick that
 * came late or was lost loses no time.
 */
#include "kernel/ke/tick.h"

#include "kernel/hal/clock.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/schedule.h"
#include "kernel/ke/time.h"
#include "kernel/ke/trap.h"

static ULONG64 KiLastTsc; /* when CPU 0 last told the time; CPU 0 only */

static void KiClockInterrupt(KTRAP_FRAME *Frame)
{
    UNREFERENCED_PARAMETER(Frame);
    if (KiPrcb()->Number == 0) {
        ULONG64 elapsed100ns = (__rdtsc() - KiLastTsc) * 10000 / HalpTscPerMillisecond;
        KiLastTsc += elapsed100ns * HalpTscPerMillisecond / 10000;
        KiUpdateSystemTime(elapsed100ns);
    }
    KiUpdateRunTime();
}

void KiStartTicking(void)
{
    if (KiPrcb()->Number == 0) {
        KiLastTsc = __rdtsc();
        KiSetInterruptHandler(KI_VECTOR_CLOCK, KiClockInterrupt);
    }
    HalpStartClock(KI_VECTOR_CLOCK);
}
