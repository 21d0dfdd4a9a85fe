/*
 * misuse: the rows of MDLs.
 */
#include "misuse.h"

#define PAGES 4

static PMDL AllocateMdl(PVOID Va, ULONG Bytes)
{
    PMDL mdl = IoAllocateMdl(Va, Bytes, FALSE, FALSE, NULL);
    MisuseRequire(mdl != NULL);
    return mdl;
}

/* An MDL over pool pages of its own, locked; and the same mapped. */
static PMDL MakeLocked(void)
{
    PMDL mdl = AllocateMdl(MisuseAllocate(NonPagedPoolNx, PAGES * PAGE_SIZE), PAGES * PAGE_SIZE);
    MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
    return mdl;
}

static PVOID Map(PMDL Mdl, ULONG Priority)
{
    PVOID va = MmMapLockedPagesSpecifyCache(Mdl, KernelMode, MmCached, NULL, FALSE, (MM_PAGE_PRIORITY)Priority);
    MisuseRequire(va != NULL);
    return va;
}

static PMDL MakePages(void)
{
    PHYSICAL_ADDRESS low = { .QuadPart = 0 };
    PHYSICAL_ADDRESS high = { .QuadPart = -1 };
    PMDL             mdl = MmAllocatePagesForMdlEx(low, high, low, PAGES * PAGE_SIZE, MmCached, 0);
    MisuseRequire(mdl != NULL);
    return mdl;
}

static void MapUnlocked(void)
{
    Map(AllocateMdl(MisuseAllocate(NonPagedPoolNx, PAGE_SIZE), PAGE_SIZE), NormalPagePriority);
}

static void FreeMdlTwice(void)
{
    PMDL mdl = AllocateMdl((PVOID)0x10000, PAGE_SIZE);
    IoFreeMdl(mdl);
    IoFreeMdl(mdl);
}

static void PartialTooSmall(void)
{
    PMDL source = MakeLocked();
    PMDL target = AllocateMdl(MmGetMdlVirtualAddress(source), PAGE_SIZE);
    IoBuildPartialMdl(source, target, MmGetMdlVirtualAddress(source), 2 * PAGE_SIZE);
}

static void PartialBeyondTheSource(void)
{
    PMDL   source = MakeLocked();
    UCHAR *va = MmGetMdlVirtualAddress(source);
    IoBuildPartialMdl(source, AllocateMdl(va, PAGES * PAGE_SIZE), va + PAGE_SIZE, PAGES * PAGE_SIZE);
}

static void PartialBySystemAddress(void)
{
    PMDL  source = MakeLocked();
    PVOID mapped = Map(source, NormalPagePriority);
    IoBuildPartialMdl(source, AllocateMdl(mapped, PAGE_SIZE), mapped, PAGE_SIZE);
}

static void PartialOfUnlockedSource(void)
{
    PVOID va = MisuseAllocate(NonPagedPoolNx, PAGE_SIZE);
    PMDL  partial = AllocateMdl(va, PAGE_SIZE);
    IoBuildPartialMdl(AllocateMdl(va, PAGE_SIZE), partial, va, PAGE_SIZE);
    Map(partial, NormalPagePriority);
}

static PMDL MakePartial(PMDL Source)
{
    PMDL partial = AllocateMdl(MmGetMdlVirtualAddress(Source), PAGE_SIZE);
    IoBuildPartialMdl(Source, partial, MmGetMdlVirtualAddress(Source), PAGE_SIZE);
    return partial;
}

static void UnlockPartial(void)
{
    MmUnlockPages(MakePartial(MakeLocked()));
}

static void UnmapSharedPartial(void)
{
    PMDL source = MakeLocked();
    Map(source, NormalPagePriority);
    PMDL partial = MakePartial(source);
    MmUnmapLockedPages(partial->MappedSystemVa, partial);
}

static void BuildOverUserAddress(void)
{
    MmBuildMdlForNonPagedPool(AllocateMdl((PVOID)0x10000, PAGE_SIZE));
}

static void BuildOverFreedPool(void)
{
    PVOID va = MisuseAllocate(NonPagedPoolNx, PAGE_SIZE);
    PMDL  mdl = AllocateMdl(va, PAGE_SIZE);
    ExFreePool(va);
    MmBuildMdlForNonPagedPool(mdl);
}

static PMDL MakeBuilt(void)
{
    PMDL mdl = AllocateMdl(MisuseAllocate(NonPagedPoolNx, PAGE_SIZE), PAGE_SIZE);
    MmBuildMdlForNonPagedPool(mdl);
    return mdl;
}

static void UnlockBuilt(void)
{
    MmUnlockPages(MakeBuilt());
}

