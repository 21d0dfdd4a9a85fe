/*
 * Caches of system PTEs, and runs that wait for their flush.
 *
 * Problem. Each direct transfer maps and unmaps a few pages. It shall take no lock that CPUs share, and not interrupt
 * them all each time only so that an address may be used again.
 *
 * The guarantee, which other files refer to. No CPU holds a translation for a run that MiReserveSystemPtes hands out:
 * between a run's release and its next use lies a flush of its addresses on every CPU. When that flush comes depends:
 *  - `tlb=strict`, and always for what is not write-back: before the unmapping call returns. From there on an access
 *    through the old address faults.
 *  - deferred, the default: after some thousands of releases, one flush for all. Until then an access through the old
 *    address may still reach the frame, whatever that is used for by then; only a pointer kept too long can do so.
 * User mappings, protections that become less and frames that change their cache type are flushed at once in both.
 *
 * Terms. A run is in a class by its length: 1 to 8 exactly, then four classes each time the length doubles, to
 * MI_CACHED_PTES. Longer ones are large. A batch holds a list of runs a class, and large ones apart. Generation: tlb.h.
 *
 * Representation. Each CPU has three batches: Ready (flushed), Current (released since the last turn; its Generation
 * is not below that of any run in it) and Previous (Current as it was at the turn). A run in a list says so in its
 * first entry: kind MiPteFreeSystem without a role (syspte.c), the link to the next run in bits 63..38 and its length
 * in 37..12; its other entries are zero. Links are index + 1.
 *
 *     release -> Current -> (a flush begins) -> Previous -> (it is over) -> Ready -> reserve
 *
 * Lists are queues: the address that was released first is used first. A strict release pushes onto Ready's front.
 *
 * Locking and IRQL. A CPU's batches are touched by that CPU alone, with interrupts off. Draining asks every CPU by an
 * interprocessor call to give its runs up (Surrendered, guarded by MiDrainLock), flushes, and returns them to the
 * region: nothing is stranded when the region runs out. <= DISPATCH_LEVEL.
 *
 * Cost. A pop or a push, about 25 instructions. The region's lock once for MI_REFILL_RUNS runs, and only until a CPU's
 * own waiting runs come round. One flush of everything for MiWaitLimit waiting entries of a CPU: a run of 16 interrupts
 * each other CPU 0.08 times in a thousand releases, at the price of 8 bytes of table an entry, 1.5 MiB a busy CPU.
 */
#include "mm/sysptecache.h"

#include "kernel/amd64/intrin.h"
#include "kernel/ke/ipi.h"
#include "kernel/ke/irql.h"
#include "kernel/ke/tlb.h"
#include "mm/pfn.h"

#define MI_CACHED_PTES 256u

/* A batch of the region goes at once into the cache: so many runs, of at most so many entries. */
#define MI_REFILL_RUNS 64u
#define MI_REFILL_PTES 4096u

/* Waiting entries of one CPU that make it flush; 2 for a frame of RAM bounds their tables to 0.4 % of it. */
#define MI_WAIT_LIMIT       0x30000u
#define MI_WAIT_PER_FRAME   2u
#define MI_WAIT_REGION_PART (2u * KI_MAX_PROCESSORS) /* all CPUs together: half the region */

/* A CPU keeps so many times the limit ready; what comes round above that returns to the region. */
#define MI_READY_LIMITS 2u

#define MI_CACHED_LENGTH_SHIFT 12u
#define MI_CACHED_NEXT_SHIFT   38u
#define MI_CACHED_LENGTH_MASK  ((1u << (MI_CACHED_NEXT_SHIFT - MI_CACHED_LENGTH_SHIFT)) - 1)

static const USHORT MiClassPtes[] = { 1,  2,  3,  4,  5,  6,  7,  8,  10,  12,  14,  16,  20,  24,
                                      28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256 };

#define MI_PTE_CLASSES ARRAYSIZE(MiClassPtes)
#define MI_LARGE_CLASS MI_PTE_CLASSES

