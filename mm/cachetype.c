/*
 * PAT slots. A 4 KiB entry selects one of eight by PAT, PCD and PWT; we leave the PAT bit alone, so the four slots are
 * there twice and a large page, whose PAT bit stands elsewhere, means the same.
 *
 *     PCD PWT   slot      type
 *      0   0    0 and 4   write-back
 *      0   1    1 and 5   write-combining (write-through before the PAT is loaded: nothing uses it until then)
 *      1   0    2 and 6   uncached, an MTRR may make it write-combining
 *      1   1    3 and 7   uncached
 */
#include "mm/cachetype.h"

#include "kernel/amd64/cpu.h"
#include "kernel/amd64/intrin.h"
#include "kernel/ke/lock.h"
#include "mm/sysptecache.h"
#include "mm/window.h"

/* SDM 3A 11.12.2: memory types as the PAT encodes them. */
#define X86_PAT_UC       0x00ull
#define X86_PAT_WC       0x01ull
#define X86_PAT_WB       0x06ull
#define X86_PAT_UC_MINUS 0x07ull

#define MI_PAT_HALF  (X86_PAT_WB | X86_PAT_WC << 8 | X86_PAT_UC_MINUS << 16 | X86_PAT_UC << 24)
#define MI_PAT_VALUE (MI_PAT_HALF | MI_PAT_HALF << 32)

volatile LONG64 MiUnsettledFrameCount;

#define MI_CACHE_LINE_BYTES 64u /* CLFLUSH's, on every x86-64 processor */

VOID MiInitializeProcessorPat(VOID)
{
    __writemsr(X86_MSR_PAT, MI_PAT_VALUE);
}

ULONG64 MiCacheBits(MEMORY_CACHING_TYPE CacheType)
{
    switch (CacheType) {
    case MmCached:
    case MmHardwareCoherentCached:
        return 0;
    case MmWriteCombined:
    case MmUSWCCached:
        return X86_PTE_PWT;
    case MmNonCachedUnordered:
        return X86_PTE_PCD;
    default:
        return X86_PTE_PCD | X86_PTE_PWT;
    }
}

/* No line of the frame may be written back over what an uncached mapping stored. */
static void MiFlushFrameFromCaches(PFN_NUMBER Frame)
{
    KIRQL oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    const UCHAR *page = MiMapFrameInWindow(Frame, MiWindowZero);
    for (ULONG offset = 0; offset < PAGE_SIZE; offset += MI_CACHE_LINE_BYTES) {
        KiFlushCacheLine(page + offset);
    }
    MiUnmapWindow(MiWindowZero);
    KeLowerIrql(oldIrql);
}

MEMORY_CACHING_TYPE MiSettleCacheType(PFN_NUMBER Frame, MEMORY_CACHING_TYPE Wanted)
{
    IRQL_MAX(DISPATCH_LEVEL);
    if (!MiIsRamFrame(Frame)) {
        return Wanted;
    }
    if (MiPfn(Frame)->Use != MiUseMdl) {
        return MmCached;
    }
    volatile CHAR *attribute = (volatile CHAR *)&MiPfn(Frame)->CacheType;
    if ((UCHAR)*attribute == MI_CACHE_NOT_MAPPED) {
        if (Wanted != MmCached) {
            MiFlushWaitingSystemPtes(); /* an old write-back translation could bring lines in again */
            MiFlushFrameFromCaches(Frame);
        }
        CHAR old = _InterlockedCompareExchange8(attribute, (CHAR)Wanted, (CHAR)MI_CACHE_NOT_MAPPED);
        if ((UCHAR)old == MI_CACHE_NOT_MAPPED && Wanted == MmCached) {
            _InterlockedDecrement64(&MiUnsettledFrameCount);
        }
    }
    return (MEMORY_CACHING_TYPE)(UCHAR)*attribute;
}

void MiOpenCacheTypes(const PFN_NUMBER *Frames, PFN_COUNT FrameCount, MEMORY_CACHING_TYPE CacheType)
{
    if (CacheType != MmCached) {
        _InterlockedExchangeAdd64(&MiUnsettledFrameCount, FrameCount);
    }
    for (PFN_COUNT i = 0; i < FrameCount && CacheType != MmNotMapped; i++) {
        if (CacheType == MmCached) {
            MiPfn(Frames[i])->CacheType = MmCached;
        } else {
            MiSettleCacheType(Frames[i], CacheType);
        }
    }
}

void MiCloseCacheTypes(const PFN_NUMBER *Frames, PFN_COUNT FrameCount)
{
    LONG64 unsettledCount = 0;
    for (PFN_COUNT i = 0; i < FrameCount; i++) {
        unsettledCount += MiPfn(Frames[i])->CacheType != MmCached;
    }
    if (unsettledCount != 0) {
        _InterlockedExchangeAdd64(&MiUnsettledFrameCount, -unsettledCount);
    }
}
