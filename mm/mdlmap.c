/*
 * Mapping locked pages into system space, and taking the mappings away.
 *
 * Representation. A mapping is a run of system PTEs (syspte.c) with the MDL's frames in it, in order. MappedSystemVa is
 * the run's address plus the MDL's byte offset; MDL_MAPPED_TO_SYSTEM_VA says that it counts,
 * MDL_PARTIAL_HAS_BEEN_MAPPED that a partial MDL owns it, MDL_PARENT_MAPPED_SYSTEM_VA that the source of a partial
 * does. With guard entries (MDL_FREE_EXTRA_PTES) the run has one more PTE at each end, which stays zero.
 *
 * The order, which everything depends on:
 *  - Mapping stores entries that were not present: no processor has them cached, so no flush is owed.
 *  - Unmapping clears every entry before anything is flushed, and no address is used again before every processor has
 *    been flushed: sysptecache.c, which says what strict and deferred unmapping promise. What is not write-back, and
 *    what is mapped for a user, is flushed before the call returns in any mode.
 *
 * What is checked. A plain MDL needs no look at its frames: a flag says that they are held, none is a device's, and no
 * frame of any MDL is other than write-back, which one counter tells (cachetype.h). Its last entry is compared with its
 * last frame on the way out. Any other MDL is looked at page by page both ways, and so is every one of a
 * driver under test, by its tracked entries (MiCheckMdlFrames, MiCheckMapping).
 *
 * A frame's references are the MDL's, not the mapping's: MmUnlockPages and MmFreePagesFromMdl unmap before they let go.
 *
 * Locking and IRQL. The caller serialises the calls on one MDL; the region has its lock. <= DISPATCH_LEVEL, user
 * mappings (mdluser.c) <= APC_LEVEL.
 */
#include "mm/mdlmap.h"

#include "kernel/ke/tlb.h"
#include "kernel/rtl/cmdline.h"
#include "mm/cachetype.h"
#include "mm/mdluser.h"
#include "mm/sysptecache.h"

#define MI_GUARD_PTES 2u /* one before, one behind */

/* A request of low priority leaves one part in so many of the system PTEs to others. */
#define MI_LOW_PRIORITY_RESERVE 16u

#define MI_MAPPING_FLAGS (MdlMappingNoWrite | MdlMappingNoExecute | MdlMappingWithGuardPtes)

#define MI_MAP_NOT_LOCKED 0x1236u /* MEMORY_MANAGEMENT: P2 MDL, P3 its array's entry, P4 the frame */

/* SYSTEM_PTE_MISUSE: bug-check-0xda--system-pte-misuse.md */
#define MI_UNMAP_NOTHING     0x300u /* P2 address */
#define MI_UNMAP_NOT_YOURS   0x301u /* P2 address */
#define MI_UNMAP_NOT_MAPPED  0x302u /* P2 address */
#define MI_UNMAP_OTHER_START 0x304u /* P2 first mapping, P3 count */
#define MI_UNMAP_OTHER_COUNT 0x305u /* P2 first mapping, P3 count given, P4 count that is this MDL's */
#define MI_UNMAP_FREE_ENTRY  0x306u /* P2 first mapping, P3 the free one, P4 count */

/* Are all frames of Mdl held, by what its flags say, RAM, and write-back? */
static bool MiIsPlainMdl(const MDL *Mdl)
{
    ULONG flags = MiMdlFlags(Mdl);
    return (flags & (MDL_PAGES_LOCKED | MDL_SOURCE_IS_NONPAGED_POOL)) != 0 &&
           (flags & (MDL_IO_SPACE | MDL_PARTIAL)) == 0 && MiUnsettledFrameCount == 0;
}

static bool MiIsFrameHeld(const MDL *Mdl, PFN_NUMBER Frame)
{
    if (MiIsRamFrame(Frame)) {
        return MiPfn(Frame)->ReferenceCount > 0;
    }
    return (MiMdlFlags(Mdl) & MDL_IO_SPACE) != 0;
}

void MiCheckMdlFrames(const MDL *Mdl)
{
    const PFN_NUMBER *frames = MiMdlFrames(Mdl);
    PFN_COUNT         pageCount = MiMdlPageCount(Mdl);
    for (PFN_COUNT i = 0; i < pageCount; i++) {
        if (!MiIsFrameHeld(Mdl, frames[i])) {
            KeBugCheckEx(MEMORY_MANAGEMENT, MI_MAP_NOT_LOCKED, (ULONG_PTR)Mdl, (ULONG_PTR)&frames[i], frames[i]);
        }
    }
}

