/*
 * MDLs as the I/O manager hands them out.
 *
 * An MDL here is one block of nonpaged pool, sized by the pages that the range touches; the pool alone knows its size,
 * since MDL.Size has 16 bits. A partial MDL describes part of another one's frames: it holds no references and is valid
 * as long as its source is. While the source is mapped the partial uses that mapping; else it may have one of its own,
 * which MmPrepareMdlForReuse or IoFreeMdl releases.
 *
 * Locking and IRQL. None: an MDL has one owner at a time, and so has an IRP's chain. <= DISPATCH_LEVEL.
 */
#include "io/mdl.h"

#include "kernel/rtl/memory.h"
#include "mm/pfn.h"
#include "mm/pool.h"
#include "mm/poolhot.h"

VOID IopLinkMdl(IRP *Irp, MDL *Mdl, IOP_MDL_PLACE Place)
{
    MDL **link = &Irp->MdlAddress;
    while (Place == IopMdlSecondary && *link != NULL) {
        link = &(*link)->Next;
    }
    *link = Mdl;
}

static DECLSPEC_NOINLINE void *IopAllocateFromPool(SIZE_T Bytes, EXP_MISS Miss)
{
    if (Miss == ExpMissedCounted) {
        ExpUncount(MI_TAG_MDL, Bytes);
    }
    return ExAllocatePoolWithTag(NonPagedPoolNx, Bytes, MI_TAG_MDL);
}

/* IoAllocateMdl for no packet. The pool's hot path stands inline here, where pool type and tag are constants. */
static inline __attribute__((always_inline)) MDL *IopAllocateMdl(void *Va, ULONG Length)
{
    ULONG64 end;
    if (Length > MI_MDL_MAX_BYTES || (__builtin_add_overflow((ULONG64)Va, Length, &end) && end != 0)) {
        return NULL;
    }
    SIZE_T   pageCount = (BYTE_OFFSET(Va) + (SIZE_T)Length + (PAGE_SIZE - 1)) >> PAGE_SHIFT;
    SIZE_T   mdlBytes = sizeof(MDL) + pageCount * sizeof(PFN_NUMBER);
    EXP_MISS miss;
    MDL     *mdl = ExpPopCached(NonPagedPoolNx, mdlBytes, MI_TAG_MDL, &miss);
    if (mdl == NULL) {
        mdl = IopAllocateFromPool(mdlBytes, miss);
    }
    if (mdl == NULL) {
        return NULL;
    }
    MiFormatMdlOf(mdl, mdlBytes, Va, Length);
    if (mdlBytes > sizeof(*mdl)) {
        MiMdlFrames(mdl)[0] = MI_PFN_NONE; /* whoever maps it before it is locked is told so */
    }
    return mdl;
}

static DECLSPEC_NOINLINE MDL *IopAllocateLinkedMdl(void *Va, ULONG Length, IRP *Irp, IOP_MDL_PLACE Place)
{
    MDL *mdl = IopAllocateMdl(Va, Length);
    if (mdl != NULL) {
        IopLinkMdl(Irp, mdl, Place);
    }
    return mdl;
}

/*
 * An MDL over [VirtualAddress, VirtualAddress + Length), its frames not filled in; linked to Irp if there is one.
 *
 * => IRQL <= DISPATCH_LEVEL. NULL: pool is out, the range is longer than an MDL can say, or it wraps.
 */
PMDL NTAPI IoAllocateMdl(PVOID VirtualAddress, ULONG Length, BOOLEAN SecondaryBuffer, BOOLEAN ChargeQuota, PIRP Irp)
{
    UNREFERENCED_PARAMETER(ChargeQuota);
    if (Irp != NULL) {
        return IopAllocateLinkedMdl(VirtualAddress, Length, Irp, SecondaryBuffer ? IopMdlSecondary : IopMdlPrimary);
    }
    return IopAllocateMdl(VirtualAddress, Length);
}

/*
 * Has Mdl's storage room for PageCount frames? Size says it, unless it wrapped: then the storage is a large pool block,
 * and the pool knows.
 */
static bool IopHasRoom(const MDL *Mdl, SIZE_T PageCount)
{
    SIZE_T needed = sizeof(MDL) + PageCount * sizeof(PFN_NUMBER);
    if (needed <= (USHORT)Mdl->Size) {
        return true;
    }
    SIZE_T blockBytes = ExpQueryBlockBytes(Mdl);
    return blockBytes > MAXUSHORT && needed <= blockBytes;
}

