/*
 * The loader's PE32+ checks on a file that is right, cut short anywhere, and wrong anywhere.
 *
 * Files and images lie in blocks of exactly their size: AddressSanitizer sees each byte read or written outside.
 */
#include "boot/image.h"
#include "tests/lib/ktest.h"

#define LOAD_BASE 0xFFFFF80312340000ull
#define BI_TAG    'mIlB'

#define PE_OFFSET_FIELD 0x3Cu
#define CHECKSUM_OFFSET 88u /* from the PE signature */

#define RANDOM_FILES     20000u
#define LARGEST_PLACED   0x100000u /* what a mutation says is bigger is checked, not placed */
#define EXPECTED_POINTER 2u

/* boot_subject.c, linked with linker.ld. */
__asm__(".section .rodata\n"
        ".globl BiSubject, BiSubjectEnd\n"
        "BiSubject: .incbin \"" BI_SUBJECT_FILE "\"\n"
        "BiSubjectEnd:\n"
        ".previous");
extern const UCHAR BiSubject[];
extern const UCHAR BiSubjectEnd[];

static SIZE_T BiSubjectBytes(void)
{
    return (SIZE_T)(BiSubjectEnd - BiSubject);
}

static UCHAR *BiCopySubject(SIZE_T ByteCount)
{
    UCHAR *file = ExAllocatePoolWithTag(0, ByteCount, BI_TAG);

    memcpy(file, BiSubject, ByteCount);
    return file;
}

/* The subject with its checksum left out, so that a mutation is found by what it breaks. */
static UCHAR *BiCopyUnsummed(void)
{
    UCHAR   *file = BiCopySubject(BiSubjectBytes());
    uint32_t headers;

    memcpy(&headers, file + PE_OFFSET_FIELD, sizeof(headers));
    memset(file + headers + CHECKSUM_OFFSET, 0, sizeof(uint32_t));
    return file;
}

static bool BiCheck(const UCHAR *File, SIZE_T ByteCount, BL_IMAGE *Image, BL_FAULT *Fault)
{
    BL_BYTES bytes = { .Base = File, .ByteCount = ByteCount };

    return BlCheckImage(&bytes, Image, Fault);
}

static UCHAR *BiAllocateImage(const BL_IMAGE *Image)
{
    UCHAR *memory = ExAllocatePoolWithTag(0, Image->MappedBytes, BI_TAG);

    memset(memory, 0, Image->MappedBytes);
    return memory;
}

static const BL_SECTION *BiFindSection(const BL_IMAGE *Image, const char *Name)
{
    for (ULONG i = 0; i < Image->SectionCount; i++) {
        if (BlTextEquals(Image->Sections[i].Name, Name)) {
            return &Image->Sections[i];
        }
    }
    return NULL;
}

/* Check the file, and if it passes place it: neither may touch a byte outside. */
static void BiTry(const UCHAR *File, SIZE_T ByteCount)
{
    BL_IMAGE image;
    BL_FAULT fault = { 0 };

    if (!BiCheck(File, ByteCount, &image, &fault)) {
        KT_EXPECT_TRUE(BlTextStartsWith(fault.Text, "ntoskrnl.exe: "));
        return;
    }
    KT_EXPECT_TRUE(image.EntryRva < image.MappedBytes && image.HeaderBytes <= image.MappedBytes);
    if (image.MappedBytes <= LARGEST_PLACED) {
        UCHAR *memory = BiAllocateImage(&image);
        (void)BlPlaceImage(&image, memory, LOAD_BASE, &fault);
        ExFreePoolWithTag(memory, BI_TAG);
    }
}

KTEST(boot_image, sections_have_their_protection)
{
    BL_IMAGE image;
    BL_FAULT fault = { 0 };
    UCHAR   *file = BiCopySubject(BiSubjectBytes());

    KT_EXPECT_TRUE(BiCheck(file, BiSubjectBytes(), &image, &fault));
    KT_EXPECT_STREQ(fault.Text, "");
    KT_EXPECT_EQ(BiFindSection(&image, ".text")->Protection, BlProtectReadExecute);
    KT_EXPECT_EQ(BiFindSection(&image, ".pdata")->Protection, BlProtectReadOnly);
    KT_EXPECT_EQ(BiFindSection(&image, ".data")->Protection, BlProtectReadWrite);
    KT_EXPECT_EQ(BiFindSection(&image, ".bss")->Protection, BlProtectReadWrite);
    KT_EXPECT_FALSE(BiFindSection(&image, ".reloc")->Mapped);
    const BL_SECTION *last = BiFindSection(&image, ".bss");
    KT_EXPECT_EQ(image.MappedBytes, (last->Rva + last->ByteCount + 0xFFF) & ~0xFFFu);
    KT_EXPECT_TRUE(image.SymbolCount != 0);
    ExFreePoolWithTag(file, BI_TAG);
}

