/*
 * Counted strings and encodings. Runs in the kernel and, with sanitizers, on the host.
 */
#include "kernel/rtl/string.h"

#include "kernel/rtl/unicode.h"
#include "tests/lib/ktest.h"

#define WIDE(Text) ((UNICODE_STRING)RTL_CONSTANT_STRING(Text))
#define EXPECT_WIDE(String, Expected)                                    \
    do {                                                                 \
        KT_EXPECT_EQ((String).Length, sizeof(Expected) - sizeof(WCHAR)); \
        KT_EXPECT_MEMEQ((String).Buffer, Expected, (String).Length);     \
    } while (0)

KTEST(rtl_string, init)
{
    UNICODE_STRING wide;
    ANSI_STRING    narrow;

    RtlInitUnicodeString(&wide, L"abc");
    KT_EXPECT_EQ(wide.Length, 6);
    KT_EXPECT_EQ(wide.MaximumLength, 8);
    RtlInitUnicodeString(&wide, NULL);
    KT_EXPECT_EQ(wide.MaximumLength, 0);
    KT_EXPECT_NULL(wide.Buffer);
    RtlInitAnsiString(&narrow, "abc");
    KT_EXPECT_EQ(narrow.Length, 3);
    KT_EXPECT_EQ(narrow.MaximumLength, 4);
}

KTEST(rtl_string, init_too_long)
{
    const ULONG    characters = 40000;
    UNICODE_STRING wide;
    WCHAR         *text = ExAllocatePoolWithTag(PagedPool, (characters + 1) * sizeof(WCHAR), 'tsTK');

    KT_ASSERT_NOT_NULL(text);
    for (ULONG i = 0; i < characters; i++) {
        text[i] = 'a';
    }
    text[characters] = 0;
    RtlInitUnicodeString(&wide, text);
    KT_EXPECT_EQ(wide.Length, 0xFFFC);
    KT_EXPECT_EQ(wide.MaximumLength, 0xFFFE);
    KT_EXPECT_STATUS(RtlInitUnicodeStringEx(&wide, text), STATUS_NAME_TOO_LONG);
    ExFreePoolWithTag(text, 'tsTK');
}

KTEST(rtl_string, copy_and_append)
{
    WCHAR          buffer[8];
    UNICODE_STRING target = { .MaximumLength = 10, .Buffer = buffer };

    memset(buffer, 0x5A, sizeof(buffer));
    RtlCopyUnicodeString(&target, &WIDE(L"abcdefg"));
    EXPECT_WIDE(target, L"abcde");
    KT_EXPECT_EQ(buffer[5], 0x5A5A); /* full: no NUL, and nothing behind it */
    RtlCopyUnicodeString(&target, NULL);
    KT_EXPECT_EQ(target.Length, 0);
    KT_EXPECT_STATUS(RtlAppendUnicodeToString(&target, L"ab"), STATUS_SUCCESS);
    KT_EXPECT_EQ(buffer[2], 0); /* room for a NUL: there is one */
    KT_EXPECT_STATUS(RtlAppendUnicodeStringToString(&target, &WIDE(L"cd")), STATUS_SUCCESS);
    KT_EXPECT_STATUS(RtlAppendUnicodeToString(&target, L"ef"), STATUS_BUFFER_TOO_SMALL);
    EXPECT_WIDE(target, L"abcd");
    KT_EXPECT_STATUS(RtlAppendUnicodeToString(&target, NULL), STATUS_SUCCESS);
    KT_EXPECT_STATUS(RtlAppendUnicodeToString(&target, L"e"), STATUS_SUCCESS);
    EXPECT_WIDE(target, L"abcde");
    KT_EXPECT_EQ(buffer[5], 0x5A5A);
}

KTEST(rtl_string, odd_buffer_holds_whole_characters)
{
    WCHAR          buffer[8];
    UNICODE_STRING target = { .MaximumLength = 9, .Buffer = buffer };

    memset(buffer, 0x5A, sizeof(buffer));
    RtlCopyUnicodeString(&target, &WIDE(L"abcdefg"));
    EXPECT_WIDE(target, L"abcd");
    KT_EXPECT_EQ(buffer[4], 0x5A5A);
}

