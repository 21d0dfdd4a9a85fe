/*
 * Bitmaps of up to 2^32 - 1 bits over an array of ULONGs that the caller supplies.
 *
 * Representation: bit i is bit i % 32 of Buffer[i / 32]. Searches read two ULONGs at a time and ask for the lowest set
 * bit; a search for clear bits reads the complement (Flip). The bits of the last ULONG that lie behind SizeOfBitMap
 * may hold anything: every search ends at SizeOfBitMap, and they are never written.
 *
 * Invariants: nothing behind the last ULONG is touched, and the ranges that callers pass to set, clear and test lie
 * inside the bitmap (the predicates answer FALSE otherwise, as documented; the writers trust their caller).
 *
 * Locking and IRQL: the caller's. Updates are not atomic.
 */
#include "kernel/rtl/bitmap.h"

#define ULONG_BITS 32u
#define FIND_SET   0ull
#define FIND_CLEAR (~0ull)
#define BYTE_BITS  8u

typedef struct {
    ULONG64 Value;
} __attribute__((packed, may_alias)) RTLP_UNALIGNED_WORD;

static inline ULONG RtlpUlongCount(const RTL_BITMAP *BitMap)
{
    return BitMap->SizeOfBitMap / ULONG_BITS + (BitMap->SizeOfBitMap % ULONG_BITS != 0);
}

/* The first bit at StartingIndex or above that is set after the exclusive or with Flip; SizeOfBitMap if none is. */
static ULONG RtlpNextBit(const RTL_BITMAP *BitMap, ULONG StartingIndex, ULONG64 Flip)
{
    ULONG ulongCount = RtlpUlongCount(BitMap);
    ULONG ignoredBits = StartingIndex % ULONG_BITS;

    if (StartingIndex >= BitMap->SizeOfBitMap) {
        return BitMap->SizeOfBitMap;
    }
    for (ULONG i = StartingIndex / ULONG_BITS; i < ulongCount; i += 2) {
        ULONG64 bits;
        if (i + 1 < ulongCount) {
            bits = ((const RTLP_UNALIGNED_WORD *)&BitMap->Buffer[i])->Value ^ Flip;
        } else {
            bits = BitMap->Buffer[i] ^ (ULONG)Flip;
        }
        bits &= ~0ull << ignoredBits;
        ignoredBits = 0;
        if (bits != 0) {
            ULONG64 found = (ULONG64)i * ULONG_BITS + (ULONG)__builtin_ctzll(bits);
            return (ULONG)min(found, BitMap->SizeOfBitMap);
        }
    }
    return BitMap->SizeOfBitMap;
}

/* The last such bit at StartingIndex or below; RTLP_NO_BIT if there is none. */
static ULONG RtlpPreviousBit(const RTL_BITMAP *BitMap, ULONG StartingIndex, ULONG64 Flip)
{
    ULONG usedBits = StartingIndex % ULONG_BITS + 1;

    for (ULONG i = StartingIndex / ULONG_BITS + 1; i-- > 0; usedBits = ULONG_BITS) {
        ULONG bits = (BitMap->Buffer[i] ^ (ULONG)Flip) & (MAXULONG >> (ULONG_BITS - usedBits));
        if (bits != 0) {
            return i * ULONG_BITS + ULONG_BITS - 1 - (ULONG)__builtin_clz(bits);
        }
    }
    return RTLP_NO_BIT;
}

ULONG RtlpNextClearBit(const RTL_BITMAP *BitMap, ULONG StartingIndex)
{
    return RtlpNextBit(BitMap, StartingIndex, FIND_CLEAR);
}

ULONG RtlpNextSetBit(const RTL_BITMAP *BitMap, ULONG StartingIndex)
{
    return RtlpNextBit(BitMap, StartingIndex, FIND_SET);
}

/* The first run of BitCount wanted bits that lies in [First, SizeOfBitMap) and starts before End. */
static ULONG RtlpFindRunBetween(const RTL_BITMAP *BitMap, ULONG BitCount, ULONG First, ULONG End, ULONG64 Flip)
{
    for (ULONG start = RtlpNextBit(BitMap, First, Flip); start < End;) {
        ULONG end = RtlpNextBit(BitMap, start, ~Flip);
        if (end - start >= BitCount) {
            return start;
        }
        start = RtlpNextBit(BitMap, end, Flip);
    }
    return RTLP_NO_BIT;
}

/* From HintIndex upwards first, then from the bottom. */
static ULONG RtlpFindRun(const RTL_BITMAP *BitMap, ULONG NumberToFind, ULONG HintIndex, ULONG64 Flip)
{
    ULONG hint = HintIndex < BitMap->SizeOfBitMap ? HintIndex : 0;

    if (NumberToFind > BitMap->SizeOfBitMap) {
        return RTLP_NO_BIT;
    }
    if (NumberToFind == 0) {
        return hint - hint % BYTE_BITS;
    }
    ULONG found = RtlpFindRunBetween(BitMap, NumberToFind, hint, BitMap->SizeOfBitMap, Flip);
    if (found == RTLP_NO_BIT && hint != 0) {
        found = RtlpFindRunBetween(BitMap, NumberToFind, 0, hint, Flip);
    }
    return found;
}

