/*
 * The self-map, the PTE forms, and the tables of kernel space.
 */
#include "mm/pte.h"

#include "mm/pfn.h"
#include "mm/syspte.h"
#include "tests/lib/ktest.h"

static const void *const KtSampleAddresses[] = {
    (const void *)MI_LOWEST_USER,        (const void *)MI_USER_SHARED, (const void *)(MI_USER_END - PAGE_SIZE),
    (const void *)MI_SYSTEM_START,       (const void *)MI_PTE_BASE,    (const void *)0xFFFFF88000001000ull,
    (const void *)0xFFFFFFFFFFFFF000ull,
};

KTEST(mm_pte, entry_and_address_are_inverse)
{
    for (ULONG index = 0; index < ARRAYSIZE(KtSampleAddresses); index++) {
        const void *va = KtSampleAddresses[index];
        KT_EXPECT_EQ((ULONG64)MiVaOfPte(MiPteOf(va)), (ULONG64)va);
        KT_EXPECT_EQ((ULONG64)MiPxeOf(va), MI_PXE_BASE + ((ULONG64)va >> 39 & 0x1FF) * sizeof(MMPTE));
    }
}

KTEST(mm_pte, self_map_entry_maps_its_own_table)
{
    MMPTE self = MiReadPte((MMPTE *)MI_PXE_BASE + MI_SELF_MAP_SLOT);
    KT_EXPECT_EQ(MiPteFrame(self), __readcr3() >> PAGE_SHIFT);
    KT_EXPECT_EQ((ULONG64)MiPxeOf((const void *)MI_PXE_BASE), (ULONG64)((MMPTE *)MI_PXE_BASE + MI_SELF_MAP_SLOT));
    KT_EXPECT_TRUE((self.Value & X86_PTE_NX) != 0);
    KT_EXPECT_TRUE((self.Value & X86_PTE_US) == 0);
}

KTEST(mm_pte, loaders_one_to_one_map_is_gone)
{
    PHYSICAL_ADDRESS physical;
    KT_EXPECT_FALSE(MiTranslate((const void *)0x100000ull, &physical));
    KT_EXPECT_FALSE(MiTranslate(NULL, &physical));
}

KTEST(mm_pte, own_stack_translates_to_its_entry)
{
    ULONG64          local = 1;
    PHYSICAL_ADDRESS physical;
    MMPTE           *pte = MiFindValidPte(&local);
    KT_ASSERT_NOT_NULL(pte);
    KT_ASSERT_TRUE(MiTranslate(&local, &physical));
    KT_EXPECT_EQ((ULONG64)physical.QuadPart, (MiPteFrame(MiReadPte(pte)) << PAGE_SHIFT) + BYTE_OFFSET(&local));
    KT_EXPECT_TRUE((MiReadPte(pte).Value & X86_PTE_NX) != 0);
}

KTEST(mm_pte, address_that_is_not_canonical_has_no_translation)
{
    PHYSICAL_ADDRESS physical;
    KT_EXPECT_FALSE(MiTranslate((const void *)0x0000800000000000ull, &physical));
    KT_EXPECT_FALSE(MiTranslate((const void *)0xFFFF7FFFFFFFF000ull, &physical));
    KT_EXPECT_FALSE(MiTablesExist((const void *)0x0000800000000000ull));
}

KTEST(mm_pte, every_region_has_its_top_level_entries)
{
    for (ULONG region = 0; region < MI_REGION_COUNT; region++) {
        ULONG64 last = MiRegionTable[region].Base + MiRegionTable[region].Bytes - 1;
        KT_EXPECT_TRUE(MiPteIsValid(MiReadPte(MiPxeOf((const void *)MiRegionTable[region].Base))));
        KT_EXPECT_TRUE(MiPteIsValid(MiReadPte(MiPxeOf((const void *)last))));
    }
}

KTEST(mm_pte, software_forms_tell_their_kind_and_protection)
{
    ULONG protection = MI_PROT_READ | MI_PROT_WRITE;
    for (ULONG kind = MiPteDemandZero; kind <= MiPteNoAccess; kind++) {
        MMPTE pte = MiMakeSoftwarePte((MI_PTE_KIND)kind, protection);
        KT_EXPECT_FALSE(MiPteIsValid(pte));
        KT_EXPECT_EQ(MiPteKind(pte), kind);
        KT_EXPECT_EQ(MiPteProtection(pte), protection);
    }
    MMPTE transition = MiMakeTransitionPte(0x123456789ull, MI_PROT_EXECUTE);
    KT_EXPECT_EQ(MiPteFrame(transition), 0x123456789ull);
    KT_EXPECT_EQ(MiPteKind(transition), MiPteTransition);
    MMPTE guard = MiMakeNoAccessPte(MiNoAccessGuard, 0x1234);
    KT_EXPECT_EQ(MiPteFrame(guard), 0x1234);
    KT_EXPECT_EQ(guard.Value >> MI_PTE_WHY_SHIFT, MiNoAccessGuard);
}

KTEST(mm_pte, tables_are_made_once_and_zero)
{
    const UCHAR *first = (const UCHAR *)MI_BASE_OF(QUARANTINE) + 3 * MI_GIB;
    const UCHAR *last = first + 5 * 512 * PAGE_SIZE;
    KT_ASSERT_STATUS(MiMakeTables(first, last), STATUS_SUCCESS);
    LONG64 kept = MiKeptFrameCount;
    KT_ASSERT_STATUS(MiMakeTables(first, last), STATUS_SUCCESS);
    KT_EXPECT_EQ(MiKeptFrameCount, kept);
    for (const UCHAR *va = first; va <= last; va += PAGE_SIZE) {
        KT_ASSERT_EQ(MiReadPte(MiPteOf(va)).Value, 0);
    }
    KT_EXPECT_NULL(MiFindValidPte(first));
}
