/*
 * Regions of PTEs.
 *
 * Problem. Hand out runs of consecutive entries, from one to millions, in a region of up to 32 Mi entries, at
 * DISPATCH_LEVEL, without memory that grows with the region and without losing long runs to fragments.
 *
 * Terms. A run is a maximal row of free entries that lies below the tail; the tail is everything from an index up,
 * free and never listed. An index counts entries from the region's base; links hold index + 1, so that 0 ends a list.
 *
 * Representation. A run describes itself in its own entries (Kind MiPteFreeSystem), bits 5 and 4 saying which role
 * they play:
 *
 *     first entry   | next 63..38 | previous 37..12 | 0 | role: head, or single for a run of one | Kind | 0 |
 *     second, last  | entries in the run 63..12 ........ | role: length                          | Kind | 0 |
 *
 * In a run of two the second is the last. All other entries of a run are zero. An entry of that Kind without a role is
 * the first of a run that is reserved as far as the region knows, and lies in a cache (sysptecache.c). Runs are listed
 * by size, one list for each power of two, with a word that says which lists are not empty. Tables come to be as the
 * tail moves up and stay.
 *
 * Invariants. No run ends where another begins, nor at the tail: a release merges both ways, or lowers the tail.
 * A reserved run's entries never have a role, so a neighbour can be told by one load. What is listed or beyond the tail
 * is not in any TLB: MiReleasePtes demands the flush of its caller.
 *
 * Locking and IRQL. One spin lock a region, taken at DISPATCH_LEVEL or below. Making tables takes LOCK_TABLES and
 * LOCK_PFN inside it.
 *
 * Cost. Release is constant. Reserving looks at no more than MI_FIT_LOOKS runs of the request's own size class, then
 * takes any run of a higher one, then the tail; only when all that fails is the class searched to its end.
 *
 * Left out. Runs that wait for their flush, and caches of short ones: sysptecache.c, for the system's own region.
 */
#include "mm/syspte.h"

#define MI_LINK_BITS      26u
#define MI_LINK_MASK      ((1ull << MI_LINK_BITS) - 1)
#define MI_PREVIOUS_SHIFT 12u
#define MI_NEXT_SHIFT     (MI_PREVIOUS_SHIFT + MI_LINK_BITS)
#define MI_LENGTH_SHIFT   12u
#define MI_ROLE_SHIFT     4u
#define MI_ROLE_MASK      0x30ull
#define MI_FIT_LOOKS      16u

C_ASSERT(MI_NEXT_SHIFT + MI_LINK_BITS == 64);
C_ASSERT((128 * MI_GIB >> PAGE_SHIFT) == 1ull << (MI_PTE_BINS - 1));

typedef enum _MI_RUN_ROLE {
    MiRunNone = 0, /* not an entry that describes a run */
    MiRunHead,
    MiRunSingle,
    MiRunLength,
} MI_RUN_ROLE;

MI_PTE_REGION MiSystemPteRegion;

#define MI_REGION_LOCK_HELD __attribute__((requires_capability(Region->Lock)))

static MI_RUN_ROLE MiRoleOf(MMPTE Pte)
{
    if (MiPteIsValid(Pte) || MiPteKind(Pte) != MiPteFreeSystem) {
        return MiRunNone;
    }
    return (MI_RUN_ROLE)((Pte.Value & MI_ROLE_MASK) >> MI_ROLE_SHIFT);
}

static MMPTE MiMakeRunPte(MI_RUN_ROLE Role, ULONG64 Payload)
{
    return (MMPTE){ .Value = Payload | ((ULONG64)Role << MI_ROLE_SHIFT) | MiMakeSoftwarePte(MiPteFreeSystem, 0).Value };
}

static ULONG MiNextLink(const MMPTE *Head)
{
    return (ULONG)(Head->Value >> MI_NEXT_SHIFT & MI_LINK_MASK);
}

static ULONG MiPreviousLink(const MMPTE *Head)
{
    return (ULONG)(Head->Value >> MI_PREVIOUS_SHIFT & MI_LINK_MASK);
}

static void MiSetLinks(MMPTE *Head, MI_RUN_ROLE Role, ULONG Next, ULONG Previous)
{
    *Head = MiMakeRunPte(Role, (ULONG64)Next << MI_NEXT_SHIFT | (ULONG64)Previous << MI_PREVIOUS_SHIFT);
}

