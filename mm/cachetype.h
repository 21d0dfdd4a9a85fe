/*
 * Cache attributes: the PAT slots, and the one attribute that all mappings of a frame share.
 *
 * A frame of RAM has no attribute (MI_CACHE_NOT_MAPPED) until its first mapping, or its allocation with a type,
 * decides. From then until it is freed every mapping gets that attribute, whatever it asks for: two attributes on one
 * frame are undefined by the processor's rules. Frames that are not RAM take what each mapping asks for.
 */
#pragma once

#include "mm/pfn.h"

/* Load this CPU's PAT: the slots that MiCacheBits names. Once a CPU, before it uses a mapping not write-back. */
VOID MiInitializeProcessorPat(VOID);

/*
 * The PTE bits of CacheType, which is MmNonCached, MmCached or MmWriteCombined, or one of the rarer types, served by
 * the next stricter of those.
 */
ULONG64 MiCacheBits(MEMORY_CACHING_TYPE CacheType);

/*
 * The attribute that a mapping of Frame gets when it asks for Wanted (not MmNotMapped); a frame without one takes
 * Wanted, and when that is not write-back its lines leave the caches first.
 *
 * => IRQL <= DISPATCH_LEVEL; the caller holds a reference on a frame of RAM.
 */
MEMORY_CACHING_TYPE MiSettleCacheType(PFN_NUMBER Frame, MEMORY_CACHING_TYPE Wanted);
