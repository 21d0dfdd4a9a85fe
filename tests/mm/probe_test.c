/*
 * Probes and guarded copies.
 */
#include "mm/probe.h"

#include "tests/lib/ktest.h"
#include "tests/mm/spacelib.h"

typedef enum _KT_PROBE {
    KtProbeRead,
    KtProbeWrite,
} KT_PROBE;

/* What a probe raises, or STATUS_SUCCESS. */
static NTSTATUS KtProbe(KT_PROBE Probe, ULONG64 Address, SIZE_T Length, ULONG Alignment)
{
    NTSTATUS status = STATUS_SUCCESS;
    __try {
        if (Probe == KtProbeRead) {
            ProbeForRead((const void *)Address, Length, Alignment);
        } else {
            ProbeForWrite((void *)Address, Length, Alignment);
        }
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        status = (NTSTATUS)GetExceptionCode();
    }
    return status;
}

KTEST(mm_probe, length_zero_checks_nothing)
{
    KT_EXPECT_STATUS(KtProbe(KtProbeRead, MI_SYSTEM_START + 1, 0, 8), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtProbe(KtProbeWrite, MI_SYSTEM_START + 1, 0, 8), STATUS_SUCCESS);
}

KTEST(mm_probe, misalignment_is_raised_first)
{
    for (ULONG alignment = 2; alignment <= 16; alignment *= 2) {
        KT_EXPECT_STATUS(KtProbe(KtProbeRead, MI_SYSTEM_START + 1, 1, alignment), STATUS_DATATYPE_MISALIGNMENT);
        KT_EXPECT_STATUS(KtProbe(KtProbeWrite, MI_LOWEST_USER + 1, 1, alignment), STATUS_DATATYPE_MISALIGNMENT);
    }
    KT_EXPECT_STATUS(KtProbe(KtProbeRead, MI_LOWEST_USER + 1, 1, 1), STATUS_SUCCESS);
}

KTEST(mm_probe, range_must_be_the_users)
{
    KT_EXPECT_STATUS(KtProbe(KtProbeRead, MI_SYSTEM_START, 1, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtProbe(KtProbeRead, MI_USER_END - 1, 1, 1), STATUS_SUCCESS);
    KT_EXPECT_STATUS(KtProbe(KtProbeRead, MI_USER_END - 1, 2, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtProbe(KtProbeRead, MI_LOWEST_USER, MAXULONG_PTR, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtProbe(KtProbeWrite, MI_USER_END, 1, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_TRUE(MiIsUserRange((const void *)MI_USER_END, 0));
    KT_EXPECT_FALSE(MiIsUserRange((const void *)MAXULONG_PTR, 2));
}

KTEST(mm_probe, only_the_write_probe_touches_pages)
{
    KT_SPACE space;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *base = KtCommitPages(&space, 4, PAGE_READWRITE);
    UCHAR *readOnly = KtCommitPages(&space, 1, PAGE_READONLY);
    KT_EXPECT_STATUS(KtProbe(KtProbeRead, (ULONG64)base, 4 * PAGE_SIZE, 1), STATUS_SUCCESS);
    KT_EXPECT_EQ(space.Process->PrivatePages, 0);
    KT_EXPECT_STATUS(KtProbe(KtProbeWrite, (ULONG64)base + PAGE_SIZE - 1, PAGE_SIZE + 2, 1), STATUS_SUCCESS);
    KT_EXPECT_EQ(space.Process->PrivatePages, 3);
    KT_EXPECT_STATUS(KtProbe(KtProbeWrite, (ULONG64)readOnly, 1, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(KtProbe(KtProbeRead, (ULONG64)readOnly, 1, 1), STATUS_SUCCESS);
    KtLeaveSpace(&space);
}

KTEST(mm_probe, copies_stop_at_what_cannot_be_touched)
{
    KT_SPACE space;
    UCHAR    buffer[64];
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *base = KtCommitPages(&space, 1, PAGE_READWRITE);
    RtlFillMemory(buffer, sizeof(buffer), 0x3C);
    KT_EXPECT_STATUS(MiCopyToUser(base, buffer, sizeof(buffer)), STATUS_SUCCESS);
    RtlZeroMemory(buffer, sizeof(buffer));
    KT_EXPECT_STATUS(MiCopyFromUser(buffer, base, sizeof(buffer)), STATUS_SUCCESS);
    KT_EXPECT_EQ(buffer[63], 0x3C);
    KT_EXPECT_STATUS(MiCopyFromUser(buffer, base + PAGE_SIZE - 8, sizeof(buffer)), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(MiCopyFromUser(buffer, (const void *)MI_SYSTEM_START, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(MiCopyToUser((void *)(MI_USER_END - 1), buffer, 2), STATUS_ACCESS_VIOLATION);
    KtLeaveSpace(&space);
}
