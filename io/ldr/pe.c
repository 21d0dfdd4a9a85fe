/*
 * Validation of PE32+ files; pe.h states the contract.
 *
 * Arithmetic on fields of the file is done in 64 bits on 32-bit values, so that no sum wraps; every structure is
 * copied out of the file before it is read, so that no field need be aligned there.
 */
#include "io/ldr/pe.h"

#define LDRP_DEFAULT_SECURITY_COOKIE 0x00002B992DDFA232ull
#define LDRP_COFF_SYMBOL_BYTES       18u

static ULONG64 LdrpRoundToPages(ULONG64 ByteCount)
{
    return (ByteCount + PAGE_SIZE - 1) & ~(ULONG64)(PAGE_SIZE - 1);
}

static bool LdrpReadFile(const LDRP_PE *Pe, ULONG64 Offset, void *Buffer, SIZE_T ByteCount)
{
    if (Offset > Pe->FileBytes || ByteCount > Pe->FileBytes - Offset) {
        return false;
    }
    RtlCopyMemory(Buffer, Pe->File + Offset, ByteCount);
    return true;
}

/* Find the NT headers and copy them; what the optional header does not reach stays zero. */
static const char *LdrpReadHeaders(LDRP_PE *Pe)
{
    IMAGE_DOS_HEADER dos;
    if (!LdrpReadFile(Pe, 0, &dos, sizeof(dos)) || dos.e_magic != IMAGE_DOS_SIGNATURE) {
        return "it does not begin with a DOS header";
    }
    if (dos.e_lfanew < 0 || dos.e_lfanew % 4 != 0) {
        return "the offset of its PE header is wrong";
    }

    ULONG64             offset = (ULONG)dos.e_lfanew;
    IMAGE_NT_HEADERS64 *header = &Pe->Header;
    ULONG               fixedBytes = FIELD_OFFSET(IMAGE_NT_HEADERS64, OptionalHeader);
    if (!LdrpReadFile(Pe, offset, header, fixedBytes) || header->Signature != IMAGE_NT_SIGNATURE) {
        return "it has no PE header";
    }
    if (header->FileHeader.Machine != IMAGE_FILE_MACHINE_AMD64) {
        return "it is not an x86-64 image";
    }

    ULONG optionalBytes = header->FileHeader.SizeOfOptionalHeader;
    ULONG directoryOffset = FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, DataDirectory);
    if (optionalBytes < directoryOffset ||
        !LdrpReadFile(Pe, offset + fixedBytes, &header->OptionalHeader, directoryOffset)) {
        return "its optional header is cut off";
    }
    if (header->OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC) {
        return "it is not a PE32+ image";
    }

    ULONG directoryCount = header->OptionalHeader.NumberOfRvaAndSizes;
    if (directoryCount > IMAGE_NUMBEROF_DIRECTORY_ENTRIES) {
        directoryCount = IMAGE_NUMBEROF_DIRECTORY_ENTRIES;
    }
    ULONG directoryBytes = directoryCount * (ULONG)sizeof(IMAGE_DATA_DIRECTORY);
    if (directoryBytes > optionalBytes - directoryOffset ||
        !LdrpReadFile(Pe, offset + fixedBytes + directoryOffset, header->OptionalHeader.DataDirectory,
                      directoryBytes)) {
        return "its data directories are cut off";
    }
    Pe->SectionTable = (SIZE_T)(offset + fixedBytes + optionalBytes);
    return NULL;
}

static const char *LdrpCheckGeometry(LDRP_PE *Pe)
{
    const IMAGE_OPTIONAL_HEADER64 *optional = &Pe->Header.OptionalHeader;
    ULONG                          alignment = optional->SectionAlignment;
    if (alignment < PAGE_SIZE || (alignment & (alignment - 1)) != 0) {
        return "its sections are not aligned to pages, so they cannot be protected";
    }
    if (optional->SizeOfImage == 0 || optional->SizeOfImage > LDRP_MAX_IMAGE_BYTES) {
        return "its size in memory is 0 or above 256 MiB";
    }
    Pe->ImageBytes = (ULONG)LdrpRoundToPages(optional->SizeOfImage);

    if (optional->SizeOfHeaders > Pe->FileBytes || optional->SizeOfHeaders > Pe->ImageBytes) {
        return "its headers are larger than the file or the image";
    }
    Pe->HeaderBytes = optional->SizeOfHeaders;
    ULONG64 tableBytes = (ULONG64)Pe->Header.FileHeader.NumberOfSections * sizeof(IMAGE_SECTION_HEADER);
    if (Pe->Header.FileHeader.NumberOfSections == 0 || Pe->SectionTable + tableBytes > Pe->HeaderBytes) {
        return "its section table is empty or lies outside its headers";
    }
    return NULL;
}

LDRP_SECTION LdrpGetSection(const LDRP_PE *Pe, ULONG Index)
{
    IMAGE_SECTION_HEADER header;
    LdrpReadFile(Pe, Pe->SectionTable + (ULONG64)Index * sizeof(header), &header, sizeof(header));

    LDRP_SECTION section = {
        .Rva = header.VirtualAddress,
        .ByteCount = header.Misc.VirtualSize != 0 ? header.Misc.VirtualSize : header.SizeOfRawData,
        .FileOffset = header.PointerToRawData,
        .Characteristics = header.Characteristics,
    };
    if (header.PointerToRawData != 0) {
        section.FileByteCount = header.SizeOfRawData < section.ByteCount ? header.SizeOfRawData : section.ByteCount;
    }
    RtlCopyMemory(section.Name, header.Name, IMAGE_SIZEOF_SHORT_NAME);
    return section;
}

