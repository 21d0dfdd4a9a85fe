/*
 * The boot allocator: takes frames downwards from the end of the longest run of free memory below 4 GiB, which
 * the loader's one-to-one map reaches. Nothing is given back to it; what lies below its cursor goes to the page lists.
 */
#include "mm/bootmem.h"

#define MI_ONE_TO_ONE_FRAMES (4 * MI_GIB >> PAGE_SHIFT)

static PFN_NUMBER MiBootRunFirst;
static PFN_NUMBER MiBootRunEnd;
static PFN_NUMBER MiBootCursor; /* lowest frame taken */

void MiInitializeBootMemory(const LOADER_BLOCK *Block)
{
    for (ULONG index = 0; index < Block->MemoryRunCount; index++) {
        const LOADER_MEMORY_RUN *run = &Block->MemoryRuns[index];
        PFN_NUMBER               end = min(run->BasePage + run->PageCount, MI_ONE_TO_ONE_FRAMES);
        PFN_NUMBER               reachable = run->BasePage < end ? end - run->BasePage : 0;
        if (run->Type == LoaderMemoryFree && reachable > MiBootRunEnd - MiBootRunFirst) {
            MiBootRunFirst = run->BasePage;
            MiBootRunEnd = end;
        }
    }
    MiBootCursor = MiBootRunEnd;
}

PFN_NUMBER MiTakeBootFrame(void *Context, MMPTE *Entry)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Entry);
    if (MiBootCursor == MiBootRunFirst) {
        KeBugCheckEx(INSTALL_MORE_MEMORY, MiRamFrameCount, MiBootRunFirst, MiHighestFrame, 0);
    }
    MiBootCursor--;
    RtlZeroMemory((void *)(MiBootCursor << PAGE_SHIFT), PAGE_SIZE);
    return MiBootCursor;
}

PFN_NUMBER MiLowestBootFrame(void)
{
    return MiBootCursor;
}

PFN_NUMBER MiBootFramesEnd(void)
{
    return MiBootRunEnd;
}
