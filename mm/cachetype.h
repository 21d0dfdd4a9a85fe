/*
 * Cache attributes: the PAT slots, and the one attribute that all mappings of a frame share.
 *
 * A frame of an MDL (MiUseMdl) has no attribute (MI_CACHE_NOT_MAPPED) until its first mapping, or its allocation with a
 * type, decides. From then until it is freed every mapping gets that attribute, whatever it asks for: two attributes on
 * one frame are undefined by the processor's rules. Every other frame of RAM is write-back from the mapping that its
 * owner has of it. Frames that are not RAM take what each mapping asks for.
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
 * Frames that an MDL owns and that are not write-back: of another type, or without one yet. While it is 0, all frames
 * of RAM that MDLs describe are write-back. Atomic.
 */
extern volatile LONG64 MiUnsettledFrameCount;

/*
 * The frames were allocated for an MDL, with the type given or, MmNotMapped, without; and they are freed. Nothing maps
 * them.
 */
void MiOpenCacheTypes(const PFN_NUMBER *Frames, PFN_COUNT FrameCount, MEMORY_CACHING_TYPE CacheType);
void MiCloseCacheTypes(const PFN_NUMBER *Frames, PFN_COUNT FrameCount);

/*
 * The attribute that a mapping of Frame gets when it asks for Wanted (not MmNotMapped); a frame without one takes
 * Wanted, and when that is not write-back its lines leave the caches first, and every TLB its old translations.
 *
 * => IRQL <= DISPATCH_LEVEL; the caller holds a reference on a frame of RAM.
 */
MEMORY_CACHING_TYPE MiSettleCacheType(PFN_NUMBER Frame, MEMORY_CACHING_TYPE Wanted);
