/*
 * A PE image in memory, made by hand, and a stack: what the unwinder's host tests work on.
 *
 * The image is a heap block of exactly UF_IMAGE_BYTES, so AddressSanitizer sees any read outside it. It has a valid
 * header, one section ".text" from UF_TEXT_RVA on, a function table and room for unwind information.
 */
#pragma once

#include "kernel/ddk.h"

#include "kernel/rtl/unwind.h"

#define UF_IMAGE_BYTES   0x2000u
#define UF_PDATA_RVA     0x400u /* up to UF_MAX_FUNCTIONS entries */
#define UF_XDATA_RVA     0x600u
#define UF_TEXT_RVA      0x1000u
#define UF_TEXT_BYTES    0x1000u
#define UF_MAX_FUNCTIONS 32u
#define UF_STACK_WORDS   64u
#define UF_BAD_WORD      0xDEADDEADDEADDEADull

typedef struct _UF_FIXTURE {
    UCHAR                        *Bytes; /* the image */
    RTLP_IMAGE                    Image;
    ULONG                         FunctionCount;
    ULONG                         NextXdata; /* RVA */
    ULONG64                      *Stack;     /* UF_STACK_WORDS, a heap block too: word n holds 0x5000 + n */
    CONTEXT                       Context;   /* RSP at Stack, register n holds 0x100 + n */
    KNONVOLATILE_CONTEXT_POINTERS Pointers;
    RTLP_UNWIND                   Unwind;
} UF_FIXTURE;

/* One fixture at a time: made anew, registered as "test.sys". */
UF_FIXTURE *UfOpen(void);
void        UfClose(UF_FIXTURE *Fixture);

/*
 * Add a function of [BeginRva, EndRva) with the unwind information Info, ByteCount bytes, and return its entry. Entries
 * are added in ascending order.
 */
RUNTIME_FUNCTION *UfAddFunction(UF_FIXTURE *Fixture, ULONG BeginRva, ULONG EndRva, const void *Info, ULONG ByteCount);

/* Put unwind information into the image without an entry; its RVA comes back. */
ULONG UfAddInfo(UF_FIXTURE *Fixture, const void *Info, ULONG ByteCount);

void UfSetCode(UF_FIXTURE *Fixture, ULONG Rva, const void *Code, ULONG ByteCount);

/* One step from Rva, looking for handlers of HandlerType. */
NTSTATUS UfUnwind(UF_FIXTURE *Fixture, ULONG Rva, ULONG HandlerType);

/* An unwind code's two bytes. */
#define UF_CODE(Offset, Operation, Info) (Offset), (UCHAR)((Operation) | (Info) << 4)
/* The header of unwind information: slots, not codes, are counted. */
#define UF_INFO(Version, Flags, PrologBytes, SlotCount, FrameRegister, FrameOffset) \
    (UCHAR)((Version) | (Flags) << 3), (PrologBytes), (SlotCount), (UCHAR)((FrameRegister) | (FrameOffset) << 4)
/* Little-endian operands. */
#define UF_16(Value) (UCHAR)(Value), (UCHAR)((Value) >> 8)
#define UF_32(Value) UF_16((Value)&0xFFFF), UF_16((ULONG)(Value) >> 16)

enum {
    UF_RAX,
    UF_RCX,
    UF_RDX,
    UF_RBX,
    UF_RSP,
    UF_RBP,
    UF_RSI,
    UF_RDI,
    UF_R8,
    UF_R12 = 12,
    UF_R13,
    UF_R14,
    UF_R15
};