static ULONG MiRunLengthAt(const MMPTE *Head)
{
    return MiRoleOf(*Head) == MiRunSingle ? 1 : (ULONG)(Head[1].Value >> MI_LENGTH_SHIFT);
}

static ULONG MiBinOf(ULONG PteCount)
{
    ULONG bin = 0;
    _BitScanReverse(&bin, PteCount);
    return bin;
}

void MiInitializePteRegion(MI_PTE_REGION *Region, void *BaseVa, SIZE_T PteCount)
{
    NT_ASSERT(PteCount > 0 && PteCount <= 1ull << (MI_PTE_BINS - 1));
    *Region = (MI_PTE_REGION){
        .Base = MiPteOf(BaseVa),
        .PteCount = (ULONG)PteCount,
        .Lock = KI_LOCK_INIT(LOCK_SYSPTE),
    };
}

/* Make [First, First + PteCount) a listed run. Its entries are zero; no neighbour is free. */
static void MiListRunLocked(MI_PTE_REGION *Region, ULONG First, ULONG PteCount) MI_REGION_LOCK_HELD;

static void MiListRunLocked(MI_PTE_REGION *Region, ULONG First, ULONG PteCount)
{
    MMPTE *head = Region->Base + First;
    ULONG  bin = MiBinOf(PteCount);
    ULONG  next = Region->Bins[bin];
    MiSetLinks(head, PteCount == 1 ? MiRunSingle : MiRunHead, next, 0);
    if (PteCount > 1) {
        head[1] = MiMakeRunPte(MiRunLength, (ULONG64)PteCount << MI_LENGTH_SHIFT);
        head[PteCount - 1] = head[1];
    }
    if (next != 0) {
        MMPTE *nextHead = Region->Base + next - 1;
        MiSetLinks(nextHead, MiRoleOf(*nextHead), MiNextLink(nextHead), First + 1);
    }
    Region->Bins[bin] = First + 1;
    Region->BinsUsed |= 1u << bin;
    Region->FreeCount += PteCount;
    Region->RunCount++;
}

/* Take the run at First off its list and make all its entries zero; its length comes back. */
static ULONG MiUnlistRunLocked(MI_PTE_REGION *Region, ULONG First) MI_REGION_LOCK_HELD;

static ULONG MiUnlistRunLocked(MI_PTE_REGION *Region, ULONG First)
{
    MMPTE *head = Region->Base + First;
    ULONG  pteCount = MiRunLengthAt(head);
    ULONG  bin = MiBinOf(pteCount);
    ULONG  next = MiNextLink(head);
    ULONG  previous = MiPreviousLink(head);
    if (next != 0) {
        MMPTE *nextHead = Region->Base + next - 1;
        MiSetLinks(nextHead, MiRoleOf(*nextHead), MiNextLink(nextHead), previous);
    }
    if (previous != 0) {
        MMPTE *previousHead = Region->Base + previous - 1;
        MiSetLinks(previousHead, MiRoleOf(*previousHead), next, MiPreviousLink(previousHead));
    } else {
        Region->Bins[bin] = next;
        Region->BinsUsed &= ~((next == 0 ? 1u : 0u) << bin);
    }
    head[0].Value = 0;
    if (pteCount > 1) {
        head[1].Value = 0;
        head[pteCount - 1].Value = 0;
    }
    Region->FreeCount -= pteCount;
    Region->RunCount--;
    return pteCount;
}

/* A link to a run of Bin that holds PteCount, among the first LookLimit of its list; 0: none. */
static ULONG MiSearchBinLocked(MI_PTE_REGION *Region, ULONG Bin, ULONG PteCount, ULONG LookLimit) MI_REGION_LOCK_HELD;

static ULONG MiSearchBinLocked(MI_PTE_REGION *Region, ULONG Bin, ULONG PteCount, ULONG LookLimit)
{
    ULONG link = Region->Bins[Bin];
    for (ULONG looks = 0; link != 0 && looks < LookLimit; looks++) {
        const MMPTE *head = Region->Base + link - 1;
        if (MiRunLengthAt(head) >= PteCount) {
            return link;
        }
        link = MiNextLink(head);
    }
    return 0;
}

