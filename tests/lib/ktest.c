/*
 * The in-kernel test runner: selection, order, KTAP version 1, and the levels compared around every test.
 *
 * Tests are the records between KtFirstTest and KtLastTest (linker.ld). They run by suite, within a suite in the order
 * of the table, or shuffled where the command line gives a seed. Everything here runs on one thread at PASSIVE_LEVEL;
 * only KtState is touched by others (ktcheck.c).
 */
#include "tests/lib/ktest.h"

#include "kernel/ke/dbgprint.h"
#include "kernel/rtl/cmdline.h"
#include "kernel/rtl/random.h"

#define MAX_TESTS    1024u
#define MAX_LEVELS   32u
#define MAX_SETTLES  8u
#define SLOWEST_KEPT 5u

typedef struct _KT_LEVEL {
    const char *Name;
    ULONG64 (*Read)(void);
} KT_LEVEL;

typedef struct _KT_LEVELS {
    ULONG64 Values[MAX_LEVELS];
} KT_LEVELS;

typedef struct _KT_TIMED {
    const KT_TEST *Test;
    ULONG64        Ticks; /* of KeQueryPerformanceCounter */
} KT_TIMED;

extern const KT_TEST KtFirstTest[];
extern const KT_TEST KtLastTest[];

static KT_LEVEL KtRegisteredLevels[MAX_LEVELS];
static ULONG    KtLevelCount;
static void (*KtSettles[MAX_SETTLES])(void);
static ULONG          KtSettleCount;
static const KT_TEST *KtSelected[MAX_TESTS];
static KT_TIMED       KtSlowest[SLOWEST_KEPT]; /* falling */

void KtRegisterLevel(const char *Name, ULONG64 (*Read)(void))
{
    NT_ASSERT(KtLevelCount < MAX_LEVELS);
    KtRegisteredLevels[KtLevelCount++] = (KT_LEVEL){ .Name = Name, .Read = Read };
}

void KtRegisterSettle(void (*Settle)(void))
{
    NT_ASSERT(KtSettleCount < MAX_SETTLES);
    KtSettles[KtSettleCount++] = Settle;
}

static void KtReadLevels(KT_LEVELS *Levels)
{
    for (ULONG i = 0; i < KtSettleCount; i++) {
        KtSettles[i]();
    }
    for (ULONG i = 0; i < KtLevelCount; i++) {
        Levels->Values[i] = KtRegisteredLevels[i].Read();
    }
}

static void KtCompareLevels(const KT_TEST *Test, const KT_LEVELS *Before)
{
    KT_LEVELS after;

    KtReadLevels(&after);
    for (ULONG i = 0; i < KtLevelCount; i++) {
        if (after.Values[i] != Before->Values[i]) {
            KtReport(Test->File, (ULONG)Test->Line, "%s after %s.%s: got %llu, expected %llu as before it",
                     KtRegisteredLevels[i].Name, Test->Suite, Test->Name, after.Values[i], Before->Values[i]);
        }
    }
}

static ULONG64 KtNow(void)
{
    return (ULONG64)KeQueryPerformanceCounter(NULL).QuadPart;
}

static void KtKeepIfSlow(KT_TIMED Timed)
{
    for (ULONG i = 0; i < SLOWEST_KEPT; i++) {
        if (Timed.Ticks > KtSlowest[i].Ticks) {
            KT_TIMED displaced = KtSlowest[i];
            KtSlowest[i] = Timed;
            Timed = displaced;
        }
    }
}

static void KtPrintSlowest(void)
{
    LARGE_INTEGER frequency;

    KeQueryPerformanceCounter(&frequency);
    for (ULONG i = 0; i < SLOWEST_KEPT && KtSlowest[i].Test != NULL; i++) {
        ULONG64 tenths = KtSlowest[i].Ticks * 10000 / (ULONG64)frequency.QuadPart;
        KiPrintFormat("# slow: %s.%s %llu.%llu ms", KtSlowest[i].Test->Suite, KtSlowest[i].Test->Name, tenths / 10,
                      tenths % 10);
    }
}

/* Order by suite, then as linked. */
static int __cdecl KtOrder(const void *First, const void *Second)
{
    const KT_TEST *first = *(const KT_TEST *const *)First;
    const KT_TEST *second = *(const KT_TEST *const *)Second;
    int            order = strcmp(first->Suite, second->Suite);

    return order != 0 ? order : (first > second) - (first < second);
}

