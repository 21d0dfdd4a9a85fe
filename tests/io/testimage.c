/*
 * The hand-made driver image; testimage.h draws it.
 */
#include "tests/io/testimage.h"

#define TI_HEADER_BYTES 0x400u
#define TI_RAW_BYTES    0x200u
#define TI_COOKIE       0x00002B992DDFA232ull
#define TI_LINKED_LOW   0x1234u
#define TI_CONFIG_RVA   (TI_RDATA_RVA + 0x140)
#define TI_RELOC_BYTES  0x1Cu

static void TiPut(UCHAR *File, ULONG Offset, const void *Data, SIZE_T ByteCount)
{
    RtlCopyMemory(File + Offset, Data, ByteCount);
}

static void TiPutNumber(UCHAR *File, ULONG Offset, ULONG64 Value)
{
    TiPut(File, Offset, &Value, sizeof(Value));
}

static void TiAddSection(UCHAR *File, ULONG Index, const char *Name, ULONG Rva, ULONG Characteristics)
{
    IMAGE_SECTION_HEADER section = {
        .Misc.VirtualSize = TI_RAW_BYTES,
        .VirtualAddress = Rva,
        .SizeOfRawData = TI_RAW_BYTES,
        .PointerToRawData = TI_HEADER_BYTES + Index * TI_RAW_BYTES,
        .Characteristics = Characteristics,
    };
    for (ULONG index = 0; Name[index] != '\0'; index++) {
        section.Name[index] = (UCHAR)Name[index];
    }
    TiPut(File, TI_SECTION_OFFSET + Index * (ULONG)sizeof(section), &section, sizeof(section));
}

static void TiAddHeaders(UCHAR *File)
{
    IMAGE_DOS_HEADER dos = { .e_magic = IMAGE_DOS_SIGNATURE, .e_lfanew = TI_NT_OFFSET };
    IMAGE_NT_HEADERS64 header = {
        .Signature = IMAGE_NT_SIGNATURE,
        .FileHeader = {
            .Machine = IMAGE_FILE_MACHINE_AMD64,
            .NumberOfSections = 5,
            .SizeOfOptionalHeader = sizeof(IMAGE_OPTIONAL_HEADER64),
            .Characteristics = IMAGE_FILE_EXECUTABLE_IMAGE | IMAGE_FILE_LARGE_ADDRESS_AWARE,
        },
        .OptionalHeader = {
            .Magic = IMAGE_NT_OPTIONAL_HDR64_MAGIC,
            .AddressOfEntryPoint = TI_ENTRY_RVA,
            .ImageBase = TI_IMAGE_BASE,
            .SectionAlignment = PAGE_SIZE,
            .FileAlignment = TI_RAW_BYTES,
            .SizeOfImage = TI_IMAGE_BYTES,
            .SizeOfHeaders = TI_HEADER_BYTES,
            .Subsystem = 1, /* native */
            .NumberOfRvaAndSizes = IMAGE_NUMBEROF_DIRECTORY_ENTRIES,
            .DataDirectory = {
                [IMAGE_DIRECTORY_ENTRY_IMPORT] = { TI_RDATA_RVA, 3 * sizeof(IMAGE_IMPORT_DESCRIPTOR) },
                [IMAGE_DIRECTORY_ENTRY_BASERELOC] = { TI_RELOC_RVA, TI_RELOC_BYTES },
                [IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG] = { TI_CONFIG_RVA, sizeof(IMAGE_LOAD_CONFIG_DIRECTORY64) },
            },
        },
    };
    TiPut(File, 0, &dos, sizeof(dos));
    TiPut(File, TI_NT_OFFSET, &header, sizeof(header));

    ULONG code = IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_MEM_READ;
    ULONG data = IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ;
    TiAddSection(File, 0, ".text", TI_TEXT_RVA, code);
    TiAddSection(File, 1, ".rdata", TI_RDATA_RVA, data);
    TiAddSection(File, 2, ".data", TI_DATA_RVA, data | IMAGE_SCN_MEM_WRITE);
    TiAddSection(File, 3, "INIT", TI_INIT_RVA, code | IMAGE_SCN_MEM_WRITE | IMAGE_SCN_MEM_DISCARDABLE);
    TiAddSection(File, 4, ".reloc", TI_RELOC_RVA, data | IMAGE_SCN_MEM_DISCARDABLE);
}