KTEST(rtl_string, comparison)
{
    KT_EXPECT_LT(RtlCompareUnicodeString(&WIDE(L"ab"), &WIDE(L"abc"), FALSE), 0);
    KT_EXPECT_GT(RtlCompareUnicodeString(&WIDE(L"b"), &WIDE(L"abc"), FALSE), 0);
    KT_EXPECT_EQ(RtlCompareUnicodeString(&WIDE(L"A\u00E9"), &WIDE(L"a\u00C9"), TRUE), 0);
    KT_EXPECT_TRUE(RtlEqualUnicodeString(&WIDE(L"Abc"), &WIDE(L"aBC"), TRUE));
    KT_EXPECT_FALSE(RtlEqualUnicodeString(&WIDE(L"Abc"), &WIDE(L"aBC"), FALSE));
    KT_EXPECT_TRUE(RtlPrefixUnicodeString(&WIDE(L"\\device"), &WIDE(L"\\Device\\x"), TRUE));
    KT_EXPECT_FALSE(RtlPrefixUnicodeString(&WIDE(L"abc"), &WIDE(L"ab"), FALSE));

    ANSI_STRING first = RTL_CONSTANT_STRING("abC");
    ANSI_STRING second = RTL_CONSTANT_STRING("abc");
    KT_EXPECT_LT(RtlCompareString(&first, &second, FALSE), 0);
    KT_EXPECT_TRUE(RtlEqualString(&first, &second, TRUE));
}

KTEST(rtl_string, case_mapping)
{
    UNICODE_STRING upper;

    KT_EXPECT_EQ(RtlUpcaseUnicodeChar(L'z'), L'Z');
    KT_EXPECT_EQ(RtlUpcaseUnicodeChar(0xFF), 0x178);
    KT_EXPECT_EQ(RtlDowncaseUnicodeChar(0x178), 0xFF);
    KT_EXPECT_EQ(RtlUpcaseUnicodeChar(0xF7), 0xF7); /* the division sign is no letter */
    KT_EXPECT_EQ(RtlUpcaseUnicodeChar(0x451), 0x401);
    KT_EXPECT_EQ((UCHAR)RtlUpperChar((CHAR)0xFF), 0xFF); /* its upper case is not in Latin-1 */
    KT_ASSERT_STATUS(RtlUpcaseUnicodeString(&upper, &WIDE(L"aB\u00E9\u03B1"), TRUE), STATUS_SUCCESS);
    EXPECT_WIDE(upper, L"AB\u00C9\u0391");
    KT_EXPECT_STATUS(RtlUpcaseUnicodeString(&upper, &WIDE(L"too long"), FALSE), STATUS_BUFFER_OVERFLOW);
    RtlFreeUnicodeString(&upper);
    KT_EXPECT_NULL(upper.Buffer);
    RtlFreeUnicodeString(&upper); /* twice is harmless */
}

KTEST(rtl_string, ansi_conversion)
{
    ANSI_STRING    narrow = RTL_CONSTANT_STRING("caf\xE9");
    ANSI_STRING    back;
    UNICODE_STRING wide;
    char           small[3];

    KT_ASSERT_STATUS(RtlAnsiStringToUnicodeString(&wide, &narrow, TRUE), STATUS_SUCCESS);
    EXPECT_WIDE(wide, L"caf\u00E9");
    KT_EXPECT_EQ(wide.Buffer[4], 0);
    KT_ASSERT_STATUS(RtlUnicodeStringToAnsiString(&back, &wide, TRUE), STATUS_SUCCESS);
    KT_EXPECT_STREQ(back.Buffer, "caf\xE9");
    RtlFreeAnsiString(&back);
    back = (ANSI_STRING){ .MaximumLength = sizeof(small), .Buffer = small };
    KT_EXPECT_STATUS(RtlUnicodeStringToAnsiString(&back, &wide, FALSE), STATUS_BUFFER_OVERFLOW);
    KT_EXPECT_STREQ(small, "ca");
    wide.MaximumLength = 8;
    KT_EXPECT_STATUS(RtlAnsiStringToUnicodeString(&wide, &narrow, FALSE), STATUS_BUFFER_OVERFLOW);
    RtlFreeUnicodeString(&wide);
}

KTEST(rtl_string, utf8)
{
    static const WCHAR wide[] = { 'a', 0xE9, 0x20AC, 0xD83D, 0xDE00 };
    static const char  utf8[] = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
    char               bytes[16];
    WCHAR              units[8];
    ULONG              count;

    KT_EXPECT_STATUS(RtlUnicodeToUTF8N(NULL, 0, &count, wide, sizeof(wide)), STATUS_SUCCESS);
    KT_EXPECT_EQ(count, sizeof(utf8) - 1);
    KT_EXPECT_STATUS(RtlUnicodeToUTF8N(bytes, sizeof(bytes), &count, wide, sizeof(wide)), STATUS_SUCCESS);
    KT_EXPECT_MEMEQ(bytes, utf8, count);
    KT_EXPECT_STATUS(RtlUnicodeToUTF8N(bytes, 4, &count, wide, sizeof(wide)), STATUS_BUFFER_TOO_SMALL);
    KT_EXPECT_EQ(count, 3);
    KT_EXPECT_STATUS(RtlUTF8ToUnicodeN(units, sizeof(units), &count, utf8, sizeof(utf8) - 1), STATUS_SUCCESS);
    KT_EXPECT_EQ(count, sizeof(wide));
    KT_EXPECT_MEMEQ(units, wide, sizeof(wide));
    KT_EXPECT_STATUS(RtlUTF8ToUnicodeN(units, sizeof(units), &count, "\xC0\x80x", 3), STATUS_SOME_NOT_MAPPED);
    KT_EXPECT_EQ(count, 3 * sizeof(WCHAR));
    KT_EXPECT_EQ(units[0], 0xFFFD);
}

