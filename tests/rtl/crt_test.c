/*
 * The C runtime names and the memory routines. Runs in the kernel and, with sanitizers, on the host.
 */
#include "kernel/rtl/crt.h"

#include "kernel/rtl/memory.h"
#include "kernel/rtl/random.h"
#include "tests/lib/ktest.h"

#define AREA_BYTES 160u

static int KtSign(int Value)
{
    return (Value > 0) - (Value < 0);
}

KTEST(rtl_crt, lengths_and_comparison)
{
    KT_EXPECT_EQ(strlen(""), 0);
    KT_EXPECT_EQ(strlen("abc"), 3);
    KT_EXPECT_EQ(wcslen(L"abcd"), 4);
    KT_EXPECT_EQ(strnlen("abc", 2), 2);
    KT_EXPECT_EQ(wcsnlen(L"abc", 9), 3);
    KT_EXPECT_EQ(KtSign(strcmp("abc", "abd")), -1);
    KT_EXPECT_EQ(KtSign(strcmp("\x80", "a")), 1); /* by unsigned code */
    KT_EXPECT_EQ(strncmp("abc", "abd", 2), 0);
    KT_EXPECT_EQ(strncmp("ab", "ab", 9), 0);
    KT_EXPECT_EQ(KtSign(wcscmp(L"b", L"a")), 1);
    KT_EXPECT_EQ(_stricmp("HeLLo", "hEllO"), 0);
    KT_EXPECT_EQ(KtSign(_strnicmp("abX", "aby", 3)), -1);
    KT_EXPECT_EQ(_wcsicmp(L"\u00C9t\u00C9", L"\u00E9T\u00E9"), 0);
    KT_EXPECT_EQ(_wcsnicmp(L"abc", L"ABd", 2), 0);
}

KTEST(rtl_crt, copying)
{
    char    text[12];
    wchar_t wide[8];

    KT_EXPECT_STREQ(strcpy(text, "abc"), "abc");
    KT_EXPECT_STREQ(strcat(text, "de"), "abcde");
    KT_EXPECT_STREQ(strncat(text, "fghi", 2), "abcdefg");
    memset(text, 'z', sizeof(text));
    strncpy(text, "ab", 4);
    KT_EXPECT_MEMEQ(text, "ab\0\0z", 5);
    strncpy(text, "abcdef", 3);
    KT_EXPECT_MEMEQ(text, "abc\0z", 5);
    wcscat(wcscpy(wide, L"ab"), L"c");
    KT_EXPECT_MEMEQ(wide, L"abc", sizeof(L"abc"));
}

KTEST(rtl_crt, searching)
{
    static const char    text[] = "hello, hello";
    static const wchar_t wide[] = L"hello, hello";

    KT_EXPECT_EQ(strchr(text, 'l'), text + 2);
    KT_EXPECT_EQ(strchr(text, 0), text + 12);
    KT_EXPECT_NULL(strchr(text, 'x'));
    KT_EXPECT_EQ(strrchr(text, 'l'), text + 10);
    KT_EXPECT_NULL(strrchr(text, 'x'));
    KT_EXPECT_EQ(strstr(text, "lo,"), text + 3);
    KT_EXPECT_EQ(strstr(text, ""), text);
    KT_EXPECT_NULL(strstr(text, "hello!"));
    KT_EXPECT_EQ(strspn(text, "hel"), 4);
    KT_EXPECT_EQ(wcschr(wide, L'l'), wide + 2);
    KT_EXPECT_EQ(wcsrchr(wide, L'h'), wide + 7);
    KT_EXPECT_EQ(wcsstr(wide, L"lo,"), wide + 3);
    KT_EXPECT_EQ(memchr(text, ',', sizeof(text)), text + 5);
    KT_EXPECT_NULL(memchr(text, ',', 5));
}

KTEST(rtl_crt, numbers)
{
    char              text[72];
    char             *end;
    static const char hexadecimal[] = "0x1fz";

    KT_EXPECT_EQ(atoi("  -42x"), -42);
    KT_EXPECT_EQ(atoi("junk"), 0);
    KT_EXPECT_EQ(_wtoi(L"+17"), 17);
    KT_EXPECT_EQ(strtoul(hexadecimal, &end, 0), 0x1F);
    KT_EXPECT_EQ(end, hexadecimal + 4);
    KT_EXPECT_EQ(strtoul("0x", &end, 16), 0);
    KT_EXPECT_EQ(strtoul("017", NULL, 0), 15);
    KT_EXPECT_EQ(wcstoul(L"ff", NULL, 16), 0xFF);
    KT_EXPECT_EQ(_strtoui64("18446744073709551615", NULL, 10), ~0ull);
    KT_EXPECT_STREQ(_itoa(-5, text, 10), "-5");
    KT_EXPECT_STREQ(_itoa(-1, text, 16), "ffffffff");
    KT_EXPECT_STREQ(_ultoa(10, text, 2), "1010");
    KT_EXPECT_STREQ(_i64toa((LONG64)(1ull << 63), text, 10), "-9223372036854775808");
    KT_EXPECT_EQ(toupper('a'), 'A');
    KT_EXPECT_EQ(tolower('['), '[');
    KT_EXPECT_EQ(towupper(0xE9), 0xC9);
    KT_EXPECT_TRUE(isxdigit('f') && !isxdigit('g') && isspace('\v') && isprint('~') && !isprint(0x7F));
}

