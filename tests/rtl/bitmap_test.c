/*
 * Bitmaps, each answer checked against a plain array of booleans. Runs in the kernel and, with sanitizers, on the host.
 */
#include "kernel/rtl/bitmap.h"

#include "kernel/rtl/random.h"
#include "tests/lib/ktest.h"

#define MAX_BITS     200u
#define ULONGS(Bits) (((Bits) + 31) / 32)
#define ROUNDS       40u

static const ULONG KtSizes[] = { 1, 31, 32, 33, 63, 64, 65, 96, 100, 128, MAX_BITS };

/* A bitmap and the truth about it. The bits behind its end are set at random, and must not matter or change. */
typedef struct _KT_BITS {
    RTL_BITMAP BitMap;
    ULONG      Words[ULONGS(MAX_BITS)];
    bool       Truth[MAX_BITS];
} KT_BITS;

static void KtBuildBits(KT_BITS *Bits, ULONG BitCount, ULONG64 *Seed)
{
    ULONG density = RtlpRandomBelow(Seed, 5);

    for (ULONG i = 0; i < RTL_NUMBER_OF(Bits->Words); i++) {
        Bits->Words[i] = (ULONG)RtlpRandom(Seed);
    }
    RtlInitializeBitMap(&Bits->BitMap, Bits->Words, BitCount);
    for (ULONG i = 0; i < BitCount; i++) {
        Bits->Truth[i] = RtlpRandomBelow(Seed, 4) < density;
        if (Bits->Truth[i]) {
            RtlSetBit(&Bits->BitMap, i);
        } else {
            RtlClearBit(&Bits->BitMap, i);
        }
    }
}

static bool KtIsRun(const KT_BITS *Bits, ULONG First, ULONG Count, bool Value)
{
    for (ULONG i = First; i < First + Count; i++) {
        if (i >= Bits->BitMap.SizeOfBitMap || Bits->Truth[i] != Value) {
            return false;
        }
    }
    return true;
}

static ULONG KtFindRun(const KT_BITS *Bits, ULONG Count, ULONG Hint, bool Value)
{
    for (ULONG i = 0; i < Bits->BitMap.SizeOfBitMap; i++) {
        ULONG first = (Hint + i) % Bits->BitMap.SizeOfBitMap;
        if (KtIsRun(Bits, first, Count, Value)) {
            return first;
        }
    }
    return MAXULONG;
}

KTEST(rtl_bitmap, searches_agree_with_truth)
{
    KT_BITS bits;
    ULONG64 seed = 7;

    for (ULONG round = 0; round < ROUNDS * RTL_NUMBER_OF(KtSizes); round++) {
        ULONG size = KtSizes[round % RTL_NUMBER_OF(KtSizes)];
        KtBuildBits(&bits, size, &seed);
        ULONG count = 1 + RtlpRandomBelow(&seed, 6);
        ULONG hint = RtlpRandomBelow(&seed, size);
        KT_ASSERT_EQ(RtlFindClearBits(&bits.BitMap, count, hint), KtFindRun(&bits, count, hint, false));
        KT_ASSERT_EQ(RtlFindSetBits(&bits.BitMap, count, hint), KtFindRun(&bits, count, hint, true));
        KT_ASSERT_EQ(RtlAreBitsClear(&bits.BitMap, hint, count), KtIsRun(&bits, hint, count, false));
        KT_ASSERT_EQ(RtlAreBitsSet(&bits.BitMap, hint, count), KtIsRun(&bits, hint, count, true));
        KT_ASSERT_EQ(RtlTestBit(&bits.BitMap, hint), bits.Truth[hint]);
        ULONG setCount = 0;
        for (ULONG i = 0; i < size; i++) {
            setCount += bits.Truth[i];
        }
        KT_ASSERT_EQ(RtlNumberOfSetBits(&bits.BitMap), setCount);
        KT_ASSERT_EQ(RtlNumberOfClearBits(&bits.BitMap), size - setCount);
    }
}

