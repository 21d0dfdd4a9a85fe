/*
 * Time.
 *
 * CPU 0's clock interrupt is the only writer. The shared page holds each time as a KSYSTEM_TIME: a 64-bit value whose
 * high half stands twice. A reader that cannot load 64 bits at once takes High1Time, LowPart, High2Time and repeats
 * while the two highs differ; the writer stores High2Time first and then the other eight bytes with one store, and
 * x86 keeps that order. The kernel's own code reads KiInterruptTime.
 */
#include "kernel/ke/time.h"

#include "kernel/hal/clock.h"
#include "kernel/ke/pcr.h"
#include "kernel/ke/timer.h"
#include "kernel/ke/version.h"

/* The offsets that are compiled into drivers and programs. */
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, TickCountMultiplier) == 0x004);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, InterruptTime) == 0x008);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, SystemTime) == 0x014);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, TimeZoneBias) == 0x020);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, ImageNumberLow) == 0x02C);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, NtSystemRoot) == 0x030);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, LargePageMinimum) == 0x244);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, NtProductType) == 0x264);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, NtMajorVersion) == 0x26C);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, NtMinorVersion) == 0x270);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, ProcessorFeatures) == 0x274);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, KdDebuggerEnabled) == 0x2D4);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, NXSupportPolicy) == 0x2D5);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, NumberOfPhysicalPages) == 0x2E8);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, TickCount) == 0x320);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, ActiveProcessorCount) == 0x3C0);
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, ActiveGroupCount) == 0x3C4);

/* NtBuildNumber is newer than mingw-w64's structure and stands in its Reserved2. */
#define KI_SHARED_BUILD_NUMBER 6
C_ASSERT(FIELD_OFFSET(KUSER_SHARED_DATA, Reserved2) + KI_SHARED_BUILD_NUMBER * sizeof(ULONG) == 0x260);

#define KI_MACHINE_AMD64    0x8664 /* IMAGE_FILE_MACHINE_AMD64 */
#define KI_LARGE_PAGE_BYTES 0x200000
#define KI_NX_ALWAYS_ON     1
#define KI_TICK_MULTIPLIER  0x0FA00000 /* milliseconds a tick (15.625) times 2^24 */
#ifndef PF_FASTFAIL_AVAILABLE
#define PF_FASTFAIL_AVAILABLE 23 /* nf-processthreadsapi-isprocessorfeaturepresent.md */
#endif
#define KI_CPUID_SSE3 0x1 /* SDM 2A CPUID leaf 1 ECX */

volatile ULONG64 KiInterruptTime;
ULONG64          KiSystemTimeBias;

static ULONG64            KiTickCount;
static ULONG64            KiTickRemainder; /* 100 ns units since the last whole tick; CPU 0's clock */
static KUSER_SHARED_DATA *KiSharedData;    /* NULL until it is mapped */

static VOID KiStoreTime(volatile KSYSTEM_TIME *Time, ULONG64 Value)
{
    Time->High2Time = (LONG)(Value >> 32);
    *(volatile ULONG64 *)&Time->LowPart = Value;
}

static VOID KiPublishTime(VOID)
{
    ULONG64 interruptTime = KiInterruptTime;
    KiStoreTime(&KiSharedData->InterruptTime, interruptTime);
    KiStoreTime(&KiSharedData->SystemTime, interruptTime + KiSystemTimeBias);
    KiStoreTime(&KiSharedData->TickCount, KiTickCount);
}

static VOID KiFillProcessorFeatures(BOOLEAN *Features)
{
    static const UCHAR always[] = {
        PF_COMPARE_EXCHANGE_DOUBLE,
        PF_MMX_INSTRUCTIONS_AVAILABLE,
        PF_XMMI_INSTRUCTIONS_AVAILABLE,
        PF_RDTSC_INSTRUCTION_AVAILABLE,
        PF_PAE_ENABLED,
        PF_XMMI64_INSTRUCTIONS_AVAILABLE,
        PF_NX_ENABLED,
        PF_COMPARE_EXCHANGE128,
        PF_FASTFAIL_AVAILABLE,
    };
    int leaf1[4];
    __cpuid(leaf1, 1);
    for (ULONG index = 0; index < RTL_NUMBER_OF(always); index++) {
        Features[always[index]] = TRUE;
    }
    Features[PF_SSE3_INSTRUCTIONS_AVAILABLE] = ((ULONG)leaf1[2] & KI_CPUID_SSE3) != 0;
}

VOID KiInitializeTime(ULONG64 SystemTime)
{
    static const WCHAR systemRoot[] = L"C:\\Windows";
    KUSER_SHARED_DATA *shared = SharedUserData;
    RtlZeroMemory(shared, sizeof(*shared));
    shared->TickCountMultiplier = KI_TICK_MULTIPLIER;
    shared->ImageNumberLow = KI_MACHINE_AMD64;
    shared->ImageNumberHigh = KI_MACHINE_AMD64;
    RtlCopyMemory(shared->NtSystemRoot, systemRoot, sizeof(systemRoot));
    shared->LargePageMinimum = KI_LARGE_PAGE_BYTES;
    shared->Reserved2[KI_SHARED_BUILD_NUMBER] = KI_BUILD_NUMBER;
    shared->NtProductType = NtProductWinNt;
    shared->ProductTypeIsValid = TRUE;
    shared->NtMajorVersion = KI_MAJOR_VERSION;
    shared->NtMinorVersion = KI_MINOR_VERSION;
    shared->NXSupportPolicy = KI_NX_ALWAYS_ON;
    shared->ActiveGroupCount = 1;
    KiFillProcessorFeatures(shared->ProcessorFeatures);
    KiSystemTimeBias = SystemTime - KiInterruptTime;
    KiSharedData = shared;
    KiPublishTime();
    KiPublishProcessorCount(KiProcessorCount);
}

VOID KiPublishProcessorCount(ULONG Count)
{
    KiSharedData->ActiveProcessorCount = Count;
}

VOID KiPublishPhysicalPages(ULONG Count)
{
    KiSharedData->NumberOfPhysicalPages = Count;
}

VOID KiUpdateSystemTime(ULONG64 Elapsed100ns)
{
    KiInterruptTime += Elapsed100ns;
    KiTickRemainder += Elapsed100ns;
    while (KiTickRemainder >= HALP_CLOCK_INCREMENT) {
        KiTickRemainder -= HALP_CLOCK_INCREMENT;
        KiTickCount++;
    }
    if (KiSharedData != NULL) {
        KiPublishTime();
    }
    KiCheckTimers();
}

ULONG64 NTAPI(KeQueryInterruptTime)(VOID)
{
    return KiInterruptTime;
}

/* The machine never sleeps, so no time is left out. */
ULONGLONG NTAPI KeQueryUnbiasedInterruptTime(VOID)
{
    return KiInterruptTime;
}

VOID NTAPI(KeQuerySystemTime)(PLARGE_INTEGER CurrentTime)
{
    CurrentTime->QuadPart = (LONGLONG)(KiInterruptTime + KiSystemTimeBias);
}

/* To the tick, which the document of this routine allows. */
VOID NTAPI KeQuerySystemTimePrecise(PLARGE_INTEGER CurrentTime)
{
    (KeQuerySystemTime)(CurrentTime);
}

VOID NTAPI(KeQueryTickCount)(PLARGE_INTEGER TickCount)
{
    TickCount->QuadPart = *(volatile LONGLONG *)&KiTickCount;
}

ULONG NTAPI KeQueryTimeIncrement(VOID)
{
    return HALP_CLOCK_INCREMENT;
}
