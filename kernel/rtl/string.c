/*
 * Counted strings. ANSI_STRING and UNICODE_STRING differ only in the size of a character (string.h asserts it), so
 * copying and appending are written once, over bytes.
 *
 * Lengths are bytes, at most 0xFFFE for wide text, never counting a terminator. Routines that fill a buffer of the
 * caller's add a NUL where there is room for one, and never need it to be there.
 *
 * Locking and IRQL: none; any IRQL at which the strings may be touched, but for the routines that allocate or free:
 * PASSIVE_LEVEL, paged pool.
 */
#include "kernel/rtl/string.h"

#include "kernel/rtl/print.h"

#define RTLP_STRING_TAG   'grtS'
#define UNICODE_BYTES_MAX (MAXUSHORT - 1u - (ULONG)sizeof(WCHAR)) /* even, and a NUL's bytes still count in 16 bits */
#define GUID_CHARACTERS   38u                                     /* {xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx} */

/* nf-ntifs-rtlhashunicodestring.md: HASH_STRING_ALGORITHM_X65599 multiplies by its name. */
#define HASH_MULTIPLIER 65599u

NTSTATUS RtlpAllocateString(UNICODE_STRING *String, USHORT MaximumLength)
{
    PWCH buffer = ExAllocatePoolWithTag(PagedPool, MaximumLength, RTLP_STRING_TAG);

    if (buffer == NULL) {
        return STATUS_NO_MEMORY;
    }
    *String = (UNICODE_STRING){ .MaximumLength = MaximumLength, .Buffer = buffer };
    return STATUS_SUCCESS;
}

static void RtlpFreeString(UNICODE_STRING *String)
{
    if (String->Buffer != NULL) {
        ExFreePoolWithTag(String->Buffer, RTLP_STRING_TAG);
        *String = (UNICODE_STRING){ .Buffer = NULL };
    }
}

VOID NTAPI RtlFreeUnicodeString(PUNICODE_STRING UnicodeString)
{
    RtlpFreeString(UnicodeString);
}

VOID NTAPI RtlFreeAnsiString(PANSI_STRING AnsiString)
{
    RtlpFreeString((UNICODE_STRING *)AnsiString);
}

/* A source too long for 16 bits is cut; RtlInitUnicodeStringEx refuses it. */
VOID NTAPI RtlInitUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString)
{
    *DestinationString = (UNICODE_STRING){ .Buffer = (PWCH)(ULONG_PTR)SourceString };
    if (SourceString != NULL) {
        SIZE_T byteCount = min(wcslen(SourceString) * sizeof(WCHAR), UNICODE_BYTES_MAX);
        DestinationString->Length = (USHORT)byteCount;
        DestinationString->MaximumLength = (USHORT)(byteCount + sizeof(WCHAR));
    }
}

NTSTATUS NTAPI RtlInitUnicodeStringEx(PUNICODE_STRING DestinationString, PCWSTR SourceString)
{
    if (SourceString != NULL && wcslen(SourceString) * sizeof(WCHAR) > UNICODE_BYTES_MAX) {
        return STATUS_NAME_TOO_LONG;
    }
    RtlInitUnicodeString(DestinationString, SourceString);
    return STATUS_SUCCESS;
}

VOID NTAPI RtlInitAnsiString(PANSI_STRING DestinationString, PCSZ SourceString)
{
    *DestinationString = (ANSI_STRING){ .Buffer = (PCHAR)(ULONG_PTR)SourceString };
    if (SourceString != NULL) {
        SIZE_T byteCount = min(strlen(SourceString), MAXUSHORT - sizeof(CHAR));
        DestinationString->Length = (USHORT)byteCount;
        DestinationString->MaximumLength = (USHORT)(byteCount + sizeof(CHAR));
    }
}

NTSTATUS NTAPI RtlInitAnsiStringEx(PANSI_STRING DestinationString, PCSZ SourceString)
{
    if (SourceString != NULL && strlen(SourceString) > MAXUSHORT - sizeof(CHAR)) {
        return STATUS_NAME_TOO_LONG;
    }
    RtlInitAnsiString(DestinationString, SourceString);
    return STATUS_SUCCESS;
}

VOID NTAPI RtlInitString(PSTRING DestinationString, PCSZ SourceString)
{
    RtlInitAnsiString(DestinationString, SourceString);
}