KTEST(boot_image, pointers_follow_the_base)
{
    BL_IMAGE image;
    BL_FAULT fault = { 0 };
    UCHAR   *file = BiCopySubject(BiSubjectBytes());
    ULONG    found = 0;

    KT_ASSERT_TRUE(BiCheck(file, BiSubjectBytes(), &image, &fault));
    UCHAR *memory = BiAllocateImage(&image);
    KT_EXPECT_TRUE(BlPlaceImage(&image, memory, LOAD_BASE, &fault));
    const BL_SECTION *data = BiFindSection(&image, ".data");
    for (ULONG offset = 0; offset + sizeof(uint64_t) <= data->ByteCount; offset += sizeof(uint64_t)) {
        uint64_t value;
        memcpy(&value, memory + data->Rva + offset, sizeof(value));
        found += value >= LOAD_BASE && value < LOAD_BASE + image.MappedBytes;
    }
    KT_EXPECT_EQ(found, EXPECTED_POINTER);
    uint64_t base;
    memcpy(&base, memory + image.PreferredBaseOffset, sizeof(base));
    KT_EXPECT_EQ(base, LOAD_BASE);
    ExFreePoolWithTag(memory, BI_TAG);
    ExFreePoolWithTag(file, BI_TAG);
}

KTEST(boot_image, a_file_cut_short_is_refused)
{
    for (SIZE_T byteCount = 0; byteCount < BiSubjectBytes(); byteCount++) {
        BL_IMAGE image;
        BL_FAULT fault = { 0 };
        UCHAR   *file = BiCopySubject(byteCount);

        KT_EXPECT_FALSE(BiCheck(file, byteCount, &image, &fault));
        ExFreePoolWithTag(file, BI_TAG);
    }
}

KTEST(boot_image, one_flipped_bit_is_refused)
{
    UCHAR *file = BiCopySubject(BiSubjectBytes());

    for (SIZE_T offset = 0; offset < BiSubjectBytes(); offset += 7) {
        BL_IMAGE image;
        BL_FAULT fault = { 0 };

        file[offset] ^= 0x10;
        KT_EXPECT_FALSE(BiCheck(file, BiSubjectBytes(), &image, &fault));
        file[offset] ^= 0x10;
    }
    ExFreePoolWithTag(file, BI_TAG);
}

KTEST(boot_image, any_header_byte_may_be_anything)
{
    static const UCHAR values[] = { 0x00, 0x01, 0x08, 0x7F, 0x80, 0xF8, 0xFF };
    UCHAR             *file = BiCopyUnsummed();
    BL_IMAGE           image;
    BL_FAULT           fault = { 0 };

    KT_ASSERT_TRUE(BiCheck(file, BiSubjectBytes(), &image, &fault));
    for (ULONG offset = 0; offset < image.HeaderBytes; offset++) {
        UCHAR original = file[offset];
        for (ULONG i = 0; i < sizeof(values); i++) {
            file[offset] = values[i];
            BiTry(file, BiSubjectBytes());
        }
        file[offset] = original;
    }
    ExFreePoolWithTag(file, BI_TAG);
}

KTEST(boot_image, any_bytes_may_be_anything)
{
    UCHAR *file = BiCopyUnsummed();
    ULONG  state = 1;

    for (ULONG i = 0; i < RANDOM_FILES; i++) {
        SIZE_T offsets[4];
        UCHAR  originals[4];

        for (ULONG k = 0; k < 4; k++) {
            state = state * 1664525u + 1013904223u;
            /* Half of them in the headers, where most is to be broken. */
            offsets[k] = (state >> 8) % (k % 2 == 0 ? 1024u : BiSubjectBytes());
            originals[k] = file[offsets[k]];
            file[offsets[k]] = (UCHAR)(state >> 24);
        }
        BiTry(file, BiSubjectBytes());
        for (ULONG k = 4; k-- > 0;) {
            file[offsets[k]] = originals[k];
        }
    }
    ExFreePoolWithTag(file, BI_TAG);
}

KTEST(boot_image, any_relocation_byte_may_be_anything)
{
    UCHAR   *file = BiCopyUnsummed();
    BL_IMAGE image;
    BL_FAULT fault = { 0 };

    KT_ASSERT_TRUE(BiCheck(file, BiSubjectBytes(), &image, &fault));
    for (ULONG offset = 0; offset < image.RelocationBytes; offset++) {
        UCHAR *byte = file + image.RelocationOffset + offset;
        UCHAR  original = *byte;
        for (ULONG value = 0; value < 256; value++) {
            *byte = (UCHAR)value;
            BiTry(file, BiSubjectBytes());
        }
        *byte = original;
    }
    ExFreePoolWithTag(file, BI_TAG);
}
