/*
 * Pool: the kernel's heap, as drivers know it. ExAllocatePool..., ExFreePool... are declared by the driver kit and
 * ddkext.h.
 */
#pragma once

#include "mm/pooltag.h"

/* Once, when PTE regions and page lists work. */
void MiInitializePool(void);

/*
 * Bytes of data that the block at P has, or 0 when no block in use starts there; for P of any value.
 * => IRQL <= DISPATCH_LEVEL.
 */
SIZE_T ExpQueryBlockBytes(const void *P);

/* Make the N-th allocation from now on fail, once; 0: none. The boot option failalloc=K is the same from boot on. */
void ExpFailAllocation(ULONG64 N);

/* Give back what is kept for reuse, so that page and address counts are exact. IRQL <= DISPATCH_LEVEL. */
void ExpTrimPool(void);

/* Walk and check everything. IRQL <= DISPATCH_LEVEL; no CPU uses pool meanwhile. */
void ExpCheckPool(void);
