/*
 * The one formatting engine behind every printf of the kernel, and its C runtime names.
 */
#pragma once

#include "kernel/ddk.h"

/*
 * Has the compiler check a printer's arguments against its format (parameters counted from 1). It knows the wide and
 * counted strings of this interface as well (%wZ, %Z, %ws).
 */
#define RTLP_FORMAT_CHECK(FormatIndex, FirstIndex) __attribute__((format(printf, FormatIndex, FirstIndex)))

/* How wide characters come out in a narrow buffer. */
typedef enum _RTLP_ENCODING {
    RtlpAnsi, /* the ANSI code page, see unicode.h: what drivers get */
    RtlpUtf8, /* the log's encoding */
} RTLP_ENCODING;

/*
 * Format into Buffer, which gets a NUL in its last byte at the latest (where it has one).
 *
 * => any IRQL at which the arguments may be touched; takes about 250 bytes of stack.
 * => the length of the whole text in bytes without the NUL: at least BufferBytes where it was cut.
 */
SIZE_T RtlpVFormat(char *Buffer, SIZE_T BufferBytes, RTLP_ENCODING Encoding, const char *Format, va_list Arguments)
    RTLP_FORMAT_CHECK(4, 0);
SIZE_T RtlpFormat(char *Buffer, SIZE_T BufferBytes, RTLP_ENCODING Encoding, const char *Format, ...)
    RTLP_FORMAT_CHECK(4, 5);

#define RTLP_DIGITS_MAX 64u /* 64 bits in radix 2 */

extern const char RtlpLowerDigits[];
extern const char RtlpUpperDigits[];

/*
 * Write Value in Radix (2 to 36) with the digits of Alphabet, most significant first, no NUL.
 *
 * => how many digits: at least 1, at most RTLP_DIGITS_MAX.
 */
ULONG RtlpDigits(ULONG64 Value, ULONG Radix, const char *Alphabet, char *Text);

/*
 * Microsoft's conventions: the characters stored; -1 when the text does not fit, and then as many as fit, without a
 * NUL; no NUL either when it fits exactly. A NULL Buffer of Count 0 asks for the length. The two-argument forms trust
 * the caller's buffer.
 */
int __cdecl _vsnprintf(char *Buffer, size_t Count, const char *Format, va_list Arguments);
int __cdecl _snprintf(char *Buffer, size_t Count, const char *Format, ...);
int __cdecl _vsnwprintf(wchar_t *Buffer, size_t Count, const wchar_t *Format, va_list Arguments);
int __cdecl _snwprintf(wchar_t *Buffer, size_t Count, const wchar_t *Format, ...);
int __cdecl vsprintf(char *Buffer, const char *Format, va_list Arguments);
int __cdecl sprintf(char *Buffer, const char *Format, ...);
int __cdecl vswprintf(wchar_t *Buffer, const wchar_t *Format, va_list Arguments);
int __cdecl swprintf(wchar_t *Buffer, const wchar_t *Format, ...);
