/*
 * From an address to the function that holds it, by the COFF symbol table that the linker left in the image file.
 *
 * The table is untrusted input (a driver's file): every offset is checked. Nothing is allocated or locked, so it works
 * at any IRQL and in a bug check. A lookup reads the whole table: some tens of microseconds for the kernel's.
 */
#pragma once

#include "kernel/ddk.h"

#include "kernel/rtl/image.h"

#define RTLP_SYMBOL_BYTES 128u /* a buffer for RtlpFormatAddress that cuts hardly any name */

typedef struct _RTLP_SYMBOL {
    const char *Name; /* in the image's tables: not NUL-terminated, NameBytes long */
    ULONG       NameBytes;
    ULONG       Offset; /* from the function's first byte to the address */
} RTLP_SYMBOL;

/* The nearest function, static ones included, at or below Address in the same section; false if there is none. */
bool RtlpFindSymbol(const RTLP_IMAGE *Image, const void *Address, RTLP_SYMBOL *Symbol);

/*
 * Write Address as "ntoskrnl!KeBugCheckEx+0x1A"; as "mydriver.sys+0x1234" where no symbol covers it; as
 * "0xFFFFF88000001000" outside every image. The text is cut to fit and always NUL-terminated.
 *
 * => ByteCount > 0; the result is the text's length.
 */
ULONG RtlpFormatAddress(const void *Address, char *Buffer, ULONG ByteCount);

/* The same, always in the form "module.ext+0x1234" or "0x…": what names the module to blame. */
ULONG RtlpFormatModuleOffset(const void *Address, char *Buffer, ULONG ByteCount);