static DECLSPEC_NOINLINE void MiWriteCheckedMapping(MMPTE *First, const MDL *Mdl, const MI_MAPPING *Mapping)
{
    const PFN_NUMBER *frames = MiMdlFrames(Mdl);
    PFN_COUNT         pageCount = MiMdlPageCount(Mdl);
    MiCheckMdlFrames(Mdl);
    for (PFN_COUNT i = 0; i < pageCount; i++) {
        ULONG64 cacheBits = MiCacheBits(MiSettleCacheType(frames[i], Mapping->CacheType));
        MiWriteValidPte(First + i, MiMakeValidPte(frames[i], Mapping->PteBits | cacheBits));
    }
}

static inline void MiWriteEntries(MMPTE *First, const MDL *Mdl, PFN_COUNT PageCount, const MI_MAPPING *Mapping)
{
    if (Mapping->CacheType != MmCached || !MiIsPlainMdl(Mdl)) {
        MiWriteCheckedMapping(First, Mdl, Mapping);
        return;
    }
    const PFN_NUMBER *frames = MiMdlFrames(Mdl);
    ULONG64           bits = Mapping->PteBits | X86_PTE_P | X86_PTE_A;
    for (PFN_COUNT i = 0; i < PageCount; i++) {
        MiWriteValidPte(First + i, MiMakeValidPte(frames[i], bits));
    }
}

void MiWriteMapping(MMPTE *First, const MDL *Mdl, const MI_MAPPING *Mapping)
{
    MiWriteEntries(First, Mdl, MiMdlPageCount(Mdl), Mapping);
}

static DECLSPEC_NORETURN DECLSPEC_NOINLINE void MiStopAtEntry(const MMPTE *First, const MDL *Mdl, PFN_COUNT Page,
                                                              MMPTE Entry)
{
    ULONG_PTR firstVa = (ULONG_PTR)MiVaOfPte(First);
    PFN_COUNT pageCount = MiMdlPageCount(Mdl);
    if (!MiPteIsValid(Entry)) {
        KeBugCheckEx(SYSTEM_PTE_MISUSE, MI_UNMAP_FREE_ENTRY, firstVa, firstVa + (SIZE_T)Page * PAGE_SIZE, pageCount);
    }
    KeBugCheckEx(SYSTEM_PTE_MISUSE, MI_UNMAP_OTHER_COUNT, firstVa, pageCount, Page);
}

/* Stop unless Entry, of the mapping of Mdl at First, is the one of its page. */
static inline void MiCheckEntry(const MMPTE *First, const MDL *Mdl, PFN_COUNT Page, MMPTE Entry)
{
    if (!MiPteIsValid(Entry) || MiPteFrame(Entry) != MiMdlFrames(Mdl)[Page]) {
        MiStopAtEntry(First, Mdl, Page, Entry);
    }
}

bool MiClearMappingNoFlush(MMPTE *First, const MDL *Mdl)
{
    PFN_COUNT pageCount = MiMdlPageCount(Mdl);
    ULONG64   seen = 0;
    for (PFN_COUNT i = 0; i < pageCount; i++) {
        MMPTE old = MiExchangePteNoFlush(First + i, (MMPTE){ .Value = 0 });
        MiCheckEntry(First, Mdl, i, old);
        seen |= old.Value;
    }
    return (seen & (X86_PTE_PAT | X86_PTE_PCD | X86_PTE_PWT)) == 0;
}

/* May a request of this priority have so many system PTEs now? */
static bool MiMayTakePtes(PFN_COUNT PteCount, ULONG Priority)
{
    if ((Priority & ~MI_MAPPING_FLAGS) >= NormalPagePriority) {
        return true;
    }
    SIZE_T reserve = MiTotalPteCount(&MiSystemPteRegion) / MI_LOW_PRIORITY_RESERVE;
    return MiFreeSystemPteCount() >= reserve + PteCount;
}