/* Put what fits of ByteCount bytes at Offset of String, and a NUL character where that fits too. */
static void RtlpPutBytes(UNICODE_STRING *String, USHORT Offset, const void *Source, SIZE_T ByteCount,
                         ULONG CharacterBytes)
{
    UCHAR *buffer = (UCHAR *)String->Buffer + Offset;
    ULONG  room = String->MaximumLength - (ULONG)Offset;
    ULONG  copied = ByteCount < room ? (ULONG)ByteCount : room - room % CharacterBytes;

    memmove(buffer, Source, copied);
    if (room - copied >= CharacterBytes) {
        memset(buffer + copied, 0, CharacterBytes);
    }
    String->Length = (USHORT)(Offset + copied);
}

VOID NTAPI RtlCopyUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString)
{
    if (SourceString == NULL) {
        DestinationString->Length = 0;
        return;
    }
    RtlpPutBytes(DestinationString, 0, SourceString->Buffer, SourceString->Length, sizeof(WCHAR));
}

VOID NTAPI RtlCopyString(PSTRING DestinationString, const PSTRING SourceString)
{
    if (SourceString == NULL) {
        DestinationString->Length = 0;
        return;
    }
    RtlpPutBytes((UNICODE_STRING *)DestinationString, 0, SourceString->Buffer, SourceString->Length, sizeof(CHAR));
}

static NTSTATUS RtlpAppendBytes(UNICODE_STRING *Destination, const void *Source, SIZE_T ByteCount, ULONG CharacterBytes)
{
    if (Destination->Length > Destination->MaximumLength ||
        ByteCount > (SIZE_T)(Destination->MaximumLength - Destination->Length)) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    if (ByteCount != 0) {
        RtlpPutBytes(Destination, Destination->Length, Source, ByteCount, CharacterBytes);
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlAppendUnicodeToString(PUNICODE_STRING Destination, PCWSTR Source)
{
    SIZE_T byteCount = Source != NULL ? wcslen(Source) * sizeof(WCHAR) : 0;
    return RtlpAppendBytes(Destination, Source, byteCount, sizeof(WCHAR));
}

NTSTATUS NTAPI RtlAppendUnicodeStringToString(PUNICODE_STRING Destination, PCUNICODE_STRING Source)
{
    return RtlpAppendBytes(Destination, Source->Buffer, Source->Length, sizeof(WCHAR));
}

NTSTATUS NTAPI RtlAppendStringToString(PSTRING Destination, const STRING *Source)
{
    return RtlpAppendBytes((UNICODE_STRING *)Destination, Source->Buffer, Source->Length, sizeof(CHAR));
}

/* Lengths are in characters; order is by character code, a prefix before what it begins. */
LONG NTAPI RtlCompareUnicodeStrings(PCWCH String1, SIZE_T String1Length, PCWCH String2, SIZE_T String2Length,
                                    BOOLEAN CaseInSensitive)
{
    SIZE_T common = min(String1Length, String2Length);

    for (SIZE_T i = 0; i < common; i++) {
        LONG first = String1[i];
        LONG second = String2[i];
        if (first != second && CaseInSensitive) {
            first = RtlUpcaseUnicodeChar(String1[i]);
            second = RtlUpcaseUnicodeChar(String2[i]);
        }
        if (first != second) {
            return first - second;
        }
    }
    return (String1Length > String2Length) - (String1Length < String2Length);
}

LONG NTAPI RtlCompareUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive)
{
    return RtlCompareUnicodeStrings(String1->Buffer, String1->Length / sizeof(WCHAR), String2->Buffer,
                                    String2->Length / sizeof(WCHAR), CaseInSensitive);
}

BOOLEAN NTAPI RtlEqualUnicodeString(const UNICODE_STRING *String1, const UNICODE_STRING *String2,
                                    BOOLEAN CaseInSensitive)
{
    return String1->Length == String2->Length && RtlCompareUnicodeString(String1, String2, CaseInSensitive) == 0;
}

/* Whether String2 begins with String1. */
BOOLEAN NTAPI RtlPrefixUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive)
{
    SIZE_T count = String1->Length / sizeof(WCHAR);

    return String1->Length <= String2->Length &&
           RtlCompareUnicodeStrings(String1->Buffer, count, String2->Buffer, count, CaseInSensitive) == 0;
}

LONG NTAPI RtlCompareString(const PSTRING String1, const PSTRING String2, BOOLEAN CaseInSensitive)
{
    ULONG common = min(String1->Length, String2->Length);

    for (ULONG i = 0; i < common; i++) {
        CHAR first = String1->Buffer[i];
        CHAR second = String2->Buffer[i];
        if (first != second && CaseInSensitive) {
            first = RtlUpperChar(first);
            second = RtlUpperChar(second);
        }
        if (first != second) {
            return (UCHAR)first - (UCHAR)second;
        }
    }
    return String1->Length - String2->Length;
}