static void TiAddImports(UCHAR *File)
{
    IMAGE_IMPORT_DESCRIPTOR kernel = {
        .Name = TI_RDATA_RVA + 0x110,
        .FirstThunk = TI_PRINT_SLOT_RVA,
    };
    kernel.OriginalFirstThunk = TI_RDATA_RVA + 0x40;
    IMAGE_IMPORT_DESCRIPTOR hal = { .Name = TI_RDATA_RVA + 0x120, .FirstThunk = TI_STALL_SLOT_RVA };
    TiPut(File, TI_RDATA_OFFSET, &kernel, sizeof(kernel));
    TiPut(File, TI_RDATA_OFFSET + sizeof(kernel), &hal, sizeof(hal));

    TiPutNumber(File, TI_RDATA_OFFSET + 0x40, TI_RDATA_RVA + 0xA0);
    TiPutNumber(File, TI_RDATA_OFFSET + 0x48, TI_RDATA_RVA + 0xC0);
    TiPutNumber(File, TI_RDATA_OFFSET + 0x80, TI_RDATA_RVA + 0xE0);
    TiPut(File, TI_RDATA_OFFSET + 0xA2, "DbgPrint", sizeof("DbgPrint"));
    TiPut(File, TI_ALLOCATE_NAME, "ExAllocatePoolWithTag", sizeof("ExAllocatePoolWithTag"));
    TiPut(File, TI_RDATA_OFFSET + 0xE2, "KeStallExecutionProcessor", sizeof("KeStallExecutionProcessor"));
    TiPut(File, TI_RDATA_OFFSET + 0x110, "NTOSKRNL.EXE", sizeof("NTOSKRNL.EXE"));
    TiPut(File, TI_RDATA_OFFSET + 0x120, "hal", sizeof("hal"));
}

void TiBuildImage(UCHAR *File)
{
    static const UCHAR entry[] = { 0xB8, TI_ENTRY_RESULT, 0, 0, 0, 0xC3 }; /* mov eax, TI_ENTRY_RESULT; ret */
    static const UCHAR init[] = { 0xB8, TI_INIT_RESULT, 0, 0, 0, 0xC3 };
    static const struct {
        IMAGE_BASE_RELOCATION DataBlock;
        USHORT                DataEntries[4];
        IMAGE_BASE_RELOCATION ConfigBlock;
        USHORT                ConfigEntries[2];
    } relocations = {
        .DataBlock = { TI_DATA_RVA, 0x10 },
        .DataEntries = { 0xA008, 0x3010 }, /* DIR64 at 8, HIGHLOW at 16, padding */
        .ConfigBlock = { TI_RDATA_RVA, 0x0C },
        .ConfigEntries = { 0xA198 }, /* DIR64: the address of the cookie */
    };
    C_ASSERT(sizeof(relocations) == TI_RELOC_BYTES);
    C_ASSERT(0x140 + FIELD_OFFSET(IMAGE_LOAD_CONFIG_DIRECTORY64, SecurityCookie) == 0x198);
    IMAGE_LOAD_CONFIG_DIRECTORY64 configuration = {
        .Size = sizeof(configuration),
        .SecurityCookie = TI_IMAGE_BASE + TI_COOKIE_RVA,
    };

    RtlZeroMemory(File, TI_FILE_BYTES);
    TiAddHeaders(File);
    TiAddImports(File);
    TiPut(File, TI_HEADER_BYTES, entry, sizeof(entry));
    TiPut(File, TI_RDATA_OFFSET + 0x140, &configuration, sizeof(configuration));
    TiPutNumber(File, TI_DATA_OFFSET, TI_COOKIE);
    TiPutNumber(File, TI_DATA_OFFSET + 8, TI_IMAGE_BASE + TI_COOKIE_RVA);
    TiPutNumber(File, TI_DATA_OFFSET + 16, TI_LINKED_LOW);
    TiPut(File, TI_DATA_OFFSET + TI_RAW_BYTES, init, sizeof(init));
    TiPut(File, TI_RELOC_OFFSET, &relocations, sizeof(relocations));
}