/* Sections are disjoint, in ascending order, inside the image and inside the file; the entry point is in code. */
static const char *LdrpCheckSections(const LDRP_PE *Pe)
{
    ULONG64 end = LdrpRoundToPages(Pe->HeaderBytes);
    ULONG   entryPoint = Pe->Header.OptionalHeader.AddressOfEntryPoint;
    bool    entryFound = false;
    for (ULONG index = 0; index < Pe->Header.FileHeader.NumberOfSections; index++) {
        LDRP_SECTION section = LdrpGetSection(Pe, index);
        if (section.Rva % PAGE_SIZE != 0 || section.Rva < end) {
            return "a section is not page-aligned, or overlaps the one before it";
        }
        if ((ULONG64)section.Rva + section.ByteCount > Pe->ImageBytes) {
            return "a section lies outside the image";
        }
        if ((ULONG64)section.FileOffset + section.FileByteCount > Pe->FileBytes) {
            return "a section's data lie outside the file";
        }
        if (entryPoint - section.Rva < section.ByteCount && (section.Characteristics & IMAGE_SCN_MEM_EXECUTE) != 0) {
            entryFound = true;
        }
        end = LdrpRoundToPages((ULONG64)section.Rva + section.ByteCount);
    }
    return entryFound ? NULL : "its entry point is not in an executable section";
}

NTSTATUS LdrpParseImage(const void *File, SIZE_T FileBytes, LDRP_PE *Pe)
{
    *Pe = (LDRP_PE){ .File = File, .FileBytes = FileBytes };
    Pe->Fault = LdrpReadHeaders(Pe);
    if (Pe->Fault == NULL) {
        Pe->Fault = LdrpCheckGeometry(Pe);
    }
    if (Pe->Fault == NULL) {
        Pe->Fault = LdrpCheckSections(Pe);
    }
    return Pe->Fault == NULL ? STATUS_SUCCESS : STATUS_INVALID_IMAGE_FORMAT;
}

void LdrpCopySections(const LDRP_PE *Pe, const LDRP_VIEW *View)
{
    RtlCopyMemory(View->Base, Pe->File, Pe->HeaderBytes);
    for (ULONG index = 0; index < Pe->Header.FileHeader.NumberOfSections; index++) {
        LDRP_SECTION section = LdrpGetSection(Pe, index);
        RtlCopyMemory(View->Base + section.Rva, Pe->File + section.FileOffset, section.FileByteCount);
    }
}

const void *LdrpFindSymbolTable(const LDRP_PE *Pe, ULONG *SymbolCount, SIZE_T *ByteCount)
{
    ULONG   count = Pe->Header.FileHeader.NumberOfSymbols;
    ULONG64 start = Pe->Header.FileHeader.PointerToSymbolTable;
    ULONG64 stringTable = start + (ULONG64)count * LDRP_COFF_SYMBOL_BYTES;
    ULONG   stringBytes;
    if (start == 0 || count == 0 || !LdrpReadFile(Pe, stringTable, &stringBytes, sizeof(stringBytes)) ||
        stringBytes < sizeof(stringBytes) || stringBytes > Pe->FileBytes - stringTable) {
        return NULL;
    }
    *SymbolCount = count;
    *ByteCount = (SIZE_T)(stringTable - start + stringBytes);
    return Pe->File + start;
}

static bool LdrpIsInView(const LDRP_VIEW *View, ULONG64 Rva, ULONG64 ByteCount)
{
    return Rva <= View->ByteCount && ByteCount <= View->ByteCount - Rva;
}

bool LdrpReadView(const LDRP_VIEW *View, ULONG64 Rva, void *Buffer, ULONG ByteCount)
{
    if (!LdrpIsInView(View, Rva, ByteCount)) {
        return false;
    }
    RtlCopyMemory(Buffer, View->Base + Rva, ByteCount);
    return true;
}

bool LdrpWriteView(const LDRP_VIEW *View, ULONG64 Rva, const void *Buffer, ULONG ByteCount)
{
    if (!LdrpIsInView(View, Rva, ByteCount)) {
        return false;
    }
    RtlCopyMemory(View->Base + Rva, Buffer, ByteCount);
    return true;
}

const char *LdrpViewName(const LDRP_VIEW *View, ULONG64 Rva, ULONG MaxChars)
{
    for (ULONG length = 0; length <= MaxChars && LdrpIsInView(View, Rva + length, 1); length++) {
        UCHAR character = View->Base[Rva + length];
        if (character == '\0') {
            return length == 0 ? NULL : (const char *)View->Base + Rva;
        }
        if (character <= ' ' || character > '~') {
            return NULL;
        }
    }
    return NULL;
}

void LdrpReplaceSecurityCookie(const LDRP_PE *Pe, const LDRP_VIEW *View, ULONG64 LoadBase, ULONG64 Cookie)
{
    ULONG64 rva = Pe->Header.OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG].VirtualAddress;
    ULONG   cookieField = FIELD_OFFSET(IMAGE_LOAD_CONFIG_DIRECTORY64, SecurityCookie);
    ULONG   structureBytes;
    ULONG64 cookieVa;
    /* The structure's own Size counts: the directory's is a constant in many images. */
    if (rva == 0 || !LdrpReadView(View, rva, &structureBytes, sizeof(structureBytes)) ||
        structureBytes < cookieField + sizeof(cookieVa) ||
        !LdrpReadView(View, rva + cookieField, &cookieVa, sizeof(cookieVa))) {
        return;
    }

    ULONG64 value;
    if (LdrpReadView(View, cookieVa - LoadBase, &value, sizeof(value)) && value == LDRP_DEFAULT_SECURITY_COOKIE) {
        LdrpWriteView(View, cookieVa - LoadBase, &Cookie, sizeof(Cookie));
    }
}
