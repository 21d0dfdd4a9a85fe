/*
 * Accounting of pool by tag.
 *
 * Representation: small blocks of nonpaged pool are counted by the processor that allocates or frees them
 * (poolcache.c); here those counts are gathered, and all others made. The table is an open-addressing hash table that
 * only grows: a slot is claimed once, by a compare-exchange of its key, and its counters are changed by atomic adds
 * alone, so there is no lock. When the table is full, further tags share the last slot.
 *
 * Invariant: the sum over all slots of a pool is what the pool has handed out.
 */
#include "mm/pooltag.h"

#include "mm/poolcache.h"

#define EXP_TAG_SLOTS 2048u /* a power of two; a busy Windows system shows about 1500 tags */

typedef struct _EXP_TAG_SLOT {
    volatile LONG64 Key; /* 0: unclaimed; else see ExpTagKey */
    volatile LONG64 Allocations;
    volatile LONG64 Frees;
    volatile LONG64 Bytes;
    volatile LONG64 PeakBytes;
} EXP_TAG_SLOT;

static EXP_TAG_SLOT ExpTagTable[EXP_TAG_SLOTS];
static EXP_TAG_SLOT ExpTagOverflow[2]; /* nonpaged, paged */

static ULONG ExpTagPool(MI_POOL_KIND Kind)
{
    return Kind == MiPoolPaged ? 1u : 0u;
}

/* Tags are never 0, so a key is not either. */
static LONG64 ExpTagKey(MI_POOL_KIND Kind, ULONG Tag)
{
    return ((LONG64)ExpTagPool(Kind) << 32) | Tag;
}

/* Fibonacci hashing: the top bits of the product are well mixed. */
static ULONG ExpTagHash(LONG64 Key)
{
    return (ULONG)(((ULONG64)Key * 0x9E3779B97F4A7C15ull) >> 53);
}

C_ASSERT(EXP_TAG_SLOTS == 1u << (64 - 53));

/* The slot of Key, or the unclaimed slot where it belongs, or NULL when the table is full of others. */
static EXP_TAG_SLOT *ExpProbeTag(LONG64 Key)
{
    ULONG start = ExpTagHash(Key);
    for (ULONG i = 0; i < EXP_TAG_SLOTS; i++) {
        EXP_TAG_SLOT *slot = &ExpTagTable[(start + i) & (EXP_TAG_SLOTS - 1)];
        if (slot->Key == Key || slot->Key == 0) {
            return slot;
        }
    }
    return NULL;
}

static EXP_TAG_SLOT *ExpClaimTag(MI_POOL_KIND Kind, ULONG Tag)
{
    LONG64 key = ExpTagKey(Kind, Tag);
    for (;;) {
        EXP_TAG_SLOT *slot = ExpProbeTag(key);
        if (slot == NULL) {
            return &ExpTagOverflow[ExpTagPool(Kind)];
        }
        LONG64 found = _InterlockedCompareExchange64(&slot->Key, key, 0);
        if (found == 0 || found == key) {
            return slot;
        }
    }
}

/* Add Bytes, which may be negative, and remember the peak. */
static void ExpAddBytes(EXP_TAG_SLOT *Slot, LONG64 Bytes)
{
    LONG64 now = _InterlockedExchangeAdd64(&Slot->Bytes, Bytes) + Bytes;
    LONG64 peak = Slot->PeakBytes;
    while (now > peak) {
        LONG64 found = _InterlockedCompareExchange64(&Slot->PeakBytes, now, peak);
        if (found == peak) {
            return;
        }
        peak = found;
    }
}

void ExpChargeTag(MI_POOL_KIND Kind, ULONG Tag, SIZE_T Bytes)
{
    EXP_TAG_SLOT *slot = ExpClaimTag(Kind, Tag);
    _InterlockedIncrement64(&slot->Allocations);
    ExpAddBytes(slot, (LONG64)Bytes);
}

void ExpReturnTag(MI_POOL_KIND Kind, ULONG Tag, SIZE_T Bytes)
{
    EXP_TAG_SLOT *slot = ExpClaimTag(Kind, Tag);
    _InterlockedIncrement64(&slot->Frees);
    ExpAddBytes(slot, -(LONG64)Bytes);
}

void ExpAddToTag(ULONG Tag, ULONG64 Allocations, ULONG64 Frees, ULONG64 Bytes)
{
    EXP_TAG_SLOT *slot = ExpClaimTag(MiPoolNonPagedNx, Tag);
    _InterlockedExchangeAdd64(&slot->Allocations, (LONG64)Allocations);
    _InterlockedExchangeAdd64(&slot->Frees, (LONG64)Frees);
    ExpAddBytes(slot, (LONG64)Bytes);
}

static EXP_POOL_USAGE ExpReadSlot(const EXP_TAG_SLOT *Slot)
{
    return (EXP_POOL_USAGE){
        .Allocations = (ULONG64)Slot->Allocations,
        .Frees = (ULONG64)Slot->Frees,
        .Bytes = (ULONG64)Slot->Bytes,
        .PeakBytes = (ULONG64)Slot->PeakBytes,
    };
}

EXP_POOL_USAGE ExpReadTagUsage(MI_POOL_KIND Kind, ULONG Tag)
{
    ExpGatherCounts();
    const EXP_TAG_SLOT *slot = ExpProbeTag(ExpTagKey(Kind, Tag));
    if (slot == NULL || slot->Key == 0) {
        return (EXP_POOL_USAGE){ .Bytes = 0 };
    }
    return ExpReadSlot(slot);
}

EXP_POOL_USAGE ExpReadPoolUsage(MI_POOL_KIND Kind)
{
    ExpGatherCounts();
    EXP_POOL_USAGE sum = ExpReadSlot(&ExpTagOverflow[ExpTagPool(Kind)]);
    for (ULONG i = 0; i < EXP_TAG_SLOTS; i++) {
        const EXP_TAG_SLOT *slot = &ExpTagTable[i];
        if (slot->Key != 0 && (ULONG64)slot->Key >> 32 == ExpTagPool(Kind)) {
            EXP_POOL_USAGE usage = ExpReadSlot(slot);
            sum.Allocations += usage.Allocations;
            sum.Frees += usage.Frees;
            sum.Bytes += usage.Bytes;
        }
    }
    return sum;
}

void ExpVisitTags(void (*Visit)(MI_POOL_KIND Kind, ULONG Tag, const EXP_POOL_USAGE *Usage, void *Context),
                  void *Context)
{
    ExpGatherCounts();
    for (ULONG i = 0; i < EXP_TAG_SLOTS; i++) {
        const EXP_TAG_SLOT *slot = &ExpTagTable[i];
        if (slot->Key != 0) {
            EXP_POOL_USAGE usage = ExpReadSlot(slot);
            Visit((ULONG64)slot->Key >> 32 != 0 ? MiPoolPaged : MiPoolNonPagedNx, (ULONG)slot->Key, &usage, Context);
        }
    }
}
