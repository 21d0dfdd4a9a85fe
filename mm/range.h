/*
 * The ranges of an address space: which addresses are reserved, which committed, and with what protection. Only the
 * book-keeping: no page table is touched here.
 */
#pragma once

#include "mm/space.h"

#define MI_SPACE_LOCK_HELD __attribute__((requires_capability(Process->SpaceLock)))

/* Nodes set aside before the lock is taken, so that what follows cannot fail: a change of state needs two at most. */
typedef struct _MI_SPARE_RANGES {
    MI_RANGE *Nodes[2];
} MI_SPARE_RANGES;

/* IRQL <= DISPATCH_LEVEL. False, and nothing held, when pool is out. */
bool MiTakeSpareRanges(MI_SPARE_RANGES *Spares);

/* Free the ones that were not used. */
void MiDropSpareRanges(MI_SPARE_RANGES *Spares);

/* The range that holds Va, or the first one above it; NULL: none. */
MI_RANGE *MiNextRangeLocked(EPROCESS *Process, ULONG64 Va) MI_SPACE_LOCK_HELD;

/* The range that holds Va, or NULL. */
MI_RANGE *MiFindRangeLocked(EPROCESS *Process, ULONG64 Va) MI_SPACE_LOCK_HELD;

/* The one behind Range, or NULL. */
MI_RANGE *MiRangeAfterLocked(EPROCESS *Process, MI_RANGE *Range) MI_SPACE_LOCK_HELD;

/* Add [First, End), which is free, as a reservation of its own. Uses a spare. */
void MiAddRangeLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 First, ULONG64 End, ULONG Protect,
                      ULONG Fixed) MI_SPACE_LOCK_HELD;

/*
 * Put [First, End), which lies in ranges of one reservation without a gap, under Protect (0: decommit), or remove it.
 * Uses the spares for the pieces at both ends; neighbours that have become alike are joined, and what remains behind
 * a cut becomes a reservation of its own.
 */
void MiSetRangeLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 First, ULONG64 End,
                      ULONG Protect) MI_SPACE_LOCK_HELD;
void MiCutRangeLocked(EPROCESS *Process, MI_SPARE_RANGES *Spares, ULONG64 First, ULONG64 End) MI_SPACE_LOCK_HELD;

typedef enum _MI_GAP_ORDER {
    MiGapLowest,
    MiGapHighest,
} MI_GAP_ORDER;

/* A free place of ByteCount bytes that starts at a multiple of 64 KiB, the lowest or the highest; 0: none. */
ULONG64 MiFindGapLocked(EPROCESS *Process, ULONG64 ByteCount, MI_GAP_ORDER Order) MI_SPACE_LOCK_HELD;

/* Free every range: the space is going. */
void MiFreeAllRanges(EPROCESS *Process);
