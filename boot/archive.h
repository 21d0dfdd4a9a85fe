/*
 * Reading a ustar archive that lies in memory (POSIX.1-1988 interchange format).
 *
 * Pure, and trusts nothing: every header is checked against its checksum, every range against the archive's end.
 * Regular files are handed out, directories passed over; any other kind of member is a fault, since to skip it could
 * lose what it was meant to say about the next one.
 */
#pragma once

#include "boot/loaderblock.h"
#include "boot/text.h"

typedef struct _BL_ARCHIVE {
    BL_BYTES Bytes;
    uint64_t Offset; /* of the next header; begins at 0, at most Bytes.ByteCount */
} BL_ARCHIVE;

typedef struct _BL_MEMBER {
    char     Name[LOADER_NAME_BYTES]; /* printable ASCII, terminated */
    BL_BYTES Content;                 /* inside the archive */
} BL_MEMBER;

typedef enum _BL_NEXT {
    BlNextMember,
    BlNextEnd,
    BlNextDamaged, /* the fault says how */
} BL_NEXT;

BL_NEXT BlReadMember(BL_ARCHIVE *Archive, BL_MEMBER *Member, BL_FAULT *Fault);
