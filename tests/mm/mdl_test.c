/*
 * MDLs: sizes, formatting, and those over nonpaged pool.
 */
#include "mm/mdl.h"

#include "mm/pfn.h"
#include "mm/sysptecache.h"
#include "tests/lib/ktest.h"
#include "tests/mm/mdlfixture.h"

#define KT_TAG 0x6C644D4Bu /* "KMdl" */

KTEST(mm_mdl, size_counts_the_pages_touched)
{
    KT_EXPECT_EQ(MmSizeOfMdl(NULL, 0), 48);
    KT_EXPECT_EQ(MmSizeOfMdl(NULL, 1), 56);
    KT_EXPECT_EQ(MmSizeOfMdl(NULL, PAGE_SIZE), 56);
    KT_EXPECT_EQ(MmSizeOfMdl((void *)0xFFF, 1), 56);
    KT_EXPECT_EQ(MmSizeOfMdl((void *)0xFFF, 2), 64);
    KT_EXPECT_EQ(MmSizeOfMdl((void *)1, PAGE_SIZE), 64);
    KT_EXPECT_EQ(MmSizeOfMdl((void *)0xFFF, PAGE_SIZE + 1), 64);
    KT_EXPECT_EQ(MmSizeOfMdl(NULL, 0x100000000ull), 48 + 8 * 0x100000ull);
}

KTEST(mm_mdl, create_formats_the_storage_given)
{
    UCHAR storage[sizeof(MDL) + 3 * sizeof(PFN_NUMBER)] = { 0 };
    MDL  *mdl = MmCreateMdl((MDL *)storage, (void *)0x12345678, 2 * PAGE_SIZE);
    KT_EXPECT_EQ(mdl, (MDL *)storage);
    KT_EXPECT_NULL(mdl->Next);
    KT_EXPECT_EQ(mdl->Size, sizeof(storage));
    KT_EXPECT_EQ(mdl->MdlFlags, 0);
    KT_EXPECT_EQ(mdl->StartVa, (void *)0x12345000);
    KT_EXPECT_EQ(mdl->ByteOffset, 0x678);
    KT_EXPECT_EQ(mdl->ByteCount, 2 * PAGE_SIZE);
    KT_EXPECT_EQ(MiMdlPageCount(mdl), 3);
}

KTEST(mm_mdl, create_takes_pool_for_storage)
{
    MDL *mdl = MmCreateMdl(NULL, (void *)0x1000, PAGE_SIZE);
    KT_ASSERT_NOT_NULL(mdl);
    KT_EXPECT_EQ(mdl->Size, 56);
    ExFreePool(mdl);
    KT_EXPECT_NULL(MmCreateMdl(NULL, NULL, 0x100000000ull));
}

KTEST(mm_mdl, nonpaged_mdl_names_the_frames_and_maps_nothing)
{
    UCHAR *buffer = ExAllocatePoolWithTag(NonPagedPoolNx, 4 * PAGE_SIZE, KT_TAG);
    KT_ASSERT_NOT_NULL(buffer);
    MDL *mdl = IoAllocateMdl(buffer + 0x123, 2 * PAGE_SIZE, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(mdl);
    SIZE_T free = MiFreeSystemPteCount();

    MmBuildMdlForNonPagedPool(mdl);
    KT_EXPECT_EQ(MiMdlFlags(mdl), MDL_SOURCE_IS_NONPAGED_POOL);
    KT_EXPECT_NULL(mdl->Process);
    KT_EXPECT_EQ(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority), buffer + 0x123);
    for (ULONG i = 0; i < 3; i++) {
        PFN_NUMBER frame = MmGetMdlPfnArray(mdl)[i];
        KT_EXPECT_EQ(frame, KtFrameOf(buffer + i * PAGE_SIZE));
        KT_EXPECT_EQ(frame, (PFN_NUMBER)MmGetPhysicalAddress(buffer + i * PAGE_SIZE).QuadPart >> PAGE_SHIFT);
        KT_EXPECT_EQ(KtReferences(frame), 1);
    }
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    IoFreeMdl(mdl);
    ExFreePoolWithTag(buffer, KT_TAG);
}

KTEST(mm_mdl, initialize_macro_leaves_a_header_that_the_routines_take)
{
    UCHAR  storage[sizeof(MDL) + 2 * sizeof(PFN_NUMBER)] = { 0 };
    MDL   *mdl = (MDL *)storage;
    UCHAR *buffer = ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, KT_TAG);
    KT_ASSERT_NOT_NULL(buffer);
    MmInitializeMdl(mdl, buffer + PAGE_SIZE - 1, 2);
    KT_EXPECT_EQ(mdl->Size, sizeof(storage));
    MmBuildMdlForNonPagedPool(mdl);
    KT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[0], KtFrameOf(buffer));
    KT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[1], KtFrameOf(buffer + PAGE_SIZE));
    ExFreePoolWithTag(buffer, KT_TAG);
}

KTEST(mm_mdl, size_field_wraps_and_the_page_count_does_not)
{
    MDL header;
    MiFormatMdl(&header, NULL, 0x10000000);
    KT_EXPECT_EQ(MiMdlPageCount(&header), 0x10000);
    KT_EXPECT_EQ(header.Size, (CSHORT)(48 + 8 * 0x10000));
}

KTEST(mm_mdl, rules_stop_what_the_base_kernel_must)
{
    MDL mdl;
    MiFormatMdl(&mdl, NULL, PAGE_SIZE);
    KT_EXPECT_TRUE(MiIsMdlCallStopped(&mdl, MiMdlUnlock));
    KT_EXPECT_TRUE(MiIsMdlCallStopped(&mdl, MiMdlUnmap));
    KT_EXPECT_TRUE(MiIsMdlCallStopped(&mdl, MiMdlFreePages));
    KT_EXPECT_FALSE(MiIsMdlCallStopped(&mdl, MiMdlLock));
    MiSetMdlFlags(&mdl, MDL_PAGES_LOCKED);
    KT_EXPECT_FALSE(MiIsMdlCallStopped(&mdl, MiMdlUnlock));
    KT_EXPECT_EQ(MiWrongMdlFlags(&mdl, MiMdlLock), MDL_PAGES_LOCKED);
    MiSetMdlFlags(&mdl, MDL_MAPPED_TO_SYSTEM_VA | MDL_PARENT_MAPPED_SYSTEM_VA);
    KT_EXPECT_TRUE(MiIsMdlCallStopped(&mdl, MiMdlUnmap));
}
