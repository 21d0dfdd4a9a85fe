/* long: the entry, its invariants and what keeps them belong on one page */
/*
 * The PFN database: one MMPFN a frame of RAM, and the page lists.
 *
 * Invariants.
 *  - ReferenceCount counts the reasons why the frame may not be reused: 1 while ShareCount > 0 (some PTE maps it, or
 *    a page table or the kernel owns it), and 1 for each lock taken by an MDL. 32 bits: a frame may be locked more
 *    than 65 535 times. The frame leaves for a list only when the count falls to 0.
 *  - A frame is released only after its PTE was cleared atomically, every CPU that may hold the translation has
 *    answered, and then the reference dropped (see kernel/ke/tlb.h for the one exception, deferred system PTEs).
 *  - State names the list or use; Link fields are valid only on lists.
 *  - An entry exists for RAM frames alone, and not for all of them: whole chunks of RAM stay dormant until the lists
 *    need them (mm/pfnlist.c). MiIsRamFrame before MiPfn of a frame that comes from outside.
 *
 * Locking: the lists and every State change to or from a list, under MiPfnLock (LOCK_PFN); ReferenceCount is atomic and
 * may be raised without the lock by whoever sees a valid PTE with interrupts off (design: remover clears, flushes,
 * drops).
 */
#pragma once

#include "mm/pte.h"

typedef enum _MI_PFN_STATE {
    MiPfnFree = 0,   /* on the free list, contents unknown */
    MiPfnZeroed,     /* on the zeroed list */
    MiPfnStandby,    /* on the standby list: a transition PTE finds it, contents clean */
    MiPfnModified,   /* on the modified list */
    MiPfnTransition, /* no PTE maps it, but ReferenceCount > 0 keeps it: locked or in flight */
    MiPfnActive,     /* mapped, a page table, pool, a stack, an MDL's page */
    MiPfnBad,        /* never to be used */
} MI_PFN_STATE;

/* What an active frame is for: debuggers and checks read it. */
typedef enum _MI_PFN_USE {
    MiUseNone = 0,
    MiUseBoot, /* kernel image, loader data, firmware */
    MiUsePageTable,
    MiUsePool,
    MiUseStack,
    MiUseProcess, /* private user memory */
    MiUseMdl,     /* MmAllocatePagesForMdl */
    MiUseDriver,  /* driver image */
    MiUseContiguous,
    MiUsePfnDatabase,
} MI_PFN_USE;

#define MI_PFN_NONE (~(PFN_NUMBER)0)

/* The attribute of all mappings of the frame: the first one decides until the frame is freed (mm/cachetype.h). */
#define MI_CACHE_NOT_MAPPED 0xFF /* else a MEMORY_CACHING_TYPE */

typedef struct _MMPFN {
    union {
        PFN_NUMBER Next;       /* on a list: next frame, MI_PFN_NONE last */
        ULONG64    WorkingSet; /* active and pageable: working-set index */
        PVOID      Owner;      /* active: whoever the use says (process of a page table, ...) */
    };
    union {
        PFN_NUMBER      Previous;   /* on a list */
        volatile LONG64 ShareCount; /* active: who owns it: 1, more only for pages that several address spaces share */
    };
    MMPTE        *PteAddress;  /* the PTE (or prototype) that maps it first */
    MMPTE         OriginalPte; /* what the PTE becomes when the frame leaves: pagefile slot, demand zero */
    volatile LONG ReferenceCount;
    UCHAR         State;        /* MI_PFN_STATE */
    UCHAR         Use;          /* MI_PFN_USE */
    UCHAR         CacheType;    /* MEMORY_CACHING_TYPE or MI_CACHE_NOT_MAPPED */
    UCHAR         Modified : 1; /* written since it was last read from or written to the pagefile */
    UCHAR         InPageError : 1;
    UCHAR         WriteInProgress : 1;
    UCHAR         Spare : 5;
    PFN_NUMBER    PteFrame; /* frame of the table that holds PteAddress */
} MMPFN;

C_ASSERT(sizeof(MMPFN) == 48);

extern PFN_NUMBER MiHighestFrame;  /* highest RAM frame; constant after boot */
extern SIZE_T     MiRamFrameCount; /* frames of RAM, dormant ones and the firmware's included; constant after boot */

static inline MMPFN *MiPfn(PFN_NUMBER Frame)
{
    return (MMPFN *)MI_BASE_OF(PFN_DATABASE) + Frame;
}

static inline PFN_NUMBER MiFrameOf(const MMPFN *Pfn)
{
    return (PFN_NUMBER)(Pfn - (const MMPFN *)MI_BASE_OF(PFN_DATABASE));
}

