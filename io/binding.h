/*
 * The table that imports are bound to: one row an export, made from io/exports.def by scripts/exports.py.
 *
 * Each export has one bare body, which knows nothing of what follows. A tracked entry stands before the bare body and
 * records what a driver may leave behind (io/tracker); a verified entry checks as well. Where a name has no entry of
 * its own for a binding, its row repeats the one before.
 */
#pragma once

#include "kernel/ddk.h"

typedef enum _LDRP_BINDING {
    LdrpBindBare,    /* the kernel's own drivers, benchmarks */
    LdrpBindTracked, /* drivers under test */
    LdrpBindVerified,
    LDRP_BINDING_COUNT
} LDRP_BINDING;

typedef struct _LDRP_EXPORT {
    const char *Name;
    void       *Entry[LDRP_BINDING_COUNT]; /* a function, or the variable of a data export */
} LDRP_EXPORT;

extern const LDRP_EXPORT LdrpExports[]; /* sorted by strcmp */
extern const ULONG       LdrpExportCount;
