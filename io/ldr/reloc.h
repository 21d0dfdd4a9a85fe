/*
 * Base relocation of an image that lies in memory. Pure, as pe.h.
 */
#pragma once

#include "io/ldr/pe.h"

/*
 * Add the distance from the linked base to LoadBase wherever the relocation table says.
 *
 * => an image without a table and without RELOCS_STRIPPED needs no relocation; with the flag it cannot be moved:
 *    STATUS_CONFLICTING_ADDRESSES.
 * => STATUS_INVALID_IMAGE_FORMAT when the table is malformed or points outside; the view is then of no use.
 */
NTSTATUS LdrpRelocateImage(const LDRP_PE *Pe, const LDRP_VIEW *View, ULONG64 LoadBase);