static const UCHAR MiClassOf[MI_CACHED_PTES + 1] = {
    [1] = 0,
    [2] = 1,
    [3] = 2,
    [4] = 3,
    [5] = 4,
    [6] = 5,
    [7] = 6,
    [8] = 7,
    [9 ... 10] = 8,
    [11 ... 12] = 9,
    [13 ... 14] = 10,
    [15 ... 16] = 11,
    [17 ... 20] = 12,
    [21 ... 24] = 13,
    [25 ... 28] = 14,
    [29 ... 32] = 15,
    [33 ... 40] = 16,
    [41 ... 48] = 17,
    [49 ... 56] = 18,
    [57 ... 64] = 19,
    [65 ... 80] = 20,
    [81 ... 96] = 21,
    [97 ... 112] = 22,
    [113 ... 128] = 23,
    [129 ... 160] = 24,
    [161 ... 192] = 25,
    [193 ... 224] = 26,
    [225 ... 256] = 27,
};

typedef struct _MI_RUN_LIST {
    ULONG Head; /* index + 1; 0: empty, and then Tail has no meaning */
    ULONG Tail;
} MI_RUN_LIST;

typedef struct _MI_RUN_BATCH {
    MI_RUN_LIST Lists[MI_PTE_CLASSES + 1]; /* the last holds large runs */
    ULONG       PteCount;
    ULONG64     Generation;
} MI_RUN_BATCH;

typedef struct DECLSPEC_ALIGN(64) _MI_PTE_CACHE {
    MI_RUN_BATCH Ready;
    MI_RUN_BATCH Current;
    MI_RUN_BATCH Previous;
    MI_RUN_BATCH Surrendered; /* MiDrainLock */
} MI_PTE_CACHE;

static MI_PTE_CACHE MiPteCaches[KI_MAX_PROCESSORS];
static ULONG        MiWaitLimit;
static KI_LOCK      MiDrainLock = KI_LOCK_INIT(LOCK_PTE_DRAIN);

void MiInitializeSystemPtes(SIZE_T PteCount)
{
    MiInitializePteRegion(&MiSystemPteRegion, (void *)MI_BASE_OF(SYSTEM_PTES), PteCount);
    SIZE_T limit = min(MI_WAIT_LIMIT, MiRamFrameCount * MI_WAIT_PER_FRAME);
    MiWaitLimit = (ULONG)min(limit, PteCount / MI_WAIT_REGION_PART);
}

static MI_PTE_CACHE *MiOwnPteCache(void)
{
    return &MiPteCaches[KeGetCurrentProcessorNumber()];
}

static MMPTE *MiRunAt(ULONG Link)
{
    return MiSystemPteRegion.Base + Link - 1;
}

static ULONG MiNextRun(const MMPTE *Run)
{
    return (ULONG)(Run->Value >> MI_CACHED_NEXT_SHIFT);
}

static ULONG MiCachedLength(const MMPTE *Run)
{
    return (ULONG)(Run->Value >> MI_CACHED_LENGTH_SHIFT) & MI_CACHED_LENGTH_MASK;
}

static MMPTE MiMakeCachedPte(ULONG PteCount, ULONG Next)
{
    ULONG64 payload = (ULONG64)Next << MI_CACHED_NEXT_SHIFT | (ULONG64)PteCount << MI_CACHED_LENGTH_SHIFT;
    return (MMPTE){ .Value = payload | MiMakeSoftwarePte(MiPteFreeSystem, 0).Value };
}

/* Put a run of zero entries behind the others of its class. */
static void MiQueueRun(MI_RUN_BATCH *Batch, ULONG Class, MMPTE *First, ULONG PteCount)
{
    MI_RUN_LIST *list = &Batch->Lists[Class];
    MMPTE       *base = MiSystemPteRegion.Base;
    ULONG        link = (ULONG)(First - base) + 1;
    *First = MiMakeCachedPte(PteCount, 0);
    if (list->Head == 0) {
        list->Head = link;
    } else {
        base[list->Tail - 1].Value |= (ULONG64)link << MI_CACHED_NEXT_SHIFT;
    }
    list->Tail = link;
    Batch->PteCount += PteCount;
}

