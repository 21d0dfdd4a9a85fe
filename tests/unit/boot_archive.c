/*
 * The loader's archive reader on archives that are right, cut short anywhere, and wrong anywhere.
 */
#include "boot/archive.h"
#include "tests/lib/ktest.h"

#define BLOCK_BYTES 512u
#define BA_TAG      'rAlB'

#define NAME_OFFSET     0u
#define SIZE_OFFSET     124u
#define CHECKSUM_OFFSET 148u
#define KIND_OFFSET     156u
#define MAGIC_OFFSET    257u
#define PREFIX_OFFSET   345u

typedef struct _BA_FIXTURE {
    UCHAR *Bytes;
    SIZE_T ByteCount;
} BA_FIXTURE;

static void BaPutOctal(UCHAR *Field, ULONG Digits, ULONG Value)
{
    Field[Digits] = '\0';
    while (Digits-- != 0) {
        Field[Digits] = (UCHAR)('0' + Value % 8);
        Value /= 8;
    }
}

static void BaSeal(UCHAR *Header)
{
    ULONG sum = 0;

    memset(Header + CHECKSUM_OFFSET, ' ', 8);
    for (ULONG i = 0; i < BLOCK_BYTES; i++) {
        sum += Header[i];
    }
    BaPutOctal(Header + CHECKSUM_OFFSET, 6, sum);
}

static void BaPutHeader(UCHAR *Header, const char *Name, ULONG ByteCount)
{
    memset(Header, 0, BLOCK_BYTES);
    memcpy(Header + NAME_OFFSET, Name, BlTextBytes(Name));
    BaPutOctal(Header + SIZE_OFFSET, 11, ByteCount);
    Header[KIND_OFFSET] = '0';
    memcpy(Header + MAGIC_OFFSET, "ustar\00000", 8);
    BaSeal(Header);
}

/* cmdline with "seed=1", then apps/a.exe with 513 bytes, then the end mark. */
static BA_FIXTURE BaBuild(void)
{
    BA_FIXTURE fixture = { .ByteCount = 7 * BLOCK_BYTES };

    fixture.Bytes = ExAllocatePoolWithTag(0, fixture.ByteCount, BA_TAG);
    memset(fixture.Bytes, 0, fixture.ByteCount);
    BaPutHeader(fixture.Bytes, "cmdline", 6);
    memcpy(fixture.Bytes + BLOCK_BYTES, "seed=1", 6);
    BaPutHeader(fixture.Bytes + 2 * BLOCK_BYTES, "apps/a.exe", 513);
    memset(fixture.Bytes + 3 * BLOCK_BYTES, 0x55, 513);
    return fixture;
}

/* Reads to the end. => how the archive ended; *MemberCount is how many members it had. */
static BL_NEXT BaReadAll(const UCHAR *Bytes, SIZE_T ByteCount, ULONG *MemberCount, BL_FAULT *Fault)
{
    BL_ARCHIVE archive = { .Bytes = { .Base = Bytes, .ByteCount = ByteCount } };
    BL_MEMBER  member;
    BL_NEXT    next;

    *MemberCount = 0;
    while ((next = BlReadMember(&archive, &member, Fault)) == BlNextMember) {
        (*MemberCount)++;
        KT_EXPECT_TRUE(member.Content.ByteCount <= ByteCount);
        KT_EXPECT_TRUE(BlTextBytes(member.Name) < LOADER_NAME_BYTES);
    }
    return next;
}

static void BaExpectFault(BA_FIXTURE *Fixture, const char *Text)
{
    ULONG    memberCount;
    BL_FAULT fault = { 0 };

    KT_EXPECT_EQ(BaReadAll(Fixture->Bytes, Fixture->ByteCount, &memberCount, &fault), BlNextDamaged);
    KT_EXPECT_STREQ(fault.Text, Text);
    ExFreePoolWithTag(Fixture->Bytes, BA_TAG);
}

KTEST(boot_archive, members_in_order)
{
    BA_FIXTURE fixture = BaBuild();
    BL_ARCHIVE archive = { .Bytes = { .Base = fixture.Bytes, .ByteCount = fixture.ByteCount } };
    BL_MEMBER  member;
    BL_FAULT   fault = { 0 };

    KT_EXPECT_EQ(BlReadMember(&archive, &member, &fault), BlNextMember);
    KT_EXPECT_STREQ(member.Name, "cmdline");
    KT_EXPECT_EQ(member.Content.ByteCount, 6);
    KT_EXPECT_EQ(BlReadMember(&archive, &member, &fault), BlNextMember);
    KT_EXPECT_STREQ(member.Name, "apps/a.exe");
    KT_EXPECT_EQ(member.Content.ByteCount, 513);
    KT_EXPECT_EQ(member.Content.Base[512], 0x55);
    KT_EXPECT_EQ(BlReadMember(&archive, &member, &fault), BlNextEnd);
    ExFreePoolWithTag(fixture.Bytes, BA_TAG);
}

