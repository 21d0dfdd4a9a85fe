/*
 * Faults that are resolved or refused. Those that end the system are cases of the host's tests.
 */
#include "mm/fault.h"

#include "kernel/ke/tlb.h"
#include "mm/pfn.h"
#include "mm/probe.h"
#include "tests/lib/ktest.h"
#include "tests/mm/spacelib.h"

KTEST(mm_fault, null_and_the_gap_below_kernel_space_are_access_violations)
{
    UCHAR value;
    KT_EXPECT_STATUS(MiCopyFromUser(&value, NULL, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(MiCopyFromUser(&value, (const UCHAR *)0xFFFF, 1), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(MmAccessFault(0, (PVOID)(MI_USER_END + 1), UserMode, NULL), STATUS_ACCESS_VIOLATION);
}

KTEST(mm_fault, kernel_address_from_user_mode_is_an_access_violation)
{
    ULONG64 local = 0;
    ULONG64 code = X86_PF_P | X86_PF_U;
    KT_EXPECT_STATUS(MmAccessFault(code, &local, UserMode, NULL), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(MmAccessFault(X86_PF_U, (PVOID)MI_BASE_OF(SPECIAL_POOL), UserMode, NULL), STATUS_ACCESS_VIOLATION);
}

KTEST(mm_fault, stale_translation_is_spurious_and_a_real_violation_is_not)
{
    static const ULONG64 readOnly = 1;
    ULONG64              local = 0;
    KT_EXPECT_TRUE(MiIsSpuriousFault(X86_PF_P | X86_PF_W, &local));
    KT_EXPECT_FALSE(MiIsSpuriousFault(X86_PF_P | X86_PF_I, &local));
    KT_EXPECT_FALSE(MiIsSpuriousFault(X86_PF_P | X86_PF_W, (PVOID)&readOnly));
    KT_EXPECT_FALSE(MiIsSpuriousFault(0, (PVOID)MI_BASE_OF(SPECIAL_POOL)));
    KT_EXPECT_FALSE(MiIsSpuriousFault(0, NULL));
    KT_EXPECT_STATUS(MmAccessFault(X86_PF_P | X86_PF_W, &local, KernelMode, NULL), STATUS_SUCCESS);
}

KTEST(mm_fault, kernels_touch_of_a_present_user_page_is_never_spurious)
{
    KT_SPACE space;
    UCHAR    value = 1;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *base = KtCommitPages(&space, 1, PAGE_READWRITE);
    KT_EXPECT_STATUS(MiCopyToUser(base, &value, 1), STATUS_SUCCESS);
    KT_EXPECT_FALSE(MiIsSpuriousFault(X86_PF_P, base));
    KT_EXPECT_TRUE(MiIsSpuriousFault(X86_PF_P | X86_PF_U, base));
    KtLeaveSpace(&space);
}

KTEST(mm_fault, making_resident_obeys_mode_and_protection)
{
    KT_SPACE space;
    ULONG64  local = 0;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *writable = KtCommitPages(&space, 1, PAGE_READWRITE);
    UCHAR *readOnly = KtCommitPages(&space, 1, PAGE_READONLY);
    KT_EXPECT_STATUS(MiMakeResident(X86_PF_W, writable, UserMode), STATUS_SUCCESS);
    KT_EXPECT_NOT_NULL(MiFindValidPte(writable));
    KT_EXPECT_STATUS(MiMakeResident(0, readOnly, UserMode), STATUS_SUCCESS);
    KT_EXPECT_STATUS(MiMakeResident(X86_PF_W, readOnly, UserMode), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(MiMakeResident(0, &local, UserMode), STATUS_ACCESS_VIOLATION);
    KT_EXPECT_STATUS(MiMakeResident(X86_PF_W, &local, KernelMode), STATUS_SUCCESS);
    KT_EXPECT_STATUS(MiMakeResident(0, (const void *)MI_BASE_OF(SPECIAL_POOL), KernelMode), STATUS_ACCESS_VIOLATION);
    KtLeaveSpace(&space);
}

KTEST(mm_fault, demand_zero_entry_of_paged_pool_gets_a_page)
{
    UCHAR *va = (UCHAR *)MI_END_OF(PAGED_POOL) - PAGE_SIZE; /* far above what the pool has come to */
    KT_ASSERT_STATUS(MiMakeTables(va, va), STATUS_SUCCESS);
    KT_ASSERT_EQ(MiReadPte(MiPteOf(va)).Value, 0);
    *MiPteOf(va) = MiMakeSoftwarePte(MiPteDemandZero, MI_PROT_READ | MI_PROT_WRITE);
    KT_EXPECT_EQ(*(volatile ULONG64 *)va, 0);
    *(volatile ULONG64 *)va = 1;
    MMPTE pte = MiExchangePteNoFlush(MiPteOf(va), (MMPTE){ 0 });
    KiFlushSystemRange(va, 1);
    KT_EXPECT_TRUE(MiPteIsValid(pte));
    MiFreeFrame(MiPteFrame(pte));
}
