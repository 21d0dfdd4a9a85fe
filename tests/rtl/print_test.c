/*
 * The printf dialect of the kernel. Runs in the kernel and, with sanitizers, on the host.
 */
#include "kernel/rtl/print.h"

#include "tests/lib/ktest.h"

#define BUFFER_BYTES 128u

/* A result and the text that it stands for; the buffer is junk before, so a missing NUL shows. */
#define EXPECT_TEXT(Expected, ...)                               \
    do {                                                         \
        char text[BUFFER_BYTES];                                 \
        memset(text, 0x5A, sizeof(text));                        \
        int length = _snprintf(text, sizeof(text), __VA_ARGS__); \
        KT_EXPECT_EQ(length, sizeof(Expected) - 1);              \
        KT_EXPECT_MEMEQ(text, Expected, sizeof(Expected));       \
    } while (0)

#define EXPECT_WIDE(Expected, ...)                                    \
    do {                                                              \
        wchar_t text[BUFFER_BYTES];                                   \
        memset(text, 0x5A, sizeof(text));                             \
        int length = _snwprintf(text, BUFFER_BYTES, __VA_ARGS__);     \
        KT_EXPECT_EQ(length, sizeof(Expected) / sizeof(wchar_t) - 1); \
        KT_EXPECT_MEMEQ(text, Expected, sizeof(Expected));            \
    } while (0)

#define EXPECT_UTF8(Expected, ...)                                             \
    do {                                                                       \
        char   text[BUFFER_BYTES];                                             \
        SIZE_T length = RtlpFormat(text, sizeof(text), RtlpUtf8, __VA_ARGS__); \
        KT_EXPECT_EQ(length, sizeof(Expected) - 1);                            \
        KT_EXPECT_STREQ(text, Expected);                                       \
    } while (0)

KTEST(rtl_print, decimal)
{
    EXPECT_TEXT("0", "%d", 0);
    EXPECT_TEXT("-1 4294967295", "%d %u", -1, 0xFFFFFFFFu);
    EXPECT_TEXT("-2147483648", "%i", MINLONG);
    EXPECT_TEXT("+5| 5|5    |    5|00005|-0005", "%+d|% d|%-5d|%5d|%05d|%05d", 5, 5, 5, 5, 5, -5);
    EXPECT_TEXT("00042|  042|", "%.5d|%5.3d|%.0d", 42, 42, 0);
    EXPECT_TEXT("    7|7    |07", "%*d|%*d|%.*d", 5, 7, -5, 7, 2, 7);
    EXPECT_TEXT("  042", "%05.3d", 42);
}

KTEST(rtl_print, hexadecimal_and_octal)
{
    EXPECT_TEXT("dead DEAD 0xdead 0XDEAD 0", "%x %X %#x %#X %#x", 0xDEAD, 0xDEAD, 0xDEAD, 0xDEAD, 0);
    EXPECT_TEXT("17 017 0", "%o %#o %#o", 15, 15, 0);
    EXPECT_TEXT("0x00ff|0000ff", "%#06x|%06x", 0xFF, 0xFF);
}

KTEST(rtl_print, sizes)
{
    LONG64 big = -0x123456789ALL;
    EXPECT_TEXT("-78187493530 -78187493530 -78187493530", "%lld %I64d %Id", big, big, big);
    EXPECT_TEXT("ffffffedcba98766 ffffffedcba98766", "%I64x %llx", big, big);
    EXPECT_TEXT("18446744073709551615 18446744073709551615", "%Iu %zu", MAXULONG_PTR, MAXULONG_PTR);
    EXPECT_TEXT("4294967295 -1 ffffffff", "%lu %ld %I32x", MAXULONG, (LONG)-1, MAXULONG);
    EXPECT_TEXT("-1 65535 -1 255", "%hd %hu %hhd %hhu", 0x1FFFF, 0x1FFFF, 0x1FF, 0x1FF);
}

KTEST(rtl_print, pointer)
{
    EXPECT_TEXT("0000000000000000", "%p", NULL);
    EXPECT_TEXT("FFFFF88000001ABC", "%p", (void *)0xFFFFF88000001ABCull);
    EXPECT_TEXT("  FFFFF88000001ABC", "%18p", (void *)0xFFFFF88000001ABCull);
}

KTEST(rtl_print, narrow_strings)
{
    EXPECT_TEXT("abc|  abc|abc  |ab|   ab", "%s|%5s|%-5s|%.2s|%5.2s", "abc", "abc", "abc", "abc", "abc");
    EXPECT_TEXT("(null)|(nu|(null)", "%s|%.3s|%ws", NULL, NULL, NULL);
    EXPECT_TEXT("ab", "%.2s", ((const char[]){ 'a', 'b' }));
    EXPECT_TEXT("x|  x|x  |y", "%c|%3c|%-3c|%hc", 'x', 'x', 'x', 'y');
    EXPECT_TEXT("00abc", "%05s", "abc");
}

