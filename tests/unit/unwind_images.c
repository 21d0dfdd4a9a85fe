/*
 * Images, symbols and, at the end, hostile input: random unwind information, code, headers and symbol tables, which
 * must never lead a read outside the image, the stack or the symbol table. The sanitizers are the judges there.
 */
#include "kernel/rtl/stackwalk.h"
#include "kernel/rtl/symbols.h"
#include "tests/lib/ktest.h"
#include "tests/unit/unwind_fixture.h"

#define UI_SYMBOL_BYTES 18u

/* A symbol table under construction: exactly as large as its content, for AddressSanitizer. */
typedef struct _UI_TABLE {
    UCHAR *Bytes;
    ULONG  Count;
} UI_TABLE;

static void UiAdd(UI_TABLE *Table, const char *ShortName, ULONG StringOffset, ULONG Value, USHORT Section, USHORT Type,
                  UCHAR Class)
{
    Table->Bytes = realloc(Table->Bytes, (Table->Count + 1) * UI_SYMBOL_BYTES);
    UCHAR *record = Table->Bytes + Table->Count++ * UI_SYMBOL_BYTES;
    for (ULONG index = 0; index < UI_SYMBOL_BYTES; index++) {
        record[index] = 0;
    }
    for (ULONG index = 0; ShortName != NULL && index < 8 && ShortName[index] != '\0'; index++) {
        record[index] = (UCHAR)ShortName[index];
    }
    const UCHAR offset[] = { UF_32(StringOffset) };
    for (ULONG index = 0; ShortName == NULL && index < sizeof(offset); index++) {
        record[4 + index] = offset[index];
    }
    const UCHAR tail[] = { UF_32(Value), UF_16(Section), UF_16(Type), Class };
    for (ULONG index = 0; index < sizeof(tail); index++) {
        record[8 + index] = tail[index];
    }
}

/* Attach the table with Strings (StringBytes of them, the size field included) behind it. */
static void UiAttach(UF_FIXTURE *Fixture, UI_TABLE *Table, const char *Strings, ULONG StringBytes)
{
    ULONG tableBytes = Table->Count * UI_SYMBOL_BYTES;
    Table->Bytes = realloc(Table->Bytes, tableBytes + StringBytes);
    for (ULONG index = 0; index < StringBytes; index++) {
        Table->Bytes[tableBytes + index] = (UCHAR)Strings[index];
    }
    RtlpSetImageSymbols(&Fixture->Image, Table->Bytes, Table->Count, tableBytes + StringBytes);
}

static const void *UiAddress(const UF_FIXTURE *Fixture, ULONG OffsetInText)
{
    return Fixture->Bytes + UF_TEXT_RVA + OffsetInText;
}

#define FUNCTION 0x20
#define EXTERNAL 2
#define STATIC   3
#define FILE_    103

static const char UiStrings[] = "size"
                                "a_long_function_name\0unterminated";

KTEST(symbols, nearest_function_is_found)
{
    UF_FIXTURE *fixture = UfOpen();
    UI_TABLE    table = { 0 };
    UiAdd(&table, ".file", 0, 0, 0xFFFE, 0, FILE_);
    UiAdd(&table, ".text", 0, 0, 1, 0, STATIC);
    UiAdd(&table, NULL, 4, 0x40, 1, FUNCTION, STATIC);
    UiAdd(&table, "eightchr", 0, 0x10, 1, FUNCTION, EXTERNAL); /* the table is in no order */
    UiAdd(&table, "asmLabel", 0, 0x80, 1, 0, EXTERNAL);
    UiAdd(&table, "asm.loop", 0, 0x88, 1, 0, STATIC);
    UiAdd(&table, "$ehgcr_1", 0, 0x89, 1, 0, STATIC);
    UiAdd(&table, "data", 0, 0x45, 2, 0, EXTERNAL);
    UiAdd(&table, "absolute", 0, 0x46, 0xFFFF, 0, EXTERNAL);
    UiAdd(&table, "foo.cold", 0, 0x100, 1, FUNCTION, STATIC);
    UiAttach(fixture, &table, UiStrings, sizeof(UiStrings) - 1);

    static const struct {
        ULONG       Offset;
        const char *Text;
    } places[] = {
        { 0x00, "test.sys+0x1000" },    { 0x10, "test!eightchr+0x0" },
        { 0x3F, "test!eightchr+0x2F" }, { 0x47, "test!a_long_function_name+0x7" },
        { 0x8A, "test!asmLabel+0xA" },  { 0x1FF, "test!foo.cold+0xFF" },
    };
    for (ULONG index = 0; index < RTL_NUMBER_OF(places); index++) {
        char  text[RTLP_SYMBOL_BYTES];
        ULONG length = RtlpFormatAddress(UiAddress(fixture, places[index].Offset), text, sizeof(text));
        KT_EXPECT_STREQ(text, places[index].Text);
        KT_EXPECT_EQ(text[length], '\0');
    }
    UfClose(fixture);
    free(table.Bytes);
}

