/*
 * The driver loader's pure half on files that are right, wrong in one place, and wrong in any place.
 *
 * Files and images lie in blocks of exactly their size, so that AddressSanitizer sees each byte read or written
 * outside.
 */
#include "io/ldr/import.h"
#include "io/ldr/reloc.h"
#include "tests/io/testimage.h"
#include "tests/lib/ktest.h"

#define LOAD_BASE      0xFFFFF80812340000ull
#define NEW_COOKIE     0x0000123456789ABCull
#define DEFAULT_COOKIE 0x00002B992DDFA232ull
#define PC_TAG         'tseT'

/* The one driver built from C that the mutations begin with besides the hand-made one. */
__asm__(".section .rodata\n"
        ".globl PcDriver, PcDriverEnd\n"
        "PcDriver: .incbin \"" PC_DRIVER_FILE "\"\n"
        "PcDriverEnd:\n"
        ".previous");
extern const UCHAR PcDriver[];
extern const UCHAR PcDriverEnd[];

const LDRP_EXPORT LdrpExports[] = {
    { "DbgPrint", { (void *)0x1010, (void *)0x1020, (void *)0x1030 } },
    { "ExAllocatePoolWithTag", { (void *)0x2010, (void *)0x2020, (void *)0x2030 } },
    { "KeStallExecutionProcessor", { (void *)0x3010, (void *)0x3020, (void *)0x3030 } },
};
const ULONG LdrpExportCount = RTL_NUMBER_OF(LdrpExports);

static ULONG PcLinesPrinted;

ULONG DbgPrint(PCSTR Format, ...)
{
    (void)Format;
    PcLinesPrinted++;
    return 0;
}

/* A file of its own block, and the image that came of it. */
typedef struct _PC_FIXTURE {
    UCHAR    *File;
    LDRP_PE   Pe;
    LDRP_VIEW View; /* Base is NULL while there is no image */
} PC_FIXTURE;

static PC_FIXTURE PcOpen(const void *Data, SIZE_T ByteCount)
{
    PC_FIXTURE fixture = { .File = ExAllocatePoolWithTag(0, ByteCount, PC_TAG) };
    RtlCopyMemory(fixture.File, Data, ByteCount);
    return fixture;
}

static PC_FIXTURE PcOpenTestImage(void)
{
    PC_FIXTURE fixture = { .File = ExAllocatePoolWithTag(0, TI_FILE_BYTES, PC_TAG) };
    TiBuildImage(fixture.File);
    return fixture;
}

static void PcClose(PC_FIXTURE *Fixture)
{
    ExFreePoolWithTag(Fixture->File, PC_TAG);
    if (Fixture->View.Base != NULL) {
        ExFreePoolWithTag(Fixture->View.Base, PC_TAG);
    }
}

static NTSTATUS PcParse(PC_FIXTURE *Fixture, SIZE_T FileBytes)
{
    NTSTATUS status = LdrpParseImage(Fixture->File, FileBytes, &Fixture->Pe);
    if (NT_SUCCESS(status)) {
        Fixture->View.ByteCount = Fixture->Pe.ImageBytes;
        Fixture->View.Base = ExAllocatePoolWithTag(0, Fixture->View.ByteCount, PC_TAG);
        RtlZeroMemory(Fixture->View.Base, Fixture->View.ByteCount);
        LdrpCopySections(&Fixture->Pe, &Fixture->View);
    }
    return status;
}

static NTSTATUS PcParseTestImage(PC_FIXTURE *Fixture)
{
    return PcParse(Fixture, TI_FILE_BYTES);
}

static ULONG64 PcRead(const PC_FIXTURE *Fixture, ULONG Rva)
{
    ULONG64 value = 0;
    KT_EXPECT_TRUE(LdrpReadView(&Fixture->View, Rva, &value, sizeof(value)));
    return value;
}