/* Make Count bits from StartingIndex those of Pattern, which is all zeros or all ones. */
static void RtlpPutBits(const RTL_BITMAP *BitMap, ULONG StartingIndex, ULONG Count, ULONG Pattern)
{
    ULONG *next = &BitMap->Buffer[StartingIndex / ULONG_BITS];
    ULONG  offset = StartingIndex % ULONG_BITS;

    if (Count == 0) {
        return;
    }
    if (offset != 0 || Count < ULONG_BITS) {
        ULONG headCount = min(Count, ULONG_BITS - offset);
        ULONG mask = (MAXULONG >> (ULONG_BITS - headCount)) << offset;
        *next = (*next & ~mask) | (Pattern & mask);
        next++;
        Count -= headCount;
    }
    SIZE_T wholeBytes = (SIZE_T)(Count / ULONG_BITS) * sizeof(ULONG);
    memset(next, (UCHAR)Pattern, wholeBytes);
    if (Count % ULONG_BITS != 0) {
        ULONG mask = MAXULONG >> (ULONG_BITS - Count % ULONG_BITS);
        next += Count / ULONG_BITS;
        *next = (*next & ~mask) | (Pattern & mask);
    }
}

VOID NTAPI RtlInitializeBitMap(PRTL_BITMAP BitMapHeader, PULONG BitMapBuffer, ULONG SizeOfBitMap)
{
    *BitMapHeader = (RTL_BITMAP){ .SizeOfBitMap = SizeOfBitMap, .Buffer = BitMapBuffer };
}

VOID NTAPI RtlClearAllBits(PRTL_BITMAP BitMapHeader)
{
    RtlpPutBits(BitMapHeader, 0, BitMapHeader->SizeOfBitMap, 0);
}

VOID NTAPI RtlSetAllBits(PRTL_BITMAP BitMapHeader)
{
    RtlpPutBits(BitMapHeader, 0, BitMapHeader->SizeOfBitMap, MAXULONG);
}

VOID NTAPI RtlClearBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToClear)
{
    RtlpPutBits(BitMapHeader, StartingIndex, NumberToClear, 0);
}

VOID NTAPI RtlSetBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToSet)
{
    RtlpPutBits(BitMapHeader, StartingIndex, NumberToSet, MAXULONG);
}

VOID NTAPI RtlClearBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber)
{
    BitMapHeader->Buffer[BitNumber / ULONG_BITS] &= ~(1u << BitNumber % ULONG_BITS);
}

VOID NTAPI RtlSetBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber)
{
    BitMapHeader->Buffer[BitNumber / ULONG_BITS] |= 1u << BitNumber % ULONG_BITS;
}

BOOLEAN NTAPI RtlTestBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber)
{
    return (BitMapHeader->Buffer[BitNumber / ULONG_BITS] >> BitNumber % ULONG_BITS) & 1;
}

/* Whether a range lies in the bitmap, is not empty and holds no bit that is set after the exclusive or with Flip. */
static bool RtlpIsRangeFree(const RTL_BITMAP *BitMap, ULONG StartingIndex, ULONG Length, ULONG64 Flip)
{
    return Length != 0 && StartingIndex < BitMap->SizeOfBitMap && Length <= BitMap->SizeOfBitMap - StartingIndex &&
           RtlpNextBit(BitMap, StartingIndex, Flip) - StartingIndex >= Length;
}

BOOLEAN NTAPI RtlAreBitsClear(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length)
{
    return RtlpIsRangeFree(BitMapHeader, StartingIndex, Length, FIND_SET);
}

BOOLEAN NTAPI RtlAreBitsSet(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length)
{
    return RtlpIsRangeFree(BitMapHeader, StartingIndex, Length, FIND_CLEAR);
}

ULONG NTAPI RtlFindClearBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex)
{
    return RtlpFindRun(BitMapHeader, NumberToFind, HintIndex, FIND_CLEAR);
}

ULONG NTAPI RtlFindSetBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex)
{
    return RtlpFindRun(BitMapHeader, NumberToFind, HintIndex, FIND_SET);
}

ULONG NTAPI RtlFindClearBitsAndSet(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex)
{
    ULONG found = RtlFindClearBits(BitMapHeader, NumberToFind, HintIndex);

    if (found != RTLP_NO_BIT) {
        RtlSetBits(BitMapHeader, found, NumberToFind);
    }
    return found;
}

ULONG NTAPI RtlFindSetBitsAndClear(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex)
{
    ULONG found = RtlFindSetBits(BitMapHeader, NumberToFind, HintIndex);

    if (found != RTLP_NO_BIT) {
        RtlClearBits(BitMapHeader, found, NumberToFind);
    }
    return found;
}

