/*
 * Questions about physical memory. Answers of a moment: nothing here keeps a page or a translation where it is.
 */
#include "mm/physical.h"

#include "kernel/ke/lock.h"

#define MI_RANGES_TAG 'hPmM'

PHYSICAL_ADDRESS NTAPI MmGetPhysicalAddress(PVOID BaseAddress)
{
    PHYSICAL_ADDRESS physical;
    return MiTranslate(BaseAddress, &physical) ? physical : (PHYSICAL_ADDRESS){ .QuadPart = 0 };
}

BOOLEAN NTAPI MmIsAddressValid(PVOID VirtualAddress)
{
    PHYSICAL_ADDRESS physical;
    return MiTranslate(VirtualAddress, &physical);
}

bool MiIsReadable(const void *Address, SIZE_T ByteCount)
{
    PHYSICAL_ADDRESS physical;
    const UCHAR     *end = (const UCHAR *)Address + ByteCount;
    if ((ULONG64)Address < MI_SYSTEM_START || end < (const UCHAR *)Address) {
        return false;
    }
    for (const UCHAR *page = PAGE_ALIGN(Address); page < end; page += PAGE_SIZE) {
        if (!MiTranslate(page, &physical)) {
            return false;
        }
    }
    return true;
}

BOOLEAN NTAPI MmIsNonPagedSystemAddressValid(PVOID VirtualAddress)
{
    return (ULONG64)VirtualAddress >= MI_SYSTEM_START && !MiIsInRegion(VirtualAddress, MI_REGION_PAGED_POOL) &&
           MmIsAddressValid(VirtualAddress);
}

PVOID NTAPI MmGetVirtualForPhysical(PHYSICAL_ADDRESS PhysicalAddress)
{
    PFN_NUMBER   frame = (PFN_NUMBER)((ULONG64)PhysicalAddress.QuadPart >> PAGE_SHIFT);
    const MMPTE *pte = MiIsRamFrame(frame) ? MiPfn(frame)->PteAddress : NULL;
    return pte != NULL ? (UCHAR *)MiVaOfPte(pte) + BYTE_OFFSET(PhysicalAddress.QuadPart) : NULL;
}

PPHYSICAL_MEMORY_RANGE NTAPI MmGetPhysicalMemoryRanges(VOID)
{
    IRQL_MAX(PASSIVE_LEVEL);
    SIZE_T                 byteCount = (MiRamRunCount + 1) * sizeof(PHYSICAL_MEMORY_RANGE);
    PHYSICAL_MEMORY_RANGE *ranges = ExAllocatePoolWithTag(NonPagedPool, byteCount, MI_RANGES_TAG);
    if (ranges == NULL) {
        return NULL;
    }
    for (ULONG index = 0; index < MiRamRunCount; index++) {
        ranges[index].BaseAddress.QuadPart = (LONGLONG)(MiRamRuns[index].FirstFrame << PAGE_SHIFT);
        ranges[index].NumberOfBytes.QuadPart = (LONGLONG)(MiRamRuns[index].FrameCount << PAGE_SHIFT);
    }
    ranges[MiRamRunCount] = (PHYSICAL_MEMORY_RANGE){ 0 };
    return ranges;
}
