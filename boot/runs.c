/*
 * Sort, unite, merge: each pass works in place and only shrinks the list.
 */
#include "boot/runs.h"

#include <stddef.h>

/* Insertion: firmware keeps its map nearly sorted. */
static void SortRuns(LOADER_MEMORY_RUN *Runs, uint32_t RunCount)
{
    for (uint32_t i = 1; i < RunCount; i++) {
        LOADER_MEMORY_RUN run = Runs[i];
        uint32_t          hole = i;

        for (; hole != 0 && Runs[hole - 1].BasePage > run.BasePage; hole--) {
            Runs[hole] = Runs[hole - 1];
        }
        Runs[hole] = run;
    }
}

static uint64_t EndOf(const LOADER_MEMORY_RUN *Run)
{
    return Run->BasePage + Run->PageCount;
}

/* Empty runs go; those that overlap become one. Runs are sorted. */
static uint32_t UniteOverlaps(LOADER_MEMORY_RUN *Runs, uint32_t RunCount)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < RunCount; i++) {
        LOADER_MEMORY_RUN run = Runs[i];
        if (run.PageCount == 0) {
            continue;
        }
        if (kept == 0 || EndOf(&Runs[kept - 1]) <= run.BasePage) {
            Runs[kept++] = run;
            continue;
        }
        LOADER_MEMORY_RUN *last = &Runs[kept - 1];
        uint64_t           end = EndOf(&run) > EndOf(last) ? EndOf(&run) : EndOf(last);
        last->PageCount = end - last->BasePage;
        last->Type = run.Type > last->Type ? run.Type : last->Type;
    }
    return kept;
}

static uint32_t MergeNeighbours(LOADER_MEMORY_RUN *Runs, uint32_t RunCount)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < RunCount; i++) {
        LOADER_MEMORY_RUN *last = kept != 0 ? &Runs[kept - 1] : NULL;

        if (last != NULL && EndOf(last) == Runs[i].BasePage && last->Type == Runs[i].Type) {
            last->PageCount += Runs[i].PageCount;
        } else {
            Runs[kept++] = Runs[i];
        }
    }
    return kept;
}

uint32_t BlNormalizeRuns(LOADER_MEMORY_RUN *Runs, uint32_t RunCount)
{
    for (uint32_t i = 0; i < RunCount; i++) {
        if (Runs[i].BasePage == 0 && Runs[i].Type == LoaderMemoryFree && Runs[i].PageCount != 0) {
            Runs[i].BasePage++;
            Runs[i].PageCount--;
        }
    }
    SortRuns(Runs, RunCount);
    return MergeNeighbours(Runs, UniteOverlaps(Runs, RunCount));
}
