/*
 * Bounded text for the loader: a small formatter, comparison, and the one way in which a step says why it failed.
 *
 * Pure: no firmware, no hardware, no state; the host's unit tests compile it as it stands.
 *
 * Errors. A step that can fail returns bool and takes a BL_FAULT. The place that finds the fault writes the sentence,
 * with BlFail, and nobody adds to it on the way up; boot/main.c prints it.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that somebody else owns. */
typedef struct _BL_BYTES {
    const uint8_t *Base;
    uint64_t       ByteCount;
} BL_BYTES;

#define BL_FAULT_BYTES 160u

typedef struct _BL_FAULT {
    char Text[BL_FAULT_BYTES]; /* one line without its end, always terminated */
} BL_FAULT;

/*
 * Format into Buffer what fits and terminate it: %s %c %u %x %%, and %lu %lx for 64 bits; no widths. Capacity is at
 * least 1.
 */
__attribute__((format(printf, 3, 0))) void BlFormatV(char *Buffer, size_t Capacity, const char *Format,
                                                     va_list Arguments);
__attribute__((format(printf, 3, 4))) void BlFormat(char *Buffer, size_t Capacity, const char *Format, ...);

/* Put the sentence into Fault. => false, so that a check reads `return BlFail(...)`. */
__attribute__((format(printf, 2, 3))) bool BlFail(BL_FAULT *Fault, const char *Format, ...);

size_t BlTextBytes(const char *Text);
bool   BlTextEquals(const char *A, const char *B);
bool   BlTextStartsWith(const char *Text, const char *Prefix);

/* Does Word stand in Text, with blanks or an end on both sides? */
bool BlTextHasWord(const char *Text, const char *Word);

/*
 * Append Source to the line in Line, after a blank if the line holds something. Control characters become blanks, those
 * at the end are dropped.
 *
 * => false, and Line unchanged, when Capacity does not suffice.
 */
bool BlAppendWords(char *Line, size_t Capacity, const BL_BYTES *Source);