/* => the run's length, and where it starts; 0 where no clear bit follows, with the size of the bitmap as its start. */
ULONG NTAPI RtlFindNextForwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex)
{
    ULONG start = RtlpNextClearBit(BitMapHeader, FromIndex);

    *StartingRunIndex = start;
    return RtlpNextSetBit(BitMapHeader, start) - start;
}

ULONG NTAPI RtlFindFirstRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex)
{
    return RtlFindNextForwardRunClear(BitMapHeader, 0, StartingIndex);
}

/* The run that ends at FromIndex, or at the last clear bit below it. */
ULONG NTAPI RtlFindLastBackwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex)
{
    if (BitMapHeader->SizeOfBitMap == 0) {
        return 0;
    }
    ULONG last = RtlpPreviousBit(BitMapHeader, min(FromIndex, BitMapHeader->SizeOfBitMap - 1), FIND_CLEAR);
    if (last == RTLP_NO_BIT) {
        return 0;
    }
    ULONG before = RtlpPreviousBit(BitMapHeader, last, FIND_SET);
    *StartingRunIndex = before == RTLP_NO_BIT ? 0 : before + 1;
    return last + 1 - *StartingRunIndex;
}

/* Put Run into RunArray, sorted by falling length; past SizeOfRunArray the shortest falls off. => runs held. */
static ULONG RtlpInsertRun(RTL_BITMAP_RUN *RunArray, ULONG SizeOfRunArray, ULONG HeldCount, RTL_BITMAP_RUN Run)
{
    ULONG at = HeldCount;

    while (at > 0 && RunArray[at - 1].NumberOfBits < Run.NumberOfBits) {
        if (at < SizeOfRunArray) {
            RunArray[at] = RunArray[at - 1];
        }
        at--;
    }
    if (at < SizeOfRunArray) {
        RunArray[at] = Run;
    }
    return min(HeldCount + 1, SizeOfRunArray);
}

/* The first runs of clear bits, or with LocateLongestRuns the longest, longest first. => how many were stored. */
ULONG NTAPI RtlFindClearRuns(PRTL_BITMAP BitMapHeader, PRTL_BITMAP_RUN RunArray, ULONG SizeOfRunArray,
                             BOOLEAN LocateLongestRuns)
{
    ULONG          heldCount = 0;
    RTL_BITMAP_RUN run = { .StartingIndex = 0 };

    for (ULONG from = 0; from < BitMapHeader->SizeOfBitMap; from = run.StartingIndex + run.NumberOfBits) {
        run.NumberOfBits = RtlFindNextForwardRunClear(BitMapHeader, from, &run.StartingIndex);
        if (run.NumberOfBits == 0 || (!LocateLongestRuns && heldCount == SizeOfRunArray)) {
            break;
        }
        if (LocateLongestRuns) {
            heldCount = RtlpInsertRun(RunArray, SizeOfRunArray, heldCount, run);
        } else {
            RunArray[heldCount++] = run;
        }
    }
    return heldCount;
}

ULONG NTAPI RtlFindLongestRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex)
{
    RTL_BITMAP_RUN run = { .StartingIndex = 0 };

    RtlFindClearRuns(BitMapHeader, &run, 1, TRUE);
    *StartingIndex = run.StartingIndex;
    return run.NumberOfBits;
}

ULONG NTAPI RtlNumberOfSetBitsUlongPtr(ULONG_PTR Target)
{
    return (ULONG)__builtin_popcountll(Target);
}

ULONG NTAPI RtlNumberOfSetBits(PRTL_BITMAP BitMapHeader)
{
    ULONG wholeCount = BitMapHeader->SizeOfBitMap / ULONG_BITS;
    ULONG restBits = BitMapHeader->SizeOfBitMap % ULONG_BITS;
    ULONG total = 0;
    ULONG i = 0;

    for (; i + 2 <= wholeCount; i += 2) {
        total += RtlNumberOfSetBitsUlongPtr(((const RTLP_UNALIGNED_WORD *)&BitMapHeader->Buffer[i])->Value);
    }
    for (; i < wholeCount; i++) {
        total += RtlNumberOfSetBitsUlongPtr(BitMapHeader->Buffer[i]);
    }
    if (restBits != 0) {
        total += RtlNumberOfSetBitsUlongPtr(BitMapHeader->Buffer[i] & (MAXULONG >> (ULONG_BITS - restBits)));
    }
    return total;
}

ULONG NTAPI RtlNumberOfClearBits(PRTL_BITMAP BitMapHeader)
{
    return BitMapHeader->SizeOfBitMap - RtlNumberOfSetBits(BitMapHeader);
}

/* => -1 for 0. */
CCHAR NTAPI RtlFindLeastSignificantBit(ULONGLONG Set)
{
    return (CCHAR)(Set != 0 ? __builtin_ctzll(Set) : -1);
}

/* => -1 for 0. */
CCHAR NTAPI RtlFindMostSignificantBit(ULONGLONG Set)
{
    return (CCHAR)(Set != 0 ? 63 - __builtin_clzll(Set) : -1);
}
