/*
 * PE32+: the file's own structures, the checks, the layout in memory.
 */
#include "boot/image.h"

/* Facts of the PE/COFF format (Microsoft PE Format). All numbers are little-endian. */
#define DOS_MAGIC                 0x5A4Du /* "MZ" */
#define DOS_NEW_HEADER_OFFSET     0x3Cu
#define PE_SIGNATURE              0x00004550u /* "PE" and two NULs */
#define PE_MACHINE_AMD64          0x8664u
#define PE_MAGIC_64               0x020Bu
#define PE_RELOCS_STRIPPED        0x0001u
#define PE_DIRECTORY_RELOCATION   5u
#define PE_DIRECTORIES            16u
#define PE_SECTION_DISCARDABLE    0x02000000u
#define PE_SECTION_EXECUTE        0x20000000u
#define PE_SECTION_WRITE          0x80000000u
#define PE_RELOCATION_ABSOLUTE    0u /* padding */
#define PE_RELOCATION_DIR64       10u
#define PE_RELOCATION_BLOCK_BYTES 8u
#define COFF_SYMBOL_BYTES         18u

typedef struct _PE_DIRECTORY {
    uint32_t Rva;
    uint32_t ByteCount;
} PE_DIRECTORY;

typedef struct _PE_HEADERS {
    uint32_t     Signature;
    uint16_t     Machine;
    uint16_t     SectionCount;
    uint32_t     TimeStamp;
    uint32_t     SymbolOffset;
    uint32_t     SymbolCount;
    uint16_t     OptionalHeaderBytes;
    uint16_t     Characteristics;
    uint16_t     Magic; /* the optional header begins here */
    uint16_t     LinkerVersion;
    uint32_t     CodeBytes;
    uint32_t     DataBytes;
    uint32_t     ZeroBytes;
    uint32_t     EntryRva;
    uint32_t     CodeRva;
    uint64_t     ImageBase;
    uint32_t     SectionAlignment;
    uint32_t     FileAlignment;
    uint16_t     Versions[6];
    uint32_t     Win32Version;
    uint32_t     ImageBytes;
    uint32_t     HeaderBytes;
    uint32_t     Checksum;
    uint16_t     Subsystem;
    uint16_t     DllCharacteristics;
    uint64_t     StackReserve;
    uint64_t     StackCommit;
    uint64_t     HeapReserve;
    uint64_t     HeapCommit;
    uint32_t     LoaderFlags;
    uint32_t     DirectoryCount;
    PE_DIRECTORY Directories[PE_DIRECTORIES];
} PE_HEADERS;

typedef struct _PE_SECTION {
    char     Name[8]; /* terminated only when shorter */
    uint32_t ByteCount;
    uint32_t Rva;
    uint32_t FileByteCount;
    uint32_t FileOffset;
    uint32_t RelocationOffset;
    uint32_t LineOffset;
    uint16_t RelocationCount;
    uint16_t LineCount;
    uint32_t Characteristics;
} PE_SECTION;

#define PE_OPTIONAL_HEADER_BYTES (sizeof(PE_HEADERS) - offsetof(PE_HEADERS, Magic))

_Static_assert(offsetof(PE_HEADERS, Magic) == 24, "the optional header follows signature and file header");
_Static_assert(offsetof(PE_HEADERS, ImageBase) == 48, "natural alignment is the file's");
_Static_assert(offsetof(PE_HEADERS, Checksum) == 88, "natural alignment is the file's");
_Static_assert(PE_OPTIONAL_HEADER_BYTES == 240, "a PE32+ optional header with all directories");
_Static_assert(sizeof(PE_SECTION) == 40, "a section header");

/* Does [Offset, Offset + ByteCount) lie inside Limit bytes? */
static bool Within(uint64_t Offset, uint64_t ByteCount, uint64_t Limit)
{
    return Offset <= Limit && ByteCount <= Limit - Offset;
}