/*
 * Make TargetMdl describe [VirtualAddress, VirtualAddress + Length) of SourceMdl, in the source's own addresses; Length
 * 0: up to the source's end. The target's state before does not matter and is lost.
 *
 * => IRQL <= DISPATCH_LEVEL. A range that is not inside the source is bug check 0x12E, a target too small for it 0x40.
 */
VOID NTAPI IoBuildPartialMdl(PMDL SourceMdl, PMDL TargetMdl, PVOID VirtualAddress, ULONG Length)
{
    const UCHAR *sourceVa = MmGetMdlVirtualAddress(SourceMdl);
    ULONG64      offset = (ULONG64)((const UCHAR *)VirtualAddress - sourceVa);
    if (offset > SourceMdl->ByteCount || Length > SourceMdl->ByteCount - offset) {
        KeBugCheckEx(INVALID_MDL_RANGE, (ULONG_PTR)SourceMdl, (ULONG_PTR)TargetMdl, (ULONG_PTR)VirtualAddress, Length);
    }
    ULONG  byteCount = Length != 0 ? Length : (ULONG)(SourceMdl->ByteCount - offset);
    SIZE_T pageCount = MiSpanPages(VirtualAddress, byteCount);
    if (!IopHasRoom(TargetMdl, pageCount)) {
        KeBugCheckEx(TARGET_MDL_TOO_SMALL, 0, 0, 0, 0);
    }

    ULONG sourceFlags = MiMdlFlags(SourceMdl);
    ULONG flags = MDL_PARTIAL | (sourceFlags & (MDL_IO_SPACE | MDL_IO_PAGE_READ | MDL_WRITE_OPERATION));
    void *systemVa = NULL;
    if ((sourceFlags & MDL_SOURCE_IS_NONPAGED_POOL) != 0) {
        flags |= MDL_SOURCE_IS_NONPAGED_POOL;
        systemVa = (UCHAR *)SourceMdl->MappedSystemVa + offset;
    } else if ((sourceFlags & MDL_MAPPED_TO_SYSTEM_VA) != 0) {
        flags |= MDL_MAPPED_TO_SYSTEM_VA | MDL_PARENT_MAPPED_SYSTEM_VA;
        systemVa = (UCHAR *)SourceMdl->MappedSystemVa + offset;
    }
    TargetMdl->MdlFlags = (CSHORT)flags;
    TargetMdl->Process = SourceMdl->Process;
    TargetMdl->MappedSystemVa = systemVa;
    TargetMdl->StartVa = PAGE_ALIGN(VirtualAddress);
    TargetMdl->ByteOffset = BYTE_OFFSET(VirtualAddress);
    TargetMdl->ByteCount = byteCount;
    SIZE_T firstPage = (SourceMdl->ByteOffset + offset) >> PAGE_SHIFT;
    (RtlMoveMemory)(MiMdlFrames(TargetMdl), MiMdlFrames(SourceMdl) + firstPage, pageCount * sizeof(PFN_NUMBER));
}

/* Free an MDL that owns a mapping, as a partial MDL may: release that first. */
static DECLSPEC_NOINLINE void IopFreeMappedMdl(MDL *Mdl)
{
    if (ExpQueryBlockBytes(Mdl) != 0) {
        if ((MiMdlFlags(Mdl) & MDL_PARTIAL) == 0) {
            DbgPrint("IoFreeMdl: MDL %p is still mapped at %p by a driver that has to unmap it\n", Mdl,
                     Mdl->MappedSystemVa);
        }
        MmUnmapLockedPages(Mdl->MappedSystemVa, Mdl);
    }
    ExFreePool(Mdl);
}

/*
 * Free one MDL, not its chain. Its pages are unlocked before; a mapping that a partial MDL owns is released here.
 *
 * => IRQL <= DISPATCH_LEVEL. What is no block of the pool, or no longer, is the pool's bug check.
 */
VOID NTAPI IoFreeMdl(PMDL Mdl)
{
    const ULONG mapped = MDL_MAPPED_TO_SYSTEM_VA | MDL_PARENT_MAPPED_SYSTEM_VA;
    if ((MiMdlFlags(Mdl) & mapped) == MDL_MAPPED_TO_SYSTEM_VA) {
        IopFreeMappedMdl(Mdl);
    } else {
        ExFreePool(Mdl);
    }
}
