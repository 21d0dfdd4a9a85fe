/*
 * memcpy, memmove, memset, memcmp, memchr and the Rtl routines over them.
 *
 * Representation: up to 32 bytes go through registers, all loads before the first store, with overlapping words in
 * place of a byte loop; longer runs go through `rep movsq` and `rep stosq`, which cost one instruction per word under
 * the emulator and use the fast string unit elsewhere, and one overlapping word does the odd end.
 *
 * Invariants: memcpy permits overlap, as NT's does, and drivers rely on it. Nothing outside the given range is read
 * or written. The direction flag is never set, so that an interrupt in mid-copy sees the state that the ABI promises.
 *
 * Locking and IRQL: none; any IRQL at which the memory may be touched, and before anything is initialised. These are
 * ordinary functions with unwind data: a fault inside them is searched for handlers, and blamed, in the caller.
 */
#include "kernel/rtl/memory.h"

#define WORD_BYTES     8u
#define REGISTER_BYTES 32u                   /* four words: the most that moves through registers */
#define BYTE_TO_WORD   0x0101010101010101ull /* times a byte: that byte in all eight places */

/* Unaligned views of memory; the compiler makes plain moves of them. */
typedef struct {
    USHORT Value;
} __attribute__((packed, may_alias)) RTLP_USHORT;

typedef struct {
    ULONG Value;
} __attribute__((packed, may_alias)) RTLP_ULONG;

typedef struct {
    ULONG64 Value;
} __attribute__((packed, may_alias)) RTLP_WORD;

static inline ULONG64 RtlpLoadWord(const UCHAR *From)
{
    return ((const RTLP_WORD *)From)->Value;
}

static inline void RtlpStoreWord(UCHAR *To, ULONG64 Value)
{
    ((RTLP_WORD *)To)->Value = Value;
}

/*
 * Copy at most REGISTER_BYTES; overlap is harmless, since each branch loads everything before it stores.
 */
static inline void RtlpMoveSmall(UCHAR *To, const UCHAR *From, SIZE_T ByteCount)
{
    if (ByteCount > 2 * WORD_BYTES) {
        ULONG64 first = RtlpLoadWord(From);
        ULONG64 second = RtlpLoadWord(From + WORD_BYTES);
        ULONG64 third = RtlpLoadWord(From + ByteCount - 2 * WORD_BYTES);
        ULONG64 last = RtlpLoadWord(From + ByteCount - WORD_BYTES);
        RtlpStoreWord(To, first);
        RtlpStoreWord(To + WORD_BYTES, second);
        RtlpStoreWord(To + ByteCount - 2 * WORD_BYTES, third);
        RtlpStoreWord(To + ByteCount - WORD_BYTES, last);
    } else if (ByteCount >= WORD_BYTES) {
        ULONG64 first = RtlpLoadWord(From);
        ULONG64 last = RtlpLoadWord(From + ByteCount - WORD_BYTES);
        RtlpStoreWord(To, first);
        RtlpStoreWord(To + ByteCount - WORD_BYTES, last);
    } else if (ByteCount >= sizeof(ULONG)) {
        ULONG first = ((const RTLP_ULONG *)From)->Value;
        ULONG last = ((const RTLP_ULONG *)(From + ByteCount - sizeof(ULONG)))->Value;
        ((RTLP_ULONG *)To)->Value = first;
        ((RTLP_ULONG *)(To + ByteCount - sizeof(ULONG)))->Value = last;
    } else if (ByteCount >= sizeof(USHORT)) {
        USHORT first = ((const RTLP_USHORT *)From)->Value;
        UCHAR  last = From[ByteCount - 1];
        ((RTLP_USHORT *)To)->Value = first;
        To[ByteCount - 1] = last;
    } else if (ByteCount != 0) {
        *To = *From;
    }
}

/*
 * Copy more than REGISTER_BYTES upwards. The last word is read first, because the words before it may overwrite it
 * where the ranges overlap with To below From.
 */
static inline void RtlpMoveUp(UCHAR *To, const UCHAR *From, SIZE_T ByteCount)
{
    ULONG64 last = RtlpLoadWord(From + ByteCount - WORD_BYTES);
    __movsq((ULONG64 *)(void *)To, (const ULONG64 *)(const void *)From, ByteCount / WORD_BYTES);
    RtlpStoreWord(To + ByteCount - WORD_BYTES, last);
}

/*
 * Copy more than REGISTER_BYTES downwards, for To inside (From, From + ByteCount). The mirror image of RtlpMoveUp, in
 * plain moves: `rep movsq` runs downwards only with the direction flag set.
 */
static inline void RtlpMoveDown(UCHAR *To, const UCHAR *From, SIZE_T ByteCount)
{
    ULONG64 first = RtlpLoadWord(From);
    for (SIZE_T end = ByteCount; end >= WORD_BYTES; end -= WORD_BYTES) {
        RtlpStoreWord(To + end - WORD_BYTES, RtlpLoadWord(From + end - WORD_BYTES));
    }
    RtlpStoreWord(To, first);
}

