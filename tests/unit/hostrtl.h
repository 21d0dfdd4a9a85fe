/*
 * The prototypes of the driver kit's Rtl routines that the kernel's pure modules define. Part of hostddk.h's shim.
 */
#pragma once

#include "tests/unit/hostddk.h"

VOID     RtlCopyMemoryNonTemporal(VOID *Destination, const VOID *Source, SIZE_T Length);
SIZE_T   RtlCompareMemory(const VOID *Source1, const VOID *Source2, SIZE_T Length);
SIZE_T   RtlCompareMemoryUlong(PVOID Source, SIZE_T Length, ULONG Pattern);
VOID     RtlPrefetchMemoryNonTemporal(PVOID Source, SIZE_T Length);
VOID     RtlFreeUnicodeString(PUNICODE_STRING UnicodeString);
VOID     RtlFreeAnsiString(PANSI_STRING AnsiString);
VOID     RtlInitUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString);
NTSTATUS RtlInitUnicodeStringEx(PUNICODE_STRING DestinationString, PCWSTR SourceString);
VOID     RtlInitAnsiString(PANSI_STRING DestinationString, PCSZ SourceString);
NTSTATUS RtlInitAnsiStringEx(PANSI_STRING DestinationString, PCSZ SourceString);
VOID     RtlInitString(PSTRING DestinationString, PCSZ SourceString);
VOID     RtlCopyUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString);
VOID     RtlCopyString(PSTRING DestinationString, const PSTRING SourceString);
NTSTATUS RtlAppendUnicodeToString(PUNICODE_STRING Destination, PCWSTR Source);
NTSTATUS RtlAppendUnicodeStringToString(PUNICODE_STRING Destination, PCUNICODE_STRING Source);
NTSTATUS RtlAppendStringToString(PSTRING Destination, const STRING *Source);
LONG     RtlCompareUnicodeStrings(PCWCH String1, SIZE_T String1Length, PCWCH String2, SIZE_T String2Length,
                                  BOOLEAN CaseInSensitive);
LONG     RtlCompareUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive);
BOOLEAN  RtlEqualUnicodeString(const UNICODE_STRING *String1, const UNICODE_STRING *String2, BOOLEAN CaseInSensitive);
BOOLEAN  RtlPrefixUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2, BOOLEAN CaseInSensitive);
LONG     RtlCompareString(const PSTRING String1, const PSTRING String2, BOOLEAN CaseInSensitive);
BOOLEAN  RtlEqualString(const PSTRING String1, const PSTRING String2, BOOLEAN CaseInSensitive);
VOID     RtlUpperString(PSTRING DestinationString, const PSTRING SourceString);
NTSTATUS RtlUpcaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                BOOLEAN AllocateDestinationString);
NTSTATUS RtlDowncaseUnicodeString(PUNICODE_STRING UniDest, PCUNICODE_STRING UniSource,
                                  BOOLEAN AllocateDestinationString);
BOOLEAN  RtlCreateUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString);
NTSTATUS RtlValidateUnicodeString(ULONG Flags, PCUNICODE_STRING String);
NTSTATUS RtlHashUnicodeString(const UNICODE_STRING *String, BOOLEAN CaseInSensitive, ULONG HashAlgorithm,
                              PULONG HashValue);
NTSTATUS RtlInt64ToUnicodeString(ULONGLONG Value, ULONG Base, PUNICODE_STRING String);
NTSTATUS RtlIntegerToUnicodeString(ULONG Value, ULONG Base, PUNICODE_STRING String);
NTSTATUS RtlUnicodeStringToInteger(PCUNICODE_STRING String, ULONG Base, PULONG Value);
NTSTATUS RtlStringFromGUID(REFGUID Guid, PUNICODE_STRING GuidString);
NTSTATUS RtlGUIDFromString(PUNICODE_STRING GuidString, GUID *Guid);
WCHAR    RtlUpcaseUnicodeChar(WCHAR SourceCharacter);
WCHAR    RtlDowncaseUnicodeChar(WCHAR SourceCharacter);
CHAR     RtlUpperChar(CHAR Character);
NTSTATUS RtlUnicodeToMultiByteN(PCHAR MultiByteString, ULONG MaxBytesInMultiByteString, PULONG BytesInMultiByteString,
                                PCWCH UnicodeString, ULONG BytesInUnicodeString);
