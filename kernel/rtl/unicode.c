/*
 * Case and encodings.
 *
 * Representation: the letters that have both cases are a table of ranges, lower case to upper case, for Latin, Greek,
 * Cyrillic, Armenian, Roman numerals, circled and full-width letters. Every other character is its own other case, and
 * so is one whose mapping would not come back (dotless i, long s). ASCII never reaches the table.
 *
 * Locking and IRQL: all of it is pure; any IRQL at which the text may be touched, but for the routines that allocate
 * (RtlAnsiStringToUnicodeString, RtlUnicodeStringToAnsiString): PASSIVE_LEVEL, paged pool.
 */
#include "kernel/rtl/unicode.h"

#include "kernel/rtl/string.h"

typedef struct _RTLP_CASE_RANGE {
    USHORT FirstLower;
    USHORT LastLower;
    SHORT  ToUpper; /* add to a lower-case letter */
    UCHAR  Step;    /* 2 where the cases alternate: every second character from FirstLower */
} RTLP_CASE_RANGE;

/* Sorted by FirstLower, disjoint. From UnicodeData.txt's simple mappings; the host tests compare. */
static const RTLP_CASE_RANGE RtlpCaseRanges[] = {
    { 0x00E0, 0x00F6, -32, 1 },  { 0x00F8, 0x00FE, -32, 1 }, { 0x00FF, 0x00FF, 121, 1 }, { 0x0101, 0x012F, -1, 2 },
    { 0x0133, 0x0137, -1, 2 },   { 0x013A, 0x0148, -1, 2 },  { 0x014B, 0x0177, -1, 2 },  { 0x017A, 0x017E, -1, 2 },
    { 0x0371, 0x0373, -1, 2 },   { 0x0377, 0x0377, -1, 1 },  { 0x037B, 0x037D, 130, 1 }, { 0x03AC, 0x03AC, -38, 1 },
    { 0x03AD, 0x03AF, -37, 1 },  { 0x03B1, 0x03C1, -32, 1 }, { 0x03C3, 0x03CB, -32, 1 }, { 0x03CC, 0x03CC, -64, 1 },
    { 0x03CD, 0x03CE, -63, 1 },  { 0x03D7, 0x03D7, -8, 1 },  { 0x03D9, 0x03EF, -1, 2 },  { 0x03F2, 0x03F2, 7, 1 },
    { 0x03F3, 0x03F3, -116, 1 }, { 0x03F8, 0x03F8, -1, 1 },  { 0x03FB, 0x03FB, -1, 1 },  { 0x0430, 0x044F, -32, 1 },
    { 0x0450, 0x045F, -80, 1 },  { 0x0461, 0x0481, -1, 2 },  { 0x048B, 0x04BF, -1, 2 },  { 0x04C2, 0x04CE, -1, 2 },
    { 0x04CF, 0x04CF, -15, 1 },  { 0x04D1, 0x052F, -1, 2 },  { 0x0561, 0x0586, -48, 1 }, { 0x1E01, 0x1E95, -1, 2 },
    { 0x1EA1, 0x1EFF, -1, 2 },   { 0x2170, 0x217F, -16, 1 }, { 0x24D0, 0x24E9, -26, 1 }, { 0xFF41, 0xFF5A, -32, 1 },
};

/* The macros that size conversions ask this: FALSE, one byte is one character. */
BOOLEAN NlsMbCodePageTag = FALSE;

/* Whether Character is Offset away from a lower-case letter of Range. */
static bool RtlpInCaseRange(const RTLP_CASE_RANGE *Range, LONG Character, LONG Offset)
{
    LONG distance = Character - Offset - Range->FirstLower;
    return distance >= 0 && distance <= Range->LastLower - Range->FirstLower && distance % Range->Step == 0;
}

WCHAR NTAPI RtlUpcaseUnicodeChar(WCHAR SourceCharacter)
{
    if (SourceCharacter < 0x80) {
        return SourceCharacter >= 'a' && SourceCharacter <= 'z' ? (WCHAR)(SourceCharacter - 0x20) : SourceCharacter;
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(RtlpCaseRanges); i++) {
        if (RtlpInCaseRange(&RtlpCaseRanges[i], SourceCharacter, 0)) {
            return (WCHAR)(SourceCharacter + RtlpCaseRanges[i].ToUpper);
        }
    }
    return SourceCharacter;
}

