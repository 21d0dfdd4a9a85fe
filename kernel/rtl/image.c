/*
 * Registry of loaded images; image.h states the protocol.
 */
#include "kernel/rtl/image.h"

#include <ntimage.h>

#include "kernel/rtl/unwind.h"

static RTLP_IMAGE *RtlpImageList;

const void *RtlpImageRange(const RTLP_IMAGE *Image, ULONG Rva, ULONG ByteCount)
{
    if (Rva > Image->ByteCount || ByteCount > Image->ByteCount - Rva) {
        return NULL;
    }
    return (const UCHAR *)(ULONG_PTR)Image->Base + Rva;
}

/* The headers of the mapped image, or NULL when this is no PE32+ image. */
static const IMAGE_NT_HEADERS64 *RtlpImageHeaders(const RTLP_IMAGE *Image, ULONG *Rva)
{
    const IMAGE_DOS_HEADER *dos = RtlpImageRange(Image, 0, sizeof(*dos));
    if (dos == NULL || dos->e_magic != IMAGE_DOS_SIGNATURE || dos->e_lfanew < 0 || dos->e_lfanew % 4 != 0) {
        return NULL;
    }
    *Rva = (ULONG)dos->e_lfanew;
    const IMAGE_NT_HEADERS64 *headers = RtlpImageRange(Image, *Rva, sizeof(*headers));
    if (headers == NULL || headers->Signature != IMAGE_NT_SIGNATURE ||
        headers->OptionalHeader.Magic != IMAGE_NT_OPTIONAL_HDR64_MAGIC) {
        return NULL;
    }
    return headers;
}

static void RtlpFindSections(RTLP_IMAGE *Image, const IMAGE_FILE_HEADER *FileHeader, ULONG OptionalHeaderRva)
{
    ULONG rva = OptionalHeaderRva + FileHeader->SizeOfOptionalHeader;
    ULONG byteCount = FileHeader->NumberOfSections * (ULONG)sizeof(IMAGE_SECTION_HEADER);
    if (rva % 4 == 0 && RtlpImageRange(Image, rva, byteCount) != NULL) {
        Image->SectionTableRva = rva;
        Image->SectionCount = FileHeader->NumberOfSections;
    }
}

static void RtlpFindFunctionTable(RTLP_IMAGE *Image, const IMAGE_OPTIONAL_HEADER64 *OptionalHeader)
{
    if (OptionalHeader->NumberOfRvaAndSizes <= IMAGE_DIRECTORY_ENTRY_EXCEPTION) {
        return;
    }
    const IMAGE_DATA_DIRECTORY *directory = &OptionalHeader->DataDirectory[IMAGE_DIRECTORY_ENTRY_EXCEPTION];
    const void                 *table = RtlpImageRange(Image, directory->VirtualAddress, directory->Size);
    if (table != NULL && directory->VirtualAddress != 0 && directory->VirtualAddress % 4 == 0) {
        Image->FunctionTable = table;
        Image->FunctionCount = directory->Size / (ULONG)sizeof(RUNTIME_FUNCTION);
    }
}

void RtlpInitializeImage(RTLP_IMAGE *Image, const char *Name, const void *Base, ULONG ByteCount)
{
    *Image = (RTLP_IMAGE){ .Base = (ULONG_PTR)Base, .ByteCount = ByteCount };
    for (ULONG index = 0; index < RTLP_IMAGE_NAME_BYTES - 1 && Name[index] != '\0'; index++) {
        Image->Name[index] = Name[index];
    }
    ULONG                     rva;
    const IMAGE_NT_HEADERS64 *headers = RtlpImageHeaders(Image, &rva);
    if (headers != NULL) {
        RtlpFindSections(Image, &headers->FileHeader, rva + (ULONG)FIELD_OFFSET(IMAGE_NT_HEADERS64, OptionalHeader));
        RtlpFindFunctionTable(Image, &headers->OptionalHeader);
    }
}

void RtlpSetImageSymbols(RTLP_IMAGE *Image, const void *Symbols, ULONG SymbolCount, SIZE_T ByteCount)
{
    Image->Symbols = Symbols;
    Image->SymbolCount = SymbolCount;
    Image->SymbolBytes = ByteCount;
}

void RtlpInsertImage(RTLP_IMAGE *Image)
{
    Image->Next = RtlpImageList;
    /* Release: a reader that sees the entry sees its fields. */
    __atomic_store_n(&RtlpImageList, Image, __ATOMIC_RELEASE);
}

void RtlpRemoveImage(RTLP_IMAGE *Image)
{
    RTLP_IMAGE **link = &RtlpImageList;
    while (*link != Image) {
        link = &(*link)->Next;
    }
    __atomic_store_n(link, Image->Next, __ATOMIC_RELEASE);
}

const RTLP_IMAGE *RtlpFindImage(const void *Address)
{
    /* Interrupts off make an answered IPI prove that no lookup is under way on that CPU: see Grace in image.h. */
    ULONG64 flags = __readeflags();
    _disable();
    const RTLP_IMAGE *image = __atomic_load_n(&RtlpImageList, __ATOMIC_ACQUIRE);
    while (image != NULL && (ULONG_PTR)Address - image->Base >= image->ByteCount) {
        image = __atomic_load_n(&image->Next, __ATOMIC_ACQUIRE);
    }
    __writeeflags(flags);
    return image;
}

PVOID NTAPI RtlPcToFileHeader(PVOID PcValue, PVOID *BaseOfImage)
{
    const RTLP_IMAGE *image = RtlpFindImage(PcValue);
    *BaseOfImage = image == NULL ? NULL : (PVOID)(ULONG_PTR)image->Base;
    return *BaseOfImage;
}
