/*
 * The in-kernel test runner and what tests are written with.
 *
 *     KTEST(mm_syspte, released_run_waits_for_flush)
 *     {
 *         MMPTE *first = MiReservePtes(region, 64);
 *         KT_ASSERT_NOT_NULL(first);
 *         KT_EXPECT_EQ(MiFreePteCount(region), 0);
 *     }
 *
 * A test runs at PASSIVE_LEVEL on a system thread and ends there. It fails when a check does (ktcheck.h), and when what
 * KtRegisterLevel registered (pool, free pages, free PTEs) is not afterwards what it was before.
 */
#pragma once

#include "kernel/ddk.h"
#include "tests/lib/ktcheck.h"
#include "tests/lib/ktthread.h"

/* One record of the table that linker.ld collects; its size keeps the records of all files in one dense array. */
typedef struct _KT_TEST {
    const char *Suite;
    const char *Name;
    void (*Routine)(void);
    const char *File;
    ULONG64     Line;
    ULONG64     Unused;
} __attribute__((aligned(16))) KT_TEST;

C_ASSERT(sizeof(KT_TEST) == 48);

#ifndef KT_SECTION
#define KT_SECTION ".ktests$m" /* the host's linker wants another name */
#endif

#define KTEST(SuiteName, TestName)                                                                        \
    static void          KtTest_##SuiteName##_##TestName(void);                                           \
    static const KT_TEST KtRecord_##SuiteName##_##TestName __attribute__((used, section(KT_SECTION))) = { \
        .Suite = #SuiteName,                                                                              \
        .Name = #TestName,                                                                                \
        .Routine = KtTest_##SuiteName##_##TestName,                                                       \
        .File = __FILE__,                                                                                 \
        .Line = __LINE__,                                                                                 \
    };                                                                                                    \
    static void KtTest_##SuiteName##_##TestName(void)

/*
 * Have a level compared around every test: a number that a test must leave as it found it, such as free pages. Read
 * runs at PASSIVE_LEVEL. Settle routines run before each reading and finish what is deferred. At boot, before tests.
 */
void KtRegisterLevel(const char *Name, ULONG64 (*Read)(void));
void KtRegisterSettle(void (*Settle)(void));

/*
 * Run the tests that match (see KtMatches) and print the KTAP report. None is an empty report, and passes.
 *
 * => PASSIVE_LEVEL.
 * => how many failed.
 */
ULONG KtRunTests(const char *Globs);

/* Print "# test: suite.name" for each test there is. */
void KtListTests(void);