/* Everything that the loader does with a file. What comes of it does not matter, that it stays inside does. */
static void PcLoadWhole(const void *Data, SIZE_T ByteCount)
{
    ULONG      symbolCount;
    SIZE_T     symbolBytes;
    PC_FIXTURE fixture = PcOpen(Data, ByteCount);
    if (NT_SUCCESS(PcParse(&fixture, ByteCount))) {
        const UCHAR *symbols = LdrpFindSymbolTable(&fixture.Pe, &symbolCount, &symbolBytes);
        if (symbols != NULL) {
            KT_EXPECT_LE((SIZE_T)(symbols - fixture.File) + symbolBytes, ByteCount);
        }
        LdrpRelocateImage(&fixture.Pe, &fixture.View, LOAD_BASE);
        LdrpReplaceSecurityCookie(&fixture.Pe, &fixture.View, LOAD_BASE, NEW_COOKIE);
        LdrpBindImports(&fixture.Pe, &fixture.View, LdrpBindTracked, "broken.sys");
    }
    PcClose(&fixture);
}

KTEST(io_pe, sections_land_at_their_addresses)
{
    PC_FIXTURE fixture = PcOpenTestImage();
    KT_ASSERT_STATUS(PcParseTestImage(&fixture), STATUS_SUCCESS);
    KT_EXPECT_NULL(fixture.Pe.Fault);
    KT_EXPECT_EQ(fixture.Pe.ImageBytes, TI_IMAGE_BYTES);
    KT_EXPECT_EQ(fixture.View.Base[TI_ENTRY_RVA], 0xB8);
    KT_EXPECT_EQ(PcRead(&fixture, TI_COOKIE_RVA), DEFAULT_COOKIE);
    LDRP_SECTION init = LdrpGetSection(&fixture.Pe, 3);
    KT_EXPECT_STREQ(init.Name, "INIT");
    KT_EXPECT_EQ(init.Rva, TI_INIT_RVA);
    PcClose(&fixture);
}

KTEST(io_pe, relocation_adds_the_distance)
{
    PC_FIXTURE fixture = PcOpenTestImage();
    KT_ASSERT_STATUS(PcParseTestImage(&fixture), STATUS_SUCCESS);
    KT_EXPECT_STATUS(LdrpRelocateImage(&fixture.Pe, &fixture.View, LOAD_BASE), STATUS_SUCCESS);
    KT_EXPECT_EQ(PcRead(&fixture, TI_POINTER_RVA), LOAD_BASE + TI_COOKIE_RVA);
    KT_EXPECT_EQ(PcRead(&fixture, TI_ADDRESS_RVA), (ULONG)(0x1234 + (ULONG)(LOAD_BASE - TI_IMAGE_BASE)));
    PcClose(&fixture);
}

KTEST(io_pe, no_relocations_is_fine_unless_stripped)
{
    PC_FIXTURE fixture = PcOpenTestImage();
    TiHeader(fixture.File)->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_BASERELOC].VirtualAddress = 0;
    KT_ASSERT_STATUS(PcParseTestImage(&fixture), STATUS_SUCCESS);
    KT_EXPECT_STATUS(LdrpRelocateImage(&fixture.Pe, &fixture.View, LOAD_BASE), STATUS_SUCCESS);
    fixture.Pe.Header.FileHeader.Characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
    KT_EXPECT_STATUS(LdrpRelocateImage(&fixture.Pe, &fixture.View, LOAD_BASE), STATUS_CONFLICTING_ADDRESSES);
    KT_EXPECT_STATUS(LdrpRelocateImage(&fixture.Pe, &fixture.View, TI_IMAGE_BASE), STATUS_SUCCESS);
    PcClose(&fixture);
}

KTEST(io_pe, relocation_outside_the_image_is_refused)
{
    PC_FIXTURE fixture = PcOpenTestImage();
    ((IMAGE_BASE_RELOCATION *)(fixture.File + TI_RELOC_OFFSET))->VirtualAddress = TI_IMAGE_BYTES - 8;
    KT_ASSERT_STATUS(PcParseTestImage(&fixture), STATUS_SUCCESS);
    KT_EXPECT_STATUS(LdrpRelocateImage(&fixture.Pe, &fixture.View, LOAD_BASE), STATUS_INVALID_IMAGE_FORMAT);
    PcClose(&fixture);
}

