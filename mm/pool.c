/*
 * Pool: the driver's interface.
 *
 * Blocks of up to EXP_MAX_SMALL_BYTES are cut from pages (poolblock.c); larger ones are whole pages (poolbig.c), so a
 * block of a page or more is page-aligned, a smaller one is 16-byte aligned and never crosses a page. Three pools:
 * NonPagedPool, whose pages are executable, NonPagedPoolNx, and PagedPool, which is resident but whose rules hold all
 * the same: APC_LEVEL at most. The first two share a region of addresses.
 *
 * Checks. Every broken rule of allocation and every bad free ends in Windows' bug check with its parameters. A failed
 * allocation returns NULL, or raises STATUS_INSUFFICIENT_RESOURCES where the caller asked for that.
 *
 * Left out: quota is accepted and nobody is charged; session pool is the system's.
 */
#include "mm/pool.h"

#include "kernel/ke/bugcheck.h"
#include "kernel/rtl/cmdline.h"
#include "kernel/rtl/image.h"
#include "kernel/rtl/memory.h"
#include "kernel/rtl/stackwalk.h"
#include "mm/pfn.h"
#include "mm/poolbig.h"
#include "mm/poolcache.h"
#include "mm/poolcodes.h"
#include "mm/poolhot.h"

#define EXP_TAG_DEFAULT   0x656E6F4Eu /* "None" */
#define EXP_TAG_BIG_BLANK 0x20474942u /* "BIG ", reserved by the system */
#define EXP_TAG_BIG       0x00474942u /* "BIG" */

#define EXP_CACHE_LINE_GRANULES 4u
#define EXP_REQUESTER_FRAMES    16u

/* pool_flags.md: the low half must be honoured, the high half may be ignored. */
#define EXP_FLAGS_REQUIRED 0x00000000FFFFFFFFull
#define EXP_FLAGS_KNOWN                                                                            \
    (POOL_FLAG_USE_QUOTA | POOL_FLAG_UNINITIALIZED | POOL_FLAG_SESSION | POOL_FLAG_CACHE_ALIGNED | \
     POOL_FLAG_RAISE_ON_FAILURE | POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED)

/* Counts down to the allocation that fails; 0 or less: none. */
static volatile LONG64 ExpFailCountdown;

void MiInitializePool(void)
{
    MiInitializePoolPages();
    ExpInitializeBlocks();
    ExpInitializeCaches();
    ExpFailAllocation(KiOptions.FailAllocation);
}

void ExpFailAllocation(ULONG64 N)
{
    _InterlockedExchange64(&ExpFailCountdown, (LONG64)N);
    ExpSetCaching(N != 0 || KiOptions.CheckAll ? ExpCacheNothing : ExpCacheBlocks);
}

static bool ExpIsToFail(void)
{
    return ExpFailCountdown > 0 && _InterlockedDecrement64(&ExpFailCountdown) == 0;
}

static bool ExpHasLetterOrDigit(ULONG Tag)
{
    for (ULONG shift = 0; shift < 32; shift += 8) {
        UCHAR byte = (UCHAR)(Tag >> shift) & 0x7Fu; /* the top bit of the last marks a protected block */
        UCHAR letter = byte | 0x20u;
        if ((byte >= '0' && byte <= '9') || (letter >= 'a' && letter <= 'z')) {
            return true;
        }
    }
    return false;
}

/* May the classic routines be given Tag? Only such tags are counted by processors, so one that is counted may. */
static bool ExpIsPlainTag(ULONG Tag)
{
    return Tag != EXP_TAG_BIG && Tag != EXP_TAG_BIG_BLANK && ExpHasLetterOrDigit(Tag);
}

static void ExpCheckIrql(ULONG SubCode, ULONG Type, ULONG_PTR P4)
{
    KIRQL irql = KeGetCurrentIrql();
    if (irql > ((Type & EXP_TYPE_PAGED) != 0 ? APC_LEVEL : DISPATCH_LEVEL)) {
        KeBugCheckEx(BAD_POOL_CALLER, SubCode, irql, Type, P4);
    }
}

/* Who asked, for a report: the first frame outside the kernel, or Caller where there is none. */
static ULONG_PTR ExpFindRequester(const void *Caller)
{
    PVOID frames[EXP_REQUESTER_FRAMES];
    ULONG count = RtlWalkFrameChain(frames, RTL_NUMBER_OF(frames), 0);
    for (ULONG i = 0; i < count; i++) {
        const RTLP_IMAGE *image = RtlpFindImage(frames[i]);
        if (image != NULL && image != &KiKernelImage) {
            return (ULONG_PTR)frames[i];
        }
    }
    return (ULONG_PTR)Caller;
}

