/*
 * Accounting of pool by tag and in total.
 */
#pragma once

#include "mm/poolpage.h"

typedef struct _EXP_POOL_USAGE {
    ULONG64 Allocations; /* since boot */
    ULONG64 Frees;       /* since boot */
    ULONG64 Bytes;       /* in use, headers and rounding included */
    ULONG64 PeakBytes;   /* the most that was seen; a processor's counts are seen when they are gathered */
} EXP_POOL_USAGE;

/* One block of Bytes came or went, or many of nonpaged pool did. Both nonpaged kinds count together. Any IRQL. */
void ExpChargeTag(MI_POOL_KIND Kind, ULONG Tag, SIZE_T Bytes);
void ExpReturnTag(MI_POOL_KIND Kind, ULONG Tag, SIZE_T Bytes);
void ExpAddToTag(ULONG Tag, ULONG64 Allocations, ULONG64 Frees, ULONG64 Bytes);

/* What blocks with Tag use, and what all blocks of the pool use. Exact while no CPU allocates or frees. */
EXP_POOL_USAGE ExpReadTagUsage(MI_POOL_KIND Kind, ULONG Tag);
EXP_POOL_USAGE ExpReadPoolUsage(MI_POOL_KIND Kind);

/* Call Visit for every tag that was ever used. */
void ExpVisitTags(void (*Visit)(MI_POOL_KIND Kind, ULONG Tag, const EXP_POOL_USAGE *Usage, void *Context),
                  void *Context);