KTEST(io_pe, default_cookie_is_replaced)
{
    PC_FIXTURE fixture = PcOpenTestImage();
    KT_ASSERT_STATUS(PcParseTestImage(&fixture), STATUS_SUCCESS);
    LdrpReplaceSecurityCookie(&fixture.Pe, &fixture.View, TI_IMAGE_BASE, NEW_COOKIE);
    KT_EXPECT_EQ(PcRead(&fixture, TI_COOKIE_RVA), NEW_COOKIE);
    LdrpReplaceSecurityCookie(&fixture.Pe, &fixture.View, TI_IMAGE_BASE, 1);
    KT_EXPECT_EQ(PcRead(&fixture, TI_COOKIE_RVA), NEW_COOKIE); /* one of its own stays */
    PcClose(&fixture);
}

KTEST(io_pe, imports_come_from_the_chosen_table)
{
    for (ULONG binding = LdrpBindBare; binding < LDRP_BINDING_COUNT; binding++) {
        PC_FIXTURE fixture = PcOpenTestImage();
        KT_ASSERT_STATUS(PcParseTestImage(&fixture), STATUS_SUCCESS);
        KT_EXPECT_STATUS(LdrpBindImports(&fixture.Pe, &fixture.View, (LDRP_BINDING)binding, "a.sys"), STATUS_SUCCESS);
        KT_EXPECT_EQ(PcRead(&fixture, TI_PRINT_SLOT_RVA), 0x1010 + 0x10 * binding);
        KT_EXPECT_EQ(PcRead(&fixture, TI_ALLOCATE_SLOT_RVA), 0x2010 + 0x10 * binding);
        KT_EXPECT_EQ(PcRead(&fixture, TI_STALL_SLOT_RVA), 0x3010 + 0x10 * binding);
        PcClose(&fixture);
    }
}

/* Bind the test image with one byte of its import data changed. */
static NTSTATUS PcBindChanged(ULONG Offset, UCHAR Value)
{
    PC_FIXTURE fixture = PcOpenTestImage();
    fixture.File[Offset] = Value;
    PcParseTestImage(&fixture);
    PcLinesPrinted = 0;
    NTSTATUS status = LdrpBindImports(&fixture.Pe, &fixture.View, LdrpBindTracked, "a.sys");
    PcClose(&fixture);
    return status;
}

KTEST(io_pe, missing_imports_are_all_named)
{
    KT_EXPECT_STATUS(PcBindChanged(TI_ALLOCATE_NAME, 'X'), STATUS_DRIVER_ENTRYPOINT_NOT_FOUND);
    KT_EXPECT_EQ(PcLinesPrinted, 1);
    KT_EXPECT_STATUS(PcBindChanged(TI_NAME_TABLE + 7, 0x80), STATUS_DRIVER_ORDINAL_NOT_FOUND);
    KT_EXPECT_EQ(PcLinesPrinted, 1);
    KT_EXPECT_STATUS(PcBindChanged(TI_RDATA_OFFSET + 0x110, 'M'), STATUS_DRIVER_ENTRYPOINT_NOT_FOUND);
    KT_EXPECT_EQ(PcLinesPrinted, 2); /* both imports of a module that is not ours */
    KT_EXPECT_STATUS(PcBindChanged(TI_ALLOCATE_NAME, '\n'), STATUS_INVALID_IMAGE_FORMAT);
}

