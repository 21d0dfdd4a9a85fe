/*
 * Encodings, exhaustively where that is cheap. The case table is compared with Python's copy of UnicodeData.txt by
 * test_rtl.py, for which this program prints it when asked to.
 */
#include "kernel/rtl/unicode.h"

#include "kernel/ke/dbgprint.h"
#include "kernel/rtl/random.h"
#include "tests/lib/ktest.h"

#define ROUNDS 100000u

KTEST(host_unicode, case_mapping_comes_back)
{
    for (ULONG character = 0; character <= 0xFFFF; character++) {
        WCHAR upper = RtlUpcaseUnicodeChar((WCHAR)character);
        WCHAR lower = RtlDowncaseUnicodeChar((WCHAR)character);
        KT_ASSERT_EQ(RtlUpcaseUnicodeChar(upper), upper);
        KT_ASSERT_EQ(RtlDowncaseUnicodeChar(lower), lower);
        KT_ASSERT_TRUE(upper == character || RtlDowncaseUnicodeChar(upper) == character);
        if (upper != character) {
            KiPrintFormat("upper %04lX %04X", character, upper);
        }
    }
}

KTEST(host_unicode, utf8_comes_back)
{
    for (ULONG codePoint = 0; codePoint <= 0x10FFFF; codePoint++) {
        UCHAR bytes[RTLP_UTF8_MAX];
        ULONG back;
        if (codePoint >= 0xD800 && codePoint <= 0xDFFF) {
            continue;
        }
        ULONG byteCount = RtlpEncodeUtf8(codePoint, bytes);
        KT_ASSERT_EQ(RtlpDecodeUtf8(bytes, byteCount, &back), byteCount);
        KT_ASSERT_EQ(back, codePoint);
    }
}

/* Random bytes of exactly the size that is allocated: the sanitizer sees a read or write too far. */
KTEST(host_unicode, junk_stays_in_bounds)
{
    ULONG64 seed = 13;

    for (ULONG round = 0; round < ROUNDS; round++) {
        ULONG  inBytes = RtlpRandomBelow(&seed, 20);
        ULONG  outBytes = RtlpRandomBelow(&seed, 40) & ~1u;
        UCHAR *in = ExAllocatePoolWithTag(PagedPool, inBytes, 0);
        UCHAR *out = ExAllocatePoolWithTag(PagedPool, outBytes, 0);
        ULONG  written;
        for (ULONG i = 0; i < inBytes; i++) {
            in[i] = (UCHAR)(RtlpRandom(&seed) | (RtlpRandomBelow(&seed, 2) * 0xC0));
        }
        RtlUTF8ToUnicodeN((PWSTR)out, outBytes, &written, (PCCH)in, inBytes);
        KT_ASSERT_LE(written, outBytes);
        RtlUnicodeToUTF8N((PCHAR)out, outBytes, &written, (PCWCH)in, inBytes);
        KT_ASSERT_LE(written, outBytes);
        ExFreePoolWithTag(in, 0);
        ExFreePoolWithTag(out, 0);
    }
}