BOOLEAN NTAPI RtlEqualString(const PSTRING String1, const PSTRING String2, BOOLEAN CaseInSensitive)
{
    return String1->Length == String2->Length && RtlCompareString(String1, String2, CaseInSensitive) == 0;
}

VOID NTAPI RtlUpperString(PSTRING DestinationString, const PSTRING SourceString)
{
    USHORT count = min(DestinationString->MaximumLength, SourceString->Length);

    for (USHORT i = 0; i < count; i++) {
        DestinationString->Buffer[i] = RtlUpperChar(SourceString->Buffer[i]);
    }
    DestinationString->Length = count;
}

static NTSTATUS RtlpMapUnicodeString(UNICODE_STRING *Destination, const UNICODE_STRING *Source, BOOLEAN Allocate,
                                     WCHAR(NTAPI *Map)(WCHAR))
{
    if (Allocate) {
        NTSTATUS status = RtlpAllocateString(Destination, max(Source->Length, (USHORT)sizeof(WCHAR)));
        if (!NT_SUCCESS(status)) {
            return status;
        }
    } else if (Source->Length > Destination->MaximumLength) {
        return STATUS_BUFFER_OVERFLOW;
    }
    for (ULONG i = 0; i < Source->Length / sizeof(WCHAR); i++) {
        Destination->Buffer[i] = Map(Source->Buffer[i]);
    }
    Destination->Length = Source->Length;
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlUpcaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                      BOOLEAN AllocateDestinationString)
{
    return RtlpMapUnicodeString(DestinationString, SourceString, AllocateDestinationString, RtlUpcaseUnicodeChar);
}

NTSTATUS NTAPI RtlDowncaseUnicodeString(PUNICODE_STRING UniDest, PCUNICODE_STRING UniSource,
                                        BOOLEAN AllocateDestinationString)
{
    return RtlpMapUnicodeString(UniDest, UniSource, AllocateDestinationString, RtlDowncaseUnicodeChar);
}

BOOLEAN NTAPI RtlCreateUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString)
{
    UNICODE_STRING source;

    if (!NT_SUCCESS(RtlInitUnicodeStringEx(&source, SourceString)) ||
        !NT_SUCCESS(RtlpAllocateString(DestinationString, (USHORT)(source.Length + sizeof(WCHAR))))) {
        return FALSE;
    }
    RtlCopyUnicodeString(DestinationString, &source);
    return TRUE;
}

NTSTATUS NTAPI RtlValidateUnicodeString(ULONG Flags, PCUNICODE_STRING String)
{
    if (Flags != 0) {
        return STATUS_INVALID_PARAMETER;
    }
    if (String != NULL &&
        (String->Length % sizeof(WCHAR) != 0 || String->MaximumLength % sizeof(WCHAR) != 0 ||
         String->Length > String->MaximumLength || (String->MaximumLength != 0 && String->Buffer == NULL))) {
        return STATUS_INVALID_PARAMETER;
    }
    return STATUS_SUCCESS;
}

/* Numbers the algorithms as nf-ntifs-rtlhashunicodestring.md does: the default is X65599. */
NTSTATUS NTAPI RtlHashUnicodeString(const UNICODE_STRING *String, BOOLEAN CaseInSensitive, ULONG HashAlgorithm,
                                    PULONG HashValue)
{
    ULONG hash = 0;

    if (HashAlgorithm > 1 || HashValue == NULL) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG i = 0; i < String->Length / sizeof(WCHAR); i++) {
        WCHAR character = String->Buffer[i];
        hash = hash * HASH_MULTIPLIER + (CaseInSensitive ? RtlUpcaseUnicodeChar(character) : character);
    }
    *HashValue = hash;
    return STATUS_SUCCESS;
}