KTEST(symbols, damaged_names_are_skipped)
{
    UF_FIXTURE *fixture = UfOpen();
    UI_TABLE    table = { 0 };
    UiAdd(&table, "good", 0, 0x00, 1, FUNCTION, EXTERNAL);
    UiAdd(&table, NULL, 0, 0x10, 1, FUNCTION, EXTERNAL); /* in the string table's size field */
    UiAdd(&table, NULL, sizeof(UiStrings) - 1, 0x20, 1, FUNCTION, EXTERNAL);
    UiAdd(&table, NULL, MAXULONG, 0x30, 1, FUNCTION, EXTERNAL);
    UiAdd(&table, NULL, 24, 0x40, 1, FUNCTION, EXTERNAL); /* an empty name */
    UiAttach(fixture, &table, UiStrings, sizeof(UiStrings) - 1);
    char text[RTLP_SYMBOL_BYTES];
    RtlpFormatAddress(UiAddress(fixture, 0x50), text, sizeof(text));
    KT_EXPECT_STREQ(text, "test!good+0x50");
    UfClose(fixture);
    free(table.Bytes);
}

KTEST(symbols, name_without_end_stops_with_the_table)
{
    UF_FIXTURE *fixture = UfOpen();
    UI_TABLE    table = { 0 };
    UiAdd(&table, NULL, 25, 0, 1, FUNCTION, EXTERNAL);
    UiAttach(fixture, &table, UiStrings, sizeof(UiStrings) - 1);
    char text[RTLP_SYMBOL_BYTES];
    RtlpFormatAddress(UiAddress(fixture, 1), text, sizeof(text));
    KT_EXPECT_STREQ(text, "test!unterminated+0x1");
    UfClose(fixture);
    free(table.Bytes);
}

KTEST(symbols, auxiliary_records_are_no_symbols)
{
    UF_FIXTURE *fixture = UfOpen();
    UI_TABLE    table = { 0 };
    UiAdd(&table, "first", 0, 0, 1, FUNCTION, EXTERNAL);
    table.Bytes[UI_SYMBOL_BYTES - 1] = 1;
    UiAdd(&table, "aux", 0, 8, 1, FUNCTION, EXTERNAL);
    UiAdd(&table, "last", 0, 0x20, 1, FUNCTION, EXTERNAL);
    table.Bytes[3 * UI_SYMBOL_BYTES - 1] = 200; /* claims more than there is */
    UiAttach(fixture, &table, UiStrings, 4);
    RTLP_SYMBOL symbol;
    KT_ASSERT_TRUE(RtlpFindSymbol(&fixture->Image, UiAddress(fixture, 0x10), &symbol));
    KT_EXPECT_EQ(symbol.Offset, 0x10);
    KT_EXPECT_EQ(symbol.NameBytes, 5);
    KT_EXPECT_TRUE(RtlpFindSymbol(&fixture->Image, UiAddress(fixture, 0x20), &symbol));
    UfClose(fixture);
    free(table.Bytes);
}

KTEST(symbols, claims_beyond_the_table_are_refused)
{
    UF_FIXTURE *fixture = UfOpen();
    UI_TABLE    table = { 0 };
    UiAdd(&table, "only", 0, 0, 1, FUNCTION, EXTERNAL);
    UiAttach(fixture, &table, UiStrings, 4);
    RTLP_SYMBOL symbol;
    fixture->Image.SymbolCount = 2;
    KT_EXPECT_FALSE(RtlpFindSymbol(&fixture->Image, UiAddress(fixture, 0), &symbol));
    fixture->Image.SymbolCount = MAXULONG;
    KT_EXPECT_FALSE(RtlpFindSymbol(&fixture->Image, UiAddress(fixture, 0), &symbol));
    UfClose(fixture);
    free(table.Bytes);
}

