/*
 * Whole pages for the pools.
 *
 * Owns the pages of two regions of PTEs: nonpaged pool, whose pages are executable or not page by page, and paged pool.
 * A range is consecutive in addresses and scattered in memory.
 *
 * Invariants. Every frame here has Use MiUsePool, one reference and one share, both its pool's, and PteAddress names
 * its entry. Taking pages prepares in software entries (transition: the frame, not present) and then makes them all
 * valid, so that a failure has nothing to flush. Giving back runs the other way: valid to transition, flush, and only
 * then frames and addresses are let go.
 *
 * Locking and IRQL. None of its own: the region and the page lists have their locks. At or below DISPATCH_LEVEL.
 *
 * Left out: paging. Paged pool is resident, and its limit to APC_LEVEL is kept by the interface (pool.c) alone.
 */
#include "mm/poolpage.h"

#include "kernel/ke/tlb.h"
#include "mm/pfn.h"

static MI_PTE_REGION MiNonPagedPoolRegion;
static MI_PTE_REGION MiPagedPoolRegion;

/* How many bytes from its region's base the highest page ever ended: there a walk over all pages ends. */
static volatile LONG64 MiPagedPoolBytes;
volatile LONG64        MiNonPagedPoolBytes;

static const ULONG64 MiPoolPteBits[MI_POOL_KINDS] = {
    [MiPoolNonPagedExecute] = MI_KERNEL_RW & ~X86_PTE_NX,
    [MiPoolPaged] = MI_KERNEL_RW,
    [MiPoolNonPagedNx] = MI_KERNEL_RW,
};

static MI_PTE_REGION *MiPoolRegion(MI_POOL_KIND Kind)
{
    return Kind == MiPoolPaged ? &MiPagedPoolRegion : &MiNonPagedPoolRegion;
}

static ULONG64 MiPoolBase(MI_POOL_KIND Kind)
{
    return Kind == MiPoolPaged ? MI_BASE_OF(PAGED_POOL) : MI_BASE_OF(NONPAGED_POOL);
}

void MiInitializePoolPages(void)
{
    MiInitializePteRegion(&MiNonPagedPoolRegion, (void *)MI_BASE_OF(NONPAGED_POOL),
                          (PFN_COUNT)(MiRegionTable[MI_REGION_NONPAGED_POOL].Bytes / PAGE_SIZE));
    MiInitializePteRegion(&MiPagedPoolRegion, (void *)MI_BASE_OF(PAGED_POOL),
                          (PFN_COUNT)(MiRegionTable[MI_REGION_PAGED_POOL].Bytes / PAGE_SIZE));
}

/* Give back the frames of entries in transition and leave the entries zero. */
static void MiReleasePoolFrames(MMPTE *First, PFN_COUNT PageCount)
{
    for (PFN_COUNT i = 0; i < PageCount; i++) {
        MiFreeFrame(MiPteFrame(MiExchangePteNoFlush(First + i, (MMPTE){ .Value = 0 })));
    }
}

static volatile LONG64 *MiPoolBytes(MI_POOL_KIND Kind)
{
    return Kind == MiPoolPaged ? &MiPagedPoolBytes : &MiNonPagedPoolBytes;
}

/* Let the pool's region reach to EndVa, with every table below; false when memory for a table is out. */
static bool MiExtendPool(MI_POOL_KIND Kind, const UCHAR *EndVa)
{
    volatile LONG64 *bytes = MiPoolBytes(Kind);
    LONG64           end = (LONG64)((ULONG64)EndVa - MiPoolBase(Kind));
    LONG64           seen = *bytes;
    while (seen < end) {
        if (!NT_SUCCESS(MiMakeTables((void *)(MiPoolBase(Kind) + (ULONG64)seen), EndVa - 1))) {
            return false;
        }
        LONG64 found = _InterlockedCompareExchange64(bytes, end, seen);
        if (found == seen) {
            return true;
        }
        seen = found;
    }
    return true;
}

void *MiAllocatePoolPages(MI_POOL_KIND Kind, PFN_COUNT PageCount, void *Owner)
{
    IRQL_MAX(DISPATCH_LEVEL);
    MMPTE *first = MiReservePtes(MiPoolRegion(Kind), PageCount);
    if (first == NULL) {
        return NULL;
    }
    UCHAR *va = MiVaOfPte(first);
    if (!MiExtendPool(Kind, va + (SIZE_T)PageCount * PAGE_SIZE)) {
        MiReleasePtes(MiPoolRegion(Kind), first, PageCount);
        return NULL;
    }
    for (PFN_COUNT i = 0; i < PageCount; i++) {
        PFN_NUMBER frame = MiAllocateFrame(MiUsePool, MiPageAny);
        if (frame == MI_PFN_NONE) {
            MiReleasePoolFrames(first, i);
            MiReleasePtes(MiPoolRegion(Kind), first, PageCount);
            return NULL;
        }
        MiPfn(frame)->PteAddress = first + i;
        MiPfn(frame)->Owner = Owner;
        MiPfn(frame)->CacheType = MmCached;
        MiExchangePteNoFlush(first + i, MiMakeTransitionPte(frame, MI_PROT_READ | MI_PROT_WRITE));
    }
    for (PFN_COUNT i = 0; i < PageCount; i++) {
        MiWriteValidPte(first + i, MiMakeValidPte(MiPteFrame(MiReadPte(first + i)), MiPoolPteBits[Kind]));
    }
    return va;
}

void MiFreePoolPages(void *Va, PFN_COUNT PageCount)
{
    IRQL_MAX(DISPATCH_LEVEL);
    MMPTE *first = MiPteOf(Va);
    for (PFN_COUNT i = 0; i < PageCount; i++) {
        MiExchangePteNoFlush(first + i, MiMakeTransitionPte(MiPteFrame(MiReadPte(first + i)), 0));
    }
    KiFlushSystemRange(Va, PageCount);
    MiReleasePoolFrames(first, PageCount);
    MiReleasePtes(MiIsPagedPool(Va) ? &MiPagedPoolRegion : &MiNonPagedPoolRegion, first, PageCount);
}

MI_POOL_PAGE MiClassifyPoolAddress(const void *Va, void **Owner, PFN_NUMBER *Frame)
{
    if (!MiIsInRegion(Va, MI_REGION_NONPAGED_POOL) && !MiIsPagedPool(Va)) {
        return MiNotPool;
    }
    const MMPTE *pte = MiFindValidPte(Va);
    MMPTE        value = { .Value = 0 };
    if (pte != NULL) {
        value = MiReadPte(pte);
    }
    if (!MiPteIsValid(value)) {
        return MiPoolUnmapped;
    }
    *Frame = MiPteFrame(value);
    *Owner = MiPfn(*Frame)->Owner;
    return MiPoolMapped;
}

void MiVisitPoolPages(MI_POOL_KIND Kind, const void *Owner, void (*Visit)(void *Page, void *Context), void *Context)
{
    ULONG64 base = MiPoolBase(Kind);
    for (ULONG64 va = base; va < base + (ULONG64)*MiPoolBytes(Kind); va += PAGE_SIZE) {
        void      *owner;
        PFN_NUMBER frame;
        if (MiClassifyPoolAddress((void *)va, &owner, &frame) == MiPoolMapped && owner == Owner) {
            Visit((void *)va, Context);
        }
    }
}