/* What the classic routines demand of their caller. */
static void ExpCheckRequest(ULONG Type, SIZE_T Bytes, ULONG Tag, const void *Caller)
{
    if ((Type & EXP_TYPE_MUST_SUCCEED) != 0) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_MUST_SUCCEED, Type, Bytes, Tag);
    }
    if (Tag == 0) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_TAG_ZERO, Type, Bytes, ExpFindRequester(Caller));
    }
    if (Tag == EXP_TAG_BIG || Tag == EXP_TAG_BIG_BLANK) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_TAG_BIG, Type, Bytes, ExpFindRequester(Caller));
    }
    if (!ExpHasLetterOrDigit(Tag)) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_TAG_STRANGE, Tag, Type, ExpFindRequester(Caller));
    }
    if (Bytes == 0) {
        DbgPrint("pool: %p asked for 0 bytes\n", (void *)ExpFindRequester(Caller));
    }
}

static MI_POOL_KIND ExpKindOf(ULONG Type)
{
    if ((Type & EXP_TYPE_PAGED) != 0) {
        return MiPoolPaged;
    }
    return (Type & EXP_TYPE_NX) != 0 ? MiPoolNonPagedNx : MiPoolNonPagedExecute;
}

static void *ExpAllocateFrom(MI_POOL_KIND Kind, SIZE_T Bytes, ULONG AlignGranules, ULONG Tag)
{
    ULONG granules = Bytes <= EXP_MAX_SMALL_BYTES ? ExpGranulesOf(Bytes) : EXP_PAGE_GRANULES;
    if (granules + AlignGranules - 1 > EXP_MAX_GRANULES) {
        return ExpAllocateBigBlock(Kind, Bytes, Tag);
    }
    void *block = NULL;
    if (AlignGranules == 1 && ExpIsPlainTag(Tag)) {
        block = ExpRefillAndPop(&ExpPools[Kind], Bytes, Tag);
    }
    if (block == NULL) {
        block = ExpAllocateBlock(&ExpPools[Kind], granules, AlignGranules, Tag);
        if (block != NULL) {
            ExpChargeTag(Kind, Tag, granules * EXP_GRANULE_BYTES);
        }
    }
    return block;
}

/*
 * Contents unknown; NULL when memory is out, or when it is this allocation's turn to fail. What processors keep for
 * themselves is memory too: it is collected before the answer is no.
 */
static void *ExpAllocate(ULONG Type, SIZE_T Bytes, ULONG Tag)
{
    ExpCheckIrql(EXP_CALLER_ALLOCATE_IRQL, Type, Bytes);
    MI_POOL_KIND kind = ExpKindOf(Type);
    ULONG        align = (Type & EXP_TYPE_CACHE_ALIGNED) != 0 ? EXP_CACHE_LINE_GRANULES : 1;
    if (ExpIsToFail() || Bytes > MiRegionTable[MI_REGION_NONPAGED_POOL].Bytes) {
        return NULL;
    }
    void *block = ExpAllocateFrom(kind, max(Bytes, 1), align, Tag);
    if (block == NULL) {
        ExpTrimPool();
        block = ExpAllocateFrom(kind, max(Bytes, 1), align, Tag);
    }
    return block;
}

/* The failure edge of the routines that may raise. */
static void *ExpRaiseIfNull(void *P)
{
    if (P == NULL) {
        ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
    }
    return P;
}

static void *ExpAllocateClassic(ULONG Type, SIZE_T Bytes, ULONG Tag, const void *Caller)
{
    ExpCheckRequest(Type, Bytes, Tag, Caller);
    void *block = ExpAllocate(Type, Bytes, Tag);
    return (Type & POOL_RAISE_IF_ALLOCATION_FAILURE) != 0 ? ExpRaiseIfNull(block) : block;
}

static void *ExpAllocateQuota(ULONG Type, SIZE_T Bytes, ULONG Tag, const void *Caller)
{
    ExpCheckRequest(Type, Bytes, Tag, Caller);
    void *block = ExpAllocate(Type, Bytes, Tag);
    return (Type & POOL_QUOTA_FAIL_INSTEAD_OF_RAISE) != 0 ? block : ExpRaiseIfNull(block);
}

