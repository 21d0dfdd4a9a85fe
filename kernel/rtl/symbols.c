/*
 * COFF symbols; symbols.h states the contract. Format: "PE Format" in Microsoft's Win32 documentation.
 */
#include "kernel/rtl/symbols.h"

#include <ntimage.h>

#define RTLP_SHORT_NAME_BYTES 8u
#define RTLP_TYPE_FUNCTION    0x20u /* IMAGE_SYM_DTYPE_FUNCTION in the type's second nibble */
#define RTLP_CLASS_EXTERNAL   2u
#define RTLP_CLASS_STATIC     3u

/* A record of the symbol table: 18 bytes, hence unaligned. */
#pragma pack(push, 1)
typedef struct _RTLP_COFF_SYMBOL {
    union {
        char ShortName[RTLP_SHORT_NAME_BYTES]; /* padded with NULs */
        struct {
            ULONG Zeroes; /* 0: the name is in the string table */
            ULONG StringOffset;
        };
    };
    ULONG  Value;         /* offset in the section */
    USHORT SectionNumber; /* from 1; 0 and the highest ones stand for no section */
    USHORT Type;
    UCHAR  StorageClass;
    UCHAR  AuxiliaryCount; /* records that follow and belong to this one */
} RTLP_COFF_SYMBOL;
#pragma pack(pop)

C_ASSERT(sizeof(RTLP_COFF_SYMBOL) == 18);

/*
 * The number, from 1, of the section that holds Rva, and the offset in it; 0 if none does. A section without a virtual
 * size spans its file bytes.
 */
static ULONG RtlpFindSection(const RTLP_IMAGE *Image, ULONG Rva, ULONG *OffsetInSection)
{
    ULONG                       tableBytes = Image->SectionCount * (ULONG)sizeof(IMAGE_SECTION_HEADER);
    const IMAGE_SECTION_HEADER *sections = RtlpImageRange(Image, Image->SectionTableRva, tableBytes);
    for (ULONG index = 0; index < Image->SectionCount; index++) {
        const IMAGE_SECTION_HEADER *section = &sections[index];
        ULONG byteCount = section->Misc.VirtualSize != 0 ? section->Misc.VirtualSize : section->SizeOfRawData;
        *OffsetInSection = Rva - section->VirtualAddress;
        if (Rva >= section->VirtualAddress && *OffsetInSection < byteCount) {
            return index + 1;
        }
    }
    return 0;
}

/* The symbol's name; false if it lies outside the tables or is empty. */
static bool RtlpSymbolName(const RTLP_IMAGE *Image, const RTLP_COFF_SYMBOL *Coff, RTLP_SYMBOL *Symbol)
{
    const char *name = Coff->ShortName;
    SIZE_T      limit = RTLP_SHORT_NAME_BYTES;
    if (Coff->Zeroes == 0) {
        SIZE_T strings = (SIZE_T)Image->SymbolCount * sizeof(RTLP_COFF_SYMBOL);
        if (Coff->StringOffset < sizeof(ULONG) || Coff->StringOffset >= Image->SymbolBytes - strings) {
            return false;
        }
        name = (const char *)Image->Symbols + strings + Coff->StringOffset;
        limit = Image->SymbolBytes - strings - Coff->StringOffset;
    }
    ULONG byteCount = 0;
    while (byteCount < limit && name[byteCount] != '\0') {
        byteCount++;
    }
    Symbol->Name = name;
    Symbol->NameBytes = byteCount;
    return byteCount != 0;
}

/*
 * Is the symbol a function's? Compilers say so in its type. Assemblers leave the type 0 for functions and labels
 * alike: of those, names with a dot or a dollar sign are labels within a function, section names and file names.
 */
static bool RtlpIsFunctionSymbol(const RTLP_COFF_SYMBOL *Coff, const RTLP_SYMBOL *Symbol)
{
    if (Coff->StorageClass != RTLP_CLASS_EXTERNAL && Coff->StorageClass != RTLP_CLASS_STATIC) {
        return false;
    }
    if (Coff->Type == RTLP_TYPE_FUNCTION) {
        return true;
    }
    for (ULONG index = 0; index < Symbol->NameBytes; index++) {
        if (Symbol->Name[index] == '.' || Symbol->Name[index] == '$') {
            return false;
        }
    }
    return Coff->Type == 0 && Coff->AuxiliaryCount == 0;
}

