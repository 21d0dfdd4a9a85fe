/*
 * Formatting, comparing and joining of terminated text.
 */
#include "boot/text.h"

typedef struct _BL_OUTPUT {
    char  *Buffer;
    size_t Capacity;
    size_t Used; /* characters stored; always below Capacity */
} BL_OUTPUT;

static void PutCharacter(BL_OUTPUT *Output, char Character)
{
    if (Output->Used + 1 < Output->Capacity) {
        Output->Buffer[Output->Used++] = Character;
    }
}

static void PutText(BL_OUTPUT *Output, const char *Text)
{
    for (; *Text != '\0'; Text++) {
        PutCharacter(Output, *Text);
    }
}

static void PutNumber(BL_OUTPUT *Output, uint64_t Value, unsigned Base)
{
    char   digits[20]; /* 2^64 has 20 decimal digits */
    size_t count = 0;

    do {
        digits[count++] = "0123456789ABCDEF"[Value % Base];
        Value /= Base;
    } while (Value != 0);
    while (count != 0) {
        PutCharacter(Output, digits[--count]);
    }
}

void BlFormatV(char *Buffer, size_t Capacity, const char *Format, va_list Arguments)
{
    BL_OUTPUT output = { .Buffer = Buffer, .Capacity = Capacity };

    for (; *Format != '\0'; Format++) {
        if (*Format != '%') {
            PutCharacter(&output, *Format);
            continue;
        }
        Format++;
        bool wide = *Format == 'l';
        Format += wide ? 1 : 0;
        switch (*Format) {
        case 's':
            PutText(&output, va_arg(Arguments, const char *));
            break;
        case 'c':
            PutCharacter(&output, (char)va_arg(Arguments, int));
            break;
        case 'u':
        case 'x': {
            uint64_t value = wide ? va_arg(Arguments, uint64_t) : va_arg(Arguments, unsigned);
            PutNumber(&output, value, *Format == 'u' ? 10 : 16);
            break;
        }
        default:
            PutCharacter(&output, *Format);
            break;
        }
    }
    Buffer[output.Used] = '\0';
}

void BlFormat(char *Buffer, size_t Capacity, const char *Format, ...)
{
    va_list arguments;

    va_start(arguments, Format);
    BlFormatV(Buffer, Capacity, Format, arguments);
    va_end(arguments);
}

bool BlFail(BL_FAULT *Fault, const char *Format, ...)
{
    va_list arguments;

    va_start(arguments, Format);
    BlFormatV(Fault->Text, sizeof(Fault->Text), Format, arguments);
    va_end(arguments);
    return false;
}

size_t BlTextBytes(const char *Text)
{
    size_t count = 0;

    while (Text[count] != '\0') {
        count++;
    }
    return count;
}

bool BlTextStartsWith(const char *Text, const char *Prefix)
{
    while (*Prefix != '\0' && *Text == *Prefix) {
        Text++;
        Prefix++;
    }
    return *Prefix == '\0';
}

bool BlTextEquals(const char *A, const char *B)
{
    return BlTextStartsWith(A, B) && BlTextBytes(A) == BlTextBytes(B);
}

bool BlTextHasWord(const char *Text, const char *Word)
{
    size_t wordBytes = BlTextBytes(Word);

    for (size_t i = 0; Text[i] != '\0'; i++) {
        bool starts = i == 0 || Text[i - 1] == ' ';
        if (starts && BlTextStartsWith(Text + i, Word) && (Text[i + wordBytes] == ' ' || Text[i + wordBytes] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool IsControl(uint8_t Byte)
{
    return Byte <= ' ' || Byte == 0x7F;
}

bool BlAppendWords(char *Line, size_t Capacity, const BL_BYTES *Source)
{
    uint64_t sourceBytes = Source->ByteCount;
    size_t   used = BlTextBytes(Line);

    while (sourceBytes != 0 && IsControl(Source->Base[sourceBytes - 1])) {
        sourceBytes--;
    }
    if (sourceBytes == 0) {
        return true;
    }
    if (used != 0) {
        used++; /* the blank between the two */
    }
    if (sourceBytes >= Capacity || used + sourceBytes >= Capacity) {
        return false;
    }
    if (used != 0) {
        Line[used - 1] = ' ';
    }
    for (uint64_t i = 0; i < sourceBytes; i++) {
        Line[used++] = IsControl(Source->Base[i]) ? ' ' : (char)Source->Base[i];
    }
    Line[used] = '\0';
    return true;
}