WCHAR NTAPI RtlDowncaseUnicodeChar(WCHAR SourceCharacter)
{
    if (SourceCharacter < 0x80) {
        return SourceCharacter >= 'A' && SourceCharacter <= 'Z' ? (WCHAR)(SourceCharacter + 0x20) : SourceCharacter;
    }
    for (ULONG i = 0; i < RTL_NUMBER_OF(RtlpCaseRanges); i++) {
        if (RtlpInCaseRange(&RtlpCaseRanges[i], SourceCharacter, RtlpCaseRanges[i].ToUpper)) {
            return (WCHAR)(SourceCharacter - RtlpCaseRanges[i].ToUpper);
        }
    }
    return SourceCharacter;
}

/* In the ANSI code page; a letter whose upper case Latin-1 lacks stays as it is. */
CHAR NTAPI RtlUpperChar(CHAR Character)
{
    WCHAR upper = RtlUpcaseUnicodeChar((UCHAR)Character);
    return upper <= MAXUCHAR ? (CHAR)upper : Character;
}

ULONG RtlpDecodeUtf16(const WCHAR *Text, SIZE_T UnitCount, ULONG *CodePoint)
{
    ULONG first = Text[0];

    *CodePoint = first;
    if (first < 0xD800 || first > 0xDFFF) {
        return 1;
    }
    if (first < 0xDC00 && UnitCount > 1 && Text[1] >= 0xDC00 && Text[1] <= 0xDFFF) {
        *CodePoint = 0x10000 + ((first - 0xD800) << 10) + (Text[1] - 0xDC00u);
        return 2;
    }
    *CodePoint = RTLP_UNICODE_UNKNOWN;
    return 1;
}

/* => units written, 1 or 2. */
static ULONG RtlpEncodeUtf16(ULONG CodePoint, WCHAR *Text)
{
    if (CodePoint < 0x10000) {
        Text[0] = (WCHAR)CodePoint;
        return 1;
    }
    Text[0] = (WCHAR)(0xD800 + ((CodePoint - 0x10000) >> 10));
    Text[1] = (WCHAR)(0xDC00 + (CodePoint & 0x3FF));
    return 2;
}

ULONG RtlpEncodeUtf8(ULONG CodePoint, UCHAR *Bytes)
{
    static const UCHAR leads[] = { 0, 0, 0xC0, 0xE0, 0xF0 }; /* by length */

    if (CodePoint < 0x80) {
        Bytes[0] = (UCHAR)CodePoint;
        return 1;
    }
    ULONG byteCount = CodePoint < 0x800 ? 2 : CodePoint < 0x10000 ? 3 : 4;
    for (ULONG i = byteCount - 1; i > 0; i--) {
        Bytes[i] = (UCHAR)(0x80 | (CodePoint & 0x3F));
        CodePoint >>= 6;
    }
    Bytes[0] = (UCHAR)(leads[byteCount] | CodePoint);
    return byteCount;
}

ULONG RtlpDecodeUtf8(const UCHAR *Bytes, SIZE_T ByteCount, ULONG *CodePoint)
{
    static const ULONG smallest[] = { 0, 0, 0x80, 0x800, 0x10000 }; /* by length: less is overlong */
    ULONG              lead = Bytes[0];
    ULONG length = lead < 0x80 ? 1 : lead < 0xC0 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF8 ? 4 : 0;

    *CodePoint = lead;
    if (length == 1) {
        return 1;
    }
    *CodePoint = RTLP_UNICODE_UNKNOWN;
    if (length == 0 || length > ByteCount) {
        return 1;
    }
    ULONG value = lead & (0x7Fu >> length);
    for (ULONG i = 1; i < length; i++) {
        if ((Bytes[i] & 0xC0) != 0x80) {
            return 1;
        }
        value = (value << 6) | (Bytes[i] & 0x3Fu);
    }
    if (value < smallest[length] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
        return 1;
    }
    *CodePoint = value;
    return length;
}

