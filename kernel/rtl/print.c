/*
 * Problem: drivers format with Microsoft's printf dialect, in narrow and wide characters, into counted buffers and the
 * log; one engine has to speak it all, at any IRQL, without allocating.
 *
 * Representation: an RTLP_PRINTER is the output (a buffer, its capacity and how much text there was so far, stored or
 * not), the format being read and the arguments not yet taken. A directive is parsed into an RTLP_SPEC, then converted
 * by one routine per kind of argument. Text, digits and padding all leave through RtlpPut and RtlpPutRepeated.
 *
 * The dialect, where it differs from the C standard: `l` is 32 bits and `I` pointer-sized; I32, I64; `w`; %C and %S
 * are the other width; %Z prints an ANSI_STRING and %wZ a UNICODE_STRING; %p is sixteen upper-case digits; a NULL
 * string prints as (null); the 0 flag pads text as well; an unknown directive prints its letter.
 *
 * Left out: floating point (%e %f %g %a take their argument and print as themselves) and %n, which takes its argument
 * and never writes to it.
 */
#include "kernel/rtl/print.h"

#include "kernel/rtl/unicode.h"

#define WIDTH_MAX      0xFFFFu /* of a field; saturates, so that a mad width cannot overflow a sum */
#define POINTER_DIGITS 16

typedef enum _RTLP_OUTPUT {
    RtlpOutputAnsi,
    RtlpOutputUtf8,
    RtlpOutputWide, /* the format is wide as well */
} RTLP_OUTPUT;

typedef struct _RTLP_PRINTER {
    RTLP_OUTPUT Output;
    void       *Buffer;
    SIZE_T      Capacity; /* characters of the output's kind that Buffer takes */
    SIZE_T      Length;   /* characters made so far; those from Capacity on are not stored */
    const void *Format;   /* next character */
    va_list     Arguments;
} RTLP_PRINTER;

typedef enum _RTLP_TEXT_WIDTH {
    RtlpTextDefault,
    RtlpTextNarrow,
    RtlpTextWide,
} RTLP_TEXT_WIDTH;

typedef struct _RTLP_SPEC {
    bool            LeftAlign;
    bool            Plus;
    bool            Space;
    bool            Alternate;
    bool            ZeroPad;
    ULONG           Width;
    LONG            Precision; /* -1: none */
    ULONG           Bytes;     /* of an integer argument */
    RTLP_TEXT_WIDTH TextWidth; /* of a text argument */
    WCHAR           Conversion;
} RTLP_SPEC;

typedef struct _RTLP_TEXT {
    RTLP_TEXT_WIDTH Width;
    const void     *Base;
    SIZE_T          Count; /* characters */
} RTLP_TEXT;

const char RtlpLowerDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
const char RtlpUpperDigits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

ULONG RtlpDigits(ULONG64 Value, ULONG Radix, const char *Alphabet, char *Text)
{
    char  reversed[RTLP_DIGITS_MAX];
    ULONG count = 0;

    do {
        reversed[count++] = Alphabet[Value % Radix];
        Value /= Radix;
    } while (Value != 0);
    for (ULONG i = 0; i < count; i++) {
        Text[i] = reversed[count - 1 - i];
    }
    return count;
}

static void RtlpPut(RTLP_PRINTER *Printer, WCHAR Character)
{
    if (Printer->Length < Printer->Capacity) {
        if (Printer->Output == RtlpOutputWide) {
            ((WCHAR *)Printer->Buffer)[Printer->Length] = Character;
        } else {
            ((char *)Printer->Buffer)[Printer->Length] = (char)Character;
        }
    }
    Printer->Length++;
}

static void RtlpPutRepeated(RTLP_PRINTER *Printer, char Character, SIZE_T Count)
{
    for (SIZE_T i = 0; i < Count; i++) {
        RtlpPut(Printer, (UCHAR)Character);
    }
}

static void RtlpPutUtf8(RTLP_PRINTER *Printer, const WCHAR *Text, SIZE_T Count)
{
    for (SIZE_T i = 0; i < Count;) {
        ULONG codePoint;
        UCHAR bytes[RTLP_UTF8_MAX];

        i += RtlpDecodeUtf16(Text + i, Count - i, &codePoint);
        ULONG byteCount = RtlpEncodeUtf8(codePoint, bytes);
        for (ULONG byte = 0; byte < byteCount; byte++) {
            RtlpPut(Printer, bytes[byte]);
        }
    }
}