NTSTATUS RtlUpcaseUnicodeToMultiByteN(PCHAR MultiByteString, ULONG MaxBytesInMultiByteString,
                                      PULONG BytesInMultiByteString, PCWCH UnicodeString, ULONG BytesInUnicodeString);
NTSTATUS RtlMultiByteToUnicodeN(PWCH UnicodeString, ULONG MaxBytesInUnicodeString, PULONG BytesInUnicodeString,
                                const CHAR *MultiByteString, ULONG BytesInMultiByteString);
NTSTATUS RtlUnicodeToMultiByteSize(PULONG BytesInMultiByteString, PCWCH UnicodeString, ULONG BytesInUnicodeString);
NTSTATUS RtlMultiByteToUnicodeSize(PULONG BytesInUnicodeString, const CHAR *MultiByteString,
                                   ULONG BytesInMultiByteString);
NTSTATUS RtlUnicodeToUTF8N(PCHAR UTF8StringDestination, ULONG UTF8StringMaxByteCount, PULONG UTF8StringActualByteCount,
                           PCWCH UnicodeStringSource, ULONG UnicodeStringByteCount);
NTSTATUS RtlUTF8ToUnicodeN(PWSTR UnicodeStringDestination, ULONG UnicodeStringMaxByteCount,
                           PULONG UnicodeStringActualByteCount, PCCH UTF8StringSource, ULONG UTF8StringByteCount);
ULONG    RtlxAnsiStringToUnicodeSize(PCANSI_STRING AnsiString);
ULONG    RtlxUnicodeStringToAnsiSize(PCUNICODE_STRING UnicodeString);
NTSTATUS RtlAnsiStringToUnicodeString(PUNICODE_STRING DestinationString, PANSI_STRING SourceString,
                                      BOOLEAN AllocateDestinationString);
NTSTATUS RtlUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                      BOOLEAN AllocateDestinationString);
VOID     RtlInitializeBitMap(PRTL_BITMAP BitMapHeader, PULONG BitMapBuffer, ULONG SizeOfBitMap);
VOID     RtlClearAllBits(PRTL_BITMAP BitMapHeader);
VOID     RtlSetAllBits(PRTL_BITMAP BitMapHeader);
VOID     RtlClearBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToClear);
VOID     RtlSetBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToSet);
VOID     RtlClearBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber);
VOID     RtlSetBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber);
BOOLEAN  RtlTestBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber);
BOOLEAN  RtlAreBitsClear(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length);
BOOLEAN  RtlAreBitsSet(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length);
ULONG    RtlFindClearBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex);
ULONG    RtlFindSetBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex);
ULONG    RtlFindClearBitsAndSet(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex);
ULONG    RtlFindSetBitsAndClear(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex);
ULONG    RtlFindNextForwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex);
ULONG    RtlFindFirstRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex);
ULONG    RtlFindLastBackwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex);
ULONG    RtlFindClearRuns(PRTL_BITMAP BitMapHeader, PRTL_BITMAP_RUN RunArray, ULONG SizeOfRunArray,
                          BOOLEAN LocateLongestRuns);
ULONG    RtlFindLongestRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex);
ULONG    RtlNumberOfSetBitsUlongPtr(ULONG_PTR Target);
ULONG    RtlNumberOfSetBits(PRTL_BITMAP BitMapHeader);
ULONG    RtlNumberOfClearBits(PRTL_BITMAP BitMapHeader);
CCHAR    RtlFindLeastSignificantBit(ULONGLONG Set);
CCHAR    RtlFindMostSignificantBit(ULONGLONG Set);
ULONG    RtlRandomEx(PULONG Seed);
ULONG    RtlRandom(PULONG Seed);