/* Converts what fits, in whole characters; a text that does not fit is no error here. */
NTSTATUS NTAPI RtlUnicodeToMultiByteN(PCHAR MultiByteString, ULONG MaxBytesInMultiByteString,
                                      PULONG BytesInMultiByteString, PCWCH UnicodeString, ULONG BytesInUnicodeString)
{
    ULONG count = min(BytesInUnicodeString / (ULONG)sizeof(WCHAR), MaxBytesInMultiByteString);

    for (ULONG i = 0; i < count; i++) {
        MultiByteString[i] = (CHAR)RtlpAnsiFromWide(UnicodeString[i]);
    }
    if (BytesInMultiByteString != NULL) {
        *BytesInMultiByteString = count;
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlUpcaseUnicodeToMultiByteN(PCHAR MultiByteString, ULONG MaxBytesInMultiByteString,
                                            PULONG BytesInMultiByteString, PCWCH UnicodeString,
                                            ULONG BytesInUnicodeString)
{
    ULONG    count;
    NTSTATUS status = RtlUnicodeToMultiByteN(MultiByteString, MaxBytesInMultiByteString, &count, UnicodeString,
                                             BytesInUnicodeString);

    for (ULONG i = 0; i < count; i++) {
        MultiByteString[i] = RtlUpperChar(MultiByteString[i]);
    }
    if (BytesInMultiByteString != NULL) {
        *BytesInMultiByteString = count;
    }
    return status;
}

NTSTATUS NTAPI RtlMultiByteToUnicodeN(PWCH UnicodeString, ULONG MaxBytesInUnicodeString, PULONG BytesInUnicodeString,
                                      const CHAR *MultiByteString, ULONG BytesInMultiByteString)
{
    ULONG count = min(MaxBytesInUnicodeString / (ULONG)sizeof(WCHAR), BytesInMultiByteString);

    for (ULONG i = 0; i < count; i++) {
        UnicodeString[i] = (UCHAR)MultiByteString[i];
    }
    if (BytesInUnicodeString != NULL) {
        *BytesInUnicodeString = count * (ULONG)sizeof(WCHAR);
    }
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlUnicodeToMultiByteSize(PULONG BytesInMultiByteString, PCWCH UnicodeString, ULONG BytesInUnicodeString)
{
    UNREFERENCED_PARAMETER(UnicodeString);
    *BytesInMultiByteString = BytesInUnicodeString / (ULONG)sizeof(WCHAR);
    return STATUS_SUCCESS;
}

NTSTATUS NTAPI RtlMultiByteToUnicodeSize(PULONG BytesInUnicodeString, const CHAR *MultiByteString,
                                         ULONG BytesInMultiByteString)
{
    UNREFERENCED_PARAMETER(MultiByteString);
    *BytesInUnicodeString = BytesInMultiByteString * (ULONG)sizeof(WCHAR);
    return STATUS_SUCCESS;
}

/*
 * nf-wdm-rtlunicodetoutf8n.md: without a destination, the size that it would need.
 *
 * => STATUS_SOME_NOT_MAPPED where half a surrogate pair became U+FFFD; STATUS_BUFFER_TOO_SMALL where the text was cut,
 *    at a whole character.
 */
NTSTATUS NTAPI RtlUnicodeToUTF8N(PCHAR UTF8StringDestination, ULONG UTF8StringMaxByteCount,
                                 PULONG UTF8StringActualByteCount, PCWCH UnicodeStringSource,
                                 ULONG UnicodeStringByteCount)
{
    ULONG    unitCount = UnicodeStringByteCount / (ULONG)sizeof(WCHAR);
    ULONG    written = 0;
    NTSTATUS status = STATUS_SUCCESS;

    for (ULONG i = 0; i < unitCount;) {
        ULONG codePoint;
        UCHAR bytes[RTLP_UTF8_MAX];
        ULONG taken = RtlpDecodeUtf16(UnicodeStringSource + i, unitCount - i, &codePoint);
        ULONG byteCount = RtlpEncodeUtf8(codePoint, bytes);

        if (codePoint == RTLP_UNICODE_UNKNOWN && UnicodeStringSource[i] != RTLP_UNICODE_UNKNOWN) {
            status = STATUS_SOME_NOT_MAPPED;
        }
        if (UTF8StringDestination != NULL) {
            if (byteCount > UTF8StringMaxByteCount - written) {
                status = STATUS_BUFFER_TOO_SMALL;
                break;
            }
            memcpy(UTF8StringDestination + written, bytes, byteCount);
        }
        written += byteCount;
        i += taken;
    }
    *UTF8StringActualByteCount = written;
    return status;
}

/* nf-wdm-rtlutf8tounicoden.md; the mirror image of RtlUnicodeToUTF8N. */
NTSTATUS NTAPI RtlUTF8ToUnicodeN(PWSTR UnicodeStringDestination, ULONG UnicodeStringMaxByteCount,
                                 PULONG UnicodeStringActualByteCount, PCCH UTF8StringSource, ULONG UTF8StringByteCount)
{
    const UCHAR *source = (const UCHAR *)UTF8StringSource;
    ULONG        maximumUnits = UnicodeStringMaxByteCount / (ULONG)sizeof(WCHAR);
    ULONG        written = 0;
    NTSTATUS     status = STATUS_SUCCESS;

    for (ULONG i = 0; i < UTF8StringByteCount;) {
        ULONG codePoint;
        WCHAR units[2];
        ULONG taken = RtlpDecodeUtf8(source + i, UTF8StringByteCount - i, &codePoint);
        ULONG unitCount = RtlpEncodeUtf16(codePoint, units);

        if (codePoint == RTLP_UNICODE_UNKNOWN && taken == 1) {
            status = STATUS_SOME_NOT_MAPPED;
        }
        if (UnicodeStringDestination != NULL) {
            if (unitCount > maximumUnits - written) {
                status = STATUS_BUFFER_TOO_SMALL;
                break;
            }
            memcpy(UnicodeStringDestination + written, units, unitCount * sizeof(WCHAR));
        }
        written += unitCount;
        i += taken;
    }
    *UnicodeStringActualByteCount = written * (ULONG)sizeof(WCHAR);
    return status;
}

ULONG NTAPI RtlxAnsiStringToUnicodeSize(PCANSI_STRING AnsiString)
{
    return (AnsiString->Length + 1u) * (ULONG)sizeof(WCHAR);
}

ULONG NTAPI RtlxUnicodeStringToAnsiSize(PCUNICODE_STRING UnicodeString)
{
    return UnicodeString->Length / (ULONG)sizeof(WCHAR) + 1;
}

/* The result is NUL-terminated. Without an allocation, a destination that is too small is left alone. */
NTSTATUS NTAPI RtlAnsiStringToUnicodeString(PUNICODE_STRING DestinationString, PANSI_STRING SourceString,
                                            BOOLEAN AllocateDestinationString)
{
    ULONG byteCount = RtlxAnsiStringToUnicodeSize(SourceString);

    if (byteCount > MAXUSHORT) {
        return STATUS_INVALID_PARAMETER_2;
    }
    if (AllocateDestinationString) {
        NTSTATUS status = RtlpAllocateString(DestinationString, (USHORT)byteCount);
        if (!NT_SUCCESS(status)) {
            return status;
        }
    } else if (byteCount > DestinationString->MaximumLength) {
        return STATUS_BUFFER_OVERFLOW;
    }
    DestinationString->Length = (USHORT)(byteCount - sizeof(WCHAR));
    RtlMultiByteToUnicodeN(DestinationString->Buffer, DestinationString->Length, NULL, SourceString->Buffer,
                           SourceString->Length);
    DestinationString->Buffer[DestinationString->Length / sizeof(WCHAR)] = UNICODE_NULL;
    return STATUS_SUCCESS;
}

/* The result is NUL-terminated. Without an allocation, a destination that is too small gets what fits. */
NTSTATUS NTAPI RtlUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                            BOOLEAN AllocateDestinationString)
{
    ULONG    byteCount = RtlxUnicodeStringToAnsiSize(SourceString);
    NTSTATUS status = STATUS_SUCCESS;

    if (AllocateDestinationString) {
        status = RtlpAllocateString((UNICODE_STRING *)DestinationString, (USHORT)byteCount);
        if (!NT_SUCCESS(status)) {
            return status;
        }
    } else if (byteCount > DestinationString->MaximumLength) {
        if (DestinationString->MaximumLength == 0) {
            return STATUS_BUFFER_OVERFLOW;
        }
        byteCount = DestinationString->MaximumLength;
        status = STATUS_BUFFER_OVERFLOW;
    }
    DestinationString->Length = (USHORT)(byteCount - 1);
    RtlUnicodeToMultiByteN(DestinationString->Buffer, DestinationString->Length, NULL, SourceString->Buffer,
                           SourceString->Length);
    DestinationString->Buffer[DestinationString->Length] = ANSI_NULL;
    return status;
}