static void RtlpPutText(RTLP_PRINTER *Printer, const RTLP_TEXT *Text)
{
    const WCHAR *wide = Text->Base;
    const UCHAR *narrow = Text->Base;

    if (Text->Width == RtlpTextNarrow) {
        for (SIZE_T i = 0; i < Text->Count; i++) {
            RtlpPut(Printer, narrow[i]); /* ANSI is Latin-1: widening is the identity */
        }
    } else if (Printer->Output == RtlpOutputUtf8) {
        RtlpPutUtf8(Printer, wide, Text->Count);
    } else {
        for (SIZE_T i = 0; i < Text->Count; i++) {
            RtlpPut(Printer, Printer->Output == RtlpOutputWide ? wide[i] : RtlpAnsiFromWide(wide[i]));
        }
    }
}

/* Text within its field. Width counts characters of the source. */
static void RtlpPutTextField(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec, const RTLP_TEXT *Text)
{
    SIZE_T padding = Spec->Width > Text->Count ? Spec->Width - Text->Count : 0;

    if (!Spec->LeftAlign) {
        RtlpPutRepeated(Printer, Spec->ZeroPad ? '0' : ' ', padding);
    }
    RtlpPutText(Printer, Text);
    if (Spec->LeftAlign) {
        RtlpPutRepeated(Printer, ' ', padding);
    }
}

/* A number within its field: padding, prefix (sign or 0x), leading zeros, digits. */
static void RtlpPutNumberField(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec, const char *Prefix,
                               const RTLP_TEXT *Digits)
{
    SIZE_T prefixCount = strlen(Prefix);
    SIZE_T zeroCount = 0;

    if (Spec->Precision > 0 && (ULONG)Spec->Precision > Digits->Count) {
        zeroCount = (ULONG)Spec->Precision - Digits->Count;
    }
    SIZE_T usedCount = prefixCount + zeroCount + Digits->Count;
    SIZE_T padding = Spec->Width > usedCount ? Spec->Width - usedCount : 0;
    if (Spec->ZeroPad && !Spec->LeftAlign && Spec->Precision < 0) {
        zeroCount += padding;
        padding = 0;
    }
    if (!Spec->LeftAlign) {
        RtlpPutRepeated(Printer, ' ', padding);
    }
    RtlpPutText(Printer, &(RTLP_TEXT){ .Width = RtlpTextNarrow, .Base = Prefix, .Count = prefixCount });
    RtlpPutRepeated(Printer, '0', zeroCount);
    RtlpPutText(Printer, Digits);
    if (Spec->LeftAlign) {
        RtlpPutRepeated(Printer, ' ', padding);
    }
}

static ULONG64 RtlpTakeUnsigned(RTLP_PRINTER *Printer, ULONG ByteCount)
{
    if (ByteCount == sizeof(ULONG64)) {
        return va_arg(Printer->Arguments, ULONG64);
    }
    ULONG value = va_arg(Printer->Arguments, ULONG);
    return ByteCount == sizeof(UCHAR) ? (UCHAR)value : ByteCount == sizeof(USHORT) ? (USHORT)value : value;
}

static LONG64 RtlpTakeSigned(RTLP_PRINTER *Printer, ULONG ByteCount)
{
    ULONG unusedBits = 64 - 8 * ByteCount;
    return (LONG64)(RtlpTakeUnsigned(Printer, ByteCount) << unusedBits) >> unusedBits;
}

static void RtlpConvertSigned(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec)
{
    LONG64      value = RtlpTakeSigned(Printer, Spec->Bytes);
    ULONG64     magnitude = value < 0 ? 0 - (ULONG64)value : (ULONG64)value;
    const char *prefix = value < 0 ? "-" : Spec->Plus ? "+" : Spec->Space ? " " : "";
    char        text[RTLP_DIGITS_MAX];
    RTLP_TEXT   digits = { .Width = RtlpTextNarrow, .Base = text };

    if (value != 0 || Spec->Precision != 0) {
        digits.Count = RtlpDigits(magnitude, 10, RtlpLowerDigits, text);
    }
    RtlpPutNumberField(Printer, Spec, prefix, &digits);
}

static void RtlpConvertUnsigned(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec, ULONG Radix)
{
    ULONG64     value = RtlpTakeUnsigned(Printer, Spec->Bytes);
    const char *alphabet = Spec->Conversion == 'x' ? RtlpLowerDigits : RtlpUpperDigits;
    const char *prefix = "";
    char        text[RTLP_DIGITS_MAX];
    RTLP_TEXT   digits = { .Width = RtlpTextNarrow, .Base = text };

    if (value != 0 || Spec->Precision != 0) {
        digits.Count = RtlpDigits(value, Radix, alphabet, text);
    }
    if (Spec->Alternate && Radix == 16 && value != 0) {
        prefix = Spec->Conversion == 'x' ? "0x" : "0X";
    } else if (Spec->Alternate && Radix == 8 && Spec->Precision <= (LONG)digits.Count &&
               (value != 0 || digits.Count == 0)) {
        prefix = "0";
    }
    RtlpPutNumberField(Printer, Spec, prefix, &digits);
}

