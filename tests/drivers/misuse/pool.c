/*
 * misuse: the rows of pool.
 */
#include "misuse.h"

#define HIGH_ADDRESS_OFFSET 0x1000000000ull /* 64 GiB: far beyond what a pool of this run has in use */

/* Neighbours of one size, Before and After in use, so that Middle merges with nothing when it is freed. */
typedef struct _TRIPLE {
    UCHAR *Before;
    UCHAR *Middle;
    UCHAR *After;
} TRIPLE;

/* Blocks of a page cut in order: take some until three of them lie side by side. */
static TRIPLE MakeTriple(void)
{
    UCHAR *block[3] = { NULL };
    for (ULONG tries = 0; tries < 200; tries++) {
        block[0] = block[1];
        block[1] = block[2];
        block[2] = MisuseAllocate(NonPagedPoolNx, MISUSE_BYTES);
        if (block[0] != NULL && block[1] - block[0] == block[2] - block[1] && block[1] - block[0] == 128) {
            return (TRIPLE){ .Before = block[0], .Middle = block[1], .After = block[2] };
        }
    }
    MisuseRequire(FALSE);
    return (TRIPLE){ .Before = NULL };
}

static void RaiseTo(KIRQL Level)
{
    KIRQL old;
    KeRaiseIrql(Level, &old);
}

static void PagedAllocationAtDispatch(void)
{
    RaiseTo(DISPATCH_LEVEL);
    MisuseAllocate(PagedPool, MISUSE_BYTES);
}

static void AllocationAboveDispatch(void)
{
    RaiseTo(DISPATCH_LEVEL + 1);
    MisuseAllocate(NonPagedPoolNx, MISUSE_BYTES);
}

static void MustSucceedType(void)
{
    MisuseAllocate(NonPagedPoolMustSucceed, MISUSE_BYTES);
}

static void TagZero(void)
{
    MisuseRequire(ExAllocatePoolWithTag(NonPagedPoolNx, MISUSE_BYTES, 0) == NULL);
}

static void TagBig(void)
{
    MisuseRequire(ExAllocatePoolWithTag(NonPagedPoolNx, MISUSE_BYTES, ' GIB') == NULL);
}

static void TagWithoutLetters(void)
{
    MisuseRequire(ExAllocatePoolWithTag(NonPagedPoolNx, MISUSE_BYTES, '-+*/') == NULL);
}

static void QuotaRaises(void)
{
    MisuseRequire(ExAllocatePoolWithQuotaTag(NonPagedPoolNx, (SIZE_T)1 << 40, MISUSE_TAG) != NULL);
}

static void FailureRaises(void)
{
    POOL_TYPE type = (POOL_TYPE)(NonPagedPoolNx | POOL_RAISE_IF_ALLOCATION_FAILURE);
    MisuseRequire(ExAllocatePoolWithTag(type, (SIZE_T)1 << 40, MISUSE_TAG) != NULL);
}

static void DoubleFree(void)
{
    UCHAR *middle = MakeTriple().Middle;
    ExFreePoolWithTag(middle, MISUSE_TAG);
    ExFreePoolWithTag(middle, MISUSE_TAG);
}

static void WrongTag(void)
{
    ExFreePoolWithTag(MisuseAllocate(NonPagedPoolNx, MISUSE_BYTES), 'rehO');
}

static void PagedFreeAtDispatch(void)
{
    UCHAR *block = MisuseAllocate(PagedPool, MISUSE_BYTES);
    RaiseTo(DISPATCH_LEVEL);
    ExFreePool(block);
}

static void FreeAboveDispatch(void)
{
    UCHAR *block = MisuseAllocate(NonPagedPoolNx, MISUSE_BYTES);
    RaiseTo(DISPATCH_LEVEL + 1);
    ExFreePool(block);
}

static void FreeUserAddress(void)
{
    ExFreePool((PVOID)0x10000);
}

static void FreeNonPagedPageStart(void)
{
    ExFreePool(PAGE_ALIGN(MisuseAllocate(NonPagedPoolNx, MISUSE_BYTES)));
}

static void FreeOwnData(void)
{
    static ULONG data;
    ExFreePool(&data);
}

static void FreeNull(void)
{
    ExFreePool(NULL);
}

static void FreePagedNeverAllocated(void)
{
    ExFreePool(MisuseAllocate(PagedPool, MISUSE_BYTES) + HIGH_ADDRESS_OFFSET);
}

static void FreeMiddle(void)
{
    ExFreePool(MisuseAllocate(NonPagedPoolNx, MISUSE_BYTES) + 32);
}

static void FreeWhileLocked(void)
{
    UCHAR *block = MisuseAllocate(NonPagedPoolNx, PAGE_SIZE);
    PMDL   mdl = IoAllocateMdl(block, PAGE_SIZE, FALSE, FALSE, NULL);
    MisuseRequire(mdl != NULL);
    MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
    ExFreePool(block);
}

static void Overrun(void)
{
    TRIPLE triple = MakeTriple();
    RtlFillMemory(triple.Middle, 128, 0x41);
    ExFreePool(triple.Middle);
}

static void Underrun(void)
{
    TRIPLE triple = MakeTriple();
    triple.Middle[-16] = 0x7E;
    ExFreePool(triple.Before);
}

static void SizeZero(void)
{
    UCHAR *middle = MakeTriple().Middle;
    middle[-14] = 0;
    ExFreePool(middle);
}

static void UseAfterFree(void)
{
    UCHAR *middle = MakeTriple().Middle;
    ExFreePool(middle);
    RtlFillMemory(middle, 16, 0x41);
    MisuseAllocate(NonPagedPoolNx, MISUSE_BYTES);
}

static void OverrunIntoFreeBlock(void)
{
    TRIPLE triple = MakeTriple();
    ExFreePool(triple.Middle);
    RtlFillMemory(triple.Middle - 16, 4, 0x41);
    MisuseAllocate(NonPagedPoolNx, MISUSE_BYTES);
}

const MISUSE PoolMisuses[] = {
    { "M257", PagedAllocationAtDispatch },
    { "M258", AllocationAboveDispatch },
    { "M259", MustSucceedType },
    { "M260", TagZero },
    { "M261", TagBig },
    { "M262", TagWithoutLetters },
    { "M268", QuotaRaises },
    { "M269", FailureRaises },
    { "M284", DoubleFree },
    { "M285", WrongTag },
    { "M286", PagedFreeAtDispatch },
    { "M287", FreeAboveDispatch },
    { "M288", FreeUserAddress },
    { "M289", FreeNonPagedPageStart },
    { "M290", FreeOwnData },
    { "M292", FreePagedNeverAllocated },
    { "M293", FreeMiddle },
    { "M303", FreeNull },
    { "M304", FreeWhileLocked },
    { "M311", Overrun },
    { "M313", Underrun },
    { "M315", SizeZero },
    { "M316", UseAfterFree },
    { "M318", OverrunIntoFreeBlock },
    { NULL, NULL },
};
