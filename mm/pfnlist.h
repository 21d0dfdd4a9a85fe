/*
 * Page lists and dormant chunks, between the parts of the PFN database. Everybody else uses mm/pfn.h.
 */
#pragma once

#include "kernel/ke/lock.h"
#include "mm/pfn.h"

extern KI_LOCK MiPfnLock; /* LOCK_PFN */

#define MI_PFN_LOCK_HELD __attribute__((requires_capability(MiPfnLock)))

/* A chunk's entries fill whole pages: 256 entries of 48 bytes are three. */
#define MI_CHUNK_FRAMES 256u
#define MI_CHUNK_PAGES  3u

C_ASSERT(MI_CHUNK_FRAMES * sizeof(MMPFN) == MI_CHUNK_PAGES * PAGE_SIZE);

/* The map of dormant chunks, one bit each: at the end of the database's region, which no entry reaches. */
#define MI_DORMANT_MAP_BYTES 0x1000000ull
#define MI_DORMANT_MAP       ((volatile LONG64 *)(MI_END_OF(PFN_DATABASE) - MI_DORMANT_MAP_BYTES))
#define MI_FRAME_LIMIT       ((128 * MI_GIB - MI_DORMANT_MAP_BYTES) / sizeof(MMPFN)) /* above any that is described */

C_ASSERT((128 * MI_GIB / sizeof(MMPFN)) / MI_CHUNK_FRAMES / 8 <= MI_DORMANT_MAP_BYTES);

static inline PFN_NUMBER MiChunkOf(PFN_NUMBER Frame)
{
    return Frame / MI_CHUNK_FRAMES;
}

/* Does Frame, which is RAM, have no entry yet? Any IRQL. */
static inline bool MiIsDormant(PFN_NUMBER Frame)
{
    return (MI_DORMANT_MAP[MiChunkOf(Frame) / 64] >> (MiChunkOf(Frame) % 64) & 1) != 0;
}

/* Boot: Chunk is wholly free RAM and starts without entries. */
void MiMarkDormantLocked(PFN_NUMBER Chunk) MI_PFN_LOCK_HELD;

/* Map Chunk's entries onto DatabaseFrames (MI_CHUNK_PAGES of them); each is zero, which reads MiPfnFree, on no list. */
void MiDescribeChunk(PFN_NUMBER Chunk, const PFN_NUMBER *DatabaseFrames);

/* Put a frame without references on the list that State names, at its head. */
void MiInsertFrameLocked(PFN_NUMBER Frame, MI_PFN_STATE State) MI_PFN_LOCK_HELD;

/* Take a frame off its list and give it to Use: Active, one share. */
void MiClaimFrameLocked(PFN_NUMBER Frame, MI_PFN_USE Use) MI_PFN_LOCK_HELD;

/* See that enough frames are listed while dormant ones remain. Before frames are taken. */
void MiStockListsLocked(void) MI_PFN_LOCK_HELD;

/*
 * See that Wanted frames outside [AvoidFirst, AvoidEnd) are listed, ListedInside being those inside; wakes only what
 * lies outside. False: there are not so many.
 */
bool MiStockOutsideLocked(PFN_NUMBER AvoidFirst, PFN_NUMBER AvoidEnd, SIZE_T ListedInside,
                          SIZE_T Wanted) MI_PFN_LOCK_HELD;

/*
 * Give Chunk its entries and list its frames, behind those that are listed. The pages for the entries come from
 * listed frames outside [AvoidFirst, AvoidEnd); false when there are none.
 */
bool MiWakeChunkLocked(PFN_NUMBER Chunk, PFN_NUMBER AvoidFirst, PFN_NUMBER AvoidEnd) MI_PFN_LOCK_HELD;

/* Every link and count of the lists, against Counts of the states seen in the database. */
void MiCheckListsLocked(const SIZE_T *Counts, SIZE_T DormantFrames) MI_PFN_LOCK_HELD;

/* The run of RAM that holds Frame, or the next one above it, or NULL. Any IRQL. */
const MI_RAM_RUN *MiNextRamRun(PFN_NUMBER Frame);

/* Move up to PageCount frames from the free to the zeroed list, as far as its bound allows; how many were moved. */
PFN_COUNT MiStockZeroedFrames(PFN_COUNT PageCount);
