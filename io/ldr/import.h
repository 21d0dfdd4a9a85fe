/*
 * Binding an image's imports, and the names that MmGetSystemRoutineAddress knows.
 */
#pragma once

#include "io/binding.h"
#include "io/ldr/pe.h"

/* The export of that name, or NULL. Any IRQL. */
const LDRP_EXPORT *LdrpFindExport(const char *Name);

/* The same for a name as drivers pass it; characters outside ASCII match nothing. */
const LDRP_EXPORT *LdrpFindRoutine(const UNICODE_STRING *SystemRoutineName);

/*
 * Store the addresses of what the image imports into its import address tables. ntoskrnl.exe and hal.dll, in any case
 * and with or without extension, both name this kernel's exports.
 *
 * => View is still writable: an address table may lie in a read-only section.
 * => every missing import is named in the log, ImageName before it. Then the status is that of the first:
 *    STATUS_DRIVER_ENTRYPOINT_NOT_FOUND, or STATUS_DRIVER_ORDINAL_NOT_FOUND for an ordinal.
 * => STATUS_INVALID_IMAGE_FORMAT when the tables are malformed; some slots are then bound.
 */
NTSTATUS LdrpBindImports(const LDRP_PE *Pe, const LDRP_VIEW *View, LDRP_BINDING Binding, const char *ImageName);
