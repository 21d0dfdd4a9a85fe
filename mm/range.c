/*
 * Ranges, kept as a sorted list. A walk costs in proportion to the ranges of one process, which are few.
 *
 * A node is split where a change begins and ends; the two nodes that this may take are allocated before the lock is.
 */
#include "mm/range.h"

#define MI_RANGE_TAG              'dVmM'
#define MI_ALLOCATION_GRANULARITY 0x10000ull

bool MiTakeSpareRanges(MI_SPARE_RANGES *Spares)
{
    *Spares = (MI_SPARE_RANGES){ 0 };
    for (ULONG index = 0; index < ARRAYSIZE(Spares->Nodes); index++) {
        Spares->Nodes[index] = ExAllocatePoolWithTag(NonPagedPool, sizeof(MI_RANGE), MI_RANGE_TAG);
        if (Spares->Nodes[index] == NULL) {
            MiDropSpareRanges(Spares);
            return false;
        }
    }
    return true;
}

void MiDropSpareRanges(MI_SPARE_RANGES *Spares)
{
    for (ULONG index = 0; index < ARRAYSIZE(Spares->Nodes); index++) {
        if (Spares->Nodes[index] != NULL) {
            ExFreePoolWithTag(Spares->Nodes[index], MI_RANGE_TAG);
            Spares->Nodes[index] = NULL;
        }
    }
}

static MI_RANGE *MiUseSpare(MI_SPARE_RANGES *Spares)
{
    ULONG     index = Spares->Nodes[0] != NULL ? 0 : 1;
    MI_RANGE *node = Spares->Nodes[index];
    NT_ASSERT(node != NULL);
    Spares->Nodes[index] = NULL;
    return node;
}

static MI_RANGE *MiRangeOfLinks(LIST_ENTRY *Links)
{
    return CONTAINING_RECORD(Links, MI_RANGE, Links);
}

MI_RANGE *MiNextRangeLocked(EPROCESS *Process, ULONG64 Va)
{
    for (LIST_ENTRY *links = Process->RangeListHead.Flink; links != &Process->RangeListHead; links = links->Flink) {
        if (Va < MiRangeOfLinks(links)->End) {
            return MiRangeOfLinks(links);
        }
    }
    return NULL;
}

MI_RANGE *MiFindRangeLocked(EPROCESS *Process, ULONG64 Va)
{
    MI_RANGE *range = MiNextRangeLocked(Process, Va);
    return range != NULL && Va >= range->First ? range : NULL;
}

MI_RANGE *MiRangeAfterLocked(EPROCESS *Process, MI_RANGE *Range)
{
    return Range->Links.Flink != &Process->RangeListHead ? MiRangeOfLinks(Range->Links.Flink) : NULL;
}

void MiAddRangeLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 First, ULONG64 End, ULONG Protect,
                      ULONG Fixed)
{
    MI_RANGE *above = MiNextRangeLocked(Process, First);
    NT_ASSERT(above == NULL || End <= above->First);
    MI_RANGE *range = MiUseSpare(Spares);
    *range = (MI_RANGE){ .First = First, .End = End, .AllocationBase = First, .Protect = Protect, .Fixed = Fixed };
    InsertTailList(above != NULL ? &above->Links : &Process->RangeListHead, &range->Links);
}

/* See that a range begins at Va, if one holds it. */
static void MiSplitRangeLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 Va) MI_SPACE_LOCK_HELD;

static void MiSplitRangeLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 Va)
{
    MI_RANGE *range = MiFindRangeLocked(Process, Va);
    if (range == NULL || range->First == Va) {
        return;
    }
    MI_RANGE *upper = MiUseSpare(Spares);
    *upper = *range;
    upper->First = Va;
    range->End = Va;
    InsertHeadList(&range->Links, &upper->Links);
}

static bool MiAreAlike(const MI_RANGE *Range, const MI_RANGE *Next)
{
    return Range->End == Next->First && Range->AllocationBase == Next->AllocationBase &&
           Range->Protect == Next->Protect && Range->Fixed == Next->Fixed;
}

/* Join what is alike from the range before First to the one that begins at End. */
static void MiJoinRangesLocked(EPROCESS *Process, ULONG64 First, ULONG64 End) MI_SPACE_LOCK_HELD;

static void MiJoinRangesLocked(EPROCESS *Process, ULONG64 First, ULONG64 End)
{
    MI_RANGE *range = MiNextRangeLocked(Process, First - 1);
    while (range != NULL && range->First < End) {
        MI_RANGE *next = MiRangeAfterLocked(Process, range);
        if (next == NULL || !MiAreAlike(range, next)) {
            range = next;
            continue;
        }
        range->End = next->End;
        RemoveEntryList(&next->Links);
        ExFreePoolWithTag(next, MI_RANGE_TAG);
    }
}

void MiSetRangeLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 First, ULONG64 End, ULONG Protect)
{
    MiSplitRangeLocked(Process, Spares, First);
    MiSplitRangeLocked(Process, Spares, End);
    MI_RANGE *range = MiFindRangeLocked(Process, First);
    for (; range != NULL && range->First < End; range = MiRangeAfterLocked(Process, range)) {
        range->Protect = Protect;
    }
    MiJoinRangesLocked(Process, First, End);
}

void MiCutRangeLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 First, ULONG64 End)
{
    MiSplitRangeLocked(Process, Spares, First);
    MiSplitRangeLocked(Process, Spares, End);
    MI_RANGE *range = MiFindRangeLocked(Process, First);
    while (range != NULL && range->First < End) {
        MI_RANGE *next = MiRangeAfterLocked(Process, range);
        RemoveEntryList(&range->Links);
        ExFreePoolWithTag(range, MI_RANGE_TAG);
        range = next;
    }
    for (; range != NULL && range->AllocationBase <= First; range = MiRangeAfterLocked(Process, range)) {
        range->AllocationBase = End;
    }
}

/* Where ByteCount bytes fit into the gap [First, End), or 0. */
static ULONG64 MiPlaceInGap(ULONG64 First, ULONG64 End, ULONG64 ByteCount, MI_GAP_ORDER Order)
{
    ULONG64 lowest = (First + MI_ALLOCATION_GRANULARITY - 1) & ~(MI_ALLOCATION_GRANULARITY - 1);
    if (lowest >= End || ByteCount > End - lowest) {
        return 0;
    }
    return Order == MiGapLowest ? lowest : (End - ByteCount) & ~(MI_ALLOCATION_GRANULARITY - 1);
}

ULONG64 MiFindGapLocked(EPROCESS *Process, ULONG64 ByteCount, MI_GAP_ORDER Order)
{
    ULONG64   found = 0;
    ULONG64   gap = MI_LOWEST_USER;
    MI_RANGE *range = MiNextRangeLocked(Process, gap);
    for (;;) {
        ULONG64 place = MiPlaceInGap(gap, range != NULL ? range->First : MI_USER_END, ByteCount, Order);
        found = place != 0 ? place : found;
        if (range == NULL || (found != 0 && Order == MiGapLowest)) {
            return found;
        }
        gap = range->End;
        range = MiRangeAfterLocked(Process, range);
    }
}

void MiFreeAllRanges(EPROCESS *Process)
{
    while (!IsListEmpty(&Process->RangeListHead)) {
        ExFreePoolWithTag(MiRangeOfLinks(RemoveHeadList(&Process->RangeListHead)), MI_RANGE_TAG);
    }
}
