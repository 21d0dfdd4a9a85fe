/*
 * What the MDL suites share. See mdlfixture.h.
 */
#include "tests/mm/mdlfixture.h"

#include "mm/virtual.h"
#include "mm/window.h"
#include "tests/lib/ktest.h"

void KtProtectUserPages(KT_SPACE *Space, void *Va, PFN_COUNT PageCount, ULONG Protect)
{
    PVOID  base = Va;
    SIZE_T bytes = (SIZE_T)PageCount * PAGE_SIZE;
    ULONG  oldProtect;
    KT_EXPECT_STATUS(MiProtectVirtual(Space->Process, &base, &bytes, Protect, &oldProtect), STATUS_SUCCESS);
}

void KtFreeUserPages(KT_SPACE *Space, void *Va)
{
    PVOID  base = Va;
    SIZE_T bytes = 0;
    KT_EXPECT_STATUS(MiFreeVirtual(Space->Process, &base, &bytes, MEM_RELEASE), STATUS_SUCCESS);
}

NTSTATUS KtLockPages(MDL *Mdl, KPROCESSOR_MODE Mode, LOCK_OPERATION Operation)
{
    __try {
        MmProbeAndLockPages(Mdl, Mode, Operation);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        return (NTSTATUS)GetExceptionCode();
    }
    return STATUS_SUCCESS;
}

PFN_NUMBER KtFrameOf(const void *Va)
{
    const MMPTE *pte = MiFindValidPte(Va);
    return pte == NULL ? MI_PFN_NONE : MiPteFrame(MiReadPte(pte));
}

LONG KtReferences(PFN_NUMBER Frame)
{
    return MiPfn(Frame)->ReferenceCount;
}

UCHAR KtReadFrameByte(PFN_NUMBER Frame, ULONG Offset)
{
    KIRQL oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    UCHAR value = ((const volatile UCHAR *)MiMapFrameInWindow(Frame, MiWindowTest))[Offset];
    MiUnmapWindow(MiWindowTest);
    KeLowerIrql(oldIrql);
    return value;
}

void KtWriteFrameByte(PFN_NUMBER Frame, ULONG Offset, UCHAR Value)
{
    KIRQL oldIrql;
    KeRaiseIrql(DISPATCH_LEVEL, &oldIrql);
    ((volatile UCHAR *)MiMapFrameInWindow(Frame, MiWindowTest))[Offset] = Value;
    MiUnmapWindow(MiWindowTest);
    KeLowerIrql(oldIrql);
}

MDL *KtAllocateMarkedPages(PFN_COUNT PageCount, UCHAR Seed)
{
    PHYSICAL_ADDRESS low = { .QuadPart = 0 };
    PHYSICAL_ADDRESS high = { .QuadPart = -1 };
    MDL             *mdl = MmAllocatePagesForMdlEx(low, high, low, (SIZE_T)PageCount * PAGE_SIZE, MmCached,
                                                   MM_ALLOCATE_FULLY_REQUIRED);
    KT_EXPECT_NOT_NULL(mdl);
    for (PFN_COUNT i = 0; mdl != NULL && i < PageCount; i++) {
        KtWriteFrameByte(MiMdlFrames(mdl)[i], 0, (UCHAR)(Seed + i));
    }
    return mdl;
}

void KtFreeMarkedPages(MDL *Mdl)
{
    MmFreePagesFromMdl(Mdl);
    ExFreePool(Mdl);
}
