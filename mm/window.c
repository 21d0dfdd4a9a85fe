/*
 * Windows: their entries lie side by side, MI_WINDOWS_PER_CPU for each processor number, in one table made at boot.
 *
 * A window gets the frame's own cache attribute, so that it never makes a second one. Its entry is not global, and
 * only its CPU ever held the translation, so a local INVLPG ends it.
 */
#include "mm/window.h"

#include "kernel/ke/lock.h"
#include "kernel/ke/pcr.h"
#include "kernel/ke/tlb.h"
#include "mm/cachetype.h"

C_ASSERT(KI_MAX_PROCESSORS *MI_WINDOWS_PER_CPU *PAGE_SIZE == MI_WINDOW_BYTES);

static void *MiWindowVa(ULONG Window)
{
    NT_ASSERT(KeGetCurrentIrql() >= DISPATCH_LEVEL && Window < MI_WINDOWS_PER_CPU);
    ULONG64 index = (ULONG64)KiPrcb()->Number * MI_WINDOWS_PER_CPU + Window;
    return (void *)(MI_BASE_OF(CPU_WINDOWS) + index * PAGE_SIZE);
}

static ULONG64 MiWindowBits(PFN_NUMBER Frame)
{
    ULONG64 bits = X86_PTE_RW | X86_PTE_D | X86_PTE_NX;
    if (MiIsRamFrame(Frame) && MiPfn(Frame)->CacheType != MI_CACHE_NOT_MAPPED) {
        bits |= MiCacheBits((MEMORY_CACHING_TYPE)MiPfn(Frame)->CacheType);
    }
    return bits;
}

void *MiMapFrameInWindow(PFN_NUMBER Frame, ULONG Window)
{
    void  *va = MiWindowVa(Window);
    MMPTE *pte = MiPteOf(va);
    NT_ASSERT(MiReadPte(pte).Value == 0);
    MiWriteValidPte(pte, MiMakeValidPte(Frame, MiWindowBits(Frame)));
    return va;
}

void MiUnmapWindow(ULONG Window)
{
    void *va = MiWindowVa(Window);
    MiExchangePteNoFlush(MiPteOf(va), (MMPTE){ 0 });
    KiFlushLocalPage(va);
}

void MiZeroFrame(PFN_NUMBER Frame)
{
    IRQL_MAX(DISPATCH_LEVEL);
    KIRQL oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    __stosq(MiMapFrameInWindow(Frame, MiWindowZero), 0, PAGE_SIZE / sizeof(ULONG64));
    MiUnmapWindow(MiWindowZero);
    KeLowerIrql(oldIrql);
}