static void RtlpConvertPointer(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec)
{
    RTLP_SPEC hexadecimal = *Spec;

    hexadecimal.Bytes = sizeof(void *);
    hexadecimal.Precision = POINTER_DIGITS;
    RtlpConvertUnsigned(Printer, &hexadecimal, 16);
}

static RTLP_TEXT_WIDTH RtlpTextWidth(const RTLP_PRINTER *Printer, const RTLP_SPEC *Spec)
{
    bool wide = Printer->Output == RtlpOutputWide;

    if (Spec->TextWidth != RtlpTextDefault) {
        return Spec->TextWidth;
    }
    if (Spec->Conversion == 'C' || Spec->Conversion == 'S') {
        wide = !wide;
    }
    return wide ? RtlpTextWide : RtlpTextNarrow;
}

static void RtlpConvertCharacter(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec)
{
    ULONG     argument = va_arg(Printer->Arguments, ULONG);
    WCHAR     wide = (WCHAR)argument;
    UCHAR     narrow = (UCHAR)argument;
    RTLP_TEXT text = { .Width = RtlpTextWidth(Printer, Spec), .Count = 1 };

    text.Base = text.Width == RtlpTextWide ? (const void *)&wide : &narrow;
    RtlpPutTextField(Printer, Spec, &text);
}

static void RtlpConvertString(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec)
{
    SIZE_T    limit = Spec->Precision < 0 ? SIZE_MAX : (SIZE_T)Spec->Precision;
    RTLP_TEXT text = { .Width = RtlpTextWidth(Printer, Spec), .Base = va_arg(Printer->Arguments, const void *) };

    if (text.Base == NULL) {
        text.Width = RtlpTextNarrow;
        text.Base = "(null)";
    }
    text.Count = text.Width == RtlpTextWide ? wcsnlen(text.Base, limit) : strnlen(text.Base, limit);
    RtlpPutTextField(Printer, Spec, &text);
}

/* %Z and %wZ. ANSI_STRING and UNICODE_STRING have one layout, and Length is in bytes in both. */
static void RtlpConvertCountedString(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec)
{
    const UNICODE_STRING *string = va_arg(Printer->Arguments, const UNICODE_STRING *);
    RTLP_TEXT             text = { .Width = RtlpTextNarrow, .Base = "(null)", .Count = 6 };

    if (string != NULL && string->Buffer != NULL) {
        text.Width = Spec->TextWidth == RtlpTextWide ? RtlpTextWide : RtlpTextNarrow;
        text.Base = string->Buffer;
        text.Count = text.Width == RtlpTextWide ? string->Length / sizeof(WCHAR) : string->Length;
    }
    if (Spec->Precision >= 0 && (SIZE_T)Spec->Precision < text.Count) {
        text.Count = (SIZE_T)Spec->Precision;
    }
    RtlpPutTextField(Printer, Spec, &text);
}

static void RtlpConvertRefused(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec)
{
    (void)va_arg(Printer->Arguments, ULONG64);
    RtlpPut(Printer, '%');
    RtlpPut(Printer, Spec->Conversion);
}

static void RtlpConvert(RTLP_PRINTER *Printer, const RTLP_SPEC *Spec)
{
    switch (Spec->Conversion) {
    case 'd':
    case 'i':
        RtlpConvertSigned(Printer, Spec);
        break;
    case 'u':
        RtlpConvertUnsigned(Printer, Spec, 10);
        break;
    case 'x':
    case 'X':
        RtlpConvertUnsigned(Printer, Spec, 16);
        break;
    case 'o':
        RtlpConvertUnsigned(Printer, Spec, 8);
        break;
    case 'p':
        RtlpConvertPointer(Printer, Spec);
        break;
    case 'c':
    case 'C':
        RtlpConvertCharacter(Printer, Spec);
        break;
    case 's':
    case 'S':
        RtlpConvertString(Printer, Spec);
        break;
    case 'Z':
        RtlpConvertCountedString(Printer, Spec);
        break;
    case 'n':
    case 'e':
    case 'E':
    case 'f':
    case 'g':
    case 'G':
    case 'a':
    case 'A':
        RtlpConvertRefused(Printer, Spec);
        break;
    default:
        RtlpPut(Printer, Spec->Conversion);
        break;
    }
}

