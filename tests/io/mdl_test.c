/*
 * IoAllocateMdl, IoBuildPartialMdl, IoFreeMdl.
 */
#include "io/mdl.h"

#include "mm/pool.h"
#include "mm/sysptecache.h"
#include "tests/lib/ktest.h"
#include "tests/mm/mdlfixture.h"

#define KT_TAG   0x6C644D49u /* "IMdl" */
#define KT_PAGES 4u

/* A locked MDL over pages of pool, and its buffer. */
typedef struct _KT_SOURCE {
    UCHAR *Buffer;
    MDL   *Mdl;
} KT_SOURCE;

static bool KtMakeSource(KT_SOURCE *Source)
{
    Source->Buffer = ExAllocatePoolWithTag(NonPagedPoolNx, KT_PAGES * PAGE_SIZE, KT_TAG);
    Source->Mdl = IoAllocateMdl(Source->Buffer + 0x80, (KT_PAGES - 1) * PAGE_SIZE, FALSE, FALSE, NULL);
    return Source->Buffer != NULL && Source->Mdl != NULL &&
           NT_SUCCESS(KtLockPages(Source->Mdl, KernelMode, IoWriteAccess));
}

static void KtDropSource(KT_SOURCE *Source)
{
    MmUnlockPages(Source->Mdl);
    IoFreeMdl(Source->Mdl);
    ExFreePoolWithTag(Source->Buffer, KT_TAG);
}

