/*
 * Counted strings: ANSI_STRING and UNICODE_STRING. The interface's prototypes are the driver kit's.
 */
#pragma once

#include "kernel/ddk.h"

C_ASSERT(sizeof(STRING) == sizeof(UNICODE_STRING));
C_ASSERT(FIELD_OFFSET(STRING, Buffer) == FIELD_OFFSET(UNICODE_STRING, Buffer));

/*
 * Give String an empty buffer of MaximumLength bytes from paged pool, for RtlFreeUnicodeString or RtlFreeAnsiString.
 *
 * => IRQL PASSIVE_LEVEL.
 * => STATUS_NO_MEMORY, and String unchanged, when there is none.
 */
NTSTATUS RtlpAllocateString(UNICODE_STRING *String, USHORT MaximumLength);