static void UnmapBuilt(void)
{
    PMDL mdl = MakeBuilt();
    MmUnmapLockedPages(mdl->MappedSystemVa, mdl);
}

static void LockUnguarded(void)
{
    MmProbeAndLockPages(AllocateMdl((PVOID)0x10000, PAGE_SIZE), UserMode, IoReadAccess);
}

static void UnlockNeverLocked(void)
{
    MmUnlockPages(AllocateMdl(MisuseAllocate(NonPagedPoolNx, PAGE_SIZE), PAGE_SIZE));
}

static void UnlockTwice(void)
{
    PMDL mdl = MakeLocked();
    MmUnlockPages(mdl);
    MmUnlockPages(mdl);
}

static void UnlockAllocatedPages(void)
{
    MmUnlockPages(MakePages());
}

static void MapWithoutPtes(void)
{
    PMDL mdl = MakePages();
    for (ULONG i = 0; i < 100000; i++) {
        MmMapLockedPages(mdl, KernelMode);
    }
}

static void MapEditedFrame(void)
{
    PMDL mdl = MakeLocked();
    MmGetMdlPfnArray(mdl)[1] = 0x000FFFFFFFFFull;
    Map(mdl, NormalPagePriority);
}

static void UnmapTwice(void)
{
    PMDL  mdl = MakeLocked();
    PVOID va = Map(mdl, NormalPagePriority);
    MmUnmapLockedPages(va, mdl);
    MmUnmapLockedPages(va, mdl);
}

static void UnmapOtherAddress(void)
{
    PMDL   mdl = MakeLocked();
    UCHAR *va = Map(mdl, NormalPagePriority);
    MmUnmapLockedPages(va + PAGE_SIZE, mdl);
}

static void UnmapGrownMdl(void)
{
    PMDL mdl = MakeLocked();
    mdl->ByteCount = PAGE_SIZE;
    PVOID va = Map(mdl, NormalPagePriority);
    mdl->ByteCount = 2 * PAGE_SIZE;
    MmUnmapLockedPages(va, mdl);
}

static __attribute__((noinline)) UCHAR Load(const volatile UCHAR *Va)
{
    return *Va;
}

static __attribute__((noinline)) void Store(volatile UCHAR *Va)
{
    *Va = 1;
}

static void ReadAfterUnmap(void)
{
    PMDL  mdl = MakeLocked();
    PVOID va = Map(mdl, NormalPagePriority);
    MmUnmapLockedPages(va, mdl);
    Load(va);
}

static void WriteReadOnlyMapping(void)
{
    Store(Map(MakeLocked(), NormalPagePriority | 0x80000000)); /* MdlMappingNoWrite */
}

static void ExecuteDataMapping(void)
{
    void (*code)(void) = (void (*)(void))Map(MakeLocked(), NormalPagePriority | 0x40000000); /* MdlMappingNoExecute */
    code();
}

static void FreePagesOfLockedMdl(void)
{
    MmFreePagesFromMdl(MakeLocked());
}

static void FreePagesTwice(void)
{
    PMDL mdl = MakePages();
    MmFreePagesFromMdl(mdl);
    MmFreePagesFromMdl(mdl);
}

static void FreePagesThatAreLocked(void)
{
    PMDL mdl = MakePages();
    MmProbeAndLockPages(AllocateMdl(Map(mdl, NormalPagePriority), PAGE_SIZE), KernelMode, IoReadAccess);
    MmFreePagesFromMdl(mdl);
}

const MISUSE MdlMisuses[] = {
    { "M009", MapUnlocked },
    { "M020", FreeMdlTwice },
    { "M029", PartialTooSmall },
    { "M030", PartialBeyondTheSource },
    { "M031", PartialBySystemAddress },
    { "M032", PartialOfUnlockedSource },
    { "M035", UnlockPartial },
    { "M036", UnmapSharedPartial },
    { "M044", BuildOverUserAddress },
    { "M045", BuildOverFreedPool },
    { "M047", UnlockBuilt },
    { "M049", UnmapBuilt },
    { "M054", LockUnguarded },
    { "M084", UnlockNeverLocked },
    { "M085", UnlockTwice },
    { "M089", UnlockAllocatedPages },
    { "M097", MapWithoutPtes },
    { "M107", MapEditedFrame },
    { "M122", UnmapTwice },
    { "M123", UnmapOtherAddress },
    { "M124", UnmapGrownMdl },
    { "M132", ReadAfterUnmap },
    { "M134", WriteReadOnlyMapping },
    { "M135", ExecuteDataMapping },
    { "M196", FreePagesOfLockedMdl },
    { "M197", FreePagesTwice },
    { "M198", FreePagesThatAreLocked },
    { NULL, NULL },
};
