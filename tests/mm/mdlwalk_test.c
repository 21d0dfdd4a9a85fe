/*
 * The walk: one user buffer through the whole life of an MDL, with what each call leaves behind. Read this first.
 *
 *     IoAllocateMdl          io/mdl.c       a header and room for the frames
 *     MmProbeAndLockPages    mm/mdllock.c   the frames, each with one more reference
 *     MmGetSystemAddress...  mm/mdlmap.c    system PTEs that hold the frames
 *     access                                plain loads and stores
 *     MmUnlockPages          mm/mdllock.c   mapping gone everywhere, references dropped
 *     IoFreeMdl              io/mdl.c       the block back to the pool
 */
#include "mm/mdl.h"

#include "mm/pool.h"
#include "mm/probe.h"
#include "mm/sysptecache.h"
#include "tests/lib/ktest.h"
#include "tests/mm/mdlfixture.h"

#define KT_OFFSET 0x7F0u
#define KT_BYTES  (2 * PAGE_SIZE)
#define KT_PAGES  3u /* that the range touches */

KTEST(mm_mdlwalk, user_buffer_from_allocation_to_free)
{
    KT_SPACE space;
    KT_ASSERT_TRUE(KtEnterSpace(&space));
    UCHAR *buffer = KtCommitPages(&space, KT_PAGES, PAGE_READWRITE) + KT_OFFSET;
    SIZE_T freePtes = MiFreeSystemPteCount();

    /* 1. An MDL describes the range; it knows no frame, and no page has come to be. */
    MDL *mdl = IoAllocateMdl(buffer, KT_BYTES, FALSE, FALSE, NULL);
    KT_ASSERT_NOT_NULL(mdl);
    KT_EXPECT_EQ(MmGetMdlVirtualAddress(mdl), buffer);
    KT_EXPECT_EQ(MmGetMdlByteOffset(mdl), KT_OFFSET);
    KT_EXPECT_EQ(MiMdlFlags(mdl), 0);
    KT_EXPECT_EQ(KtFrameOf(buffer), MI_PFN_NONE);

    /* 2. Locking brings the pages in and holds their frames. */
    KT_ASSERT_STATUS(KtLockPages(mdl, UserMode, IoWriteAccess), STATUS_SUCCESS);
    PFN_NUMBER frames[KT_PAGES];
    for (ULONG i = 0; i < KT_PAGES; i++) {
        frames[i] = MmGetMdlPfnArray(mdl)[i];
        KT_EXPECT_EQ(frames[i], KtFrameOf(buffer + i * PAGE_SIZE));
        KT_EXPECT_EQ(KtReferences(frames[i]), 2);
    }
    KT_EXPECT_EQ(MiFreeSystemPteCount(), freePtes);

    /* 3. The system address is new, has the buffer's offset, and costs a system PTE a page. */
    UCHAR *mapped = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority | MdlMappingNoExecute);
    KT_ASSERT_NOT_NULL(mapped);
    KT_EXPECT_EQ(BYTE_OFFSET(mapped), KT_OFFSET);
    KT_EXPECT_EQ(MiFreeSystemPteCount(), freePtes - KT_PAGES);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        KT_EXPECT_EQ(KtFrameOf(mapped + i * PAGE_SIZE), frames[i]);
    }

    /* 4. What is stored through it is the process's, whatever address space is current. */
    KeUnstackDetachProcess(&space.ApcState);
    mapped[0] = 0x11;
    mapped[KT_BYTES - 1] = 0x99;
    KeStackAttachProcess(&space.Process->Pcb, &space.ApcState);
    UCHAR first = 0;
    UCHAR last = 0;
    KT_EXPECT_STATUS(MiCopyFromUser(&first, buffer, 1), STATUS_SUCCESS);
    KT_EXPECT_STATUS(MiCopyFromUser(&last, buffer + KT_BYTES - 1, 1), STATUS_SUCCESS);
    KT_EXPECT_EQ(first, 0x11);
    KT_EXPECT_EQ(last, 0x99);

    /* 5. Unlocking takes the mapping away, then the references; the process keeps its pages. */
    MmUnlockPages(mdl);
    for (ULONG i = 0; i < KT_PAGES; i++) {
        KT_EXPECT_FALSE(MiPteIsValid(MiReadPte(MiPteOf(mapped) + i)));
        KT_EXPECT_EQ(KtReferences(frames[i]), 1);
        KT_EXPECT_EQ(KtFrameOf(buffer + i * PAGE_SIZE), frames[i]);
    }
    KT_EXPECT_EQ(MiFreeSystemPteCount(), freePtes);

    /* 6. The MDL goes back to the pool. */
    IoFreeMdl(mdl);
    KT_EXPECT_EQ(ExpQueryBlockBytes(mdl), 0);
    KtLeaveSpace(&space);
}
