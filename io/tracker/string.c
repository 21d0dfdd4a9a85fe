/*
 * Tracked entries of strings whose buffers are pool. Drivers free them by RtlFreeUnicodeString or by ExFreePool, and
 * their own blocks by either as well.
 */
#include "io/tracker/entries.h"

#include "kernel/rtl/string.h"

#define VF_STRING_TAG 'grtS' /* "Strg" */

/* The result of a conversion, recorded when it made a buffer. ANSI_STRING has the layout of UNICODE_STRING. */
static NTSTATUS VfRecordBuffer(NTSTATUS Status, BOOLEAN Allocated, const UNICODE_STRING *String, const void *Caller)
{
    if (NT_SUCCESS(Status) && Allocated) {
        VfRecord(&(VF_RESOURCE){ .Kind = VfPoolBlock,
                                 .Address = String->Buffer,
                                 .ByteCount = String->MaximumLength,
                                 .Detail = VF_STRING_TAG },
                 Caller);
    }
    return Status;
}

NTSTATUS NTAPI VfTrackRtlAnsiStringToUnicodeString(PUNICODE_STRING DestinationString, PCANSI_STRING SourceString,
                                                   BOOLEAN AllocateDestinationString)
{
    NTSTATUS status = RtlAnsiStringToUnicodeString(DestinationString, SourceString, AllocateDestinationString);
    return VfRecordBuffer(status, AllocateDestinationString, DestinationString, VF_CALLER());
}

NTSTATUS NTAPI VfTrackRtlUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                                   BOOLEAN AllocateDestinationString)
{
    NTSTATUS status = RtlUnicodeStringToAnsiString(DestinationString, SourceString, AllocateDestinationString);
    return VfRecordBuffer(status, AllocateDestinationString, (UNICODE_STRING *)DestinationString, VF_CALLER());
}

NTSTATUS NTAPI VfTrackRtlUpcaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                             BOOLEAN AllocateDestinationString)
{
    NTSTATUS status = RtlUpcaseUnicodeString(DestinationString, SourceString, AllocateDestinationString);
    return VfRecordBuffer(status, AllocateDestinationString, DestinationString, VF_CALLER());
}

NTSTATUS NTAPI VfTrackRtlDowncaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                               BOOLEAN AllocateDestinationString)
{
    NTSTATUS status = RtlDowncaseUnicodeString(DestinationString, SourceString, AllocateDestinationString);
    return VfRecordBuffer(status, AllocateDestinationString, DestinationString, VF_CALLER());
}

BOOLEAN NTAPI VfTrackRtlCreateUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString)
{
    BOOLEAN created = RtlCreateUnicodeString(DestinationString, SourceString);
    VfRecordBuffer(STATUS_SUCCESS, created, DestinationString, VF_CALLER());
    return created;
}

VOID NTAPI VfTrackRtlFreeUnicodeString(PUNICODE_STRING UnicodeString)
{
    VfForgetBlock(UnicodeString->Buffer);
    RtlFreeUnicodeString(UnicodeString);
}

VOID NTAPI VfTrackRtlFreeAnsiString(PANSI_STRING AnsiString)
{
    VfForgetBlock(AnsiString->Buffer);
    RtlFreeAnsiString(AnsiString);
}