/* Is Frame RAM that the database describes? Any IRQL, any value of Frame. */
bool MiIsRamFrame(PFN_NUMBER Frame);

/* Is Frame RAM at all, dormant or described? Any IRQL, any value of Frame. */
bool MiIsPhysicalRam(PFN_NUMBER Frame);

/* The runs of RAM, ascending and disjoint; constant after boot. */
typedef struct _MI_RAM_RUN {
    PFN_NUMBER FirstFrame;
    PFN_NUMBER FrameCount;
} MI_RAM_RUN;

extern const MI_RAM_RUN *MiRamRuns;
extern ULONG             MiRamRunCount;

typedef enum _MI_PAGE_CONTENT {
    MiPageAny,    /* contents unknown */
    MiPageZeroed, /* every byte 0 */
} MI_PAGE_CONTENT;

/*
 * Take one frame: Active, ReferenceCount 1, ShareCount 1, Use as given, CacheType MI_CACHE_NOT_MAPPED; the other
 * fields zero.
 *
 * => IRQL <= DISPATCH_LEVEL; acquires LOCK_PFN.
 * => MI_PFN_NONE when memory is out.
 */
PFN_NUMBER MiAllocateFrame(MI_PFN_USE Use, MI_PAGE_CONTENT Content);

/*
 * Take up to Count frames in [LowFrame, HighFrame] into Frames, each as MiAllocateFrame leaves it. The number taken
 * comes back, less than Count when the range holds no more: a caller that wants all or nothing gives them back by
 * MiFreeFrame.
 */
PFN_COUNT MiAllocateFrames(MI_PFN_USE Use, MI_PAGE_CONTENT Content, PFN_NUMBER LowFrame, PFN_NUMBER HighFrame,
                           PFN_COUNT Count, PFN_NUMBER *Frames);

/*
 * Take Count consecutive frames in [LowFrame, HighFrame], contents unknown: the run crosses no multiple of
 * BoundaryFrames (a power of two; 0: no such limit) and starts at a multiple of AlignFrames (a power of two). The
 * first frame comes back, or MI_PFN_NONE. Search time grows with the range.
 */
PFN_NUMBER MiAllocateContiguousFrames(MI_PFN_USE Use, PFN_NUMBER LowFrame, PFN_NUMBER HighFrame, PFN_COUNT Count,
                                      PFN_NUMBER BoundaryFrames, PFN_NUMBER AlignFrames);

/*
 * Let go of a frame that MiAllocateFrame... gave: drops its share and the reference behind it. While locks (MDLs)
 * still hold it, it stays in MiPfnTransition and the last MiDereferenceFrame sends it to the free list: user memory
 * goes this way.
 *
 * => every translation of it is already gone on every CPU.
 * => a frame that is not Active with one share is bug check 0x4E/0x99.
 */
void MiReleaseFrame(PFN_NUMBER Frame);

/* The same for an owner whose frames nobody may hold longer (pool, MDL pages): a lock left is bug check 0x4E/0x9A. */
void MiFreeFrame(PFN_NUMBER Frame);

/* A lock on a frame whose count is known to be above 0: one atomic add. */
static inline void MiReferenceFrame(PFN_NUMBER Frame)
{
    _InterlockedIncrement(&MiPfn(Frame)->ReferenceCount);
}

/*
 * Undo it; the last reference sends the frame to the list that State and Modified say. A reference too many, or a frame
 * that no lock holds, is bug check 0x4E/7; one that is not RAM 0x4E/0x99.
 */
void MiDereferenceFrame(PFN_NUMBER Frame);

SIZE_T MiFreeFrameCount(void); /* free + zeroed (+ standby), dormant ones included; racy */

/* Frames that mm took since boot and never gives back: tables of kernel space, pages of this database. Atomic. */
extern volatile LONG64 MiKeptFrameCount;

void MiCheckPfnDatabase(void); /* walk and assert all that is described; IRQL <= DISPATCH_LEVEL, takes LOCK_PFN */

/* Bug check 0x4E: SubCode, Frame and two parameters as the code's description says. */
DECLSPEC_NORETURN void MiPfnCorrupt(ULONG SubCode, PFN_NUMBER Frame, ULONG_PTR P3, ULONG_PTR P4);

#define MI_PFN_CORRUPT_LIST          0x02u /* P3 highest frame, P4 reference count */
#define MI_PFN_CORRUPT_OVER_UNLOCKED 0x07u /* P3 share count */
#define MI_PFN_CORRUPT_STATE         0x99u /* P3 page state */
#define MI_PFN_CORRUPT_LOCKED        0x9Au /* P3 page state, P4 reference count */