/* Copy a structure out of the file, wherever it lies. */
static bool ReadFile(const BL_BYTES *File, uint64_t Offset, void *Target, size_t ByteCount)
{
    if (!Within(Offset, ByteCount, File->ByteCount)) {
        return false;
    }
    __builtin_memcpy(Target, File->Base + Offset, ByteCount);
    return true;
}

static uint32_t RoundToPage(uint32_t ByteCount)
{
    return (ByteCount + BL_IMAGE_PAGE_BYTES - 1) & ~(BL_IMAGE_PAGE_BYTES - 1);
}

/*
 * The image checksum: the file's 16-bit words added with end-around carry, the checksum's own four bytes left out, plus
 * the file's size. Such a sum may be taken in wider words and folded at the end.
 */
static uint32_t SumFile(const BL_BYTES *File, uint64_t ChecksumOffset)
{
    uint64_t sum = 0;

    for (uint64_t offset = 0; offset < File->ByteCount; offset += sizeof(uint32_t)) {
        uint64_t left = File->ByteCount - offset;
        uint32_t word = 0;

        if (left >= sizeof(word)) {
            __builtin_memcpy(&word, File->Base + offset, sizeof(word));
        } else {
            __builtin_memcpy(&word, File->Base + offset, left);
        }
        sum += offset == ChecksumOffset ? 0 : word;
    }
    while (sum > 0xFFFF) {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    return (uint32_t)(sum + File->ByteCount);
}

/* Header fields that stand for themselves, before anything is followed. */
static bool CheckHeaders(const BL_BYTES *File, const PE_HEADERS *Headers, uint32_t HeadersOffset, BL_FAULT *Fault)
{
    uint64_t tableOffset = HeadersOffset + offsetof(PE_HEADERS, Magic) + Headers->OptionalHeaderBytes;

    if (Headers->Machine != PE_MACHINE_AMD64 || Headers->Magic != PE_MAGIC_64) {
        return BlFail(Fault, "ntoskrnl.exe: not a PE32+ image for x86-64");
    }
    if (Headers->OptionalHeaderBytes < PE_OPTIONAL_HEADER_BYTES || Headers->DirectoryCount != PE_DIRECTORIES) {
        return BlFail(Fault, "ntoskrnl.exe: the optional header is too small");
    }
    if (Headers->SectionCount == 0 || Headers->SectionCount > BL_MAX_SECTIONS) {
        return BlFail(Fault, "ntoskrnl.exe: %u sections", Headers->SectionCount);
    }
    if (Headers->SectionAlignment == 0 || Headers->SectionAlignment % BL_IMAGE_PAGE_BYTES != 0) {
        return BlFail(Fault, "ntoskrnl.exe: its sections are not aligned to pages");
    }
    if (Headers->ImageBytes == 0 || Headers->ImageBytes > BL_MAX_IMAGE_BYTES) {
        return BlFail(Fault, "ntoskrnl.exe: an image of %u bytes", Headers->ImageBytes);
    }
    if (Headers->HeaderBytes > File->ByteCount || Headers->HeaderBytes > Headers->ImageBytes ||
        !Within(tableOffset, Headers->SectionCount * sizeof(PE_SECTION), Headers->HeaderBytes)) {
        return BlFail(Fault, "ntoskrnl.exe: the headers lie beyond the end of the file");
    }
    if ((Headers->Characteristics & PE_RELOCS_STRIPPED) != 0) {
        return BlFail(Fault, "ntoskrnl.exe: its relocations are stripped");
    }
    return true;
}

static bool IsMapped(const BL_SECTION *Section, uint32_t Characteristics)
{
    return (Characteristics & PE_SECTION_DISCARDABLE) == 0 && Section->Name[0] != '/' &&
           !BlTextStartsWith(Section->Name, ".debug");
}

static BL_PROTECTION ProtectionOf(uint32_t Characteristics)
{
    if ((Characteristics & PE_SECTION_EXECUTE) != 0) {
        return BlProtectReadExecute;
    }
    return (Characteristics & PE_SECTION_WRITE) != 0 ? BlProtectReadWrite : BlProtectReadOnly;
}

/* Take one section header over into Section. FirstFreeRva is where the one before it ended. */
static bool CheckSection(const BL_BYTES *File, const PE_HEADERS *Headers, const PE_SECTION *Header,
                         uint32_t FirstFreeRva, BL_SECTION *Section, BL_FAULT *Fault)
{
    const uint32_t both = PE_SECTION_EXECUTE | PE_SECTION_WRITE;

    *Section = (BL_SECTION){
        .Protection = ProtectionOf(Header->Characteristics),
        .Rva = Header->Rva,
        .ByteCount = Header->ByteCount,
        .FileOffset = Header->FileByteCount != 0 ? Header->FileOffset : 0,
        .FileByteCount = Header->FileByteCount < Header->ByteCount ? Header->FileByteCount : Header->ByteCount,
    };
    for (size_t i = 0; i < sizeof(Header->Name) && Header->Name[i] != '\0'; i++) {
        Section->Name[i] = Header->Name[i] >= ' ' && Header->Name[i] <= '~' ? Header->Name[i] : '?';
    }
    Section->Mapped = IsMapped(Section, Header->Characteristics);
    if (Header->FileByteCount != 0 && !Within(Header->FileOffset, Header->FileByteCount, File->ByteCount)) {
        return BlFail(Fault, "ntoskrnl.exe: section %s lies beyond the end of the file", Section->Name);
    }
    if (Section->ByteCount == 0 || !Within(Section->Rva, Section->ByteCount, Headers->ImageBytes)) {
        return BlFail(Fault, "ntoskrnl.exe: section %s lies beyond the end of the image", Section->Name);
    }
    if (Section->Rva % BL_IMAGE_PAGE_BYTES != 0 || Section->Rva < FirstFreeRva) {
        return BlFail(Fault, "ntoskrnl.exe: section %s overlaps another or is not on a page", Section->Name);
    }
    if (Section->Mapped && (Header->Characteristics & both) == both) {
        return BlFail(Fault, "ntoskrnl.exe: section %s is both writable and executable", Section->Name);
    }
    return true;
}

static bool CheckSections(BL_IMAGE *Image, const PE_HEADERS *Headers, uint64_t TableOffset, BL_FAULT *Fault)
{
    uint32_t firstFreeRva = RoundToPage(Headers->HeaderBytes);

    Image->MappedBytes = firstFreeRva;
    for (uint32_t i = 0; i < Headers->SectionCount; i++) {
        BL_SECTION *section = &Image->Sections[i];
        PE_SECTION  header;

        __builtin_memcpy(&header, Image->File.Base + TableOffset + i * sizeof(header), sizeof(header));
        if (!CheckSection(&Image->File, Headers, &header, firstFreeRva, section, Fault)) {
            return false;
        }
        firstFreeRva = RoundToPage(section->Rva + section->ByteCount);
        if (section->Mapped) {
            Image->MappedBytes = firstFreeRva;
        }
    }
    Image->SectionCount = Headers->SectionCount;
    return true;
}

/* The section that holds [Rva, Rva + ByteCount), or NULL. */
static const BL_SECTION *FindSection(const BL_IMAGE *Image, uint32_t Rva, uint32_t ByteCount)
{
    for (uint32_t i = 0; i < Image->SectionCount; i++) {
        const BL_SECTION *section = &Image->Sections[i];

        if (Rva >= section->Rva && Within(Rva - section->Rva, ByteCount, section->ByteCount)) {
            return section;
        }
    }
    return NULL;
}

static bool CheckEntry(BL_IMAGE *Image, const PE_HEADERS *Headers, BL_FAULT *Fault)
{
    const BL_SECTION *section = FindSection(Image, Headers->EntryRva, 1);

    if (section == NULL || !section->Mapped || section->Protection != BlProtectReadExecute) {
        return BlFail(Fault, "ntoskrnl.exe: the entry point 0x%x is not in an executable section", Headers->EntryRva);
    }
    Image->EntryRva = Headers->EntryRva;
    return true;
}

static bool CheckRelocationTable(BL_IMAGE *Image, const PE_HEADERS *Headers, BL_FAULT *Fault)
{
    const PE_DIRECTORY *table = &Headers->Directories[PE_DIRECTORY_RELOCATION];
    const BL_SECTION   *section = FindSection(Image, table->Rva, table->ByteCount);

    if (table->ByteCount == 0) {
        return BlFail(Fault, "ntoskrnl.exe: it has no relocation table");
    }
    if (section == NULL || !Within(table->Rva - section->Rva, table->ByteCount, section->FileByteCount)) {
        return BlFail(Fault, "ntoskrnl.exe: the relocation table is in no section");
    }
    Image->RelocationOffset = section->FileOffset + (table->Rva - section->Rva);
    Image->RelocationBytes = table->ByteCount;
    return true;
}

static bool CheckSymbols(BL_IMAGE *Image, const PE_HEADERS *Headers, BL_FAULT *Fault)
{
    uint64_t tableBytes = (uint64_t)Headers->SymbolCount * COFF_SYMBOL_BYTES;
    uint32_t stringBytes;

    if (Headers->SymbolOffset == 0 || Headers->SymbolCount == 0) {
        return true; /* stripped */
    }
    if (!ReadFile(&Image->File, Headers->SymbolOffset + tableBytes, &stringBytes, sizeof(stringBytes)) ||
        stringBytes < sizeof(stringBytes) ||
        !Within(Headers->SymbolOffset, tableBytes + stringBytes, Image->File.ByteCount)) {
        return BlFail(Fault, "ntoskrnl.exe: the symbol table lies beyond the end of the file");
    }
    Image->SymbolOffset = Headers->SymbolOffset;
    Image->SymbolCount = Headers->SymbolCount;
    Image->SymbolBytes = (uint32_t)(tableBytes + stringBytes);
    return true;
}

bool BlCheckImage(const BL_BYTES *File, BL_IMAGE *Image, BL_FAULT *Fault)
{
    uint16_t   dosMagic;
    uint32_t   headersOffset;
    PE_HEADERS headers;

    *Image = (BL_IMAGE){ .File = *File };
    if (File->ByteCount > UINT32_MAX) {
        return BlFail(Fault, "ntoskrnl.exe: %lu bytes is too long", File->ByteCount);
    }
    if (!ReadFile(File, 0, &dosMagic, sizeof(dosMagic)) || dosMagic != DOS_MAGIC ||
        !ReadFile(File, DOS_NEW_HEADER_OFFSET, &headersOffset, sizeof(headersOffset)) ||
        headersOffset % sizeof(uint64_t) != 0 || !ReadFile(File, headersOffset, &headers, sizeof(headers)) ||
        headers.Signature != PE_SIGNATURE) {
        return BlFail(Fault, "ntoskrnl.exe: not a PE image (%lu bytes)", File->ByteCount);
    }
    uint64_t tableOffset = headersOffset + offsetof(PE_HEADERS, Magic) + headers.OptionalHeaderBytes;
    if (!CheckHeaders(File, &headers, headersOffset, Fault) || !CheckSections(Image, &headers, tableOffset, Fault) ||
        !CheckEntry(Image, &headers, Fault) || !CheckRelocationTable(Image, &headers, Fault) ||
        !CheckSymbols(Image, &headers, Fault)) {
        return false;
    }
    /* Last, since what the other checks say is more to the point. Zero means that the linker left it out. */
    uint32_t checksum = SumFile(File, headersOffset + offsetof(PE_HEADERS, Checksum));
    if (headers.Checksum != 0 && headers.Checksum != checksum) {
        return BlFail(Fault, "ntoskrnl.exe: damaged: its checksum is 0x%x, the header says 0x%x", checksum,
                      headers.Checksum);
    }
    Image->PreferredBase = headers.ImageBase;
    Image->PreferredBaseOffset = headersOffset + (uint32_t)offsetof(PE_HEADERS, ImageBase);
    Image->HeaderBytes = headers.HeaderBytes;
    return true;
}

/* Apply the entries of one block, which all lie in the page at PageRva. Entries points at Count 16-bit entries. */
static bool RelocatePage(const BL_IMAGE *Image, uint8_t *Memory, uint64_t Delta, uint32_t PageRva,
                         const uint8_t *Entries, uint32_t Count, BL_FAULT *Fault)
{
    const BL_SECTION *section = FindSection(Image, PageRva, 1);

    for (uint32_t i = 0; i < Count; i++) {
        uint16_t entry;

        __builtin_memcpy(&entry, Entries + i * sizeof(entry), sizeof(entry));
        uint32_t kind = entry >> 12;
        uint32_t rva = PageRva + (entry & 0xFFFu);
        if (kind == PE_RELOCATION_ABSOLUTE) {
            continue;
        }
        if (kind != PE_RELOCATION_DIR64 || section == NULL || !section->Mapped ||
            !Within(rva - section->Rva, sizeof(uint64_t), section->ByteCount)) {
            return BlFail(Fault, "ntoskrnl.exe: a relocation of kind %u at 0x%x cannot be applied", kind, rva);
        }
        uint64_t value;
        __builtin_memcpy(&value, Memory + rva, sizeof(value));
        value += Delta;
        __builtin_memcpy(Memory + rva, &value, sizeof(value));
    }
    return true;
}

static bool Relocate(const BL_IMAGE *Image, uint8_t *Memory, uint64_t Delta, BL_FAULT *Fault)
{
    const uint8_t *table = Image->File.Base + Image->RelocationOffset;
    uint32_t       offset = 0;

    while (Image->RelocationBytes - offset >= PE_RELOCATION_BLOCK_BYTES) {
        uint32_t left = Image->RelocationBytes - offset;
        uint32_t pageRva;
        uint32_t blockBytes;

        __builtin_memcpy(&pageRva, table + offset, sizeof(pageRva));
        __builtin_memcpy(&blockBytes, table + offset + sizeof(pageRva), sizeof(blockBytes));
        if (blockBytes < PE_RELOCATION_BLOCK_BYTES || blockBytes % sizeof(uint32_t) != 0 || blockBytes > left ||
            pageRva % BL_IMAGE_PAGE_BYTES != 0) {
            return BlFail(Fault, "ntoskrnl.exe: the relocation block at offset %u is damaged", offset);
        }
        if (!RelocatePage(Image, Memory, Delta, pageRva, table + offset + PE_RELOCATION_BLOCK_BYTES,
                          (blockBytes - PE_RELOCATION_BLOCK_BYTES) / (uint32_t)sizeof(uint16_t), Fault)) {
            return false;
        }
        offset += blockBytes;
    }
    return true;
}

bool BlPlaceImage(const BL_IMAGE *Image, uint8_t *Memory, uint64_t Base, BL_FAULT *Fault)
{
    __builtin_memcpy(Memory, Image->File.Base, Image->HeaderBytes);
    __builtin_memcpy(Memory + Image->PreferredBaseOffset, &Base, sizeof(Base));
    for (uint32_t i = 0; i < Image->SectionCount; i++) {
        const BL_SECTION *section = &Image->Sections[i];

        if (section->Mapped) {
            __builtin_memcpy(Memory + section->Rva, Image->File.Base + section->FileOffset, section->FileByteCount);
        }
    }
    return Relocate(Image, Memory, Base - Image->PreferredBase, Fault);
}
