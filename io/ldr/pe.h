/*
 * PE32+ images: what a driver file says about itself, checked against the file's size.
 *
 * The file is untrusted. LdrpParseImage looks at every header field that the loader uses later; from then on, the
 * sections can be copied without another check. What lies inside the sections (relocations, imports, the load
 * configuration) is read from the copy, through an LDRP_VIEW that refuses everything outside.
 *
 * Pure: no locks, no allocation, any IRQL at which the file is readable. Built for the host as well and fuzzed there.
 */
#pragma once

#include "kernel/ddk.h"

#include <ntimage.h>

#define LDRP_MAX_IMAGE_BYTES 0x10000000u /* 256 MiB: far above any driver, far below the region for images */
#define LDRP_SECTION_CHARS   (IMAGE_SIZEOF_SHORT_NAME + 1)

typedef struct _LDRP_PE {
    const UCHAR       *File;
    SIZE_T             FileBytes;
    IMAGE_NT_HEADERS64 Header;       /* a copy; directories that the file does not have are zero */
    SIZE_T             SectionTable; /* offset in the file; the table lies inside the headers */
    ULONG              HeaderBytes;  /* of the file, mapped at RVA 0 */
    ULONG              ImageBytes;   /* whole pages from RVA 0 */
    const char        *Fault;        /* why the image was refused, in words */
} LDRP_PE;

typedef struct _LDRP_SECTION {
    char  Name[LDRP_SECTION_CHARS];
    ULONG Rva;       /* page-aligned */
    ULONG ByteCount; /* in memory */
    ULONG FileOffset;
    ULONG FileByteCount;   /* <= ByteCount; the rest is zero */
    ULONG Characteristics; /* IMAGE_SCN_... */
} LDRP_SECTION;

/* An image in memory: [Base, Base + ByteCount) is readable and writable. */
typedef struct _LDRP_VIEW {
    UCHAR *Base;
    ULONG  ByteCount;
} LDRP_VIEW;

/*
 * Check the headers of the file and describe the image in Pe.
 *
 * => STATUS_INVALID_IMAGE_FORMAT, and Pe->Fault says why, when a field is out of bounds or the image is none that this
 *    kernel can run; STATUS_SUCCESS leaves Pe->Fault NULL. Pe refers to File from then on.
 */
NTSTATUS LdrpParseImage(const void *File, SIZE_T FileBytes, LDRP_PE *Pe);

/* => Index < Header.FileHeader.NumberOfSections of a Pe that LdrpParseImage accepted. */
LDRP_SECTION LdrpGetSection(const LDRP_PE *Pe, ULONG Index);

/* Copy the headers and the sections to their places. => View is zero and ImageBytes long. */
void LdrpCopySections(const LDRP_PE *Pe, const LDRP_VIEW *View);

/*
 * The COFF symbol table with its string table behind it, as one stretch of the file.
 *
 * => NULL when there is none or it does not lie inside the file.
 */
const void *LdrpFindSymbolTable(const LDRP_PE *Pe, ULONG *SymbolCount, SIZE_T *ByteCount);

/* Copy ByteCount bytes at Rva out of, or into, the view; false when the range does not lie inside. */
bool LdrpReadView(const LDRP_VIEW *View, ULONG64 Rva, void *Buffer, ULONG ByteCount);
bool LdrpWriteView(const LDRP_VIEW *View, ULONG64 Rva, const void *Buffer, ULONG ByteCount);

/* The name at Rva: 1 to MaxChars printable ASCII characters and a NUL, all inside the view; else NULL. */
const char *LdrpViewName(const LDRP_VIEW *View, ULONG64 Rva, ULONG MaxChars);

/*
 * Where the load configuration keeps the image's stack cookie, and that cookie is the compiler's default: put Cookie
 * there. An image without one, or with one of its own, stays as it is.
 *
 * => LoadBase is the address that the image was relocated to.
 */
void LdrpReplaceSecurityCookie(const LDRP_PE *Pe, const LDRP_VIEW *View, ULONG64 LoadBase, ULONG64 Cookie);