KTEST(boot_archive, a_prefix_and_folders)
{
    BA_FIXTURE fixture = BaBuild();
    BL_ARCHIVE archive = { .Bytes = { .Base = fixture.Bytes, .ByteCount = fixture.ByteCount } };
    BL_MEMBER  member;
    BL_FAULT   fault = { 0 };
    UCHAR     *second = fixture.Bytes + 2 * BLOCK_BYTES;

    BaPutHeader(fixture.Bytes, "drivers/", 0);
    fixture.Bytes[KIND_OFFSET] = '5';
    BaSeal(fixture.Bytes);
    memmove(fixture.Bytes + BLOCK_BYTES, second, 3 * BLOCK_BYTES);
    memcpy(fixture.Bytes + BLOCK_BYTES + PREFIX_OFFSET, "drivers", 7);
    BaSeal(fixture.Bytes + BLOCK_BYTES);
    KT_EXPECT_EQ(BlReadMember(&archive, &member, &fault), BlNextMember);
    KT_EXPECT_STREQ(member.Name, "drivers/apps/a.exe");
    ExFreePoolWithTag(fixture.Bytes, BA_TAG);
}

KTEST(boot_archive, damage_is_named)
{
    BA_FIXTURE fixture = BaBuild();
    fixture.Bytes[3] ^= 1;
    BaExpectFault(&fixture, "archive: the header at offset 0 is damaged: wrong checksum");

    fixture = BaBuild();
    fixture.Bytes[MAGIC_OFFSET] = 'U';
    BaExpectFault(&fixture, "archive: no ustar header at offset 0");

    fixture = BaBuild();
    fixture.Bytes[2 * BLOCK_BYTES + SIZE_OFFSET + 3] = '9';
    BaSeal(fixture.Bytes + 2 * BLOCK_BYTES);
    BaExpectFault(&fixture, "archive: apps/a.exe: its size is no octal number");

    fixture = BaBuild();
    memset(fixture.Bytes + 2 * BLOCK_BYTES + SIZE_OFFSET, '7', 12);
    BaSeal(fixture.Bytes + 2 * BLOCK_BYTES);
    BaExpectFault(&fixture, "archive: apps/a.exe lies beyond the end of the archive");

    fixture = BaBuild();
    fixture.Bytes[KIND_OFFSET] = '2';
    BaSeal(fixture.Bytes);
    BaExpectFault(&fixture, "archive: cmdline is neither a file nor a directory");
}

KTEST(boot_archive, a_long_name_is_refused)
{
    BA_FIXTURE fixture = BaBuild();

    memset(fixture.Bytes, 'a', LOADER_NAME_BYTES - 1);
    BaSeal(fixture.Bytes);
    ULONG    memberCount;
    BL_FAULT fault = { 0 };
    KT_EXPECT_EQ(BaReadAll(fixture.Bytes, fixture.ByteCount, &memberCount, &fault), BlNextEnd);
    memset(fixture.Bytes, 'a', LOADER_NAME_BYTES);
    BaSeal(fixture.Bytes);
    BaExpectFault(&fixture, "archive: the name at offset 0 is empty, not printable or longer than 63 bytes");
}

KTEST(boot_archive, an_archive_cut_short_is_refused)
{
    BA_FIXTURE fixture = BaBuild();

    for (SIZE_T byteCount = 0; byteCount < 6 * BLOCK_BYTES; byteCount++) {
        UCHAR   *bytes = ExAllocatePoolWithTag(0, byteCount, BA_TAG);
        ULONG    memberCount;
        BL_FAULT fault = { 0 };

        memcpy(bytes, fixture.Bytes, byteCount);
        KT_EXPECT_EQ(BaReadAll(bytes, byteCount, &memberCount, &fault), BlNextDamaged);
        ExFreePoolWithTag(bytes, BA_TAG);
    }
    ExFreePoolWithTag(fixture.Bytes, BA_TAG);
}

/* The checksum is set right again, so that the damage is met where it stands. */
KTEST(boot_archive, any_header_byte_may_be_anything)
{
    BA_FIXTURE fixture = BaBuild();

    for (ULONG offset = 0; offset < BLOCK_BYTES; offset++) {
        UCHAR *byte = fixture.Bytes + 2 * BLOCK_BYTES + offset;
        UCHAR  original = *byte;
        for (ULONG value = 0; value < 256; value++) {
            ULONG    memberCount;
            BL_FAULT fault = { 0 };

            *byte = (UCHAR)value;
            BaSeal(fixture.Bytes + 2 * BLOCK_BYTES);
            (void)BaReadAll(fixture.Bytes, fixture.ByteCount, &memberCount, &fault);
            KT_EXPECT_TRUE(memberCount <= 4);
        }
        *byte = original;
    }
    ExFreePoolWithTag(fixture.Bytes, BA_TAG);
}
