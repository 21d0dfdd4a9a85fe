/*
 * Frames for MDLs without an address.
 *
 * The MDL is nonpaged pool, which the driver frees by ExFreePool after MmFreePagesFromMdl; its frames have Use MiUseMdl
 * and one reference, the MDL's. StartVa is NULL. PAGES_LOCKED says that the frames are there, so
 * MmMapLockedPagesSpecifyCache takes the MDL as it is; MmUnlockPages on it is an unlock too many (bug check 0x4E/7).
 *
 * A search goes through [Low, High] and then, if SkipBytes is not 0, through the same range moved up by SkipBytes again
 * and again, until the request is met or the range has left RAM. What was found is the MDL's from then on, and fewer
 * pages than asked for are a success unless the flags say otherwise.
 *
 * Locking and IRQL. The page lists have their lock; <= DISPATCH_LEVEL.
 *
 * Left out: nodes (there is one), a cache of large pages (such requests fail), pages that leave the system
 * (MM_ALLOCATE_AND_HOT_REMOVE fails).
 */
#include "mm/mdlpages.h"

#include "kernel/ke/lock.h"
#include "mm/cachetype.h"
#include "mm/pfn.h"
#include "mm/window.h"

#define MI_ALLOCATE_KNOWN                                                                                            \
    (MM_DONT_ZERO_ALLOCATION | MM_ALLOCATE_FROM_LOCAL_NODE_ONLY | MM_ALLOCATE_FULLY_REQUIRED | MM_ALLOCATE_NO_WAIT | \
     MM_ALLOCATE_PREFER_CONTIGUOUS | MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS | MM_ALLOCATE_TRIM_IF_NECESSARY)

/* A request in whole pages. */
typedef struct _MI_PAGES_REQUEST {
    PFN_NUMBER          LowFrame;
    PFN_NUMBER          HighFrame;  /* the last that ends at or below the highest address */
    PFN_NUMBER          SkipFrames; /* 0: one range, or one chunk */
    PFN_COUNT           PageCount;
    MEMORY_CACHING_TYPE CacheType; /* MmNotMapped: the first mapping decides */
    ULONG               Flags;     /* MM_ALLOCATE_..., MM_DONT_ZERO_ALLOCATION */
} MI_PAGES_REQUEST;

/* Does nf-wdm-mmallocatepagesformdlex.md permit the arguments? */
static bool MiCheckPagesArguments(LONGLONG Low, LONGLONG High, LONGLONG Skip, SIZE_T TotalBytes, ULONG Flags)
{
    if (TotalBytes == 0 || TotalBytes > MI_MDL_MAX_BYTES || (Flags & ~(ULONG)MI_ALLOCATE_KNOWN) != 0) {
        return false;
    }
    if (Low < 0 || Skip < 0 || Skip % PAGE_SIZE != 0 || (ULONG64)High < PAGE_SIZE - 1) {
        return false;
    }
    if ((Flags & MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS) != 0 && Skip != 0) {
        return (Skip & (Skip - 1)) == 0 && TotalBytes % (ULONG64)Skip == 0;
    }
    return true;
}

/* Single frames from one range after the other. */
static PFN_COUNT MiTakeScattered(const MI_PAGES_REQUEST *Request, PFN_NUMBER *Frames)
{
    MI_PAGE_CONTENT content = (Request->Flags & MM_DONT_ZERO_ALLOCATION) != 0 ? MiPageAny : MiPageZeroed;
    PFN_NUMBER      low = Request->LowFrame;
    PFN_NUMBER      high = Request->HighFrame;
    PFN_COUNT       taken = 0;
    while (taken < Request->PageCount && low <= min(high, MiHighestFrame)) {
        taken += MiAllocateFrames(MiUseMdl, content, low, min(high, MiHighestFrame), Request->PageCount - taken,
                                  Frames + taken);
        if (Request->SkipFrames == 0) {
            break;
        }
        low += Request->SkipFrames;
        high += Request->SkipFrames;
    }
    return taken;
}

/* One run of all pages, or runs of SkipFrames each at a multiple of that. */
static PFN_COUNT MiTakeChunks(const MI_PAGES_REQUEST *Request, PFN_NUMBER *Frames)
{
    PFN_COUNT  chunk = Request->SkipFrames != 0 ? (PFN_COUNT)Request->SkipFrames : Request->PageCount;
    PFN_NUMBER align = Request->SkipFrames != 0 ? Request->SkipFrames : 1;
    PFN_NUMBER high = min(Request->HighFrame, MiHighestFrame);
    PFN_COUNT  taken = 0;
    while (taken < Request->PageCount) {
        PFN_NUMBER first = MiAllocateContiguousFrames(MiUseMdl, Request->LowFrame, high, chunk, 0, align);
        if (first == MI_PFN_NONE) {
            break;
        }
        for (PFN_COUNT i = 0; i < chunk; i++) {
            if ((Request->Flags & MM_DONT_ZERO_ALLOCATION) == 0) {
                MiZeroFrame(first + i);
            }
            Frames[taken++] = first + i;
        }
    }
    return taken;
}

