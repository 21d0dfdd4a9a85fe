/*
 * Memory descriptor lists: the table of legal calls, sizes, and the MDLs that need no lock.
 *
 * An MDL is a header of 48 bytes and one frame number for each page that the described range touches. It belongs to one
 * owner at a time, who serialises all calls on it: no routine here locks. Its life, flag by flag:
 *
 *     formatted  IoAllocateMdl, MmInitializeMdl: no flag; the array holds nothing
 *     locked     MmProbeAndLockPages (mdllock.c): PAGES_LOCKED; one reference on each frame
 *                MmAllocatePagesForMdlEx (mdlpages.c): PAGES_LOCKED; the frames are the MDL's own
 *     nonpaged   MmBuildMdlForNonPagedPool: SOURCE_IS_NONPAGED_POOL; no reference, the pool keeps its pages
 *     partial    IoBuildPartialMdl (io/mdl.c): PARTIAL; its source keeps the pages
 *     mapped     MmMapLockedPagesSpecifyCache (mdlmap.c): MAPPED_TO_SYSTEM_VA besides; undone before the others are
 */
#include "mm/mdl.h"

#include "mm/pfn.h"
#include "mm/pool.h"

#define MI_BUILD_NOT_RESIDENT 0x1240u /* MEMORY_MANAGEMENT: P2 MDL, P3 the page's PTE */

const MI_MDL_RULE MiMdlRules[MI_MDL_CALLS] = {
#define ROW(Call, NeedsOf, ForbidsOf, GateOf) \
    [MiMdl##Call] = { .Needs = (NeedsOf), .Forbids = (ForbidsOf), .Gate = (GateOf) },
    MI_MDL_RULES(ROW)
#undef ROW
};

SIZE_T NTAPI MmSizeOfMdl(PVOID Base, SIZE_T Length)
{
    return MiMdlBytes(Base, Length);
}

/* Obsolete, for old binaries: format the caller's storage or nonpaged pool of ours. */
PMDL NTAPI MmCreateMdl(PMDL MemoryDescriptorList, PVOID Base, SIZE_T Length)
{
    MDL *mdl = MemoryDescriptorList;
    if (Length > MI_MDL_MAX_BYTES) {
        return NULL;
    }
    if (mdl == NULL) {
        mdl = ExAllocatePoolWithTag(NonPagedPoolNx, MiMdlBytes(Base, Length), MI_TAG_MDL);
    }
    if (mdl != NULL) {
        MiFormatMdl(mdl, Base, (ULONG)Length);
    }
    return mdl;
}

/*
 * Fill in the frames of memory that stays where it is: nonpaged pool, contiguous memory, a mapping of device registers.
 *
 * => IRQL <= DISPATCH_LEVEL. A page that is not there is bug check 0x1A/0x1240.
 */
VOID NTAPI MmBuildMdlForNonPagedPool(PMDLX MemoryDescriptorList)
{
    MDL        *mdl = MemoryDescriptorList;
    PFN_NUMBER *frames = MiMdlFrames(mdl);
    PFN_COUNT   pageCount = MiMdlPageCount(mdl);
    UCHAR      *va = mdl->StartVa;
    ULONG       flags = MDL_SOURCE_IS_NONPAGED_POOL;

    for (PFN_COUNT i = 0; i < pageCount; i++, va += PAGE_SIZE) {
        PHYSICAL_ADDRESS physical;
        if (!MiIsCanonical(va) || !MiTranslate(va, &physical)) {
            KeBugCheckEx(MEMORY_MANAGEMENT, MI_BUILD_NOT_RESIDENT, (ULONG_PTR)mdl, (ULONG_PTR)MiPteOf(va), 0);
        }
        frames[i] = (PFN_NUMBER)(physical.QuadPart >> PAGE_SHIFT);
        if (!MiIsRamFrame(frames[i])) {
            flags |= MDL_IO_SPACE;
        }
    }
    mdl->Process = NULL;
    mdl->MappedSystemVa = MmGetMdlVirtualAddress(mdl);
    MiSetMdlFlags(mdl, flags);
}
