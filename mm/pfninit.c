/*
 * From the loader's memory map to the PFN database.
 *
 * Which chunks (mm/pfnlist.h) are described at once: those that are not wholly one run of free memory, and, from the
 * end of the boot allocator's run down, those that it took frames from and a few more, so that the lists have
 * something to wake the others with. The pages for the entries come from the boot allocator itself, whose cursor
 * sinks meanwhile; three pages describe 256 frames, so the loop that follows the cursor ends.
 */
#include "mm/pfninit.h"

#include "mm/bootmem.h"
#include "mm/pfnlist.h"

#define MI_MOST_RAM_RUNS   256u /* firmware's maps have tens of runs; what does not fit is left unused */
#define MI_CHUNKS_IN_STOCK 4u   /* described below the boot allocator's cursor */

static MI_RAM_RUN MiRamRunTable[MI_MOST_RAM_RUNS];

static bool MiIsRamType(ULONG Type)
{
    return Type != LoaderMemoryDevice;
}

void MiFindRam(const LOADER_BLOCK *Block)
{
    ULONG runCount = 0;
    for (ULONG index = 0; index < Block->MemoryRunCount; index++) {
        const LOADER_MEMORY_RUN *run = &Block->MemoryRuns[index];
        MI_RAM_RUN              *last = runCount > 0 ? &MiRamRunTable[runCount - 1] : NULL;
        PFN_NUMBER               end = run->BasePage + run->PageCount;
        if (!MiIsRamType(run->Type) || run->PageCount == 0 || end > MI_FRAME_LIMIT) {
            continue;
        }
        if (last != NULL && last->FirstFrame + last->FrameCount == run->BasePage) {
            last->FrameCount += run->PageCount;
        } else if (runCount < MI_MOST_RAM_RUNS) {
            MiRamRunTable[runCount++] = (MI_RAM_RUN){ .FirstFrame = run->BasePage, .FrameCount = run->PageCount };
        } else {
            break;
        }
        MiRamFrameCount += run->PageCount;
        MiHighestFrame = end - 1;
    }
    MiRamRuns = MiRamRunTable;
    MiRamRunCount = runCount;
}

void MiMapPfnTables(const MI_TABLE_SOURCE *Source)
{
    for (ULONG index = 0; index < MiRamRunCount; index++) {
        PFN_NUMBER first = MiRamRuns[index].FirstFrame & ~(PFN_NUMBER)(MI_CHUNK_FRAMES - 1);
        PFN_NUMBER last = (MiRamRuns[index].FirstFrame + MiRamRuns[index].FrameCount - 1) | (MI_CHUNK_FRAMES - 1);
        (void)MiFillTables(MiPfn(first), (const UCHAR *)MiPfn(last + 1) - 1, Source);
    }
    ULONG64 mapBytes = (MiHighestFrame / MI_CHUNK_FRAMES / 64 + 1) * sizeof(LONG64);
    ULONG64 va = (ULONG64)MI_DORMANT_MAP;
    (void)MiFillTables((const void *)va, (const void *)(va + mapBytes - 1), Source);
    for (ULONG64 offset = 0; offset < mapBytes; offset += PAGE_SIZE) {
        PFN_NUMBER frame = Source->TakeZeroedFrame(Source->Context, NULL);
        MiWriteValidPte(MiPteOf((const void *)(va + offset)), MiMakeValidPte(frame, MI_KERNEL_RW));
    }
}

static bool MiIsDescribed(PFN_NUMBER Chunk)
{
    return MiPteIsValid(MiReadPte(MiPteOf(MiPfn(Chunk * MI_CHUNK_FRAMES))));
}

static void MiDescribeAtBoot(PFN_NUMBER Chunk)
{
    if (!MiIsDescribed(Chunk)) {
        PFN_NUMBER databaseFrames[MI_CHUNK_PAGES];
        for (ULONG page = 0; page < MI_CHUNK_PAGES; page++) {
            databaseFrames[page] = MiTakeBootFrame(NULL, NULL);
        }
        MiDescribeChunk(Chunk, databaseFrames);
    }
}