KTEST(rtl_string, integers)
{
    WCHAR          buffer[20];
    UNICODE_STRING text = { .MaximumLength = sizeof(buffer), .Buffer = buffer };
    ULONG          value;

    KT_EXPECT_STATUS(RtlIntegerToUnicodeString(0xBEEF, 16, &text), STATUS_SUCCESS);
    EXPECT_WIDE(text, L"BEEF");
    KT_EXPECT_STATUS(RtlInt64ToUnicodeString(1234567890123ull, 0, &text), STATUS_SUCCESS);
    EXPECT_WIDE(text, L"1234567890123");
    KT_EXPECT_STATUS(RtlIntegerToUnicodeString(MAXULONG, 2, &text), STATUS_BUFFER_OVERFLOW);
    KT_EXPECT_STATUS(RtlIntegerToUnicodeString(1, 7, &text), STATUS_INVALID_PARAMETER);

    KT_EXPECT_STATUS(RtlUnicodeStringToInteger(&WIDE(L"  -12x"), 0, &value), STATUS_SUCCESS);
    KT_EXPECT_EQ((LONG)value, -12);
    KT_EXPECT_STATUS(RtlUnicodeStringToInteger(&WIDE(L"0x1F"), 0, &value), STATUS_SUCCESS);
    KT_EXPECT_EQ(value, 0x1F);
    KT_EXPECT_STATUS(RtlUnicodeStringToInteger(&WIDE(L"0b101"), 0, &value), STATUS_SUCCESS);
    KT_EXPECT_EQ(value, 5);
    KT_EXPECT_STATUS(RtlUnicodeStringToInteger(&WIDE(L"ff"), 16, &value), STATUS_SUCCESS);
    KT_EXPECT_EQ(value, 0xFF);
    KT_EXPECT_STATUS(RtlUnicodeStringToInteger(&WIDE(L"1"), 3, &value), STATUS_INVALID_PARAMETER);
}

KTEST(rtl_string, guid)
{
    static const GUID guid = { 0x01234567, 0x89AB, 0xCDEF, { 0x10, 0x32, 0x54, 0x76, 0x98, 0xBA, 0xDC, 0xFE } };
    UNICODE_STRING    text;
    GUID              back;

    KT_ASSERT_STATUS(RtlStringFromGUID(&guid, &text), STATUS_SUCCESS);
    EXPECT_WIDE(text, L"{01234567-89AB-CDEF-1032-547698BADCFE}");
    KT_EXPECT_STATUS(RtlGUIDFromString(&text, &back), STATUS_SUCCESS);
    KT_EXPECT_MEMEQ(&back, &guid, sizeof(guid));
    text.Buffer[9] = '+';
    KT_EXPECT_STATUS(RtlGUIDFromString(&text, &back), STATUS_INVALID_PARAMETER);
    text.Length = 20;
    KT_EXPECT_STATUS(RtlGUIDFromString(&text, &back), STATUS_INVALID_PARAMETER);
    RtlFreeUnicodeString(&text);
}

KTEST(rtl_string, hash_and_validate)
{
    UNICODE_STRING odd = { .Length = 3, .MaximumLength = 4, .Buffer = (PWCH)(ULONG_PTR)L"ab" };
    ULONG          first;
    ULONG          second;

    KT_EXPECT_STATUS(RtlHashUnicodeString(&WIDE(L"Ab"), TRUE, 1, &first), STATUS_SUCCESS);
    KT_EXPECT_EQ(first, 'A' * 65599u + 'B');
    KT_EXPECT_STATUS(RtlHashUnicodeString(&WIDE(L"aB"), TRUE, 0, &second), STATUS_SUCCESS);
    KT_EXPECT_EQ(first, second);
    KT_EXPECT_STATUS(RtlHashUnicodeString(&WIDE(L"a"), TRUE, 2, &second), STATUS_INVALID_PARAMETER);
    KT_EXPECT_STATUS(RtlValidateUnicodeString(0, &WIDE(L"ab")), STATUS_SUCCESS);
    KT_EXPECT_STATUS(RtlValidateUnicodeString(0, &odd), STATUS_INVALID_PARAMETER);
}