/* => how many tests of KtSelected match. */
static ULONG KtSelect(const char *Globs)
{
    SIZE_T testCount = ((ULONG_PTR)KtLastTest - (ULONG_PTR)KtFirstTest) / sizeof(KT_TEST);
    ULONG  count = 0;

    for (const KT_TEST *test = KtFirstTest; test != KtFirstTest + testCount; test++) {
        if (KtMatches(Globs, test->Suite, test->Name)) {
            NT_ASSERT(count < MAX_TESTS);
            KtSelected[count++] = test;
        }
    }
    qsort(KtSelected, count, sizeof(void *), KtOrder);
    return count;
}

/* The end of the suite that begins at First. */
static ULONG KtSuiteEnd(ULONG First, ULONG Count)
{
    ULONG end = First;

    while (end < Count && strcmp(KtSelected[end]->Suite, KtSelected[First]->Suite) == 0) {
        end++;
    }
    return end;
}

/* Fisher and Yates, over KtSelected[First, End). */
static void KtShuffle(ULONG64 *Seed, ULONG First, ULONG End)
{
    for (ULONG left = End - First; left > 1; left--) {
        ULONG          other = First + RtlpRandomBelow(Seed, left);
        const KT_TEST *test = KtSelected[First + left - 1];
        KtSelected[First + left - 1] = KtSelected[other];
        KtSelected[other] = test;
    }
}

/* => whether the test passed. */
static bool KtRunTest(const KT_TEST *Test, ULONG Number)
{
    KT_LEVELS before;

    KtReadLevels(&before);
    KtState = (KT_STATE){ .SkipReason = NULL };
    ULONG64 started = KtNow();
    Test->Routine();
    KtKeepIfSlow((KT_TIMED){ .Test = Test, .Ticks = KtNow() - started });
    if (KeGetCurrentIrql() != PASSIVE_LEVEL) {
        KtReport(Test->File, (ULONG)Test->Line, "IRQL after %s.%s: got %lu, expected 0", Test->Suite, Test->Name,
                 (ULONG)KeGetCurrentIrql());
        KeLowerIrql(PASSIVE_LEVEL);
    }
    KtCompareLevels(Test, &before);

    bool passed = KtState.FailureCount == 0;
    KiPrintFormat("    %s %lu %s%s%s", passed ? "ok" : "not ok", Number, Test->Name,
                  KtState.SkipReason != NULL ? " # SKIP " : "", KtState.SkipReason != NULL ? KtState.SkipReason : "");
    return passed;
}

/* => how many tests of KtSelected[First, End), one suite, failed. */
static ULONG KtRunSuite(ULONG Number, ULONG First, ULONG End)
{
    const char *suite = KtSelected[First]->Suite;
    ULONG       failed = 0;

    KiPrintLine("    KTAP version 1");
    KiPrintFormat("    # Subtest: %s", suite);
    KiPrintFormat("    1..%lu", End - First);
    for (ULONG i = First; i < End; i++) {
        failed += !KtRunTest(KtSelected[i], i - First + 1);
    }
    KiPrintFormat("%s %lu %s", failed == 0 ? "ok" : "not ok", Number, suite);
    return failed;
}

ULONG KtRunTests(const char *Globs)
{
    ULONG   count = KtSelect(Globs);
    ULONG64 seed = KiOptions.Seed;
    ULONG   suiteCount = 0;
    ULONG   failed = 0;

    for (ULONG first = 0; first < count; first = KtSuiteEnd(first, count)) {
        suiteCount++;
    }
    KiPrintLine("KTAP version 1");
    KiPrintFormat("1..%lu", suiteCount);
    if (KiOptions.HasSeed) {
        KiPrintFormat("# tests shuffled with seed=%llu", seed);
    }
    suiteCount = 0;
    for (ULONG first = 0, end; first < count; first = end) {
        end = KtSuiteEnd(first, count);
        if (KiOptions.HasSeed) {
            KtShuffle(&seed, first, end);
        }
        failed += KtRunSuite(++suiteCount, first, end);
    }
    KtPrintSlowest();
    return failed;
}

void KtListTests(void)
{
    ULONG count = KtSelect("*");

    for (ULONG i = 0; i < count; i++) {
        KiPrintFormat("# test: %s.%s", KtSelected[i]->Suite, KtSelected[i]->Name);
    }
}