PVOID NTAPI ExAllocatePool(POOL_TYPE PoolType, SIZE_T NumberOfBytes)
{
    return ExpAllocateClassic((ULONG)PoolType, NumberOfBytes, EXP_TAG_DEFAULT, __builtin_return_address(0));
}

/* The rest of ExAllocatePoolWithTag, jumped to: it returns to the driver. */
static DECLSPEC_NOINLINE PVOID NTAPI ExpAllocateWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return ExpAllocateClassic((ULONG)PoolType, NumberOfBytes, Tag, __builtin_return_address(0));
}

static DECLSPEC_NOINLINE PVOID NTAPI ExpAllocateCounted(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    ExpUncount(Tag, NumberOfBytes);
    __attribute__((musttail)) return ExpAllocateWithTag(PoolType, NumberOfBytes, Tag);
}

PVOID NTAPI ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    EXP_MISS miss;
    void    *block = ExpPopCached((ULONG)PoolType, NumberOfBytes, Tag, &miss);
    if (block != NULL) {
        return block;
    }
    if (miss == ExpMissedCounted) {
        __attribute__((musttail)) return ExpAllocateCounted(PoolType, NumberOfBytes, Tag);
    }
    __attribute__((musttail)) return ExpAllocateWithTag(PoolType, NumberOfBytes, Tag);
}

PVOID NTAPI ExAllocatePoolWithTagPriority(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag,
                                          EX_POOL_PRIORITY Priority)
{
    UNREFERENCED_PARAMETER(Priority);
    return ExpAllocateClassic((ULONG)PoolType, NumberOfBytes, Tag, __builtin_return_address(0));
}

PVOID NTAPI ExAllocatePoolWithQuota(POOL_TYPE PoolType, SIZE_T NumberOfBytes)
{
    return ExpAllocateQuota((ULONG)PoolType, NumberOfBytes, EXP_TAG_DEFAULT, __builtin_return_address(0));
}

PVOID NTAPI ExAllocatePoolWithQuotaTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag)
{
    return ExpAllocateQuota((ULONG)PoolType, NumberOfBytes, Tag, __builtin_return_address(0));
}

/*
 * The POOL_TYPE that Flags ask for; false: a flag that must be honoured is unknown, or not exactly one pool is named.
 */
static bool ExpTypeOfFlags(POOL_FLAGS Flags, ULONG *Type)
{
    if ((Flags & EXP_FLAGS_REQUIRED & ~EXP_FLAGS_KNOWN) != 0) {
        return false;
    }
    switch (Flags & (POOL_FLAG_NON_PAGED | POOL_FLAG_NON_PAGED_EXECUTE | POOL_FLAG_PAGED)) {
    case POOL_FLAG_NON_PAGED:
        *Type = EXP_TYPE_NX;
        break;
    case POOL_FLAG_NON_PAGED_EXECUTE:
        *Type = 0;
        break;
    case POOL_FLAG_PAGED:
        *Type = EXP_TYPE_PAGED;
        break;
    default:
        return false;
    }
    if ((Flags & POOL_FLAG_CACHE_ALIGNED) != 0) {
        *Type |= EXP_TYPE_CACHE_ALIGNED;
    }
    return true;
}

PVOID NTAPI ExAllocatePool2(POOL_FLAGS Flags, SIZE_T NumberOfBytes, ULONG Tag)
{
    ULONG type;
    void *block = NULL;
    if (ExpTypeOfFlags(Flags, &type) && NumberOfBytes != 0 && Tag != 0) {
        block = ExpAllocate(type, NumberOfBytes, Tag);
    }
    if (block != NULL && (Flags & POOL_FLAG_UNINITIALIZED) == 0) {
        (RtlZeroMemory)(block, NumberOfBytes);
    }
    return (Flags & POOL_FLAG_RAISE_ON_FAILURE) != 0 ? ExpRaiseIfNull(block) : block;
}

static ULONG_PTR ExpPageOffset(const void *P)
{
    ULONG64 base = MiIsPagedPool(P) ? MI_BASE_OF(PAGED_POOL) : MI_BASE_OF(NONPAGED_POOL);
    return ((ULONG64)P - base) >> PAGE_SHIFT;
}