/* Cut PteCount entries from the front of the run that Link names. */
static MMPTE *MiCutRunLocked(MI_PTE_REGION *Region, ULONG Link, ULONG PteCount) MI_REGION_LOCK_HELD;

static MMPTE *MiCutRunLocked(MI_PTE_REGION *Region, ULONG Link, ULONG PteCount)
{
    ULONG first = Link - 1;
    ULONG runCount = MiUnlistRunLocked(Region, first);
    if (runCount > PteCount) {
        MiListRunLocked(Region, first + PteCount, runCount - PteCount);
    }
    return Region->Base + first;
}

static MMPTE *MiCutTailLocked(MI_PTE_REGION *Region, ULONG PteCount) MI_REGION_LOCK_HELD;

static MMPTE *MiCutTailLocked(MI_PTE_REGION *Region, ULONG PteCount)
{
    MMPTE *first = Region->Base + Region->Tail;
    ULONG  newTail = Region->Tail + PteCount;
    if (PteCount > Region->PteCount - Region->Tail) {
        return NULL;
    }
    if (newTail > Region->TablesEnd) {
        const void *firstVa = MiVaOfPte(Region->Base + Region->TablesEnd);
        if (!NT_SUCCESS(MiMakeTables(firstVa, MiVaOfPte(Region->Base + newTail - 1)))) {
            return NULL;
        }
        Region->TablesEnd = newTail;
    }
    Region->Tail = newTail;
    return first;
}

static MMPTE *MiReservePtesLocked(MI_PTE_REGION *Region, ULONG PteCount) MI_REGION_LOCK_HELD;

static MMPTE *MiReservePtesLocked(MI_PTE_REGION *Region, ULONG PteCount)
{
    ULONG bin = MiBinOf(PteCount);
    ULONG link = MiSearchBinLocked(Region, bin, PteCount, MI_FIT_LOOKS);
    ULONG higherBin = 0;
    if (link == 0 && _BitScanForward(&higherBin, Region->BinsUsed & ~((2u << bin) - 1))) {
        link = Region->Bins[higherBin];
    }
    if (link == 0) {
        MMPTE *first = MiCutTailLocked(Region, PteCount);
        if (first != NULL) {
            return first;
        }
        link = MiSearchBinLocked(Region, bin, PteCount, MAXULONG);
    }
    return link != 0 ? MiCutRunLocked(Region, link, PteCount) : NULL;
}

MMPTE *MiReservePtes(MI_PTE_REGION *Region, PFN_COUNT PteCount)
{
    IRQL_MAX(DISPATCH_LEVEL);
    if (PteCount == 0 || PteCount > Region->PteCount) {
        return NULL;
    }
    KIRQL  oldIrql = KiAcquireLock(&Region->Lock);
    MMPTE *first = MiReservePtesLocked(Region, PteCount);
    KiReleaseLock(&Region->Lock, oldIrql);
    return first;
}

static void MiReleasePtesLocked(MI_PTE_REGION *Region, ULONG First, ULONG PteCount) MI_REGION_LOCK_HELD;

static void MiReleasePtesLocked(MI_PTE_REGION *Region, ULONG First, ULONG PteCount)
{
    ULONG end = First + PteCount;
    NT_ASSERT(end <= Region->Tail);
    if (First > 0) {
        const MMPTE *before = Region->Base + First - 1;
        MI_RUN_ROLE  role = MiRoleOf(*before);
        if (role != MiRunNone) {
            First -= role == MiRunSingle ? 1 : (ULONG)(before->Value >> MI_LENGTH_SHIFT);
            MiUnlistRunLocked(Region, First);
        }
    }
    if (end < Region->Tail && MiRoleOf(Region->Base[end]) != MiRunNone) {
        end += MiUnlistRunLocked(Region, end);
    }
    if (end == Region->Tail) {
        Region->Tail = First;
    } else {
        MiListRunLocked(Region, First, end - First);
    }
}

void MiReleasePtes(MI_PTE_REGION *Region, MMPTE *First, PFN_COUNT PteCount)
{
    IRQL_MAX(DISPATCH_LEVEL);
    NT_ASSERT(PteCount > 0 && MiIsPteOfRegion(Region, First) && MiAreZeroPtes(First, PteCount));
    KIRQL oldIrql = KiAcquireLock(&Region->Lock);
    MiReleasePtesLocked(Region, (ULONG)(First - Region->Base), PteCount);
    KiReleaseLock(&Region->Lock, oldIrql);
}

