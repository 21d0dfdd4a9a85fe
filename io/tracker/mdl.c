/*
 * Tracked entries of MDLs and of page locks.
 */
#include "io/tracker/entries.h"

#include "mm/pool.h"

#define VF_MDL_TAG ' ldM' /* of the structure that MmAllocatePagesForMdl makes: "Mdl " */

PMDL NTAPI VfTrackIoAllocateMdl(PVOID VirtualAddress, ULONG Length, BOOLEAN SecondaryBuffer, BOOLEAN ChargeQuota,
                                PIRP Irp)
{
    MDL *mdl = IoAllocateMdl(VirtualAddress, Length, SecondaryBuffer, ChargeQuota, Irp);
    if (mdl != NULL) {
        VfRecord(&(VF_RESOURCE){ .Kind = VfMdl, .Address = mdl, .ByteCount = Length }, VF_CALLER());
    }
    return mdl;
}

/* Allocates only when it is given no MDL. */
PMDL NTAPI VfTrackMmCreateMdl(PMDL MemoryDescriptorList, PVOID Base, SIZE_T Length)
{
    MDL *mdl = MmCreateMdl(MemoryDescriptorList, Base, Length);
    if (mdl != NULL && MemoryDescriptorList == NULL) {
        VfRecord(&(VF_RESOURCE){ .Kind = VfMdl, .Address = mdl, .ByteCount = Length }, VF_CALLER());
    }
    return mdl;
}

VOID NTAPI VfTrackIoFreeMdl(PMDL Mdl)
{
    if (ExpQueryBlockBytes(Mdl) != 0) { /* a freed one has no flags: its free is the pool's to stop */
        VfForgetMdlMapping(Mdl, MDL_PARTIAL_HAS_BEEN_MAPPED);
    }
    if (!VfForget(VfMdl, Mdl)) {
        VfForget(VfPoolBlock, Mdl); /* one that MmAllocatePagesForMdl made: its pages stay recorded */
    }
    IoFreeMdl(Mdl);
}

/* The pages and the structure are given back by two calls, so they are two records. */
static PMDL VfRecordPages(PMDL Mdl, const void *Caller)
{
    if (Mdl != NULL) {
        SIZE_T byteCount = MmGetMdlByteCount(Mdl);
        SIZE_T structureBytes = MmSizeOfMdl(NULL, byteCount);
        VfRecord(&(VF_RESOURCE){ .Kind = VfMdlPages, .Address = Mdl, .ByteCount = byteCount }, Caller);
        VfRecord(
            &(VF_RESOURCE){ .Kind = VfPoolBlock, .Address = Mdl, .ByteCount = structureBytes, .Detail = VF_MDL_TAG },
            Caller);
    }
    return Mdl;
}

PMDL NTAPI VfTrackMmAllocatePagesForMdl(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                        PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes)
{
    return VfRecordPages(MmAllocatePagesForMdl(LowAddress, HighAddress, SkipBytes, TotalBytes), VF_CALLER());
}

PMDL NTAPI VfTrackMmAllocatePagesForMdlEx(PHYSICAL_ADDRESS LowAddress, PHYSICAL_ADDRESS HighAddress,
                                          PHYSICAL_ADDRESS SkipBytes, SIZE_T TotalBytes, MEMORY_CACHING_TYPE CacheType,
                                          ULONG Flags)
{
    MDL *mdl = MmAllocatePagesForMdlEx(LowAddress, HighAddress, SkipBytes, TotalBytes, CacheType, Flags);
    return VfRecordPages(mdl, VF_CALLER());
}

VOID NTAPI VfTrackMmFreePagesFromMdl(PMDL MemoryDescriptorList)
{
    VfForgetMdlMapping(MemoryDescriptorList, MDL_MAPPED_TO_SYSTEM_VA);
    VfForget(VfMdlPages, MemoryDescriptorList);
    MmFreePagesFromMdl(MemoryDescriptorList);
}

/* When the body raises, nothing was locked and nothing is recorded. */
VOID NTAPI VfTrackMmProbeAndLockPages(PMDL MemoryDescriptorList, KPROCESSOR_MODE AccessMode, LOCK_OPERATION Operation)
{
    MmProbeAndLockPages(MemoryDescriptorList, AccessMode, Operation);
    VfRecord(&(VF_RESOURCE){ .Kind = VfLockedMdl,
                             .Address = MemoryDescriptorList,
                             .ByteCount = MmGetMdlByteCount(MemoryDescriptorList) },
             VF_CALLER());
}

VOID NTAPI VfTrackMmUnlockPages(PMDL MemoryDescriptorList)
{
    VfForgetMdlMapping(MemoryDescriptorList, MDL_MAPPED_TO_SYSTEM_VA);
    VfForget(VfLockedMdl, MemoryDescriptorList);
    MmUnlockPages(MemoryDescriptorList);
}