/* No block that could be freed starts at P, which lies in a pool's region: say why as exactly as can be. */
static DECLSPEC_NORETURN void ExpExplainBadAddress(const void *P, MI_POOL_PAGE Page, PFN_NUMBER Frame,
                                                   const void *Owner)
{
    if (Page == MiPoolMapped && Owner == NULL) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_MIDDLE, (ULONG_PTR)P, 0, ExpPageOffset(P));
    }
    if (MiIsPagedPool(P)) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_PAGED, (ULONG_PTR)P, ExpPageOffset(P),
                     MiRegionTable[MI_REGION_PAGED_POOL].Bytes);
    }
    if (Page == MiPoolMapped) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_NONPAGED, (ULONG_PTR)P, Frame, MiHighestFrame);
    }
    if (BYTE_OFFSET(P) == 0) {
        KeBugCheckEx(BAD_POOL_HEADER, EXP_BAD_NO_ENTRY, (ULONG_PTR)P, 0, 0);
    }
    KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_NONPAGED_GONE, (ULONG_PTR)P, 0, 0);
}

static void ExpCheckFree(const void *P)
{
    if (P == NULL) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_INVALID, 0, 0, 0);
    }
    if (MiIsUserAddress(P)) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_USER, (ULONG_PTR)P, MI_SYSTEM_START, 0);
    }
    ExpCheckIrql(EXP_CALLER_FREE_IRQL, MiIsPagedPool(P) ? EXP_TYPE_PAGED : 0, (ULONG_PTR)P);
}

/* A page-aligned address: a large block, or a mistake. */
static void ExpFreeLarge(void *P, ULONG Tag, MI_POOL_PAGE Page, PFN_NUMBER Frame, const void *Owner)
{
    EXP_BIG_BLOCK block;
    bool          isKnown = ExpFindBigBlock(P, &block);
    if (isKnown && Tag != 0 && Tag != block.Tag) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_WRONG_TAG, (ULONG_PTR)P, block.Tag, Tag);
    }
    if (!isKnown || !ExpFreeBigBlock(P)) {
        ExpExplainBadAddress(P, Page, Frame, Owner);
    }
}

static void ExpFreeSmall(EXP_POOL *Pool, void *P, ULONG Tag)
{
    ULONG  tag = ExpCheckFreedBlock(Pool, P, Tag);
    SIZE_T bytes = ((POOL_HEADER *)P - 1)->BlockSize * EXP_GRANULE_BYTES;
    if (!ExpIsPlainTag(tag) || !ExpSpillAndPush(Pool, P, tag)) {
        ExpFreeBlock(Pool, P);
        ExpReturnTag(Pool->Kind, tag, bytes);
    }
}

/* Free whatever P is, or say what it is not. */
static DECLSPEC_NOINLINE void ExpFree(void *P, ULONG Tag)
{
    void      *owner = NULL;
    PFN_NUMBER frame = 0;
    ExpCheckFree(P);
    MI_POOL_PAGE page = MiClassifyPoolAddress(P, &owner, &frame);
    if (page == MiNotPool) {
        KeBugCheckEx(BAD_POOL_CALLER, EXP_CALLER_NOT_POOL, (ULONG_PTR)P, 0, 0);
    }
    if (BYTE_OFFSET(P) == 0) {
        ExpFreeLarge(P, Tag, page, frame, owner);
    } else if (page == MiPoolMapped && owner != NULL) {
        ExpFreeSmall(owner, P, Tag);
    } else {
        ExpExplainBadAddress(P, page, frame, owner);
    }
}

VOID NTAPI ExFreePool(PVOID P)
{
    if (!ExpPushCached(P, ExpMatchAny, 0)) {
        ExpFree(P, 0);
    }
}

VOID NTAPI ExFreePoolWithTag(PVOID P, ULONG Tag)
{
    if (!ExpPushCached(P, ExpMatchTag, Tag)) {
        Tag != 0 ? ExpFree(P, Tag) : ExFreePool(P);
    }
}

SIZE_T ExpQueryBlockBytes(const void *P)
{
    void         *owner;
    PFN_NUMBER    frame;
    EXP_BIG_BLOCK block;
    if (MiClassifyPoolAddress(P, &owner, &frame) != MiPoolMapped) {
        return 0;
    }
    if (BYTE_OFFSET(P) == 0) {
        return ExpFindBigBlock(P, &block) ? block.Bytes : 0;
    }
    return owner != NULL ? ExpSmallBlockBytes(owner, P) : 0;
}

void ExpTrimPool(void)
{
    ExpEmptyCaches();
    ExpTrimBlocks();
}

void ExpCheckPool(void)
{
    ExpCheckBlocks();
    ExpCheckBigBlocks();
}
