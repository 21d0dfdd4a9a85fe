/*
 * Names of objects: a tree of directories that begins at "\". \DosDevices leads to \??, and that to \GLOBAL??, by
 * symbolic links.
 *
 * A named object keeps one reference for its name until ObpRemoveName. Names compare without regard to case.
 *
 * Locking and IRQL: ObpNameMutex guards every directory and the Name field of every header, so all of this runs at
 * PASSIVE_LEVEL (a path may lie in paged pool). Lookup is linear in a directory's size: tens of names.
 */
#pragma once

#include "kernel/ddk.h"

void ObpInitializeNames(void);

/*
 * Enter Object, which has no name, under Path ("\Device\Name"); the directories exist. Symbolic links on the way are
 * followed.
 *
 * => STATUS_OBJECT_PATH_SYNTAX_BAD, STATUS_OBJECT_NAME_INVALID, STATUS_OBJECT_PATH_NOT_FOUND,
 *    STATUS_OBJECT_NAME_COLLISION, STATUS_INSUFFICIENT_RESOURCES.
 */
NTSTATUS ObpInsertName(PVOID Object, PCUNICODE_STRING Path);

/* Take the object out of the name space; nothing happens to one without a name. */
void ObpRemoveName(PVOID Object);

typedef enum _OBP_LOOKUP {
    ObpFollowLinks,  /* a symbolic link at the end stands for its target */
    ObpOpenLink,     /* it stands for itself */
    ObpStopAtDevice, /* as the first, and a device ends the walk: what follows its name is the device's to parse */
} OBP_LOOKUP;

/*
 * Find the object at Path and reference it. A NULL Type matches all.
 *
 * => as above, and STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_TYPE_MISMATCH.
 */
NTSTATUS ObpReferenceByName(PCUNICODE_STRING Path, POBJECT_TYPE Type, OBP_LOOKUP Lookup, PVOID *Object);

/*
 * Find the device at the beginning of Path and reference it. *Rest is what follows, in pool that the caller frees with
 * ExFreePool, or empty without a buffer.
 *
 * => as above; STATUS_OBJECT_TYPE_MISMATCH for what is no device.
 */
NTSTATUS ObpReferenceDevice(PCUNICODE_STRING Path, PDEVICE_OBJECT *Device, UNICODE_STRING *Rest);

/* To becomes a copy in pool that the caller frees with ExFreePool; empty, without a buffer, when From is. */
NTSTATUS ObpCopyString(const UNICODE_STRING *From, UNICODE_STRING *To);

/* Make a symbolic link object to Target, without a name. */
NTSTATUS ObpCreateSymbolicLink(PCUNICODE_STRING Target, PVOID *Link);

/*
 * Write the object's full name in UTF-8, or nothing when it has none; cut to fit, always NUL-terminated.
 *
 * => ByteCount > 0.
 */
void ObpFormatName(PVOID Object, char *Buffer, ULONG ByteCount);