/* Map Mdl into system space and record it there; NULL: no run of system PTEs. */
static void *MiMapToSystem(MDL *Mdl, const MI_MAPPING *Mapping, ULONG Priority)
{
    bool      hasGuards = (Priority & MdlMappingWithGuardPtes) != 0;
    PFN_COUNT pageCount = MiMdlPageCount(Mdl);
    PFN_COUNT pteCount = pageCount + (hasGuards ? MI_GUARD_PTES : 0);
    MMPTE    *first = MiMayTakePtes(pteCount, Priority) ? MiReserveSystemPtes(pteCount) : NULL;
    if (first == NULL) {
        return NULL;
    }
    if (hasGuards) {
        first++;
    }
    MiWriteEntries(first, Mdl, pageCount, Mapping);
    Mdl->MappedSystemVa = (UCHAR *)MiVaOfPte(first) + Mdl->ByteOffset;
    MiSetMdlFlags(Mdl, MDL_MAPPED_TO_SYSTEM_VA | (hasGuards ? MDL_FREE_EXTRA_PTES : 0) |
                           ((MiMdlFlags(Mdl) & MDL_PARTIAL) != 0 ? MDL_PARTIAL_HAS_BEEN_MAPPED : 0));
    return Mdl->MappedSystemVa;
}

static MI_MAPPING MiDescribeMapping(MEMORY_CACHING_TYPE CacheType, ULONG Priority)
{
    ULONG64 bits = MI_KERNEL_RW & ~X86_PTE_NX;
    if ((Priority & MdlMappingNoWrite) != 0) {
        bits &= ~(X86_PTE_RW | X86_PTE_D);
    }
    if ((Priority & MdlMappingNoExecute) != 0) {
        bits |= X86_PTE_NX;
    }
    return (MI_MAPPING){ .CacheType = CacheType, .PteBits = bits };
}

static PVOID MiMapForUser(MDL *Mdl, const MI_MAPPING *Mapping, PVOID RequestedAddress)
{
    PVOID    va = NULL;
    NTSTATUS status = MiMapToUser(Mdl, Mapping, RequestedAddress, &va);
    if (!NT_SUCCESS(status)) {
        ExRaiseStatus(status);
    }
    return va;
}

/*
 * Map the frames of Mdl: in system space at most once a time, or in the current process.
 *
 * => KernelMode: IRQL <= DISPATCH_LEVEL; NULL when there is no room, or bug check 0x3F if BugCheckOnFailure and the MDL
 *    does not have MDL_MAPPING_CAN_FAIL. RequestedAddress has no meaning.
 * => UserMode: IRQL <= APC_LEVEL; raises its failures.
 * => Priority: MM_PAGE_PRIORITY and MdlMapping... bits. A mapping in system space is executable unless they forbid it.
 */
PVOID NTAPI MmMapLockedPagesSpecifyCache(PMDLX MemoryDescriptorList, KPROCESSOR_MODE AccessMode, /* long: the WDK's */
                                         MEMORY_CACHING_TYPE CacheType, PVOID RequestedAddress, ULONG BugCheckOnFailure,
                                         MM_PAGE_PRIORITY Priority)
{
    MDL       *mdl = MemoryDescriptorList;
    MI_MAPPING mapping = MiDescribeMapping(CacheType, (ULONG)Priority);
    if (AccessMode != KernelMode) {
        return MiMapForUser(mdl, &mapping, RequestedAddress);
    }
    void *va = MiMapToSystem(mdl, &mapping, (ULONG)Priority);
    if (va == NULL && BugCheckOnFailure != 0 && (MiMdlFlags(mdl) & MDL_MAPPING_CAN_FAIL) == 0) {
        KeBugCheckEx(NO_MORE_SYSTEM_PTES, 0, MiMdlPageCount(mdl), MiFreeSystemPteCount(),
                     MiTotalPteCount(&MiSystemPteRegion));
    }
    return va;
}

PVOID NTAPI MmMapLockedPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode)
{
    return MmMapLockedPagesSpecifyCache(MemoryDescriptorList, AccessMode, MmCached, NULL, TRUE, HighPagePriority);
}