/* => STATUS_INVALID_PARAMETER for a Base other than 0 (ten), 2, 8, 10, 16; room for a NUL is needed. */
NTSTATUS NTAPI RtlInt64ToUnicodeString(ULONGLONG Value, ULONG Base, PUNICODE_STRING String)
{
    char digits[RTLP_DIGITS_MAX];

    if (Base != 0 && Base != 2 && Base != 8 && Base != 10 && Base != 16) {
        return STATUS_INVALID_PARAMETER;
    }
    ULONG count = RtlpDigits(Value, Base != 0 ? Base : 10, RtlpUpperDigits, digits);
    if ((count + 1) * sizeof(WCHAR) > String->MaximumLength) {
        return STATUS_BUFFER_OVERFLOW;
    }
    for (ULONG i = 0; i < count; i++) {
        String->Buffer[i] = (UCHAR)digits[i];
    }
    String->Buffer[count] = UNICODE_NULL;
    String->Length = (USHORT)(count * sizeof(WCHAR));
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlIntegerToUnicodeString(ULONG Value, ULONG Base, PUNICODE_STRING String)
{
    return RtlInt64ToUnicodeString(Value, Base, String);
}

static ULONG RtlpHexadecimalValue(WCHAR Character)
{
    if (Character >= '0' && Character <= '9') {
        return Character - (ULONG)'0';
    }
    WCHAR lower = Character | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - (ULONG)'a' + 10 : MAXULONG;
}

/*
 * nf-wdm-rtlunicodestringtointeger.md: blanks, a sign, and where Base is 0 a prefix 0x, 0o or 0b, else ten; digits up
 * to the first character that is none. No digit at all is 0; too many wrap.
 */
NTSTATUS NTAPI RtlUnicodeStringToInteger(PCUNICODE_STRING String, ULONG Base, PULONG Value)
{
    const WCHAR *next = String->Buffer;
    const WCHAR *end = next + String->Length / sizeof(WCHAR);
    ULONG        value = 0;

    if (Base != 0 && Base != 2 && Base != 8 && Base != 10 && Base != 16) {
        return STATUS_INVALID_PARAMETER;
    }
    while (next < end && *next <= ' ') {
        next++;
    }
    bool negative = next < end && *next == '-';
    if (next < end && (*next == '-' || *next == '+')) {
        next++;
    }
    if (Base == 0) {
        WCHAR prefix = end - next > 2 && *next == '0' ? next[1] : 0;
        Base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 10;
        next += Base != 10 ? 2 : 0;
    }
    for (; next < end && RtlpHexadecimalValue(*next) < Base; next++) {
        value = value * Base + RtlpHexadecimalValue(*next);
    }
    *Value = negative ? 0 - value : value;
    return STATUS_SUCCESS;
}

/* The braces, dashes and digits of a GUID; the bytes stand in the order in which the text shows them. */
static const UCHAR RtlpGuidByteOrder[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
static const char  RtlpGuidPattern[GUID_CHARACTERS + 1] = "{xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}";

NTSTATUS NTAPI RtlStringFromGUID(REFGUID Guid, PUNICODE_STRING GuidString)
{
    const UCHAR *bytes = (const UCHAR *)Guid;
    ULONG        digit = 0;
    NTSTATUS     status = RtlpAllocateString(GuidString, (GUID_CHARACTERS + 1) * sizeof(WCHAR));

    if (!NT_SUCCESS(status)) {
        return status;
    }
    for (ULONG i = 0; i <= GUID_CHARACTERS; i++) {
        char character = RtlpGuidPattern[i];
        if (character == 'x') {
            UCHAR byte = bytes[RtlpGuidByteOrder[digit / 2]];
            character = RtlpUpperDigits[digit % 2 == 0 ? byte >> 4 : byte & 0xF];
            digit++;
        }
        GuidString->Buffer[i] = (UCHAR)character;
    }
    GuidString->Length = GUID_CHARACTERS * sizeof(WCHAR);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlGUIDFromString(PUNICODE_STRING GuidString, GUID *Guid)
{
    GUID   guid = { .Data1 = 0 };
    UCHAR *bytes = (UCHAR *)&guid;
    ULONG  digit = 0;

    if (GuidString->Length < GUID_CHARACTERS * sizeof(WCHAR)) {
        return STATUS_INVALID_PARAMETER;
    }
    for (ULONG i = 0; i < GUID_CHARACTERS; i++) {
        WCHAR character = GuidString->Buffer[i];
        if (RtlpGuidPattern[i] != 'x') {
            if (character != (UCHAR)RtlpGuidPattern[i]) {
                return STATUS_INVALID_PARAMETER;
            }
            continue;
        }
        ULONG value = RtlpHexadecimalValue(character);
        if (value == MAXULONG) {
            return STATUS_INVALID_PARAMETER;
        }
        UCHAR *byte = &bytes[RtlpGuidByteOrder[digit / 2]];
        *byte = (UCHAR)((ULONG)*byte << 4 | value);
        digit++;
    }
    *Guid = guid;
    return STATUS_SUCCESS;
}