KTEST(io_mdl, header_describes_the_range)
{
    MDL *mdl = IoAllocateMdl((void *)0x12345FFF, 2, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(mdl);
    KT_EXPECT_NULL(mdl->Next);
    KT_EXPECT_EQ(mdl->Size, 48 + 2 * 8);
    KT_EXPECT_EQ(mdl->MdlFlags, 0);
    KT_EXPECT_NULL(mdl->Process);
    KT_EXPECT_EQ(mdl->StartVa, (void *)0x12345000);
    KT_EXPECT_EQ(mdl->ByteOffset, 0xFFF);
    KT_EXPECT_EQ(mdl->ByteCount, 2);
    KT_EXPECT_GE(ExpQueryBlockBytes(mdl), 48 + 2 * 8);
    IoFreeMdl(mdl);
}

KTEST(io_mdl, ceiling_is_a_page_less_than_4_gib)
{
    KT_EXPECT_NULL(IoAllocateMdl(NULL, 0xFFFFF001, FALSE, FALSE, NULL));
    KT_EXPECT_NULL(IoAllocateMdl(NULL, 0xFFFFFFFF, FALSE, FALSE, NULL));
    MDL *mdl = IoAllocateMdl(NULL, 0xFFFFF000, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(mdl);
    KT_EXPECT_EQ(MiMdlPageCount(mdl), 0xFFFFF);
    KT_EXPECT_EQ(ExpQueryBlockBytes(mdl), 48 + 8 * 0xFFFFFull);
    IoFreeMdl(mdl);
}

KTEST(io_mdl, range_that_wraps_is_null)
{
    KT_EXPECT_NULL(IoAllocateMdl((void *)0xFFFFFFFFFFFFF000ull, 0x1001, FALSE, FALSE, NULL));
    MDL *mdl = IoAllocateMdl((void *)0xFFFFFFFFFFFFF000ull, 0x1000, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(mdl);
    IoFreeMdl(mdl);
}

KTEST(io_mdl, irp_chain_grows_at_its_end)
{
    static IRP irp;
    MDL       *first = IoAllocateMdl((void *)0x1000, 1, FALSE, FALSE, &irp);
    MDL       *second = IoAllocateMdl((void *)0x2000, 1, TRUE, FALSE, &irp);
    MDL       *third = IoAllocateMdl((void *)0x3000, 1, TRUE, FALSE, &irp);
    KT_ASSERT_TRUE(first != NULL && second != NULL && third != NULL);
    KT_EXPECT_EQ(irp.MdlAddress, first);
    KT_EXPECT_EQ(first->Next, second);
    KT_EXPECT_EQ(second->Next, third);
    KT_EXPECT_NULL(third->Next);
    MDL *other = IoAllocateMdl((void *)0x4000, 1, FALSE, FALSE, &irp);
    KT_ASSERT_NOT_NULL(other);
    KT_EXPECT_EQ(irp.MdlAddress, other);
    KT_EXPECT_NULL(other->Next);
    IoFreeMdl(other);
    IoFreeMdl(third);
    IoFreeMdl(second);
    IoFreeMdl(first);
    irp.MdlAddress = NULL;
}

KTEST(io_mdl, failed_allocation_is_null_and_leaves_the_irp_alone)
{
    static IRP irp;
    ExpFailAllocation(1);
    MDL *mdl = IoAllocateMdl((void *)0x1000, PAGE_SIZE, FALSE, FALSE, &irp);
    ExpFailAllocation(0);
    KT_EXPECT_NULL(mdl);
    KT_EXPECT_NULL(irp.MdlAddress);
}

KTEST(io_mdl, partial_of_an_unmapped_source_maps_itself)
{
    KT_SOURCE source;
    KT_ASSERT_TRUE(KtMakeSource(&source));
    UCHAR *va = source.Buffer + PAGE_SIZE + 0x10;
    MDL   *partial = IoAllocateMdl(source.Buffer, KT_PAGES * PAGE_SIZE, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(partial);
    IoBuildPartialMdl(source.Mdl, partial, va, PAGE_SIZE);
    KT_EXPECT_EQ(MiMdlFlags(partial) & (MDL_PARTIAL | MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA), MDL_PARTIAL);
    KT_EXPECT_EQ(MmGetMdlVirtualAddress(partial), va);
    KT_EXPECT_EQ(MmGetMdlByteCount(partial), PAGE_SIZE);
    KT_EXPECT_EQ(MmGetMdlPfnArray(partial)[0], KtFrameOf(va));
    KT_EXPECT_EQ(MmGetMdlPfnArray(partial)[1], KtFrameOf(va + PAGE_SIZE));

    SIZE_T free = MiFreeSystemPteCount();
    UCHAR *mapped = MmGetSystemAddressForMdlSafe(partial, NormalPagePriority);
    KT_ASSERT_NOT_NULL(mapped);
    KT_EXPECT_NE(MiMdlFlags(partial) & MDL_PARTIAL_HAS_BEEN_MAPPED, 0);
    KT_EXPECT_EQ(BYTE_OFFSET(mapped), 0x10);
    KT_EXPECT_EQ(KtFrameOf(mapped), KtFrameOf(va));
    MmPrepareMdlForReuse(partial);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    KT_EXPECT_EQ(MiMdlFlags(partial) & (MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED), 0);

    IoBuildPartialMdl(source.Mdl, partial, source.Buffer + 0x80, 1);
    KT_EXPECT_EQ(MmGetMdlPfnArray(partial)[0], KtFrameOf(source.Buffer));
    KT_EXPECT_NOT_NULL(MmGetSystemAddressForMdlSafe(partial, NormalPagePriority));
    IoFreeMdl(partial);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    KtDropSource(&source);
}

KTEST(io_mdl, partial_of_a_mapped_source_shares_the_mapping)
{
    KT_SOURCE source;
    KT_ASSERT_TRUE(KtMakeSource(&source));
    UCHAR *mapped = MmGetSystemAddressForMdlSafe(source.Mdl, NormalPagePriority);
    KT_ASSERT_NOT_NULL(mapped);
    SIZE_T free = MiFreeSystemPteCount();
    UCHAR *va = source.Buffer + 0x80 + 0x1234;
    MDL   *partial = IoAllocateMdl(va, 0x100, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(partial);
    IoBuildPartialMdl(source.Mdl, partial, va, 0x100);
    KT_EXPECT_EQ(MmGetSystemAddressForMdlSafe(partial, NormalPagePriority), mapped + 0x1234);
    KT_EXPECT_EQ(MiMdlFlags(partial) & MDL_PARTIAL_HAS_BEEN_MAPPED, 0);
    MmPrepareMdlForReuse(partial);
    IoFreeMdl(partial);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    KT_EXPECT_TRUE(MiPteIsValid(MiReadPte(MiPteOf(mapped))));
    KtDropSource(&source);
}

KTEST(io_mdl, partial_of_nonpaged_pool_is_nonpaged_pool)
{
    UCHAR *buffer = ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, KT_TAG);
    KT_ASSERT_NOT_NULL(buffer);
    MDL *source = IoAllocateMdl(buffer, 2 * PAGE_SIZE, FALSE, FALSE, NULL);
    MDL *partial = IoAllocateMdl(buffer + 0x900, PAGE_SIZE, FALSE, FALSE, NULL);
    KT_ASSERT_TRUE(source != NULL && partial != NULL);
    MmBuildMdlForNonPagedPool(source);
    IoBuildPartialMdl(source, partial, buffer + 0x900, PAGE_SIZE);
    KT_EXPECT_EQ(MmGetSystemAddressForMdlSafe(partial, NormalPagePriority), buffer + 0x900);
    KT_EXPECT_EQ(MmGetMdlPfnArray(partial)[1], KtFrameOf(buffer + PAGE_SIZE));
    IoFreeMdl(partial);
    IoFreeMdl(source);
    ExFreePoolWithTag(buffer, KT_TAG);
}

KTEST(io_mdl, length_0_reaches_to_the_end_of_the_source)
{
    KT_SOURCE source;
    KT_ASSERT_TRUE(KtMakeSource(&source));
    MDL *partial = IoAllocateMdl(source.Buffer, KT_PAGES * PAGE_SIZE, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(partial);
    IoBuildPartialMdl(source.Mdl, partial, source.Buffer + 0x80 + PAGE_SIZE, 0);
    KT_EXPECT_EQ(MmGetMdlByteCount(partial), (KT_PAGES - 2) * PAGE_SIZE);
    KT_EXPECT_EQ(MmGetMdlByteOffset(partial), 0x80);
    IoFreeMdl(partial);
    KtDropSource(&source);
}

KTEST(io_mdl, partial_of_pages_without_an_address)
{
    MDL *source = KtAllocateMarkedPages(3, 0x20);
    KT_ASSERT_NOT_NULL(source);
    UCHAR *va = (UCHAR *)MmGetMdlVirtualAddress(source) + 2 * PAGE_SIZE;
    MDL   *partial = IoAllocateMdl(va, PAGE_SIZE, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(partial);
    IoBuildPartialMdl(source, partial, va, PAGE_SIZE);
    const UCHAR *mapped = MmGetSystemAddressForMdlSafe(partial, NormalPagePriority);
    KT_ASSERT_NOT_NULL(mapped);
    KT_EXPECT_EQ(*mapped, 0x22);
    IoFreeMdl(partial);
    KtFreeMarkedPages(source);
}

KTEST(io_mdl, free_unmaps_what_a_driver_left_mapped)
{
    KT_SOURCE source;
    KT_ASSERT_TRUE(KtMakeSource(&source));
    SIZE_T free = MiFreeSystemPteCount();
    MDL   *alias = IoAllocateMdl(source.Buffer, PAGE_SIZE, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(alias);
    KT_ASSERT_STATUS(KtLockPages(alias, KernelMode, IoReadAccess), STATUS_SUCCESS);
    KT_EXPECT_NOT_NULL(MmGetSystemAddressForMdlSafe(alias, NormalPagePriority));
    IoFreeMdl(alias);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), free);
    MiDereferenceFrame(KtFrameOf(source.Buffer)); /* the lock that the MDL took with it */
    KtDropSource(&source);
}

KTEST(io_mdl, wrapped_size_does_not_make_a_partial_too_small)
{
    PFN_COUNT pageCount = 8200; /* 48 + 8 * 8200 does not fit into 16 bits */
    UCHAR    *buffer = ExAllocatePoolWithTag(NonPagedPoolNx, PAGE_SIZE, KT_TAG);
    MDL      *source = IoAllocateMdl(NULL, pageCount * PAGE_SIZE, FALSE, FALSE, NULL);
    MDL      *partial = IoAllocateMdl(NULL, pageCount * PAGE_SIZE, FALSE, FALSE, NULL);
    KT_ASSERT_TRUE(buffer != NULL && source != NULL && partial != NULL);
    for (PFN_COUNT i = 0; i < pageCount; i++) {
        MmGetMdlPfnArray(source)[i] = KtFrameOf(buffer);
    }
    IoBuildPartialMdl(source, partial, NULL, PAGE_SIZE);
    IoBuildPartialMdl(source, partial, NULL, 0);
    KT_EXPECT_EQ(MiMdlPageCount(partial), pageCount);
    KT_EXPECT_EQ(MmGetMdlPfnArray(partial)[pageCount - 1], KtFrameOf(buffer));
    IoFreeMdl(partial);
    IoFreeMdl(source);
    ExFreePoolWithTag(buffer, KT_TAG);
}
