/*
 * A small driver image, made by hand: what the loader's tests load, and break. Built into the kernel and on the host.
 *
 *     headers   0x0000
 *     .text     0x1000  execute, read     TI_ENTRY_RVA: returns TI_ENTRY_RESULT
 *     .rdata    0x2000  read              two import descriptors, both address tables, load configuration
 *     .data     0x3000  read, write       stack cookie, a pointer to it (DIR64), a 32-bit address (HIGHLOW)
 *     INIT      0x4000  all, discardable  TI_INIT_RVA: returns TI_INIT_RESULT
 *     .reloc    0x5000  read, discardable
 */
#pragma once

#include "io/ldr/pe.h"

#define TI_IMAGE_BASE  0x140000000ull
#define TI_IMAGE_BYTES 0x6000u
#define TI_FILE_BYTES  0xE00u

#define TI_TEXT_RVA  0x1000u
#define TI_RDATA_RVA 0x2000u
#define TI_DATA_RVA  0x3000u
#define TI_INIT_RVA  0x4000u
#define TI_RELOC_RVA 0x5000u

#define TI_ENTRY_RVA    TI_TEXT_RVA
#define TI_ENTRY_RESULT 0x2A
#define TI_INIT_RESULT  0x2B
#define TI_COOKIE_RVA   TI_DATA_RVA
#define TI_POINTER_RVA  (TI_DATA_RVA + 8)
#define TI_ADDRESS_RVA  (TI_DATA_RVA + 16)

/* Slots of the address tables: two of NTOSKRNL.EXE, which has a name table of its own, one of hal, which has none. */
#define TI_PRINT_SLOT_RVA    (TI_RDATA_RVA + 0x60)
#define TI_ALLOCATE_SLOT_RVA (TI_RDATA_RVA + 0x68)
#define TI_STALL_SLOT_RVA    (TI_RDATA_RVA + 0x80)

/* Where the file keeps what the tests change. */
#define TI_NT_OFFSET      0x40u
#define TI_SECTION_OFFSET (TI_NT_OFFSET + (ULONG)sizeof(IMAGE_NT_HEADERS64))
#define TI_RDATA_OFFSET   0x600u
#define TI_DATA_OFFSET    0x800u
#define TI_RELOC_OFFSET   0xC00u
#define TI_NAME_TABLE     (TI_RDATA_OFFSET + 0x40) /* of NTOSKRNL.EXE */
#define TI_ALLOCATE_NAME  (TI_RDATA_OFFSET + 0xC2)

/* Write the image to File, TI_FILE_BYTES long. */
void TiBuildImage(UCHAR *File);

static inline IMAGE_NT_HEADERS64 *TiHeader(UCHAR *File)
{
    return (IMAGE_NT_HEADERS64 *)(File + TI_NT_OFFSET);
}

static inline IMAGE_SECTION_HEADER *TiSection(UCHAR *File, ULONG Index)
{
    return (IMAGE_SECTION_HEADER *)(File + TI_SECTION_OFFSET) + Index;
}