KTEST(io_pe, module_names_match_without_case_and_extension)
{
    static const struct {
        const char *Name;
        NTSTATUS    Status;
    } names[] = {
        { "ntoskrnl.exe", STATUS_SUCCESS },
        { "NtOsKrNl", STATUS_SUCCESS },
        { "HAL.dll", STATUS_SUCCESS },
        { "Hal", STATUS_SUCCESS },
        { "ntoskrnl.dll", STATUS_DRIVER_ENTRYPOINT_NOT_FOUND },
        { "ntoskrnl.ex", STATUS_DRIVER_ENTRYPOINT_NOT_FOUND },
        { "ntoskrnl1.exe", STATUS_DRIVER_ENTRYPOINT_NOT_FOUND },
        { "ndis.sys", STATUS_DRIVER_ENTRYPOINT_NOT_FOUND },
    };
    for (ULONG index = 0; index < RTL_NUMBER_OF(names); index++) {
        PC_FIXTURE fixture = PcOpenTestImage();
        for (ULONG character = 0; character <= 13; character++) {
            fixture.File[TI_RDATA_OFFSET + 0x110 + character] = (UCHAR)names[index].Name[character];
            if (names[index].Name[character] == '\0') {
                break;
            }
        }
        KT_ASSERT_STATUS(PcParseTestImage(&fixture), STATUS_SUCCESS);
        KT_EXPECT_STATUS(LdrpBindImports(&fixture.Pe, &fixture.View, LdrpBindBare, "a.sys"), names[index].Status);
        PcClose(&fixture);
    }
}

KTEST(io_pe, exports_are_found_by_name)
{
    static WCHAR   good[] = L"ExAllocatePoolWithTag";
    static WCHAR   bad[] = { 'D', 'b', 'g', 0x0150, 'r', 'i', 'n', 't' };
    UNICODE_STRING name = { sizeof(good) - sizeof(WCHAR), sizeof(good), good };
    KT_EXPECT_EQ((ULONG_PTR)LdrpFindRoutine(&name), (ULONG_PTR)&LdrpExports[1]);
    name = (UNICODE_STRING){ sizeof(bad), sizeof(bad), bad };
    KT_EXPECT_NULL(LdrpFindRoutine(&name));
    KT_EXPECT_NULL(LdrpFindExport("A"));
    KT_EXPECT_NULL(LdrpFindExport("ZwClose"));
    KT_EXPECT_NULL(LdrpFindExport(""));
}

