/*
 * Tracked entries of pool.
 */
#include "io/tracker/entries.h"

#define VF_DEFAULT_TAG 'enoN' /* what ExAllocatePool gives its blocks: "None" */

static PVOID VfRecordBlock(PVOID Block, SIZE_T NumberOfBytes, ULONG Tag, const void *Caller)
{
    if (Block != NULL) {
        VfRecord(&(VF_RESOURCE){ .Kind = VfPoolBlock, .Address = Block, .ByteCount = NumberOfBytes, .Detail = Tag },
                 Caller);
    }
    return Block;
}

/* An MDL of IoAllocateMdl is pool as well, and some drivers free it as such. */
void VfForgetBlock(const void *Block)
{
    if (!VfForget(VfPoolBlock, Block)) {
        VfForget(VfMdl, Block);
    }
}

PVOID NTAPI VfTrackExAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes)
{
    return VfRecordBlock(ExAllocatePool(PoolType, NumberOfBytes), NumberOfBytes, VF_DEFAULT_TAG, VF_CALLER());
}

PVOID NTAPI VfTrackExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return VfRecordBlock(ExAllocatePoolWithTag(PoolType, NumberOfBytes, Tag), NumberOfBytes, Tag, VF_CALLER());
}

PVOID NTAPI VfTrackExAllocatePoolWithTagPriority(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag,
                                                 EX_POOL_PRIORITY Priority)
{
    PVOID block = ExAllocatePoolWithTagPriority(PoolType, NumberOfBytes, Tag, Priority);
    return VfRecordBlock(block, NumberOfBytes, Tag, VF_CALLER());
}

PVOID NTAPI VfTrackExAllocatePoolWithQuota(POOL_TYPE PoolType, SIZE_T NumberOfBytes)
{
    return VfRecordBlock(ExAllocatePoolWithQuota(PoolType, NumberOfBytes), NumberOfBytes, VF_DEFAULT_TAG, VF_CALLER());
}

PVOID NTAPI VfTrackExAllocatePoolWithQuotaTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return VfRecordBlock(ExAllocatePoolWithQuotaTag(PoolType, NumberOfBytes, Tag), NumberOfBytes, Tag, VF_CALLER());
}

PVOID NTAPI VfTrackExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag)
{
    return VfRecordBlock(ExAllocatePool2(Flags, NumberOfBytes, Tag), NumberOfBytes, Tag, VF_CALLER());
}

VOID NTAPI VfTrackExFreePool(PVOID P)
{
    VfForgetBlock(P);
    ExFreePool(P);
}

VOID NTAPI VfTrackExFreePoolWithTag(PVOID P, ULONG Tag)
{
    VfForgetBlock(P);
    ExFreePoolWithTag(P, Tag);
}