KTEST(rtl_bitmap, writes_touch_their_range_alone)
{
    KT_BITS bits;
    ULONG   before[ULONGS(MAX_BITS)];
    ULONG64 seed = 11;

    for (ULONG round = 0; round < ROUNDS * RTL_NUMBER_OF(KtSizes); round++) {
        ULONG size = KtSizes[round % RTL_NUMBER_OF(KtSizes)];
        KtBuildBits(&bits, size, &seed);
        memcpy(before, bits.Words, sizeof(before));
        ULONG first = RtlpRandomBelow(&seed, size);
        ULONG count = RtlpRandomBelow(&seed, size - first + 1);
        bool  set = RtlpRandomBelow(&seed, 2) != 0;
        if (set) {
            RtlSetBits(&bits.BitMap, first, count);
        } else {
            RtlClearBits(&bits.BitMap, first, count);
        }
        for (ULONG i = 0; i < sizeof(before) * 8; i++) {
            bool was = (before[i / 32] >> i % 32 & 1) != 0;
            bool is = (bits.Words[i / 32] >> i % 32 & 1) != 0;
            KT_ASSERT_EQ(is, i >= first && i < first + count ? set : was);
        }
    }
}

KTEST(rtl_bitmap, runs)
{
    ULONG          words[3] = { 0xFFFF00FF, 0xFFFFFFFF, 0xFFFFFFF0 };
    RTL_BITMAP     bitMap;
    RTL_BITMAP_RUN found[4];
    ULONG          start;

    RtlInitializeBitMap(&bitMap, words, 68);
    KT_EXPECT_EQ(RtlFindFirstRunClear(&bitMap, &start), 8);
    KT_EXPECT_EQ(start, 8);
    KT_EXPECT_EQ(RtlFindNextForwardRunClear(&bitMap, 10, &start), 6);
    KT_EXPECT_EQ(start, 10);
    KT_EXPECT_EQ(RtlFindNextForwardRunClear(&bitMap, 16, &start), 4);
    KT_EXPECT_EQ(start, 64);
    KT_EXPECT_EQ(RtlFindLastBackwardRunClear(&bitMap, 60, &start), 8);
    KT_EXPECT_EQ(start, 8);
    KT_EXPECT_EQ(RtlFindLongestRunClear(&bitMap, &start), 8);
    KT_EXPECT_EQ(RtlFindClearRuns(&bitMap, found, 4, FALSE), 2);
    KT_EXPECT_EQ(found[1].StartingIndex, 64);
    KT_EXPECT_EQ(found[1].NumberOfBits, 4);
    words[2] = 0;
    words[1] = 0;
    KT_EXPECT_EQ(RtlFindClearRuns(&bitMap, found, 1, TRUE), 1);
    KT_EXPECT_EQ(found[0].StartingIndex, 32);
    KT_EXPECT_EQ(found[0].NumberOfBits, 36);
}

KTEST(rtl_bitmap, edges)
{
    ULONG      word = 0;
    RTL_BITMAP bitMap;

    RtlInitializeBitMap(&bitMap, &word, 20);
    KT_EXPECT_EQ(RtlFindClearBits(&bitMap, 21, 0), MAXULONG);
    KT_EXPECT_EQ(RtlFindClearBits(&bitMap, 20, 19), 0);
    KT_EXPECT_EQ(RtlFindClearBits(&bitMap, 1, 500), 0);
    KT_EXPECT_FALSE(RtlAreBitsClear(&bitMap, 0, 0));
    KT_EXPECT_FALSE(RtlAreBitsClear(&bitMap, 10, 11));
    KT_EXPECT_FALSE(RtlAreBitsClear(&bitMap, 10, MAXULONG));
    KT_EXPECT_EQ(RtlFindClearBitsAndSet(&bitMap, 5, 3), 3);
    KT_EXPECT_EQ(word, 0xF8);
    KT_EXPECT_EQ(RtlFindSetBitsAndClear(&bitMap, 2, 0), 3);
    KT_EXPECT_EQ(word, 0xE0);
    RtlSetAllBits(&bitMap);
    KT_EXPECT_EQ(word, 0xFFFFF);
    KT_EXPECT_EQ(RtlFindClearBits(&bitMap, 1, 0), MAXULONG);
    RtlClearAllBits(&bitMap);
    KT_EXPECT_EQ(word, 0);
    KT_EXPECT_EQ(RtlFindLeastSignificantBit(0), -1);
    KT_EXPECT_EQ(RtlFindLeastSignificantBit(0x8000000000000000ull), 63);
    KT_EXPECT_EQ(RtlFindMostSignificantBit(0x12), 4);
}
