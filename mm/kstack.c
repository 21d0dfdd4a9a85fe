/*
 * Kernel stacks.
 *
 * A stack is a run of PTEs of its own region: the lowest is a guard (MiPteNoAccess) and the others map private
 * frames. An overflow hits the guard, and the fault, which cannot push its frame there, becomes a double fault on a
 * stack of its own.
 *
 * Stacks that are given back wait in a small cache, mapped, so that threads that come and go cost neither page-table
 * work nor a shootdown. The cache's lock has the rank of a PTE region's and is never held together with one.
 */
#include "mm/kstack.h"

#include "kernel/ke/tlb.h"
#include "mm/pfn.h"
#include "mm/syspte.h"

#define MI_STACK_PAGES   (KI_KERNEL_STACK_BYTES / PAGE_SIZE)
#define MI_STACK_PTES    (MI_STACK_PAGES + 1u) /* the guard lies below */
#define MI_CACHED_STACKS 8u

static MI_PTE_REGION MiStackRegion;
static KI_LOCK       MiStackCacheLock = KI_LOCK_INIT(LOCK_SYSPTE);
static PVOID         MiStackCache[MI_CACHED_STACKS] __attribute__((guarded_by(MiStackCacheLock)));
static ULONG         MiCachedStackCount __attribute__((guarded_by(MiStackCacheLock)));

void MiInitializeKernelStacks(void)
{
    MiInitializePteRegion(&MiStackRegion, (void *)MI_BASE_OF(KERNEL_STACKS),
                          MiRegionTable[MI_REGION_KERNEL_STACKS].Bytes / PAGE_SIZE);
}

static PVOID MiTakeCachedStack(void)
{
    PVOID stackBase = NULL;
    KIRQL oldIrql = KiAcquireLock(&MiStackCacheLock);
    if (MiCachedStackCount > 0) {
        stackBase = MiStackCache[--MiCachedStackCount];
    }
    KiReleaseLock(&MiStackCacheLock, oldIrql);
    return stackBase;
}

static bool MiCacheStack(PVOID StackBase)
{
    KIRQL oldIrql = KiAcquireLock(&MiStackCacheLock);
    bool  kept = MiCachedStackCount < MI_CACHED_STACKS;
    if (kept) {
        MiStackCache[MiCachedStackCount++] = StackBase;
    }
    KiReleaseLock(&MiStackCacheLock, oldIrql);
    return kept;
}

static void MiMapStackPage(MMPTE *Pte, PFN_NUMBER Frame)
{
    MMPFN *pfn = MiPfn(Frame);
    pfn->CacheType = MmCached;
    pfn->PteAddress = Pte;
    MiWriteValidPte(Pte, MiMakeValidPte(Frame, MI_KERNEL_RW));
}

NTSTATUS MiCreateKernelStack(PVOID *StackBase)
{
    PFN_NUMBER frames[MI_STACK_PAGES];
    *StackBase = MiTakeCachedStack();
    if (*StackBase != NULL) {
        return STATUS_SUCCESS;
    }
    MMPTE *guard = MiReservePtes(&MiStackRegion, MI_STACK_PTES);
    if (guard == NULL) {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    PFN_COUNT frameCount = MiAllocateFrames(MiUseStack, MiPageAny, 0, MI_PFN_NONE, MI_STACK_PAGES, frames);
    if (frameCount < MI_STACK_PAGES) {
        while (frameCount > 0) {
            MiFreeFrame(frames[--frameCount]);
        }
        MiReleasePtes(&MiStackRegion, guard, MI_STACK_PTES);
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    *guard = MiMakeNoAccessPte(MiNoAccessGuard, 0);
    for (ULONG page = 0; page < MI_STACK_PAGES; page++) {
        MiMapStackPage(guard + 1 + page, frames[page]);
    }
    *StackBase = MiVaOfPte(guard + MI_STACK_PTES);
    return STATUS_SUCCESS;
}

static void MiFreeStack(PVOID StackBase)
{
    PFN_NUMBER frames[MI_STACK_PAGES];
    MMPTE     *guard = MiPteOf(StackBase) - MI_STACK_PTES;
    NT_ASSERT(MiIsPteOfRegion(&MiStackRegion, guard) && MiIsStackGuard(MiVaOfPte(guard)));
    for (ULONG page = 0; page < MI_STACK_PAGES; page++) {
        frames[page] = MiPteFrame(MiExchangePteNoFlush(guard + 1 + page, (MMPTE){ 0 }));
    }
    guard->Value = 0;
    KiFlushSystemRange(MiVaOfPte(guard + 1), MI_STACK_PAGES);
    for (ULONG page = 0; page < MI_STACK_PAGES; page++) {
        MiFreeFrame(frames[page]);
    }
    MiReleasePtes(&MiStackRegion, guard, MI_STACK_PTES);
}

void MiDeleteKernelStack(PVOID StackBase)
{
    IRQL_MAX(DISPATCH_LEVEL);
    if (!MiCacheStack(StackBase)) {
        MiFreeStack(StackBase);
    }
}

void MiTrimKernelStacks(void)
{
    for (PVOID stackBase = MiTakeCachedStack(); stackBase != NULL; stackBase = MiTakeCachedStack()) {
        MiFreeStack(stackBase);
    }
}

bool MiIsStackGuard(const void *Va)
{
    return MiIsInRegion(Va, MI_REGION_KERNEL_STACKS) && MiTablesExist(Va) &&
           MiReadPte(MiPteOf(Va)).Value == MiMakeNoAccessPte(MiNoAccessGuard, 0).Value;
}