KTEST(rtl_print, wide_strings_in_narrow_text)
{
    EXPECT_TEXT("abc abc abc abc", "%S %ws %ls %hs", L"abc", L"abc", L"abc", "abc");
    EXPECT_TEXT("ab|z|z", "%.2S|%C|%lc", L"abc", L'z', L'z');
    EXPECT_TEXT("\xE9 ?", "%ws", L"\u00E9 \u20AC");
}

KTEST(rtl_print, counted_strings)
{
    UNICODE_STRING wide = { .Length = 6, .MaximumLength = 6, .Buffer = (PWCH)(ULONG_PTR)L"abcdef" };
    ANSI_STRING    narrow = { .Length = 4, .MaximumLength = 4, .Buffer = (PCHAR)(ULONG_PTR) "abcdef" };
    UNICODE_STRING empty = { .Length = 0 };

    EXPECT_TEXT("abc|abcd|(null)|(null)", "%wZ|%Z|%wZ|%wZ", &wide, &narrow, &empty, NULL);
    EXPECT_TEXT("  abc|ab  |", "%5wZ|%-4.2wZ|", &wide, &wide);
    EXPECT_WIDE(L"abc|abcd", L"%wZ|%Z", &wide, &narrow);
}

KTEST(rtl_print, wide_text)
{
    EXPECT_WIDE(L"abc abc 5 \u20AC", L"%s %S %d %s", L"abc", "abc", 5, L"\u20AC");
    EXPECT_WIDE(L"x y (null)", L"%c %C %s", L'x', 'y', NULL);
    EXPECT_WIDE(L"00FF", L"%04X", 0xFF);
}

KTEST(rtl_print, utf8)
{
    EXPECT_UTF8("\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "%ws", L"\u00E9 \u20AC \xD83D\xDE00");
    EXPECT_UTF8("\xEF\xBF\xBD!", "%ws", L"\xD83D!");
    EXPECT_UTF8("na\xC3\xAFve", "na\xC3\xAFve");
}

KTEST(rtl_print, refused_and_unknown)
{
    int written = 77;
    EXPECT_TEXT("%n5", "%n%d", &written, 5);
    KT_EXPECT_EQ(written, 77);
    EXPECT_TEXT("100%", "100%%");
    EXPECT_TEXT("y", "%y");
    EXPECT_TEXT("end", "end%");
}

KTEST(rtl_print, truncation)
{
    char text[8];

    memset(text, 'z', sizeof(text));
    KT_EXPECT_EQ(_snprintf(text, 4, "abc"), 3);
    KT_EXPECT_MEMEQ(text, "abc\0zzzz", 8);
    memset(text, 'z', sizeof(text));
    KT_EXPECT_EQ(_snprintf(text, 3, "abc"), 3); /* exactly full: no NUL */
    KT_EXPECT_MEMEQ(text, "abczzzzz", 8);
    memset(text, 'z', sizeof(text));
    KT_EXPECT_EQ(_snprintf(text, 2, "abc"), -1);
    KT_EXPECT_MEMEQ(text, "abzzzzzz", 8);
    KT_EXPECT_EQ(_snprintf(text, 0, "abc"), -1);
    KT_EXPECT_EQ(_snprintf(NULL, 0, "abc%d", 12), 5);

    KT_EXPECT_EQ(RtlpFormat(text, 4, RtlpAnsi, "%s", "abcdef"), 6);
    KT_EXPECT_STREQ(text, "abc");
    KT_EXPECT_EQ(RtlpFormat(NULL, 0, RtlpAnsi, "%100d", 1), 100);
}

KTEST(rtl_print, uncounted)
{
    char    text[16];
    wchar_t wide[16];

    KT_EXPECT_EQ(sprintf(text, "%d-%s", 7, "x"), 3);
    KT_EXPECT_STREQ(text, "7-x");
    KT_EXPECT_EQ(swprintf(wide, L"%d-%s", 7, L"x"), 3);
    KT_EXPECT_MEMEQ(wide, L"7-x", sizeof(L"7-x"));
}

KTEST(rtl_print, digits)
{
    char text[RTLP_DIGITS_MAX];

    KT_EXPECT_EQ(RtlpDigits(0, 2, RtlpLowerDigits, text), 1);
    KT_EXPECT_EQ(RtlpDigits(~0ull, 2, RtlpLowerDigits, text), 64);
    KT_EXPECT_EQ(RtlpDigits(35, 36, RtlpUpperDigits, text), 1);
    KT_EXPECT_EQ(text[0], 'Z');
}