bool RtlpFindSymbol(const RTLP_IMAGE *Image, const void *Address, RTLP_SYMBOL *Symbol)
{
    if (Image->Symbols == NULL || Image->SymbolBytes / sizeof(RTLP_COFF_SYMBOL) < Image->SymbolCount) {
        return false;
    }
    ULONG offsetInSection;
    ULONG section = RtlpFindSection(Image, (ULONG)((ULONG_PTR)Address - Image->Base), &offsetInSection);
    if (section == 0) {
        return false;
    }
    bool                    isFound = false;
    const RTLP_COFF_SYMBOL *table = (const RTLP_COFF_SYMBOL *)Image->Symbols;
    for (ULONG index = 0; index < Image->SymbolCount; index += 1u + table[index].AuxiliaryCount) {
        const RTLP_COFF_SYMBOL *coff = &table[index];
        RTLP_SYMBOL             candidate = { .Offset = offsetInSection - coff->Value };
        if (coff->SectionNumber != section || coff->Value > offsetInSection ||
            (isFound && candidate.Offset >= Symbol->Offset)) {
            continue;
        }
        if (RtlpSymbolName(Image, coff, &candidate) && RtlpIsFunctionSymbol(coff, &candidate)) {
            *Symbol = candidate;
            isFound = true;
        }
    }
    return isFound;
}

/* A text under construction in a caller's buffer. */
typedef struct _RTLP_TEXT {
    char *Buffer;
    ULONG Limit; /* bytes of Buffer, less one for the NUL */
    ULONG Length;
} RTLP_TEXT;

static void RtlpAppend(RTLP_TEXT *Text, const char *Characters, ULONG Count)
{
    for (ULONG index = 0; index < Count && Text->Length < Text->Limit; index++) {
        Text->Buffer[Text->Length++] = Characters[index];
    }
}

static void RtlpAppendHex(RTLP_TEXT *Text, ULONG64 Value, ULONG MinimumDigits)
{
    char  digits[16];
    ULONG count = 0;
    while (count < sizeof(digits) && (Value != 0 || count < MinimumDigits)) {
        count++;
        digits[sizeof(digits) - count] = "0123456789ABCDEF"[Value & 0xF];
        Value >>= 4;
    }
    RtlpAppend(Text, "0x", 2);
    RtlpAppend(Text, &digits[sizeof(digits) - count], count);
}

/* The length of the image's name; *StemBytes is its length without the extension. */
static ULONG RtlpModuleNameBytes(const RTLP_IMAGE *Image, ULONG *StemBytes)
{
    ULONG length = 0;
    *StemBytes = 0;
    for (; length < RTLP_IMAGE_NAME_BYTES && Image->Name[length] != '\0'; length++) {
        if (Image->Name[length] == '.') {
            *StemBytes = length;
        }
    }
    if (*StemBytes == 0) {
        *StemBytes = length;
    }
    return length;
}

static ULONG RtlpFinishText(const RTLP_TEXT *Text)
{
    Text->Buffer[Text->Length] = '\0';
    return Text->Length;
}

ULONG RtlpFormatModuleOffset(const void *Address, char *Buffer, ULONG ByteCount)
{
    RTLP_TEXT         text = { .Buffer = Buffer, .Limit = ByteCount - 1 };
    const RTLP_IMAGE *image = RtlpFindImage(Address);
    if (image == NULL) {
        RtlpAppendHex(&text, (ULONG_PTR)Address, 16);
        return RtlpFinishText(&text);
    }
    ULONG stemBytes;
    RtlpAppend(&text, image->Name, RtlpModuleNameBytes(image, &stemBytes));
    RtlpAppend(&text, "+", 1);
    RtlpAppendHex(&text, (ULONG_PTR)Address - image->Base, 1);
    return RtlpFinishText(&text);
}

ULONG RtlpFormatAddress(const void *Address, char *Buffer, ULONG ByteCount)
{
    RTLP_SYMBOL       symbol;
    const RTLP_IMAGE *image = RtlpFindImage(Address);
    if (image == NULL || !RtlpFindSymbol(image, Address, &symbol)) {
        return RtlpFormatModuleOffset(Address, Buffer, ByteCount);
    }
    RTLP_TEXT text = { .Buffer = Buffer, .Limit = ByteCount - 1 };
    ULONG     stemBytes;
    RtlpModuleNameBytes(image, &stemBytes);
    RtlpAppend(&text, image->Name, stemBytes);
    RtlpAppend(&text, "!", 1);
    RtlpAppend(&text, symbol.Name, symbol.NameBytes);
    RtlpAppend(&text, "+", 1);
    RtlpAppendHex(&text, symbol.Offset, 1);
    return RtlpFinishText(&text);
}
