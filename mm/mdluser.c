/*
 * Mappings of MDLs in user space.
 *
 * The addresses are a fixed range of the process (mm/virtual.h), which it can neither free nor protect, and the entries
 * are written here: never executable, without MI_PTE_OWNED, since the MDL's owner keeps the frames. The mapping holds
 * no reference: whoever unlocks the pages has to unmap them first, in this process. A process that ends takes the
 * mapping with it.
 *
 * Locking and IRQL. The process's SpaceLock for its entries; <= APC_LEVEL.
 */
#include "mm/mdluser.h"

#include "kernel/ke/tlb.h"
#include "mm/range.h"
#include "mm/virtual.h"

#define MI_UNMAP_NOT_RESERVED 0x303u /* SYSTEM_PTE_MISUSE: P2 first mapping, P3 count */

NTSTATUS MiMapToUser(MDL *Mdl, const MI_MAPPING *Mapping, PVOID RequestedAddress, PVOID *Va)
{
    IRQL_MAX(APC_LEVEL);
    EPROCESS *process = MiCurrentProcess();
    if (process == &MiSystemProcess) {
        return STATUS_NOT_SUPPORTED;
    }
    MI_MAPPING mapping = *Mapping;
    mapping.PteBits = (mapping.PteBits & ~X86_PTE_G) | X86_PTE_US | X86_PTE_NX;
    ULONG    protect = (mapping.PteBits & X86_PTE_RW) != 0 ? PAGE_READWRITE : PAGE_READONLY;
    PVOID    base = PAGE_ALIGN(RequestedAddress);
    NTSTATUS status = MiReserveUserMapping(process, &base, MiMdlPageCount(Mdl), protect);
    if (!NT_SUCCESS(status)) {
        return status;
    }
    KIRQL irql = KiAcquireLock(&process->SpaceLock);
    MiWriteMapping(MiPteOf(base), Mdl, &mapping);
    KiReleaseLock(&process->SpaceLock, irql);
    *Va = (UCHAR *)base + Mdl->ByteOffset;
    return STATUS_SUCCESS;
}

VOID MiUnmapFromUser(PVOID Va, MDL *Mdl)
{
    IRQL_MAX(APC_LEVEL);
    EPROCESS *process = MiCurrentProcess();
    ULONG64   first = (ULONG64)PAGE_ALIGN(Va);
    PFN_COUNT pageCount = MiMdlPageCount(Mdl);

    KIRQL           irql = KiAcquireLock(&process->SpaceLock);
    const MI_RANGE *range = process == &MiSystemProcess ? NULL : MiFindRangeLocked(process, first);
    if (range == NULL || range->Fixed == 0 || range->First != first ||
        range->End - first != (ULONG64)pageCount * PAGE_SIZE) {
        KeBugCheckEx(SYSTEM_PTE_MISUSE, MI_UNMAP_NOT_RESERVED, first, pageCount, 0);
    }
    (void)MiClearMappingNoFlush(MiPteOf(Va), Mdl);
    KiFlushProcessRange(&process->Pcb, (const void *)first, pageCount);
    KiReleaseLock(&process->SpaceLock, irql);
    MiReleaseUserMapping(process, (PVOID)first, pageCount);
}