/* Describe the chunks of Run that are not wholly free memory. */
static void MiDescribeRun(const LOADER_MEMORY_RUN *Run)
{
    PFN_NUMBER first = Run->BasePage;
    PFN_NUMBER last = first + Run->PageCount - 1;
    if (!MiIsPhysicalRam(first)) {
        return;
    }
    if (Run->Type == LoaderMemoryFree) {
        if (first % MI_CHUNK_FRAMES != 0) {
            MiDescribeAtBoot(MiChunkOf(first));
        }
        if (last % MI_CHUNK_FRAMES != MI_CHUNK_FRAMES - 1) {
            MiDescribeAtBoot(MiChunkOf(last));
        }
        return;
    }
    for (PFN_NUMBER chunk = MiChunkOf(first); chunk <= MiChunkOf(last); chunk++) {
        MiDescribeAtBoot(chunk);
    }
}

/* Describe what the boot allocator takes, and a stock below it, while it sinks. */
static void MiDescribeBootFrames(void)
{
    PFN_NUMBER chunk = MiChunkOf(MiBootFramesEnd() - 1);
    while (chunk + MI_CHUNKS_IN_STOCK >= MiChunkOf(MiLowestBootFrame()) && MiIsPhysicalRam(chunk * MI_CHUNK_FRAMES)) {
        MiDescribeAtBoot(chunk);
        if (chunk-- == 0) {
            return;
        }
    }
}

static void MiOwnFrame(PFN_NUMBER Frame, MI_PFN_USE Use)
{
    *MiPfn(Frame) = (MMPFN){
        .ShareCount = 1,
        .ReferenceCount = 1,
        .State = MiPfnActive,
        .Use = (UCHAR)Use,
        .CacheType = MmCached,
    };
}

/* The first frame is nobody's: a physical address of 0 stays a mark for "none". */
static bool MiIsFreeAtBoot(PFN_NUMBER Frame)
{
    return Frame != 0 && (Frame < MiLowestBootFrame() || Frame >= MiBootFramesEnd());
}

/* Ascending, so that the highest frames end up at the head of the list and low memory is taken last. */
static void MiListRunLocked(const LOADER_MEMORY_RUN *Run) MI_PFN_LOCK_HELD;

static void MiListRunLocked(const LOADER_MEMORY_RUN *Run)
{
    PFN_NUMBER end = Run->BasePage + Run->PageCount;
    for (PFN_NUMBER frame = Run->BasePage; frame < end; frame++) {
        if (!MiIsDescribed(MiChunkOf(frame))) {
            MiMarkDormantLocked(MiChunkOf(frame));
            frame |= MI_CHUNK_FRAMES - 1;
        } else if (Run->Type == LoaderMemoryFree && MiIsFreeAtBoot(frame)) {
            MiInsertFrameLocked(frame, MiPfnFree);
        } else {
            MiOwnFrame(frame, MiUseBoot);
        }
    }
}

void MiBuildPfnDatabase(const LOADER_BLOCK *Block)
{
    for (ULONG index = 0; index < Block->MemoryRunCount; index++) {
        if (MiIsRamType(Block->MemoryRuns[index].Type) && Block->MemoryRuns[index].PageCount != 0) {
            MiDescribeRun(&Block->MemoryRuns[index]);
        }
    }
    MiDescribeBootFrames();
    KIRQL oldIrql = KiAcquireLock(&MiPfnLock);
    for (ULONG index = 0; index < Block->MemoryRunCount; index++) {
        const LOADER_MEMORY_RUN *run = &Block->MemoryRuns[index];
        if (run->PageCount != 0 && MiIsRamType(run->Type) && MiIsPhysicalRam(run->BasePage)) {
            MiListRunLocked(run);
        }
    }
    KiReleaseLock(&MiPfnLock, oldIrql);
}