static void MiPushRun(MI_RUN_BATCH *Batch, ULONG Class, MMPTE *First, ULONG PteCount)
{
    MI_RUN_LIST *list = &Batch->Lists[Class];
    ULONG        link = (ULONG)(First - MiSystemPteRegion.Base) + 1;
    *First = MiMakeCachedPte(PteCount, list->Head);
    if (list->Head == 0) {
        list->Tail = link;
    }
    list->Head = link;
    Batch->PteCount += PteCount;
}

/* The first run of the class, all entries zero, or NULL. */
static MMPTE *MiPopRun(MI_RUN_BATCH *Batch, ULONG Class)
{
    MI_RUN_LIST *list = &Batch->Lists[Class];
    if (list->Head == 0) {
        return NULL;
    }
    MMPTE *first = MiRunAt(list->Head);
    MMPTE  entry = *first;
    *first = (MMPTE){ 0 };
    list->Head = MiNextRun(&entry);
    Batch->PteCount -= MiCachedLength(&entry);
    return first;
}

/* Move all runs of From behind those of To. */
static void MiAppendBatch(MI_RUN_BATCH *To, MI_RUN_BATCH *From)
{
    for (ULONG class = 0; class <= MI_LARGE_CLASS; class ++) {
        const MI_RUN_LIST *from = &From->Lists[class];
        MI_RUN_LIST       *to = &To->Lists[class];
        if (from->Head == 0) {
            continue;
        }
        if (to->Head == 0) {
            to->Head = from->Head;
        } else {
            MiRunAt(to->Tail)->Value |= (ULONG64)from->Head << MI_CACHED_NEXT_SHIFT;
        }
        to->Tail = from->Tail;
    }
    To->PteCount += From->PteCount;
    *From = (MI_RUN_BATCH){ .Generation = From->Generation };
}

/* Give the runs of Batch, which are flushed and the caller's alone, back to the region. IRQL <= DISPATCH_LEVEL. */
static void MiReturnRuns(MI_RUN_BATCH *Batch)
{
    for (ULONG class = 0; class <= MI_LARGE_CLASS; class ++) {
        while (Batch->Lists[class].Head != 0) {
            ULONG  pteCount = MiCachedLength(MiRunAt(Batch->Lists[class].Head));
            MMPTE *first = MiPopRun(Batch, class);
            MiReleasePtes(&MiSystemPteRegion, first, pteCount);
        }
    }
}

/* The flush of Batch is over: its runs are ready, or the caller's to return, which the large ones always are. */
static void MiMakeReady(MI_PTE_CACHE *Cache, MI_RUN_BATCH *Batch, MI_RUN_BATCH *Excess)
{
    while (Batch->Lists[MI_LARGE_CLASS].Head != 0) {
        ULONG pteCount = MiCachedLength(MiRunAt(Batch->Lists[MI_LARGE_CLASS].Head));
        MiQueueRun(Excess, MI_LARGE_CLASS, MiPopRun(Batch, MI_LARGE_CLASS), pteCount);
    }
    bool isKept = Cache->Ready.PteCount <= MI_READY_LIMITS * MiWaitLimit;
    MiAppendBatch(isKept ? &Cache->Ready : Excess, Batch);
}

/* Let waiting runs move on as far as the flushes so far allow. Interrupts are off. */
static void MiTurnCache(MI_PTE_CACHE *Cache, MI_RUN_BATCH *Excess)
{
    ULONG64 generation = KiReadTlbGeneration();
    if (Cache->Previous.PteCount != 0 && KiIsTlbGenerationOver(Cache->Previous.Generation)) {
        MiMakeReady(Cache, &Cache->Previous, Excess);
    }
    if (Cache->Current.PteCount != 0 && KiIsTlbGenerationOver(Cache->Current.Generation)) {
        MiMakeReady(Cache, &Cache->Current, Excess);
    } else if (Cache->Current.Generation != generation && Cache->Previous.PteCount == 0) {
        Cache->Previous.Generation = Cache->Current.Generation;
        MiAppendBatch(&Cache->Previous, &Cache->Current);
    }
    Cache->Current.Generation = generation;
}