static WCHAR RtlpPeekFormat(const RTLP_PRINTER *Printer, ULONG Ahead)
{
    return Printer->Output == RtlpOutputWide ? ((const WCHAR *)Printer->Format)[Ahead]
                                             : ((const UCHAR *)Printer->Format)[Ahead];
}

static void RtlpSkipFormat(RTLP_PRINTER *Printer, ULONG Count)
{
    Printer->Format = (const UCHAR *)Printer->Format + Count * (Printer->Output == RtlpOutputWide ? sizeof(WCHAR) : 1);
}

static void RtlpParseFlags(RTLP_PRINTER *Printer, RTLP_SPEC *Spec)
{
    for (;; RtlpSkipFormat(Printer, 1)) {
        switch (RtlpPeekFormat(Printer, 0)) {
        case '-':
            Spec->LeftAlign = true;
            break;
        case '+':
            Spec->Plus = true;
            break;
        case ' ':
            Spec->Space = true;
            break;
        case '#':
            Spec->Alternate = true;
            break;
        case '0':
            Spec->ZeroPad = true;
            break;
        default:
            return;
        }
    }
}

/* Digits or an asterisk, which takes an argument. No digits are 0. */
static LONG RtlpParseCount(RTLP_PRINTER *Printer)
{
    LONG value = 0;

    if (RtlpPeekFormat(Printer, 0) == '*') {
        RtlpSkipFormat(Printer, 1);
        value = (LONG)va_arg(Printer->Arguments, ULONG);
        return value > (LONG)WIDTH_MAX ? (LONG)WIDTH_MAX : value < -(LONG)WIDTH_MAX ? -(LONG)WIDTH_MAX : value;
    }
    for (;; RtlpSkipFormat(Printer, 1)) {
        WCHAR digit = RtlpPeekFormat(Printer, 0);
        if (digit < '0' || digit > '9') {
            return value;
        }
        value = value * 10 + digit - '0';
        if (value > (LONG)WIDTH_MAX) {
            value = (LONG)WIDTH_MAX;
        }
    }
}

/* The size that `I` and what follows it stand for. The I itself is consumed already. */
static ULONG RtlpParsePointerSize(RTLP_PRINTER *Printer)
{
    WCHAR first = RtlpPeekFormat(Printer, 0);
    WCHAR second = first != 0 ? RtlpPeekFormat(Printer, 1) : 0;

    if ((first == '6' && second == '4') || (first == '3' && second == '2')) {
        RtlpSkipFormat(Printer, 2);
        return first == '6' ? sizeof(ULONG64) : sizeof(ULONG);
    }
    return sizeof(void *);
}

static void RtlpParseSize(RTLP_PRINTER *Printer, RTLP_SPEC *Spec)
{
    for (;;) {
        WCHAR modifier = RtlpPeekFormat(Printer, 0);
        switch (modifier) {
        case 'h':
            Spec->Bytes = Spec->Bytes == sizeof(USHORT) ? sizeof(UCHAR) : sizeof(USHORT);
            Spec->TextWidth = RtlpTextNarrow;
            break;
        case 'l':
            /* a second `l` doubles the first, which changes nothing by itself */
            Spec->Bytes = Spec->TextWidth == RtlpTextWide ? sizeof(ULONG64) : sizeof(ULONG);
            Spec->TextWidth = RtlpTextWide;
            break;
        case 'w':
            Spec->TextWidth = RtlpTextWide;
            break;
        case 'z':
        case 't':
        case 'j':
            Spec->Bytes = sizeof(ULONG64);
            break;
        case 'I':
            break;
        default:
            return;
        }
        RtlpSkipFormat(Printer, 1);
        if (modifier == 'I') {
            Spec->Bytes = RtlpParsePointerSize(Printer);
        }
    }
}

/* Parse one directive, whose % is consumed already. */
static RTLP_SPEC RtlpParseSpec(RTLP_PRINTER *Printer)
{
    RTLP_SPEC spec = { .Precision = -1, .Bytes = sizeof(ULONG) };

    RtlpParseFlags(Printer, &spec);
    LONG width = RtlpParseCount(Printer);
    if (width < 0) {
        spec.LeftAlign = true;
        width = -width;
    }
    spec.Width = (ULONG)width;
    if (RtlpPeekFormat(Printer, 0) == '.') {
        RtlpSkipFormat(Printer, 1);
        spec.Precision = RtlpParseCount(Printer);
        if (spec.Precision < 0) {
            spec.Precision = -1;
        }
    }
    RtlpParseSize(Printer, &spec);
    spec.Conversion = RtlpPeekFormat(Printer, 0);
    if (spec.Conversion != 0) {
        RtlpSkipFormat(Printer, 1);
    }
    return spec;
}

