/*
 * Tracked entries of mappings: of an MDL's pages, and of device memory. A mapping is known by its first page.
 * Every frame of an MDL is looked at before it is mapped, and every entry before it goes: the bare bodies do so only
 * where no flag vouches for the MDL.
 */
#include "io/tracker/entries.h"

#include "mm/iospace.h"
#include "mm/mdlmap.h"

static PVOID VfRecordMapping(PVOID BaseAddress, SIZE_T ByteCount, const MDL *Mdl, const void *Caller)
{
    if (BaseAddress != NULL) {
        VfRecord(&(VF_RESOURCE){ .Kind = VfMapping,
                                 .Address = PAGE_ALIGN(BaseAddress),
                                 .ByteCount = ByteCount,
                                 .Detail = (ULONG_PTR)Mdl },
                 Caller);
    }
    return BaseAddress;
}

void VfForgetMdlMapping(const MDL *Mdl, USHORT MappedFlag)
{
    if ((Mdl->MdlFlags & MappedFlag) != 0) {
        MiCheckMapping(Mdl->MappedSystemVa, Mdl);
        VfForget(VfMapping, PAGE_ALIGN(Mdl->MappedSystemVa));
    }
}

PVOID NTAPI VfTrackMmMapLockedPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode)
{
    MiCheckMdlFrames(MemoryDescriptorList);
    PVOID base = MmMapLockedPages(MemoryDescriptorList, AccessMode);
    return VfRecordMapping(base, MmGetMdlByteCount(MemoryDescriptorList), MemoryDescriptorList, VF_CALLER());
}

PVOID NTAPI VfTrackMmMapLockedPagesSpecifyCache(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode,
                                                MEMORY_CACHING_TYPE CacheType, PVOID BaseAddress,
                                                ULONG BugCheckOnFailure, MM_PAGE_PRIORITY Priority)
{
    MiCheckMdlFrames(MemoryDescriptorList);
    PVOID base = MmMapLockedPagesSpecifyCache(MemoryDescriptorList, AccessMode, CacheType, BaseAddress,
                                              BugCheckOnFailure, Priority);
    return VfRecordMapping(base, MmGetMdlByteCount(MemoryDescriptorList), MemoryDescriptorList, VF_CALLER());
}

VOID NTAPI VfTrackMmUnmapLockedPages(PVOID BaseAddress, PMDL MemoryDescriptorList)
{
    if (!MiIsUserAddress(BaseAddress)) {
        MiCheckMapping(BaseAddress, MemoryDescriptorList);
    }
    VfForget(VfMapping, PAGE_ALIGN(BaseAddress));
    MmUnmapLockedPages(BaseAddress, MemoryDescriptorList);
}

PVOID NTAPI VfTrackMmMapIoSpace(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, MEMORY_CACHING_TYPE CacheType)
{
    PVOID base = MmMapIoSpace(PhysicalAddress, NumberOfBytes, CacheType);
    return VfRecordMapping(base, NumberOfBytes, NULL, VF_CALLER());
}

PVOID NTAPI VfTrackMmMapIoSpaceEx(PHYSICAL_ADDRESS PhysicalAddress, SIZE_T NumberOfBytes, ULONG Protect)
{
    PVOID base = MmMapIoSpaceEx(PhysicalAddress, NumberOfBytes, Protect);
    return VfRecordMapping(base, NumberOfBytes, NULL, VF_CALLER());
}

VOID NTAPI VfTrackMmUnmapIoSpace(PVOID BaseAddress, SIZE_T NumberOfBytes)
{
    VfForget(VfMapping, PAGE_ALIGN(BaseAddress));
    MmUnmapIoSpace(BaseAddress, NumberOfBytes);
}
