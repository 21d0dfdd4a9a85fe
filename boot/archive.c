/*
 * ustar archives: a cursor that stands on the next header, always at a multiple of a block, never past the end.
 */
#include "boot/archive.h"

#define TAR_BLOCK_BYTES 512u

/* The header block as POSIX draws it. Numbers are octal text, ended by a blank or NUL. */
typedef struct _TAR_HEADER {
    char Name[100]; /* terminated only when shorter */
    char Mode[8];
    char UserId[8];
    char GroupId[8];
    char ByteCount[12];
    char ModifyTime[12];
    char Checksum[8]; /* sum of the block's bytes, these eight taken as blanks */
    char Kind;
    char LinkName[100];
    char Magic[6]; /* "ustar" and NUL */
    char Version[2];
    char UserName[32];
    char GroupName[32];
    char DeviceMajor[8];
    char DeviceMinor[8];
    char Prefix[155]; /* goes before Name, with a slash between, when not empty */
    char Padding[12];
} TAR_HEADER;

_Static_assert(sizeof(TAR_HEADER) == TAR_BLOCK_BYTES, "a header is one block");

/* => false when Field is no octal number. Twelve digits are 36 bits: no overflow. */
static bool ParseOctal(const char *Field, size_t FieldBytes, uint64_t *Value)
{
    size_t   i = 0;
    uint64_t value = 0;

    while (i < FieldBytes && Field[i] == ' ') {
        i++;
    }
    size_t firstDigit = i;
    for (; i < FieldBytes && Field[i] >= '0' && Field[i] <= '7'; i++) {
        value = value * 8 + (uint64_t)(Field[i] - '0');
    }
    if (i == firstDigit || (i < FieldBytes && Field[i] != ' ' && Field[i] != '\0')) {
        return false;
    }
    *Value = value;
    return true;
}

static bool IsZeroBlock(const uint8_t *Block)
{
    uint8_t any = 0;

    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        any |= Block[i];
    }
    return any == 0;
}

static uint64_t SumHeader(const TAR_HEADER *Header)
{
    const uint8_t *bytes = (const uint8_t *)Header;
    uint64_t       sum = 0;

    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++) {
        bool inChecksum = i >= offsetof(TAR_HEADER, Checksum) &&
                          i < offsetof(TAR_HEADER, Checksum) + sizeof(Header->Checksum);
        sum += inChecksum ? (uint8_t)' ' : bytes[i];
    }
    return sum;
}

/* Add a field of Header to Name at *Used. => false when it does not fit or is not printable. */
static bool AppendName(char *Name, size_t *Used, const char *Field, size_t FieldBytes)
{
    for (size_t i = 0; i < FieldBytes && Field[i] != '\0'; i++) {
        if (*Used + 1 >= LOADER_NAME_BYTES || Field[i] < ' ' || Field[i] > '~') {
            return false;
        }
        Name[(*Used)++] = Field[i];
    }
    Name[*Used] = '\0';
    return true;
}

static bool ReadName(const TAR_HEADER *Header, char *Name)
{
    size_t used = 0;

    if (Header->Prefix[0] != '\0' &&
        (!AppendName(Name, &used, Header->Prefix, sizeof(Header->Prefix)) || !AppendName(Name, &used, "/", 1))) {
        return false;
    }
    return AppendName(Name, &used, Header->Name, sizeof(Header->Name)) && used != 0;
}

static bool CheckHeader(const TAR_HEADER *Header, uint64_t Offset, BL_FAULT *Fault)
{
    uint64_t checksum;

    if (!BlTextStartsWith(Header->Magic, "ustar") || Header->Magic[5] != '\0') {
        return BlFail(Fault, "archive: no ustar header at offset %lu", Offset);
    }
    if (!ParseOctal(Header->Checksum, sizeof(Header->Checksum), &checksum) || checksum != SumHeader(Header)) {
        return BlFail(Fault, "archive: the header at offset %lu is damaged: wrong checksum", Offset);
    }
    return true;
}

/* Reads the member at Archive->Offset and moves past it. A whole block is there and is not zero. */
static bool ReadAtOffset(BL_ARCHIVE *Archive, BL_MEMBER *Member, char *Kind, BL_FAULT *Fault)
{
    const TAR_HEADER *header = (const TAR_HEADER *)(Archive->Bytes.Base + Archive->Offset);
    uint64_t          contentOffset = Archive->Offset + TAR_BLOCK_BYTES;
    uint64_t          available = Archive->Bytes.ByteCount - contentOffset;
    uint64_t          byteCount;

    if (!CheckHeader(header, Archive->Offset, Fault)) {
        return false;
    }
    if (!ReadName(header, Member->Name)) {
        return BlFail(Fault, "archive: the name at offset %lu is empty, not printable or longer than %u bytes",
                      Archive->Offset, LOADER_NAME_BYTES - 1);
    }
    if (!ParseOctal(header->ByteCount, sizeof(header->ByteCount), &byteCount)) {
        return BlFail(Fault, "archive: %s: its size is no octal number", Member->Name);
    }
    uint64_t padding = -byteCount % TAR_BLOCK_BYTES;
    if (byteCount > available || padding > available - byteCount) {
        return BlFail(Fault, "archive: %s lies beyond the end of the archive", Member->Name);
    }
    Member->Content = (BL_BYTES){ .Base = Archive->Bytes.Base + contentOffset, .ByteCount = byteCount };
    Archive->Offset = contentOffset + byteCount + padding;
    *Kind = header->Kind;
    return true;
}

BL_NEXT BlReadMember(BL_ARCHIVE *Archive, BL_MEMBER *Member, BL_FAULT *Fault)
{
    for (;;) {
        char kind = '\0';

        if (Archive->Bytes.ByteCount - Archive->Offset < TAR_BLOCK_BYTES) {
            (void)BlFail(Fault, "archive: it ends without an end mark after %lu bytes", Archive->Bytes.ByteCount);
            return BlNextDamaged;
        }
        if (IsZeroBlock(Archive->Bytes.Base + Archive->Offset)) {
            return BlNextEnd;
        }
        if (!ReadAtOffset(Archive, Member, &kind, Fault)) {
            return BlNextDamaged;
        }
        if (kind == '0' || kind == '\0') {
            return BlNextMember;
        }
        if (kind != '5') {
            (void)BlFail(Fault, "archive: %s is neither a file nor a directory", Member->Name);
            return BlNextDamaged;
        }
    }
}