static int __cdecl KtCompareNumbers(const void *First, const void *Second)
{
    const ULONG *first = First;
    const ULONG *second = Second;

    return (*first > *second) - (*first < *second);
}

KTEST(rtl_crt, sort_and_search)
{
    ULONG   numbers[40];
    ULONG64 seed = 1;

    for (ULONG count = 0; count <= RTL_NUMBER_OF(numbers); count++) {
        ULONG64 sum = 0;
        for (ULONG i = 0; i < count; i++) {
            numbers[i] = RtlpRandomBelow(&seed, 30);
            sum += numbers[i];
        }
        qsort(numbers, count, sizeof(numbers[0]), KtCompareNumbers);
        for (ULONG i = 0; i < count; i++) {
            sum -= numbers[i];
            KT_ASSERT_TRUE(i == 0 || numbers[i - 1] <= numbers[i]);
            ULONG *found = bsearch(&numbers[i], numbers, count, sizeof(numbers[0]), KtCompareNumbers);
            KT_ASSERT_NOT_NULL(found);
            KT_ASSERT_EQ(*found, numbers[i]);
        }
        KT_ASSERT_EQ(sum, 0);
    }
    KT_EXPECT_NULL(bsearch(&(ULONG){ 99 }, numbers, RTL_NUMBER_OF(numbers), sizeof(numbers[0]), KtCompareNumbers));
}

/* Every length and distance around the routines' branches, checked byte by byte against what should be there. */
KTEST(rtl_crt, move_every_length_and_overlap)
{
    UCHAR area[AREA_BYTES];

    for (ULONG length = 0; length <= 70; length++) {
        for (ULONG from = 0; from <= 40; from++) {
            const ULONG to = 20;
            for (ULONG i = 0; i < AREA_BYTES; i++) {
                area[i] = (UCHAR)i;
            }
            KT_ASSERT_EQ(memmove(area + to, area + from, length), area + to);
            for (ULONG i = 0; i < AREA_BYTES; i++) {
                KT_ASSERT_EQ(area[i], i >= to && i < to + length ? (UCHAR)(i - to + from) : (UCHAR)i);
            }
        }
    }
}

KTEST(rtl_crt, fill_and_compare)
{
    UCHAR first[AREA_BYTES];
    UCHAR second[AREA_BYTES];

    for (ULONG length = 0; length <= 70; length++) {
        memset(first, 1, sizeof(first));
        KT_ASSERT_EQ(memset(first + 3, 0xA5, length), first + 3);
        for (ULONG i = 0; i < AREA_BYTES; i++) {
            KT_ASSERT_EQ(first[i], i >= 3 && i < 3 + length ? 0xA5 : 1);
        }
        memcpy(second, first, sizeof(first));
        KT_ASSERT_EQ(memcmp(first + 3, second + 3, length), 0);
        KT_ASSERT_EQ(RtlCompareMemory(first + 3, second + 3, length), length);
        if (length != 0) {
            second[3 + length / 2] = 0xFF;
            KT_ASSERT_EQ(KtSign(memcmp(first + 3, second + 3, length)), -1);
            KT_ASSERT_EQ(RtlCompareMemory(first + 3, second + 3, length), length / 2);
        }
    }
}

KTEST(rtl_crt, compare_is_unsigned)
{
    KT_EXPECT_EQ(KtSign(memcmp("\x80", "\x7F", 1)), 1);
    KT_EXPECT_EQ(KtSign(memcmp("12345678\x01\xFF", "12345678\x02\x00", 10)), -1); /* the first difference decides */
}

KTEST(rtl_crt, memory_exports)
{
    UCHAR bytes[16] = { 1, 2, 3, 4 };
    ULONG words[4] = { 7, 7, 7, 8 };

    (RtlMoveMemory)(bytes + 4, bytes, 4);
    KT_EXPECT_EQ(bytes[7], 4);
    (RtlFillMemory)(bytes, 2, 9);
    KT_EXPECT_EQ(bytes[1], 9);
    (RtlZeroMemory)(bytes, sizeof(bytes));
    KT_EXPECT_EQ(bytes[7], 0);
    KT_EXPECT_EQ(RtlCompareMemoryUlong(words, sizeof(words), 7), 12);
    KT_EXPECT_EQ(RtlCompareMemoryUlong(words, 7, 7), 4);
}