/* A chunk of the region for the class, cut into runs: the first is the caller's, the others are ready here. */
static MMPTE *MiRefill(ULONG Class)
{
    ULONG  pteCount = MiClassPtes[Class];
    ULONG  runCount = max(1, min(MI_REFILL_RUNS, min(MI_REFILL_PTES, MiWaitLimit) / pteCount));
    MMPTE *first = MiReservePtes(&MiSystemPteRegion, runCount * pteCount);
    if (first == NULL) {
        return NULL;
    }
    bool          wereOn = KiDisableInterrupts();
    MI_RUN_BATCH *ready = &MiOwnPteCache()->Ready;
    for (ULONG run = 1; run < runCount; run++) {
        MiQueueRun(ready, Class, first + (SIZE_T)run * pteCount, pteCount);
    }
    KiRestoreInterrupts(wereOn);
    return first;
}

/* From the region, if need be after all caches were emptied into it. */
static MMPTE *MiReserveFromRegion(ULONG PteCount)
{
    MMPTE *first = MiReservePtes(&MiSystemPteRegion, PteCount);
    if (first == NULL && PteCount <= MiFreeSystemPteCount()) {
        MiDrainSystemPtes();
        first = MiReservePtes(&MiSystemPteRegion, PteCount);
    }
    return first;
}

static DECLSPEC_NOINLINE MMPTE *MiReserveSlowly(ULONG Class)
{
    MI_RUN_BATCH excess = { 0 };
    bool         wereOn = KiDisableInterrupts();
    MiTurnCache(MiOwnPteCache(), &excess);
    MMPTE *first = MiPopRun(&MiOwnPteCache()->Ready, Class);
    KiRestoreInterrupts(wereOn);
    MiReturnRuns(&excess);
    if (first == NULL) {
        first = MiRefill(Class);
    }
    return first != NULL ? first : MiReserveFromRegion(MiClassPtes[Class]);
}

MMPTE *MiReserveSystemPtes(PFN_COUNT PteCount)
{
    IRQL_MAX(DISPATCH_LEVEL);
    if (PteCount - 1 >= MI_CACHED_PTES) {
        return MiReserveFromRegion(PteCount);
    }
    ULONG class = MiClassOf[PteCount];
    bool   wereOn = KiDisableInterrupts();
    MMPTE *first = MiPopRun(&MiOwnPteCache()->Ready, class);
    KiRestoreInterrupts(wereOn);
    return first != NULL ? first : MiReserveSlowly(class);
}

void MiReleaseSystemPtes(MMPTE *First, PFN_COUNT PteCount)
{
    IRQL_MAX(DISPATCH_LEVEL);
    NT_ASSERT(MiAreZeroPtes(First, PteCount));
    if (PteCount > MI_CACHED_PTES) {
        MiReleasePtes(&MiSystemPteRegion, First, PteCount);
        return;
    }
    ULONG class = MiClassOf[PteCount];
    bool          wereOn = KiDisableInterrupts();
    MI_RUN_BATCH *ready = &MiOwnPteCache()->Ready;
    bool          isKept = ready->PteCount <= MI_READY_LIMITS * MiWaitLimit;
    if (isKept) {
        MiPushRun(ready, class, First, MiClassPtes[class]);
    }
    KiRestoreInterrupts(wereOn);
    if (!isKept) {
        MiReleasePtes(&MiSystemPteRegion, First, MiClassPtes[class]);
    }
}

