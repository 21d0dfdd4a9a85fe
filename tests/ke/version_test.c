/*
 * Who the kernel says it is, and registration of bug-check callbacks.
 */
#include "kernel/ke/version.h"

#include "tests/lib/ktest.h"

KTEST(ke_version, all_answers_agree)
{
    ULONG                major;
    ULONG                minor;
    ULONG                build;
    UNICODE_STRING       servicePack = { 1, 1, NULL };
    RTL_OSVERSIONINFOEXW version = { .dwOSVersionInfoSize = sizeof(version), .wProductType = 0xFF };
    KT_EXPECT_STATUS(RtlGetVersion((RTL_OSVERSIONINFOW *)&version), STATUS_SUCCESS);
    KT_EXPECT_EQ(PsGetVersion(&major, &minor, &build, &servicePack), FALSE);
    KT_EXPECT_EQ(version.dwMajorVersion, 10);
    KT_EXPECT_EQ(version.dwBuildNumber, 19041);
    KT_EXPECT_EQ(version.wProductType, NtProductWinNt);
    KT_EXPECT_EQ(major, version.dwMajorVersion);
    KT_EXPECT_EQ(minor, version.dwMinorVersion);
    KT_EXPECT_EQ(build, version.dwBuildNumber);
    KT_EXPECT_EQ(servicePack.Length, 0);
    KT_EXPECT_EQ(SharedUserData->NtMajorVersion, major);
}

KTEST(ke_version, the_short_structure_is_not_overrun)
{
    struct {
        RTL_OSVERSIONINFOW Version;
        ULONG              Guard;
    } storage = { .Version = { .dwOSVersionInfoSize = sizeof(RTL_OSVERSIONINFOW) }, .Guard = 0x12345678 };
    KT_EXPECT_STATUS(RtlGetVersion(&storage.Version), STATUS_SUCCESS);
    KT_EXPECT_EQ(storage.Version.dwBuildNumber, 19041);
    KT_EXPECT_EQ(storage.Guard, 0x12345678);
}

KTEST(ke_version, processor_features_are_the_shared_pages)
{
    KT_EXPECT_EQ(ExIsProcessorFeaturePresent(PF_NX_ENABLED), TRUE);
    KT_EXPECT_EQ(ExIsProcessorFeaturePresent(PF_FLOATING_POINT_EMULATED), FALSE);
    KT_EXPECT_EQ(ExIsProcessorFeaturePresent(0xFFFF), FALSE);
}

KTEST(ke_version, stack_limits_enclose_a_local)
{
    ULONG_PTR low;
    ULONG_PTR high;
    IoGetStackLimits(&low, &high);
    KT_EXPECT_GE((ULONG_PTR)&low, low);
    KT_EXPECT_LT((ULONG_PTR)&low, high);
    KT_EXPECT_EQ((ULONG_PTR)IoGetInitialStack(), high);
}

static VOID NTAPI KtNeverCalled(PVOID Buffer, ULONG Length)
{
    UNREFERENCED_PARAMETER(Buffer);
    UNREFERENCED_PARAMETER(Length);
}

KTEST(ke_version, a_bug_check_callback_is_registered_once)
{
    KBUGCHECK_CALLBACK_RECORD record = { .State = BufferEmpty };
    KT_EXPECT_EQ(KeDeregisterBugCheckCallback(&record), FALSE);
    KT_EXPECT_EQ(KeRegisterBugCheckCallback(&record, KtNeverCalled, &record, 1, (PUCHAR) "test"), TRUE);
    KT_EXPECT_EQ(KeRegisterBugCheckCallback(&record, KtNeverCalled, &record, 1, (PUCHAR) "test"), FALSE);
    KT_EXPECT_EQ(KeDeregisterBugCheckCallback(&record), TRUE);
    KT_EXPECT_EQ(KeDeregisterBugCheckCallback(&record), FALSE);
}
