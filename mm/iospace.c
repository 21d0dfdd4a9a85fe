/*
 * I/O space: physical addresses, device registers above all, mapped into a region of their own.
 *
 * A frame that is not RAM gets the cache type that is asked for. A frame of RAM gets the type that its other mappings
 * have (mm/cachetype.h) and must belong to somebody while it is mapped: a free one is bug check 0x1A/0x1233. Nothing is
 * executable unless MmMapIoSpaceEx is asked for it.
 */
#include "mm/iospace.h"

#include "kernel/ke/lock.h"
#include "kernel/ke/tlb.h"
#include "mm/cachetype.h"
#include "mm/pfn.h"

#define MI_MAPPED_FREE_FRAME 0x1233u /* 0x1A: P2 the frame */

#define X86_CPUID_ADDRESS_SIZES 0x80000008 /* SDM 2A: EAX bits 7..0 are the physical address bits */

MI_PTE_REGION MiIoPteRegion;

static ULONG64 MiPhysicalLimit;

void MiInitializeIoSpace(void)
{
    int registers[4];
    __cpuid(registers, (int)X86_CPUID_ADDRESS_SIZES);
    MiPhysicalLimit = 1ull << (registers[0] & 0xFF);
    MiInitializePteRegion(&MiIoPteRegion, (void *)MI_BASE_OF(MMIO), MiRegionTable[MI_REGION_MMIO].Bytes / PAGE_SIZE);
}

/* The bits of one page's entry, given Protection, which is of the processor's form but for the cache type. */
static ULONG64 MiIoPageBits(PFN_NUMBER Frame, ULONG64 Protection, MEMORY_CACHING_TYPE CacheType)
{
    if (MiIsPhysicalRam(Frame)) {
        if (!MiIsRamFrame(Frame) || MiPfn(Frame)->ReferenceCount == 0) {
            KeBugCheckEx(MEMORY_MANAGEMENT, MI_MAPPED_FREE_FRAME, Frame, 0, 0);
        }
        CacheType = MiSettleCacheType(Frame, CacheType);
    }
    return Protection | X86_PTE_G | MiCacheBits(CacheType);
}

static PVOID MiMapIo(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, ULONG64 Protection,
                     MEMORY_CACHING_TYPE CacheType)
{
    IRQL_MAX(DISPATCH_LEVEL);
    ULONG64 physical = (ULONG64)PhysicalAddress.QuadPart;
    if (NumberOfBytes == 0 || physical >= MiPhysicalLimit || NumberOfBytes > MiPhysicalLimit - physical) {
        return NULL;
    }
    ULONG64 pageCount = ADDRESS_AND_SIZE_TO_SPAN_PAGES((PVOID)physical, NumberOfBytes);
    if (pageCount > MiTotalPteCount(&MiIoPteRegion)) {
        return NULL;
    }
    MMPTE *first = MiReservePtes(&MiIoPteRegion, (PFN_COUNT)pageCount);
    if (first == NULL) {
        return NULL;
    }
    PFN_NUMBER frame = physical >> PAGE_SHIFT;
    for (ULONG64 page = 0; page < pageCount; page++, frame++) {
        MiWriteValidPte(&first[page], MiMakeValidPte(frame, MiIoPageBits(frame, Protection, CacheType)));
    }
    return (UCHAR *)MiVaOfPte(first) + BYTE_OFFSET(physical);
}

PVOID NTAPI MmMapIoSpace(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, MEMORY_CACHING_TYPE CacheType)
{
    return MiMapIo(PhysicalAddress, NumberOfBytes, X86_PTE_RW | X86_PTE_D | X86_PTE_NX, CacheType);
}

/* The entry bits of a PAGE_... constant without modifiers; false: it is none that a mapping can have. */
static bool MiIoProtection(ULONG Protect, ULONG64 *Bits)
{
    switch (Protect) {
    case PAGE_READONLY:
        *Bits = X86_PTE_NX;
        return true;
    case PAGE_READWRITE:
        *Bits = X86_PTE_RW | X86_PTE_D | X86_PTE_NX;
        return true;
    case PAGE_EXECUTE:
    case PAGE_EXECUTE_READ:
        *Bits = 0;
        return true;
    case PAGE_EXECUTE_READWRITE:
        *Bits = X86_PTE_RW | X86_PTE_D;
        return true;
    default:
        return false;
    }
}

PVOID NTAPI MmMapIoSpaceEx(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, ULONG Protect)
{
    ULONG64 protection;
    ULONG   modifiers = Protect & (PAGE_NOCACHE | PAGE_WRITECOMBINE);
    if (modifiers == (PAGE_NOCACHE | PAGE_WRITECOMBINE) || !MiIoProtection(Protect & ~modifiers, &protection)) {
        return NULL;
    }
    MEMORY_CACHING_TYPE cacheType = MmCached;
    if (modifiers != 0) {
        cacheType = modifiers == PAGE_NOCACHE ? MmNonCached : MmWriteCombined;
    }
    return MiMapIo(PhysicalAddress, NumberOfBytes, protection, cacheType);
}

VOID NTAPI MmUnmapIoSpace(PVOID BaseAddress, SIZE_T NumberOfBytes)
{
    IRQL_MAX(DISPATCH_LEVEL);
    PFN_COUNT pageCount = (PFN_COUNT)ADDRESS_AND_SIZE_TO_SPAN_PAGES(BaseAddress, NumberOfBytes);
    MMPTE    *first = MiPteOf(BaseAddress);
    NT_ASSERT(MiIsPteOfRegion(&MiIoPteRegion, first));
    for (PFN_COUNT page = 0; page < pageCount; page++) {
        MiExchangePteNoFlush(&first[page], (MMPTE){ 0 });
    }
    KiFlushSystemRange(PAGE_ALIGN(BaseAddress), pageCount);
    MiReleasePtes(&MiIoPteRegion, first, pageCount);
}