/* Flushes may have begun since the last release, or too many entries wait: then one flush serves them all. */
static DECLSPEC_NOINLINE void MiReleaseSlowly(MMPTE *First, PFN_COUNT PteCount)
{
    MI_RUN_BATCH excess = { 0 };
    ULONG class = PteCount > MI_CACHED_PTES ? MI_LARGE_CLASS : MiClassOf[PteCount];
    ULONG         runCount = PteCount > MI_CACHED_PTES ? PteCount : MiClassPtes[class];
    bool          wereOn = KiDisableInterrupts();
    MI_PTE_CACHE *cache = MiOwnPteCache();
    MiTurnCache(cache, &excess);
    MiQueueRun(&cache->Current, class, First, runCount);
    ULONG64 generation = cache->Current.Generation;
    bool    isFull = cache->Current.PteCount >= MiWaitLimit;
    KiRestoreInterrupts(wereOn);
    if (isFull) {
        KiFinishTlbGeneration(generation);
    }
    MiReturnRuns(&excess);
}

void MiReleaseSystemPtesNoFlush(MMPTE *First, PFN_COUNT PteCount)
{
    IRQL_MAX(DISPATCH_LEVEL);
    NT_ASSERT(MiAreZeroPtes(First, PteCount));
    KiFullFence(); /* the entries are clear before the generation is read */
    bool          wereOn = KiDisableInterrupts();
    MI_RUN_BATCH *current = &MiOwnPteCache()->Current;
    if (PteCount <= MI_CACHED_PTES && current->Generation == KiReadTlbGeneration() && current->PteCount < MiWaitLimit) {
        ULONG class = MiClassOf[PteCount];
        MiQueueRun(current, class, First, MiClassPtes[class]);
        KiRestoreInterrupts(wereOn);
        return;
    }
    KiRestoreInterrupts(wereOn);
    MiReleaseSlowly(First, PteCount);
}

void MiFlushWaitingSystemPtes(void)
{
    for (ULONG number = 0; number < KiProcessorCount; number++) {
        const MI_PTE_CACHE          *cache = &MiPteCaches[number];
        const volatile MI_RUN_BATCH *current = &cache->Current;
        const volatile MI_RUN_BATCH *previous = &cache->Previous;
        if ((current->PteCount != 0 && !KiIsTlbGenerationOver(current->Generation)) ||
            (previous->PteCount != 0 && !KiIsTlbGenerationOver(previous->Generation))) {
            KiFinishTlbGeneration(KiReadTlbGeneration());
            return;
        }
    }
}

/* On each CPU, by its own hand: everything that it has cached is the drain's. */
static void MiSurrenderRuns(void *Context)
{
    UNREFERENCED_PARAMETER(Context);
    bool          wereOn = KiDisableInterrupts();
    MI_PTE_CACHE *cache = MiOwnPteCache();
    MiAppendBatch(&cache->Surrendered, &cache->Ready);
    MiAppendBatch(&cache->Surrendered, &cache->Previous);
    MiAppendBatch(&cache->Surrendered, &cache->Current);
    KiRestoreInterrupts(wereOn);
}

void MiDrainSystemPtes(void)
{
    KIRQL oldIrql = KiAcquireLock(&MiDrainLock);
    MiSurrenderRuns(NULL);
    KiCallProcessors((KAFFINITY)KiActiveProcessors, MiSurrenderRuns, NULL);
    KiFlushEntireTb();
    for (ULONG number = 0; number < KiProcessorCount; number++) {
        MiReturnRuns(&MiPteCaches[number].Surrendered);
    }
    KiReleaseLock(&MiDrainLock, oldIrql);
}

SIZE_T MiWaitingSystemPteCount(void)
{
    SIZE_T count = 0;
    for (ULONG number = 0; number < KiProcessorCount; number++) {
        count += MiPteCaches[number].Current.PteCount + MiPteCaches[number].Previous.PteCount;
    }
    return count;
}

SIZE_T MiFreeSystemPteCount(void)
{
    SIZE_T count = MiFreePteCount(&MiSystemPteRegion) + MiWaitingSystemPteCount();
    for (ULONG number = 0; number < KiProcessorCount; number++) {
        count += MiPteCaches[number].Ready.PteCount + MiPteCaches[number].Surrendered.PteCount;
    }
    return count;
}
