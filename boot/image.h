/*
 * The kernel's PE32+ file: checking it, and laying it out in memory at the base that was chosen.
 *
 * Pure: works on a file in memory and on a buffer for the image, so that the host's tests can throw anything at it.
 *
 * BlCheckImage reads every header once, compares each offset and size with the file, and leaves a BL_IMAGE that needs
 * no further checks: whoever holds one may follow its offsets. The relocations are the exception, checked as they are
 * applied; a fault there leaves a half-relocated buffer that nobody runs.
 *
 * What is mapped: the headers, and each section that is neither discardable nor debug information (GNU ld names those
 * ".debug..." or "/number"). Mapped sections begin on pages of their own, ascend and never overlap, and none may be
 * both writable and executable.
 */
#pragma once

#include "boot/text.h"

#define BL_MAX_SECTIONS     96u         /* the PE format's own limit for a loadable image */
#define BL_MAX_IMAGE_BYTES  0x10000000u /* 256 MiB of address space, debug sections included */
#define BL_IMAGE_PAGE_BYTES 0x1000u

typedef enum _BL_PROTECTION {
    BlProtectReadOnly,
    BlProtectReadWrite,
    BlProtectReadExecute,
} BL_PROTECTION;

typedef struct _BL_SECTION {
    char          Name[9]; /* terminated */
    bool          Mapped;
    BL_PROTECTION Protection;
    uint32_t      Rva;
    uint32_t      ByteCount; /* in memory; not zero */
    uint32_t      FileOffset;
    uint32_t      FileByteCount; /* to be copied, at most ByteCount; the rest is zero */
} BL_SECTION;

typedef struct _BL_IMAGE {
    BL_BYTES   File;
    uint64_t   PreferredBase;
    uint32_t   PreferredBaseOffset; /* where the header keeps it */
    uint32_t   EntryRva;            /* in a mapped executable section */
    uint32_t   HeaderBytes;         /* copied and mapped from RVA 0, below the first section */
    uint32_t   MappedBytes;         /* whole pages from the header to the end of the last mapped section */
    uint32_t   RelocationOffset;    /* in the file; 8-byte blocks and their entries */
    uint32_t   RelocationBytes;
    uint32_t   SymbolOffset; /* COFF symbol table in the file, its string table right behind */
    uint32_t   SymbolCount;  /* 0 when stripped */
    uint32_t   SymbolBytes;  /* both tables together */
    uint32_t   SectionCount;
    BL_SECTION Sections[BL_MAX_SECTIONS];
} BL_IMAGE;

/* => on success Image describes File, which must stay as long as Image is used. */
bool BlCheckImage(const BL_BYTES *File, BL_IMAGE *Image, BL_FAULT *Fault);

/*
 * Lay Image out in Memory as it is to stand at the virtual address Base: headers, sections, relocations, and the base
 * in the header's ImageBase.
 *
 * => Memory has Image->MappedBytes bytes, all zero, aligned to 8.
 */
bool BlPlaceImage(const BL_IMAGE *Image, uint8_t *Memory, uint64_t Base, BL_FAULT *Fault);