/* Fill Mdl, which has room for the whole request, with frames; false: not enough, and none is taken. */
static bool MiTakePagesForMdl(const MI_PAGES_REQUEST *Request, MDL *Mdl)
{
    PFN_NUMBER *frames = MiMdlFrames(Mdl);
    bool        isChunked = (Request->Flags & MM_ALLOCATE_REQUIRE_CONTIGUOUS_CHUNKS) != 0;
    PFN_COUNT   taken = isChunked ? MiTakeChunks(Request, frames) : MiTakeScattered(Request, frames);
    bool        isAll = taken == Request->PageCount;
    if (taken == 0 || (!isAll && (Request->Flags & MM_ALLOCATE_FULLY_REQUIRED) != 0)) {
        while (taken > 0) {
            MiFreeFrame(frames[--taken]);
        }
        return false;
    }
    MiOpenCacheTypes(frames, taken, Request->CacheType);
    MiFormatMdl(Mdl, NULL, taken * PAGE_SIZE);
    MiSetMdlFlags(Mdl, MDL_PAGES_LOCKED);
    return true;
}

static MDL *MiAllocatePagesForMdl(const MI_PAGES_REQUEST *Request)
{
    IRQL_MAX(DISPATCH_LEVEL);
    SIZE_T bytes = MmSizeOfMdl(NULL, (SIZE_T)Request->PageCount * PAGE_SIZE);
    MDL   *mdl = ExAllocatePoolWithTag(NonPagedPoolNx, bytes, MI_TAG_MDL);
    if (mdl != NULL && !MiTakePagesForMdl(Request, mdl)) {
        ExFreePoolWithTag(mdl, MI_TAG_MDL);
        mdl = NULL;
    }
    return mdl;
}

static MDL *MiRequestPages(PHYSICAL_ADDRESS Low, PHYSICAL_ADDRESS High, PHYSICAL_ADDRESS Skip, /* long: the WDK's */
                           SIZE_T TotalBytes, MEMORY_CACHING_TYPE CacheType, ULONG Flags)
{
    if (!MiCheckPagesArguments(Low.QuadPart, High.QuadPart, Skip.QuadPart, TotalBytes, Flags)) {
        return NULL;
    }
    MI_PAGES_REQUEST request = {
        .LowFrame = BYTES_TO_PAGES((ULONG64)Low.QuadPart),
        .HighFrame = (((ULONG64)High.QuadPart - (PAGE_SIZE - 1)) >> PAGE_SHIFT),
        .SkipFrames = (ULONG64)Skip.QuadPart >> PAGE_SHIFT,
        .PageCount = (PFN_COUNT)BYTES_TO_PAGES(TotalBytes),
        .CacheType = CacheType,
        .Flags = Flags,
    };
    return MiAllocatePagesForMdl(&request);
}

PMDL NTAPI MmAllocatePagesForMdl(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress, PHYSICAL_ADDRESS SkipBytes,
                                 SIZE_T TotalBytes)
{
    return MiRequestPages(LowAddress, HighAddress, SkipBytes, TotalBytes, MmNotMapped, 0);
}

PMDL NTAPI MmAllocatePagesForMdlEx(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress, /* long: the WDK's */
                                   PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes, MEMORY_CACHING_TYPE CacheType,
                                   ULONG Flags)
{
    return MiRequestPages(LowAddress, HighAddress, SkipBytes, TotalBytes, CacheType, Flags);
}

/* Is Frame one that an MDL of this file owns? */
static bool MiIsMdlFrame(PFN_NUMBER Frame)
{
    return MiIsRamFrame(Frame) && MiPfn(Frame)->State == MiPfnActive && MiPfn(Frame)->Use == MiUseMdl;
}

/*
 * Unmap the MDL from system space and free its frames. The MDL itself is still to be freed.
 *
 * => IRQL <= DISPATCH_LEVEL. Another kind of MDL, or one whose frames are gone, is bug check 0x4E/0x99; a frame that is
 *    still locked 0x4E/0x9A.
 */
VOID NTAPI MmFreePagesFromMdl(PMDLX MemoryDescriptorList)
{
    MDL              *mdl = MemoryDescriptorList;
    const PFN_NUMBER *frames = MiMdlFrames(mdl);
    PFN_COUNT         pageCount = MiMdlPageCount(mdl);
    bool              isStopped = MiIsMdlCallStopped(mdl, MiMdlFreePages);

    for (PFN_COUNT i = 0; i < pageCount; i++) {
        if (isStopped || !MiIsMdlFrame(frames[i])) {
            MiPfnCorrupt(MI_PFN_CORRUPT_STATE, frames[i], MiIsRamFrame(frames[i]) ? MiPfn(frames[i])->State : MiPfnBad,
                         0);
        }
    }
    if ((MiMdlFlags(mdl) & MDL_MAPPED_TO_SYSTEM_VA) != 0) {
        MmUnmapLockedPages(mdl->MappedSystemVa, mdl);
    }
    MiCloseCacheTypes(frames, pageCount);
    for (PFN_COUNT i = 0; i < pageCount; i++) {
        MiFreeFrame(frames[i]);
    }
    MiClearMdlFlags(mdl, MDL_PAGES_LOCKED);
}