KTEST(symbols, text_is_cut_to_the_buffer)
{
    UF_FIXTURE *fixture = UfOpen();
    for (ULONG byteCount = 1; byteCount < 24; byteCount++) {
        char *text = malloc(byteCount);
        ULONG length = RtlpFormatAddress(UiAddress(fixture, 0x234), text, byteCount);
        KT_EXPECT_EQ(length, byteCount - 1 < 15 ? byteCount - 1 : 15);
        KT_EXPECT_EQ(text[length], '\0');
        free(text);
    }
    UfClose(fixture);
}

KTEST(image, registry_finds_and_forgets)
{
    static UCHAR space[3 * 64];
    RTLP_IMAGE   images[3];
    for (ULONG index = 0; index < 3; index++) {
        RtlpInitializeImage(&images[index], "x", &space[index * 64], 64);
        RtlpInsertImage(&images[index]);
    }
    KT_EXPECT_TRUE(RtlpFindImage(&space[0]) == &images[0]);
    KT_EXPECT_TRUE(RtlpFindImage(&space[127]) == &images[1]);
    KT_EXPECT_NULL(RtlpFindImage(&space[192]));
    RtlpRemoveImage(&images[1]);
    KT_EXPECT_NULL(RtlpFindImage(&space[127]));
    KT_EXPECT_TRUE(RtlpFindImage(&space[0]) == &images[0]);
    KT_EXPECT_TRUE(images[1].Next == &images[0]); /* a reader that stands on it walks on */
    RtlpRemoveImage(&images[2]);
    RtlpRemoveImage(&images[0]);
    KT_EXPECT_NULL(RtlpFindImage(&space[0]));
}

KTEST(image, long_name_is_cut)
{
    char name[2 * RTLP_IMAGE_NAME_BYTES];
    for (ULONG index = 0; index < sizeof(name); index++) {
        name[index] = index + 1 < sizeof(name) ? 'n' : '\0';
    }
    UCHAR      byte = 0;
    RTLP_IMAGE image;
    RtlpInitializeImage(&image, name, &byte, 1);
    KT_EXPECT_EQ(image.Name[RTLP_IMAGE_NAME_BYTES - 2], 'n');
    KT_EXPECT_EQ(image.Name[RTLP_IMAGE_NAME_BYTES - 1], '\0');
}

KTEST(image, truncated_header_is_survived)
{
    UF_FIXTURE *fixture = UfOpen();
    for (ULONG byteCount = 0; byteCount < UF_PDATA_RVA + 8; byteCount++) {
        UCHAR *bytes = calloc(1, byteCount == 0 ? 1 : byteCount);
        for (ULONG index = 0; index < byteCount; index++) {
            bytes[index] = fixture->Bytes[index];
        }
        RTLP_IMAGE image;
        RtlpInitializeImage(&image, "cut.sys", bytes, byteCount);
        KT_EXPECT_NULL(image.FunctionTable);
        free(bytes);
    }
    UfClose(fixture);
}

/* xorshift64*: the same inputs on every run. */
static ULONG64 UiSeed = 0x9E3779B97F4A7C15ull;

static ULONG UiRandom(ULONG Limit)
{
    UiSeed ^= UiSeed >> 12;
    UiSeed ^= UiSeed << 25;
    UiSeed ^= UiSeed >> 27;
    return (ULONG)((UiSeed * 0x2545F4914F6CDD1Dull) >> 33) % Limit;
}

/* Unwind information that is plausible often enough to get past the first check. */
static void UiRandomInfo(UCHAR *Info, ULONG ByteCount)
{
    for (ULONG index = 0; index < ByteCount; index++) {
        Info[index] = (UCHAR)UiRandom(256);
    }
    Info[0] = (UCHAR)((1 + UiRandom(2)) | UiRandom(8) << 3);
    Info[1] = (UCHAR)UiRandom(64);
    Info[2] = (UCHAR)UiRandom(20);
    Info[3] = UiRandom(2) == 0 ? 0 : (UCHAR)UiRandom(256);
    for (ULONG index = 4; index + 1 < ByteCount; index += 2) {
        Info[index] = (UCHAR)UiRandom(32);
        Info[index + 1] = (UCHAR)(UiRandom(11) | UiRandom(16) << 4);
    }
    if (UiRandom(2) == 0) {
        *(ULONG *)&Info[4 + ((Info[2] + 1u) & ~1u) * 2u] = UF_TEXT_RVA + UiRandom(UF_TEXT_BYTES + 64);
    }
}

