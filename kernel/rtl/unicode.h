/*
 * Characters: case mapping, and conversion between UTF-16, the ANSI code page and UTF-8.
 *
 * The ANSI code page is ISO 8859-1 (Latin-1): one byte is one character and its code is the same in both encodings.
 * What Latin-1 lacks becomes '?', and the conversion still succeeds.
 */
#pragma once

#include "kernel/ddk.h"

#define RTLP_UTF8_MAX        4u /* bytes of one code point */
#define RTLP_ANSI_UNKNOWN    '?'
#define RTLP_UNICODE_UNKNOWN 0xFFFDu

static inline UCHAR RtlpAnsiFromWide(WCHAR Character)
{
    return Character <= MAXUCHAR ? (UCHAR)Character : RTLP_ANSI_UNKNOWN;
}

/*
 * Take one code point from UnitCount (at least 1) UTF-16 units; half a surrogate pair is RTLP_UNICODE_UNKNOWN.
 *
 * => units taken, 1 or 2.
 */
ULONG RtlpDecodeUtf16(const WCHAR *Text, SIZE_T UnitCount, ULONG *CodePoint);

/* => bytes written, 1 to RTLP_UTF8_MAX. */
ULONG RtlpEncodeUtf8(ULONG CodePoint, UCHAR *Bytes);

/*
 * Take one code point from ByteCount (at least 1) bytes. Overlong forms, surrogates, values above 0x10FFFF and broken
 * sequences are RTLP_UNICODE_UNKNOWN, one for each byte that cannot be used.
 *
 * => bytes taken, 1 to RTLP_UTF8_MAX.
 */
ULONG RtlpDecodeUtf8(const UCHAR *Bytes, SIZE_T ByteCount, ULONG *CodePoint);
