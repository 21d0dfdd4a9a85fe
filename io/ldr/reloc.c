/*
 * Base relocation: blocks of 16-bit entries, each a kind in the upper 4 bits and an offset in a page in the lower 12.
 */
#include "io/ldr/reloc.h"

#define LDRP_RELOC_KIND_SHIFT  12
#define LDRP_RELOC_OFFSET_MASK 0x0FFFu

/* Kinds, "Base Relocation Types" of the PE format's specification; the driver kit's headers lack them. */
#define LDRP_REL_ABSOLUTE 0u
#define LDRP_REL_HIGHLOW  3u
#define LDRP_REL_DIR64    10u

static bool LdrpApplyRelocation(const LDRP_VIEW *View, ULONG64 Rva, USHORT Kind, ULONG64 Delta)
{
    ULONG64 value = 0;
    ULONG   valueBytes = sizeof(ULONG64);
    switch (Kind) {
    case LDRP_REL_ABSOLUTE: /* fills a block up to a multiple of 4 bytes */
        return true;
    case LDRP_REL_HIGHLOW:
        valueBytes = sizeof(ULONG);
        break;
    case LDRP_REL_DIR64:
        break;
    default:
        return false;
    }
    if (!LdrpReadView(View, Rva, &value, valueBytes)) {
        return false;
    }
    value += Delta;
    return LdrpWriteView(View, Rva, &value, valueBytes);
}

static bool LdrpRelocateBlock(const LDRP_VIEW *View, ULONG64 BlockRva, const IMAGE_BASE_RELOCATION *Block,
                              ULONG64 Delta)
{
    for (ULONG offset = sizeof(*Block); offset + sizeof(USHORT) <= Block->SizeOfBlock; offset += sizeof(USHORT)) {
        USHORT entry;
        if (!LdrpReadView(View, BlockRva + offset, &entry, sizeof(entry))) {
            return false;
        }
        ULONG64 rva = (ULONG64)Block->VirtualAddress + (entry & LDRP_RELOC_OFFSET_MASK);
        if (!LdrpApplyRelocation(View, rva, (USHORT)(entry >> LDRP_RELOC_KIND_SHIFT), Delta)) {
            return false;
        }
    }
    return true;
}

NTSTATUS LdrpRelocateImage(const LDRP_PE *Pe, const LDRP_VIEW *View, ULONG64 LoadBase)
{
    ULONG64                     delta = LoadBase - Pe->Header.OptionalHeader.ImageBase;
    const IMAGE_DATA_DIRECTORY *directory = &Pe->Header.OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_BASERELOC];
    if (delta == 0) {
        return STATUS_SUCCESS;
    }
    if (directory->VirtualAddress == 0 || directory->Size == 0) {
        bool stripped = (Pe->Header.FileHeader.Characteristics & IMAGE_FILE_RELOCS_STRIPPED) != 0;
        return stripped ? STATUS_CONFLICTING_ADDRESSES : STATUS_SUCCESS;
    }

    IMAGE_BASE_RELOCATION block;
    for (ULONG64 done = 0; done + sizeof(block) <= directory->Size; done += block.SizeOfBlock) {
        ULONG64 blockRva = directory->VirtualAddress + done;
        if (!LdrpReadView(View, blockRva, &block, sizeof(block)) || block.SizeOfBlock < sizeof(block) ||
            block.SizeOfBlock > directory->Size - done || !LdrpRelocateBlock(View, blockRva, &block, delta)) {
            return STATUS_INVALID_IMAGE_FORMAT;
        }
    }
    return STATUS_SUCCESS;
}