/* Stop for what MiCheckUnmap has found. */
static DECLSPEC_NORETURN DECLSPEC_NOINLINE void MiStopAtUnmap(const void *BaseAddress, const MDL *Mdl)
{
    if (MiWrongMdlFlags(Mdl, MiMdlUnmap) != 0) {
        KeBugCheckEx(SYSTEM_PTE_MISUSE, MI_UNMAP_NOT_YOURS, (ULONG_PTR)BaseAddress, 0, 0);
    }
    if (MiMissingMdlFlags(Mdl, MiMdlUnmap) != 0 || !MiIsPteOfRegion(&MiSystemPteRegion, MiPteOf(BaseAddress))) {
        KeBugCheckEx(SYSTEM_PTE_MISUSE, MI_UNMAP_NOT_MAPPED, (ULONG_PTR)BaseAddress, 0, 0);
    }
    if (PAGE_ALIGN(BaseAddress) != PAGE_ALIGN(Mdl->MappedSystemVa)) {
        KeBugCheckEx(SYSTEM_PTE_MISUSE, MI_UNMAP_OTHER_START, (ULONG_PTR)BaseAddress, MiMdlPageCount(Mdl), 0);
    }
    KeBugCheckEx(SYSTEM_PTE_MISUSE, MI_UNMAP_NOTHING, (ULONG_PTR)BaseAddress, 0, 0);
}

/* The first PTE of Mdl's own mapping of PageCount pages in system space, which BaseAddress must name. */
static inline MMPTE *MiCheckUnmap(const void *BaseAddress, const MDL *Mdl, PFN_COUNT PageCount)
{
    MMPTE *first = MiPteOf(BaseAddress);
    if (MiWrongMdlFlags(Mdl, MiMdlUnmap) != 0 || MiMissingMdlFlags(Mdl, MiMdlUnmap) != 0 ||
        !MiIsPteOfRegion(&MiSystemPteRegion, first) ||
        ((ULONG_PTR)BaseAddress ^ (ULONG_PTR)Mdl->MappedSystemVa) >= PAGE_SIZE || PageCount == 0) {
        MiStopAtUnmap(BaseAddress, Mdl);
    }
    return first;
}

void MiCheckMapping(const void *BaseAddress, const MDL *Mdl)
{
    PFN_COUNT    pageCount = MiMdlPageCount(Mdl);
    const MMPTE *first = MiCheckUnmap(BaseAddress, Mdl, pageCount);
    for (PFN_COUNT i = 0; i < pageCount; i++) {
        MiCheckEntry(first, Mdl, i, MiReadPte(first + i));
    }
}

/* Clear the mapping of Mdl at First; may its flush wait? */
static inline bool MiClearSystemMapping(MMPTE *First, const MDL *Mdl, PFN_COUNT PageCount)
{
    bool isWriteBack = true;
    if (MiIsPlainMdl(Mdl)) {
        MiCheckEntry(First, Mdl, PageCount - 1, First[PageCount - 1]);
        __stosq(&First->Value, 0, PageCount);
    } else {
        isWriteBack = MiClearMappingNoFlush(First, Mdl);
    }
    return isWriteBack && KiOptions.TlbMode == KiTlbDeferred;
}

/*
 * Take a mapping away. The pages stay locked.
 *
 * => IRQL <= DISPATCH_LEVEL; a user address: <= APC_LEVEL, in the process that has the mapping.
 * => what of it a CPU may still reach on return: see The guarantee in sysptecache.c.
 * => an address or MDL without a live mapping of its own is bug check 0xDA.
 */
VOID NTAPI MmUnmapLockedPages(PVOID BaseAddress, PMDL MemoryDescriptorList)
{
    MDL *mdl = MemoryDescriptorList;
    if (MiIsUserAddress(BaseAddress)) {
        MiUnmapFromUser(BaseAddress, mdl);
        return;
    }
    PFN_COUNT pteCount = MiMdlPageCount(mdl);
    MMPTE    *first = MiCheckUnmap(BaseAddress, mdl, pteCount);
    bool      mayWait = MiClearSystemMapping(first, mdl, pteCount);
    if (!mayWait) {
        KiFlushSystemRange(PAGE_ALIGN(BaseAddress), pteCount);
    }
    if ((MiMdlFlags(mdl) & MDL_FREE_EXTRA_PTES) != 0) {
        first--;
        pteCount += MI_GUARD_PTES;
    }
    MiClearMdlFlags(mdl, MDL_MAPPED_TO_SYSTEM_VA | MDL_PARTIAL_HAS_BEEN_MAPPED | MDL_FREE_EXTRA_PTES);
    if (mayWait) {
        MiReleaseSystemPtesNoFlush(first, pteCount);
    } else {
        MiReleaseSystemPtes(first, pteCount);
    }
}