/* One field wrong, and the words that say which. */
KTEST(io_pe, wrong_headers_are_refused)
{
    static const struct {
        ULONG Offset;
        ULONG Value;
        ULONG ByteCount;
    } changes[] = {
        { 0, 0x5A4E, 2 },                                            /* no DOS header */
        { FIELD_OFFSET(IMAGE_DOS_HEADER, e_lfanew), 0x42, 4 },       /* unaligned */
        { FIELD_OFFSET(IMAGE_DOS_HEADER, e_lfanew), 0x80000000, 4 }, /* negative */
        { FIELD_OFFSET(IMAGE_DOS_HEADER, e_lfanew), 0x7FFFFFFC, 4 }, /* outside */
        { TI_NT_OFFSET, 0x4551, 4 },                                 /* no PE header */
        { TI_NT_OFFSET + 4, IMAGE_FILE_MACHINE_I386, 2 },            /* 32-bit */
        { TI_NT_OFFSET + 6, 0, 2 },                                  /* no sections */
        { TI_NT_OFFSET + 6, 0xFFFF, 2 },                             /* too many */
        { TI_NT_OFFSET + 20, 64, 2 },                                /* optional header short */
        { TI_NT_OFFSET + 24, 0x10B, 2 },                             /* PE32 */
        { TI_NT_OFFSET + 24 + FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, AddressOfEntryPoint), TI_DATA_RVA, 4 },
        { TI_NT_OFFSET + 24 + FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, AddressOfEntryPoint), 0, 4 },
        { TI_NT_OFFSET + 24 + FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, SectionAlignment), 0x20, 4 },
        { TI_NT_OFFSET + 24 + FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, SectionAlignment), 0x1800, 4 },
        { TI_NT_OFFSET + 24 + FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, SizeOfImage), 0, 4 },
        { TI_NT_OFFSET + 24 + FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, SizeOfImage), 0xFFFFFFFF, 4 },
        { TI_NT_OFFSET + 24 + FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, SizeOfImage), 0x5000, 4 },
        { TI_NT_OFFSET + 24 + FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, SizeOfHeaders), 0xFFFFFFFF, 4 },
        { TI_NT_OFFSET + 24 + FIELD_OFFSET(IMAGE_OPTIONAL_HEADER64, SizeOfHeaders), 0x100, 4 },
        { TI_SECTION_OFFSET + FIELD_OFFSET(IMAGE_SECTION_HEADER, VirtualAddress), 0x1010, 4 },
        { TI_SECTION_OFFSET + FIELD_OFFSET(IMAGE_SECTION_HEADER, VirtualAddress), 0, 4 },
        { TI_SECTION_OFFSET + FIELD_OFFSET(IMAGE_SECTION_HEADER, VirtualAddress), 0x2000, 4 },
        { TI_SECTION_OFFSET + FIELD_OFFSET(IMAGE_SECTION_HEADER, VirtualAddress), 0xFFFFF000, 4 },
        { TI_SECTION_OFFSET + FIELD_OFFSET(IMAGE_SECTION_HEADER, Misc.VirtualSize), 0xFFFFFFFF, 4 },
        { TI_SECTION_OFFSET + FIELD_OFFSET(IMAGE_SECTION_HEADER, Misc.VirtualSize), 0x1001, 4 },
        { TI_SECTION_OFFSET + FIELD_OFFSET(IMAGE_SECTION_HEADER, PointerToRawData), 0xFFFFFFFF, 4 },
        { TI_SECTION_OFFSET + FIELD_OFFSET(IMAGE_SECTION_HEADER, PointerToRawData), 0xD00, 4 },
    };
    for (ULONG index = 0; index < RTL_NUMBER_OF(changes); index++) {
        PC_FIXTURE fixture = PcOpenTestImage();
        RtlCopyMemory(fixture.File + changes[index].Offset, &changes[index].Value, changes[index].ByteCount);
        NTSTATUS status = PcParseTestImage(&fixture);
        if (status != STATUS_INVALID_IMAGE_FORMAT || fixture.Pe.Fault == NULL) {
            KtReport(__FILE__, __LINE__, "change %u: got 0x%08X, expected a refusal", index, (ULONG)status);
        }
        PcClose(&fixture);
    }
}

/* Cut the file at every length, then give each byte of it values that flip signs, sizes and offsets. */
static void PcBreakEverywhere(const UCHAR *Data, SIZE_T ByteCount, SIZE_T LengthStep, SIZE_T ByteLimit)
{
    static const UCHAR values[] = { 0x00, 0x01, 0x7F, 0x80, 0xFF };
    UCHAR             *copy = ExAllocatePoolWithTag(0, ByteCount, PC_TAG);
    RtlCopyMemory(copy, Data, ByteCount);
    for (SIZE_T length = 0; length < ByteCount; length += LengthStep) {
        PcLoadWhole(copy, length);
    }
    for (SIZE_T offset = 0; offset < ByteLimit; offset++) {
        for (ULONG index = 0; index < RTL_NUMBER_OF(values); index++) {
            copy[offset] = values[index];
            PcLoadWhole(copy, ByteCount);
        }
        copy[offset] = Data[offset];
    }
    ExFreePoolWithTag(copy, PC_TAG);
}

KTEST(io_pe, any_broken_image_stays_inside)
{
    UCHAR *image = ExAllocatePoolWithTag(0, TI_FILE_BYTES, PC_TAG);
    TiBuildImage(image);
    PcBreakEverywhere(image, TI_FILE_BYTES, 1, TI_FILE_BYTES);
    ExFreePoolWithTag(image, PC_TAG);
}

KTEST(io_pe, any_broken_driver_stays_inside)
{
    SIZE_T     byteCount = (SIZE_T)(PcDriverEnd - PcDriver);
    PC_FIXTURE fixture = PcOpen(PcDriver, byteCount);
    KT_EXPECT_STATUS(PcParse(&fixture, byteCount), STATUS_SUCCESS);
    PcClose(&fixture);
    PcBreakEverywhere(PcDriver, byteCount, 97, 0x400);
}