static void RtlpPrint(RTLP_PRINTER *Printer)
{
    for (;;) {
        WCHAR character = RtlpPeekFormat(Printer, 0);
        if (character == 0) {
            return;
        }
        RtlpSkipFormat(Printer, 1);
        if (character != '%') {
            RtlpPut(Printer, character);
            continue;
        }
        RTLP_SPEC spec = RtlpParseSpec(Printer);
        if (spec.Conversion == 0) {
            return;
        }
        RtlpConvert(Printer, &spec);
    }
}

SIZE_T RtlpVFormat(char *Buffer, SIZE_T BufferBytes, RTLP_ENCODING Encoding, const char *Format, va_list Arguments)
{
    RTLP_PRINTER printer = {
        .Output = Encoding == RtlpUtf8 ? RtlpOutputUtf8 : RtlpOutputAnsi,
        .Buffer = Buffer,
        .Capacity = BufferBytes != 0 ? BufferBytes - 1 : 0,
        .Format = Format,
    };

    va_copy(printer.Arguments, Arguments);
    RtlpPrint(&printer);
    va_end(printer.Arguments);
    if (BufferBytes != 0) {
        Buffer[printer.Length < printer.Capacity ? printer.Length : printer.Capacity] = 0;
    }
    return printer.Length;
}

SIZE_T RtlpFormat(char *Buffer, SIZE_T BufferBytes, RTLP_ENCODING Encoding, const char *Format, ...)
{
    va_list arguments;

    va_start(arguments, Format);
    SIZE_T length = RtlpVFormat(Buffer, BufferBytes, Encoding, Format, arguments);
    va_end(arguments);
    return length;
}

/* Run the engine under Microsoft's conventions for counted buffers (see print.h). */
static int RtlpPrintCounted(RTLP_OUTPUT Output, void *Buffer, size_t Count, const void *Format, va_list Arguments)
{
    RTLP_PRINTER printer = { .Output = Output, .Buffer = Buffer, .Capacity = Count, .Format = Format };

    va_copy(printer.Arguments, Arguments);
    RtlpPrint(&printer);
    va_end(printer.Arguments);
    if (printer.Length > MAXLONG || (printer.Length > Count && Buffer != NULL)) {
        return -1;
    }
    int length = (int)printer.Length;
    if (printer.Length < Count) {
        RtlpPut(&printer, 0);
    }
    return length;
}

int __cdecl _vsnprintf(char *Buffer, size_t Count, const char *Format, va_list Arguments)
{
    return RtlpPrintCounted(RtlpOutputAnsi, Buffer, Count, Format, Arguments);
}

int __cdecl _vsnwprintf(wchar_t *Buffer, size_t Count, const wchar_t *Format, va_list Arguments)
{
    return RtlpPrintCounted(RtlpOutputWide, Buffer, Count, Format, Arguments);
}

int __cdecl vsprintf(char *Buffer, const char *Format, va_list Arguments)
{
    return _vsnprintf(Buffer, MAXLONG, Format, Arguments);
}

int __cdecl vswprintf(wchar_t *Buffer, const wchar_t *Format, va_list Arguments)
{
    return _vsnwprintf(Buffer, MAXLONG, Format, Arguments);
}

/* The variadic forms differ in nothing but the routine that they hand their list to. */
#define RTLP_PASS_ARGUMENTS(Call) \
    va_list arguments;            \
    va_start(arguments, Format);  \
    int length = Call;            \
    va_end(arguments);            \
    return length

int __cdecl _snprintf(char *Buffer, size_t Count, const char *Format, ...)
{
    RTLP_PASS_ARGUMENTS(_vsnprintf(Buffer, Count, Format, arguments));
}

int __cdecl _snwprintf(wchar_t *Buffer, size_t Count, const wchar_t *Format, ...)
{
    RTLP_PASS_ARGUMENTS(_vsnwprintf(Buffer, Count, Format, arguments));
}

int __cdecl sprintf(char *Buffer, const char *Format, ...)
{
    RTLP_PASS_ARGUMENTS(vsprintf(Buffer, Format, arguments));
}

int __cdecl swprintf(wchar_t *Buffer, const wchar_t *Format, ...)
{
    RTLP_PASS_ARGUMENTS(vswprintf(Buffer, Format, arguments));
}
