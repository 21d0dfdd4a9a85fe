/*
 * The few NT types and macros that the kernel's pure modules need, for building them on the host.
 *
 * Host builds put tests/unit/shim first on the include path, so that a module's "kernel/ddk.h" finds the shim, which
 * includes this file and then renames the C runtime names that the module defines (hostcrt.h). The build is for
 * x86-64 Linux by clang with -fshort-wchar -fms-extensions: wchar_t has 16 bits, as in the kernel, and `long` has 64,
 * which is why nothing here is made of it. Layouts that the interface fixes are asserted below.
 */
/* long: one declaration after another, each the driver kit's */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NTAPI
#define NTSYSAPI
#define CDECL
#define __cdecl
#define __stdcall
#define FORCEINLINE           static inline
#define DECLSPEC_ALIGN(Bytes) __attribute__((aligned(Bytes)))
#define DECLSPEC_NORETURN     __attribute__((noreturn))
#define UNALIGNED
#define C_ASSERT(Expression) _Static_assert(Expression, #Expression)
#define CONST                const
#define VOID                 void

typedef char             CHAR, *PCHAR, *PSTR, CCHAR;
typedef const char      *PCSTR, *PCSZ, *PCCH;
typedef signed char      SCHAR;
typedef unsigned char    UCHAR, *PUCHAR, BYTE, BOOLEAN, *PBOOLEAN, KIRQL;
typedef int16_t          SHORT, *PSHORT, CSHORT;
typedef uint16_t         USHORT, *PUSHORT, WORD;
typedef wchar_t          WCHAR, *PWCHAR, *PWSTR, *PWCH;
typedef const wchar_t   *PCWSTR, *PCWCH;
typedef int32_t          LONG, *PLONG, INT, NTSTATUS;
typedef uint32_t         ULONG, *PULONG, DWORD, ULONG32, UINT;
typedef __int64          LONG64, *PLONG64, LONGLONG, LONG_PTR, INT_PTR, SSIZE_T;
typedef unsigned __int64 ULONG64, *PULONG64, ULONGLONG, *PULONGLONG, DWORD64, ULONG_PTR, *PULONG_PTR, UINT_PTR,
    KAFFINITY, PFN_NUMBER;
typedef size_t SIZE_T, *PSIZE_T;
typedef void  *PVOID, *HANDLE;

C_ASSERT(sizeof(WCHAR) == 2);
C_ASSERT(sizeof(PVOID) == 8);

#define TRUE  1
#define FALSE 0

#define MAXUCHAR     0xFFu
#define MAXUSHORT    0xFFFFu
#define MAXULONG     0xFFFFFFFFu
#define MAXULONG64   (~(ULONG64)0)
#define MAXLONG      0x7FFFFFFF
#define MAXULONG_PTR (~(ULONG_PTR)0)
#define MINLONG      ((LONG)0x80000000)
#define PAGE_SIZE    0x1000u
#define PAGE_SHIFT   12
#define ANSI_NULL    ((CHAR)0)
#define UNICODE_NULL ((WCHAR)0)

#define UNREFERENCED_PARAMETER(Parameter)       ((void)(Parameter))
#define FIELD_OFFSET(Type, Field)               ((LONG)offsetof(Type, Field))
#define CONTAINING_RECORD(Address, Type, Field) ((Type *)((char *)(Address)-offsetof(Type, Field)))
#define min(First, Second)                      ((First) < (Second) ? (First) : (Second))
#define max(First, Second)                      ((First) > (Second) ? (First) : (Second))
#define RTL_CONSTANT_STRING(Text)                                                 \
    {                                                                             \
        sizeof(Text) - sizeof((Text)[0]), sizeof(Text), (void *)(ULONG_PTR)(Text) \
    }
#define RTL_NUMBER_OF(Array)        (sizeof(Array) / sizeof((Array)[0]))
#define ARRAYSIZE(Array)            RTL_NUMBER_OF(Array)
#define ALIGN_DOWN_BY(Value, Bytes) ((ULONG_PTR)(Value) & ~((ULONG_PTR)(Bytes)-1))
#define ALIGN_UP_BY(Value, Bytes)   ALIGN_DOWN_BY((ULONG_PTR)(Value) + (Bytes)-1, Bytes)

#define RtlCopyMemory(Destination, Source, Length) memcpy(Destination, Source, Length)
#define RtlMoveMemory(Destination, Source, Length) memmove(Destination, Source, Length)
#define RtlZeroMemory(Destination, Length)         memset(Destination, 0, Length)
#define RtlFillMemory(Destination, Length, Fill)   memset(Destination, Fill, Length)
#define RtlEqualMemory(First, Second, Length)      (memcmp(First, Second, Length) == 0)

