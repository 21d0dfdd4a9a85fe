/*
 * The time of day, and the shared page through which it is read inline.
 */
#include "kernel/ke/time.h"

#include "kernel/ke/pcr.h"
#include "tests/ke/kethread.h"
#include "tests/lib/ktest.h"

#define UNITS_PER_MS 10000
#define TICK         156250
#define READS        20000
#define UNIX_2020    132223104000000000ll /* 2020-01-01 in 100 ns since 1601 */
#define OFFSET_BUILD 0x260
#define OFFSET_MAJOR 0x26C

KTEST(ke_time, goes_on)
{
    LARGE_INTEGER delay = KtMilliseconds(40), systemStart, systemEnd, tickStart, tickEnd;
    ULONG64       start = KeQueryInterruptTime();
    KeQuerySystemTime(&systemStart);
    KeQueryTickCount(&tickStart);
    KeDelayExecutionThread(KernelMode, FALSE, &delay);
    KeQueryTickCount(&tickEnd);
    KeQuerySystemTime(&systemEnd);
    KT_EXPECT_GE(KeQueryInterruptTime() - start, 40 * UNITS_PER_MS);
    KT_EXPECT_GE(systemEnd.QuadPart - systemStart.QuadPart, 40 * UNITS_PER_MS);
    KT_EXPECT_GE(tickEnd.QuadPart - tickStart.QuadPart, 40 * UNITS_PER_MS / TICK);
    KT_EXPECT_GT(systemStart.QuadPart, UNIX_2020);
}

KTEST(ke_time, tick_count_is_time_in_ticks)
{
    LARGE_INTEGER ticks;
    KIRQL         oldIrql;
    KeSetSystemAffinityThread(1);
    KeRaiseIrql(HIGH_LEVEL, &oldIrql); /* on CPU 0: time stands still */
    ULONG64 before = KeQueryInterruptTime();
    KeQueryTickCount(&ticks);
    ULONG64 after = KeQueryInterruptTime();
    KeLowerIrql(oldIrql);
    KeRevertToUserAffinityThread();
    KT_EXPECT_EQ(before, after);
    KT_EXPECT_GE((ULONG64)ticks.QuadPart, before / TICK);
    KT_EXPECT_LE((ULONG64)ticks.QuadPart, after / TICK);
    KT_EXPECT_EQ(KeQueryTimeIncrement(), TICK);
    KT_EXPECT_EQ((ULONG64)SharedUserData->TickCountMultiplier * 1000, TICK * (1ull << 24) / 10);
}

KTEST(ke_time, exports_agree_with_inline_reads)
{
    LARGE_INTEGER inlined, exported;
    KeSetSystemAffinityThread(1); /* CPU 0, which writes all of it in one interrupt */
    ULONG64 before = KeQueryInterruptTime();
    ULONG64 called = (KeQueryInterruptTime)();
    KT_EXPECT_GE(called, before);
    KT_EXPECT_LE(called, KeQueryInterruptTime());
    KeQuerySystemTime(&inlined);
    (KeQuerySystemTime)(&exported);
    KT_EXPECT_GE(exported.QuadPart, inlined.QuadPart);
    KeQueryTickCount(&inlined);
    (KeQueryTickCount)(&exported);
    KT_EXPECT_GE(exported.QuadPart, inlined.QuadPart);
    KT_EXPECT_GE(KeQueryUnbiasedInterruptTime(), before);
    KeRevertToUserAffinityThread();
}

/* As a reader does that takes 32 bits at a time: the two highs agree in the end. */
static ULONG64 ReadInThree(const volatile KSYSTEM_TIME *Time)
{
    LONG  high;
    ULONG low;
    do {
        high = Time->High1Time;
        low = Time->LowPart;
    } while (high != Time->High2Time);
    return (ULONG64)(ULONG)high << 32 | low;
}

static void ReadOften(ULONG Index, void *Context)
{
    volatile LONG *backwards = Context;
    ULONG64        last = 0, lastSystem = 0;
    UNREFERENCED_PARAMETER(Index);
    for (ULONG count = 0; count < READS; count++) {
        ULONG64       now = ReadInThree(&SharedUserData->InterruptTime);
        LARGE_INTEGER systemTime;
        KeQuerySystemTime(&systemTime);
        if (now < last || (ULONG64)systemTime.QuadPart < lastSystem) {
            InterlockedIncrement(backwards);
        }
        last = now;
        lastSystem = (ULONG64)systemTime.QuadPart;
    }
}

KTEST(ke_time, never_goes_back_on_any_processor)
{
    volatile LONG backwards = 0;
    KtRunOnEachProcessor(ReadOften, (void *)&backwards);
    KT_EXPECT_EQ(backwards, 0);
}

KTEST(ke_time, shared_page_tells_the_system)
{
    const KUSER_SHARED_DATA *shared = SharedUserData;
    const UCHAR             *bytes = (const UCHAR *)KI_USER_SHARED_DATA;
    KT_EXPECT_EQ((ULONG64)shared, 0xFFFFF78000000000ull);
    KT_EXPECT_EQ(*(const ULONG *)(bytes + OFFSET_MAJOR), 10);
    KT_EXPECT_EQ(*(const ULONG *)(bytes + OFFSET_BUILD), 19041);
    KT_EXPECT_EQ(shared->NtMinorVersion, 0);
    KT_EXPECT_EQ(shared->NtProductType, NtProductWinNt);
    KT_EXPECT_EQ(shared->NtSystemRoot[0], L'C');
    KT_EXPECT_EQ(shared->ProcessorFeatures[PF_NX_ENABLED], TRUE);
    KT_EXPECT_EQ(shared->ActiveProcessorCount, KeQueryActiveProcessorCount(NULL));
    KT_EXPECT_EQ(shared->ActiveGroupCount, 1);
    KT_EXPECT_EQ(shared->LargePageMinimum, 0x200000);
}