/* Instruction bytes that epilogues are made of, or nearly. */
static void UiRandomCode(UF_FIXTURE *Fixture, ULONG Rva, ULONG ByteCount)
{
    static const UCHAR alphabet[] = { 0x48, 0x83, 0xC4, 0x81, 0x8D, 0x65, 0xA4, 0x24, 0x41, 0x58, 0x5B, 0x5D,
                                      0x5F, 0xC3, 0xC2, 0xF3, 0xE9, 0xEB, 0xFF, 0x25, 0xE0, 0x49, 0x00, 0x08 };
    for (ULONG index = 0; index < ByteCount; index++) {
        Fixture->Bytes[Rva + index] = alphabet[UiRandom(sizeof(alphabet))];
    }
}

static void UiRandomContext(UF_FIXTURE *Fixture)
{
    ULONG64 *registers = &Fixture->Context.Rax;
    for (ULONG index = 0; index < 16; index++) {
        registers[index] = (ULONG_PTR)Fixture->Stack + UiRandom(UF_STACK_WORDS + 4) * 8ull - 16;
        if (UiRandom(8) == 0) {
            registers[index] = UiSeed << UiRandom(32);
        }
    }
}

KTEST(hostile, random_unwind_information_is_survived)
{
    ULONG succeeded = 0;
    for (ULONG round = 0; round < 200000; round++) {
        UF_FIXTURE *fixture = UfOpen();
        UCHAR       info[64];
        ULONG       functionCount = 1 + UiRandom(4);
        for (ULONG index = 0; index < functionCount; index++) {
            UiRandomInfo(info, sizeof(info));
            ULONG             begin = UF_TEXT_RVA + index * 0x100 + UiRandom(16);
            RUNTIME_FUNCTION *function = UfAddFunction(fixture, begin, begin + 1 + UiRandom(0xF0), info, sizeof(info));
            if (UiRandom(16) == 0) {
                function->UnwindData = UiRandom(UF_IMAGE_BYTES + 64);
            }
            if (UiRandom(16) == 0) {
                function->EndAddress = UiSeed & 1 ? MAXULONG : UF_IMAGE_BYTES + UiRandom(64);
            }
        }
        UiRandomCode(fixture, UF_TEXT_RVA, 0x100);
        UiRandomCode(fixture, UF_IMAGE_BYTES - 64, 64);
        UiRandomContext(fixture);
        ULONG rva = UiRandom(16) == 0 ? UF_IMAGE_BYTES - 1 - UiRandom(48) : UF_TEXT_RVA + UiRandom(0x120);
        succeeded += NT_SUCCESS(UfUnwind(fixture, rva, UiRandom(4)));
        UfClose(fixture);
    }
    KT_EXPECT_GT(succeeded, 10000); /* or the inputs are too wild to test anything */
}

KTEST(hostile, random_header_is_survived)
{
    for (ULONG round = 0; round < 20000; round++) {
        UF_FIXTURE *fixture = UfOpen();
        for (ULONG index = 0; index < 1 + UiRandom(8); index++) {
            static const ULONG fields[] = { 0x3C, 0x86, 0x94, 0x104, 0x120, 0x124, 0x190, 0x194 };
            ULONG              place = UiRandom(2) == 0 ? fields[UiRandom(RTL_NUMBER_OF(fields))] : UiRandom(0x200);
            fixture->Bytes[place] = (UCHAR)UiRandom(256);
            fixture->Bytes[place + 1] = UiRandom(4) == 0 ? (UCHAR)UiRandom(256) : fixture->Bytes[place + 1];
        }
        UI_TABLE table = { 0 };
        UiAdd(&table, "name", 0, UiRandom(64), (USHORT)UiRandom(4), FUNCTION, EXTERNAL);
        UiAdd(&table, NULL, UiRandom(40), UiRandom(64), (USHORT)UiRandom(4), FUNCTION, EXTERNAL);
        RTLP_IMAGE image;
        RtlpInitializeImage(&image, "wild.sys", fixture->Bytes, UF_IMAGE_BYTES);
        UiAttach(fixture, &table, UiStrings, UiRandom(sizeof(UiStrings)));
        RtlpSetImageSymbols(&image, table.Bytes, fixture->Image.SymbolCount + UiRandom(2), fixture->Image.SymbolBytes);
        RTLP_SYMBOL symbol;
        ULONG       rva = UiRandom(UF_IMAGE_BYTES);
        if (RtlpFindSymbol(&image, fixture->Bytes + rva, &symbol)) {
            KT_EXPECT_GT(symbol.NameBytes, 0);
        }
        if (image.FunctionCount != 0) {
            RtlpFindFunction(&image, rva);
        }
        UfClose(fixture);
        free(table.Bytes);
    }
}