#define NT_SUCCESS(Status)              ((NTSTATUS)(Status) >= 0)
#define STATUS_SUCCESS                  ((NTSTATUS)0x00000000)
#define STATUS_SOME_NOT_MAPPED          ((NTSTATUS)0x00000107)
#define STATUS_DATATYPE_MISALIGNMENT    ((NTSTATUS)0x80000002)
#define STATUS_BREAKPOINT               ((NTSTATUS)0x80000003)
#define STATUS_SINGLE_STEP              ((NTSTATUS)0x80000004)
#define STATUS_BUFFER_OVERFLOW          ((NTSTATUS)0x80000005)
#define STATUS_UNSUCCESSFUL             ((NTSTATUS)0xC0000001)
#define STATUS_ACCESS_VIOLATION         ((NTSTATUS)0xC0000005)
#define STATUS_INVALID_PARAMETER        ((NTSTATUS)0xC000000D)
#define STATUS_NO_MEMORY                ((NTSTATUS)0xC0000017)
#define STATUS_BUFFER_TOO_SMALL         ((NTSTATUS)0xC0000023)
#define STATUS_NONCONTINUABLE_EXCEPTION ((NTSTATUS)0xC0000025)
#define STATUS_INVALID_DISPOSITION      ((NTSTATUS)0xC0000026)
#define STATUS_UNWIND                   ((NTSTATUS)0xC0000027)
#define STATUS_BAD_STACK                ((NTSTATUS)0xC0000028)
#define STATUS_INVALID_UNWIND_TARGET    ((NTSTATUS)0xC0000029)
#define STATUS_INVALID_PARAMETER_1      ((NTSTATUS)0xC00000EF)
#define STATUS_INVALID_PARAMETER_2      ((NTSTATUS)0xC00000F0)
#define STATUS_BAD_FUNCTION_TABLE       ((NTSTATUS)0xC00000FF)
#define STATUS_INVALID_IMAGE_FORMAT     ((NTSTATUS)0xC000007B)
#define STATUS_INSUFFICIENT_RESOURCES   ((NTSTATUS)0xC000009A)
#define STATUS_NAME_TOO_LONG            ((NTSTATUS)0xC0000106)

typedef union _LARGE_INTEGER {
    struct {
        ULONG LowPart;
        LONG  HighPart;
    };
    LONGLONG QuadPart;
} LARGE_INTEGER, *PLARGE_INTEGER, PHYSICAL_ADDRESS;

typedef struct _UNICODE_STRING {
    USHORT Length;
    USHORT MaximumLength;
    PWSTR  Buffer;
} UNICODE_STRING, *PUNICODE_STRING;
typedef const UNICODE_STRING *PCUNICODE_STRING;

typedef struct _STRING {
    USHORT Length;
    USHORT MaximumLength;
    PCHAR  Buffer;
} STRING, *PSTRING, ANSI_STRING, *PANSI_STRING, UTF8_STRING, *PUTF8_STRING;
typedef const STRING *PCANSI_STRING, *PCSTRING;

typedef struct _GUID {
    ULONG  Data1;
    USHORT Data2;
    USHORT Data3;
    UCHAR  Data4[8];
} GUID;
typedef const GUID *REFGUID;

typedef struct _LIST_ENTRY {
    struct _LIST_ENTRY *Flink;
    struct _LIST_ENTRY *Blink;
} LIST_ENTRY, *PLIST_ENTRY;

typedef struct _RTL_BITMAP {
    ULONG  SizeOfBitMap;
    PULONG Buffer;
} RTL_BITMAP, *PRTL_BITMAP;

typedef struct _RTL_BITMAP_RUN {
    ULONG StartingIndex;
    ULONG NumberOfBits;
} RTL_BITMAP_RUN, *PRTL_BITMAP_RUN;

C_ASSERT(sizeof(UNICODE_STRING) == 16);
C_ASSERT(sizeof(GUID) == 16);
C_ASSERT(sizeof(RTL_BITMAP) == 16);

typedef enum _POOL_TYPE {
    NonPagedPool = 0,
    PagedPool = 1,
    NonPagedPoolNx = 512,
} POOL_TYPE;

PVOID ExAllocatePoolWithTag(POOL_TYPE PoolType, SIZE_T NumberOfBytes, ULONG Tag);
VOID  ExFreePoolWithTag(PVOID P, ULONG Tag);
VOID  ExFreePool(PVOID P);

FORCEINLINE LONG InterlockedIncrement(volatile LONG *Addend)
{
    return __atomic_add_fetch(Addend, 1, __ATOMIC_SEQ_CST);
}

/* The direction flag is clear; plain loops, so that the sanitizers see each access. */
FORCEINLINE void __movsb(unsigned char *Destination, const unsigned char *Source, size_t Count)
{
    for (; Count != 0; Count--) {
        *Destination++ = *Source++;
    }
}

FORCEINLINE void __stosb(unsigned char *Destination, unsigned char Value, size_t Count)
{
    for (; Count != 0; Count--) {
        *Destination++ = Value;
    }
}

/* The processor takes any address; the casts to char keep the sanitizer from asking for the type's alignment. */
FORCEINLINE void __movsq(ULONG64 *Destination, const ULONG64 *Source, size_t Count)
{
    for (; Count != 0; Count--) {
        ULONG64 word;
        __builtin_memcpy(&word, (const char *)Source++, sizeof(word));
        __builtin_memcpy((char *)Destination++, &word, sizeof(word));
    }
}

FORCEINLINE void __stosq(ULONG64 *Destination, ULONG64 Value, size_t Count)
{
    for (; Count != 0; Count--) {
        __builtin_memcpy((char *)Destination++, &Value, sizeof(Value));
    }
}

#include "tests/unit/hostcontext.h"