static inline void RtlpMove(UCHAR *To, const UCHAR *From, SIZE_T ByteCount)
{
    if (ByteCount <= REGISTER_BYTES) {
        RtlpMoveSmall(To, From, ByteCount);
    } else if ((ULONG_PTR)To - (ULONG_PTR)From >= ByteCount) {
        RtlpMoveUp(To, From, ByteCount); /* To is below From, or behind its end */
    } else {
        RtlpMoveDown(To, From, ByteCount);
    }
}

static inline void RtlpFill(UCHAR *To, UCHAR Fill, SIZE_T ByteCount)
{
    ULONG64 word = Fill * BYTE_TO_WORD;

    if (ByteCount < WORD_BYTES) {
        for (SIZE_T i = 0; i < ByteCount; i++) {
            To[i] = Fill;
        }
        return;
    }
    if (ByteCount <= REGISTER_BYTES) {
        for (SIZE_T i = 0; i + WORD_BYTES <= ByteCount; i += WORD_BYTES) {
            RtlpStoreWord(To + i, word);
        }
    } else {
        __stosq((ULONG64 *)(void *)To, word, ByteCount / WORD_BYTES);
    }
    RtlpStoreWord(To + ByteCount - WORD_BYTES, word);
}

/* Bytes that are equal from the start: an index below ByteCount, or ByteCount itself. */
static inline SIZE_T RtlpEqualBytes(const UCHAR *First, const UCHAR *Second, SIZE_T ByteCount)
{
    SIZE_T i = 0;

    for (; i + WORD_BYTES <= ByteCount; i += WORD_BYTES) {
        ULONG64 difference = RtlpLoadWord(First + i) ^ RtlpLoadWord(Second + i);
        if (difference != 0) {
            return i + (SIZE_T)__builtin_ctzll(difference) / 8;
        }
    }
    while (i < ByteCount && First[i] == Second[i]) {
        i++;
    }
    return i;
}

void *__cdecl memcpy(void *restrict Destination, const void *restrict Source, size_t Length)
{
    RtlpMove(Destination, Source, Length);
    return Destination;
}

void *__cdecl memmove(void *Destination, const void *Source, size_t Length)
{
    RtlpMove(Destination, Source, Length);
    return Destination;
}

void *__cdecl memset(void *Destination, int Fill, size_t Length)
{
    RtlpFill(Destination, (UCHAR)Fill, Length);
    return Destination;
}

int __cdecl memcmp(const void *First, const void *Second, size_t Length)
{
    const UCHAR *first = First;
    const UCHAR *second = Second;
    SIZE_T       equal = RtlpEqualBytes(first, second, Length);

    return equal == Length ? 0 : first[equal] - second[equal];
}

void *__cdecl memchr(const void *Buffer, int Value, size_t Length)
{
    const UCHAR *bytes = Buffer;

    for (SIZE_T i = 0; i < Length; i++) {
        if (bytes[i] == (UCHAR)Value) {
            return (void *)(ULONG_PTR)(bytes + i);
        }
    }
    return NULL;
}

VOID NTAPI(RtlMoveMemory)(VOID *Destination, const VOID *Source, SIZE_T Length)
{
    RtlpMove(Destination, Source, Length);
}

VOID NTAPI(RtlCopyMemory)(VOID *Destination, const VOID *Source, SIZE_T Length)
{
    RtlpMove(Destination, Source, Length);
}

/* A hint about caches, which nothing here can honour without SSE: the copy is the contract. */
VOID NTAPI RtlCopyMemoryNonTemporal(VOID *Destination, const VOID *Source, SIZE_T Length)
{
    RtlpMove(Destination, Source, Length);
}

VOID NTAPI(RtlFillMemory)(VOID *Destination, SIZE_T Length, UCHAR Fill)
{
    RtlpFill(Destination, Fill, Length);
}

VOID NTAPI(RtlZeroMemory)(VOID *Destination, SIZE_T Length)
{
    RtlpFill(Destination, 0, Length);
}

SIZE_T NTAPI RtlCompareMemory(const VOID *Source1, const VOID *Source2, SIZE_T Length)
{
    return RtlpEqualBytes(Source1, Source2, Length);
}

/*
 * => Source is ULONG-aligned; a Length that is no multiple of 4 is rounded down.
 * => the bytes before the first ULONG that differs from Pattern.
 */
SIZE_T NTAPI RtlCompareMemoryUlong(PVOID Source, SIZE_T Length, ULONG Pattern)
{
    const ULONG *words = Source;
    SIZE_T       wordCount = Length / sizeof(ULONG);
    SIZE_T       i = 0;

    while (i < wordCount && words[i] == Pattern) {
        i++;
    }
    return i * sizeof(ULONG);
}

VOID NTAPI RtlPrefetchMemoryNonTemporal(PVOID Source, SIZE_T Length)
{
    const UCHAR *bytes = Source;

    for (SIZE_T i = 0; i < Length; i += 64) { /* one cache line */
        __builtin_prefetch(bytes + i, 0, 0);
    }
}
