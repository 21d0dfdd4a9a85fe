/*
 * Whole pages for the pools: address ranges of the two pool regions with scattered frames behind them.
 */
#pragma once

#include "mm/syspte.h"

/* The pools, by what their pages are. The value is a block header's PoolIndex. */
typedef enum _MI_POOL_KIND {
    MiPoolNonPagedExecute, /* NonPagedPool: pages are executable */
    MiPoolPaged,           /* PagedPool: a region of its own, resident */
    MiPoolNonPagedNx,      /* NonPagedPoolNx */
    MI_POOL_KINDS
} MI_POOL_KIND;

/* Once, before the first allocation; after the PFN database and MiInitializePteRegion work. */
void MiInitializePoolPages(void);

/*
 * PageCount consecutive pages, contents unknown. Owner is kept with each page's frame and names whoever cuts the page
 * up.
 *
 * => IRQL <= DISPATCH_LEVEL; acquires LOCK_POOL_VA's successors (LOCK_SYSPTE, LOCK_PFN).
 * => NULL when addresses or frames are out; nothing was taken then.
 */
void *MiAllocatePoolPages(MI_POOL_KIND Kind, PFN_COUNT PageCount, void *Owner);

/*
 * Give the pages back. No CPU can reach them when this returns.
 *
 * => bug check 0x4E/0x9A when an MDL still locks one of them.
 */
void MiFreePoolPages(void *Va, PFN_COUNT PageCount);

/* What a page of the pool regions is, for a pointer that may be anything. Any IRQL. */
/* Where nonpaged pool has ended so far, in bytes from its base: below it every page table exists. */
extern volatile LONG64 MiNonPagedPoolBytes __attribute__((visibility("hidden")));

/* Does P, of any value, lie in a page of nonpaged pool, so that it can be read? Any IRQL. */
static inline bool MiIsNonPagedPool(const void *P)
{
    ULONG64 offset = (ULONG64)P - MI_BASE_OF(NONPAGED_POOL);
    return offset < (ULONG64)MiNonPagedPoolBytes &&
           MiPteIsValid(MiReadPte(MiPteOf((void *)MI_BASE_OF(NONPAGED_POOL)) + (offset >> PAGE_SHIFT)));
}

typedef enum _MI_POOL_PAGE {
    MiNotPool,      /* outside both regions */
    MiPoolUnmapped, /* in a region, no page there */
    MiPoolMapped,   /* a page; Owner and Frame are filled in */
} MI_POOL_PAGE;

MI_POOL_PAGE MiClassifyPoolAddress(const void *Va, void **Owner, PFN_NUMBER *Frame);

static inline bool MiIsPagedPool(const void *Va)
{
    return MiIsInRegion(Va, MI_REGION_PAGED_POOL);
}

/*
 * Call Visit for every mapped page that Owner has, in address order. Pages that come or go meanwhile may be missed.
 * => IRQL <= DISPATCH_LEVEL.
 */
void MiVisitPoolPages(MI_POOL_KIND Kind, const void *Owner, void (*Visit)(void *Page, void *Context), void *Context);