bool MiAreZeroPtes(const MMPTE *First, PFN_COUNT PteCount)
{
    for (PFN_COUNT index = 0; index < PteCount; index++) {
        if (MiReadPte(&First[index]).Value != 0) {
            return false;
        }
    }
    return true;
}

SIZE_T MiFreePteCount(const MI_PTE_REGION *Region)
{
    return (SIZE_T)Region->FreeCount + (Region->PteCount - Region->Tail);
}

SIZE_T MiTotalPteCount(const MI_PTE_REGION *Region)
{
    return Region->PteCount;
}

/* The longest listed run is in the highest list that is not empty. */
static ULONG MiLongestRunLocked(MI_PTE_REGION *Region) MI_REGION_LOCK_HELD;

static ULONG MiLongestRunLocked(MI_PTE_REGION *Region)
{
    ULONG longest = 0;
    ULONG bin;
    if (_BitScanReverse(&bin, Region->BinsUsed)) {
        for (ULONG link = Region->Bins[bin]; link != 0; link = MiNextLink(Region->Base + link - 1)) {
            longest = max(longest, MiRunLengthAt(Region->Base + link - 1));
        }
    }
    return longest;
}

SIZE_T MiLargestFreeRun(MI_PTE_REGION *Region)
{
    KIRQL oldIrql = KiAcquireLock(&Region->Lock);
    ULONG longest = max(MiLongestRunLocked(Region), Region->PteCount - Region->Tail);
    KiReleaseLock(&Region->Lock, oldIrql);
    return longest;
}

/* Every list: links both ways, runs in the right one; how many runs there are. */
static ULONG MiCheckBinsLocked(MI_PTE_REGION *Region) MI_REGION_LOCK_HELD;

static ULONG MiCheckBinsLocked(MI_PTE_REGION *Region)
{
    ULONG runCount = 0;
    for (ULONG bin = 0; bin < MI_PTE_BINS; bin++) {
        ULONG previous = 0;
        NT_ASSERT((Region->Bins[bin] != 0) == ((Region->BinsUsed >> bin & 1) != 0));
        for (ULONG link = Region->Bins[bin]; link != 0; link = MiNextLink(Region->Base + link - 1)) {
            const MMPTE *head = Region->Base + link - 1;
            NT_ASSERT(MiRoleOf(*head) == MiRunHead || MiRoleOf(*head) == MiRunSingle);
            NT_ASSERT(MiPreviousLink(head) == previous && MiBinOf(MiRunLengthAt(head)) == bin);
            previous = link;
            runCount++;
        }
    }
    return runCount;
}

static void MiCheckPteRegionLocked(MI_PTE_REGION *Region) MI_REGION_LOCK_HELD;

static void MiCheckPteRegionLocked(MI_PTE_REGION *Region)
{
    ULONG freeCount = 0;
    ULONG runCount = 0;
    bool  afterRun = false;
    for (ULONG index = 0; index < Region->Tail;) {
        const MMPTE *pte = Region->Base + index;
        bool         isRun = MiRoleOf(MiReadPte(pte)) != MiRunNone;
        ULONG        length = isRun ? MiRunLengthAt(pte) : 1;
        NT_ASSERT(!isRun || (!afterRun && length > 0 && index + length < Region->Tail));
        for (ULONG inner = 2; isRun && inner + 1 < length; inner++) {
            NT_ASSERT(pte[inner].Value == 0);
        }
        NT_ASSERT(!isRun || length == 1 || pte[length - 1].Value == pte[1].Value);
        freeCount += isRun ? length : 0;
        runCount += isRun ? 1 : 0;
        afterRun = isRun;
        index += length;
    }
    NT_ASSERT(freeCount == Region->FreeCount && runCount == Region->RunCount);
    NT_ASSERT(MiCheckBinsLocked(Region) == runCount);
    for (ULONG index = Region->Tail; index < Region->TablesEnd; index++) {
        NT_ASSERT(MiReadPte(&Region->Base[index]).Value == 0);
    }
}

void MiCheckPteRegion(MI_PTE_REGION *Region)
{
    KIRQL oldIrql = KiAcquireLock(&Region->Lock);
    MiCheckPteRegionLocked(Region);
    KiReleaseLock(&Region->Lock, oldIrql);
}
