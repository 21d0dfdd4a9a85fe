/*
 * Mapping locked pages: MmMapLockedPagesSpecifyCache, MmMapLockedPages, MmUnmapLockedPages, declared by the driver kit.
 */
#pragma once

#include "mm/mdl.h"

/* How a mapping may be used, from the high bits of a page priority. */
typedef struct _MI_MAPPING {
    MEMORY_CACHING_TYPE CacheType; /* wanted; frames that have a type keep it */
    ULONG64             PteBits;   /* of every entry, but for the cache bits */
} MI_MAPPING;

/*
 * Write the entries from First up, which are zero, for the frames of Mdl.
 *
 * => the entries' addresses are the caller's alone; no flush is owed.
 * => a frame that is not locked is bug check 0x1A/0x1236.
 */
void MiWriteMapping(MMPTE *First, const MDL *Mdl, const MI_MAPPING *Mapping);

/*
 * Clear the entries from First up, which MiWriteMapping has written for Mdl. The caller owes the flush.
 *
 * => whether all were write-back comes back.
 * => an entry that is not valid is bug check 0xDA/0x306, one of another frame 0xDA/0x305.
 */
bool MiClearMappingNoFlush(MMPTE *First, const MDL *Mdl);

/* Stop, 0x1A/0x1236, unless all frames of Mdl are held: looks at every one. */
void MiCheckMdlFrames(const MDL *Mdl);

/* Stop where MmUnmapLockedPages must not be called for a system address, having looked at every entry. */
void MiCheckMapping(const void *BaseAddress, const MDL *Mdl);
