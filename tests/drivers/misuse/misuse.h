/*
 * misuse: does one row of the misuse table, the one that the driver's own name says (M084.sys does M084).
 */
#pragma once

#include <ntddk.h>

#define MISUSE_TAG   'suiM' /* "Mius" */
#define MISUSE_BYTES 100    /* of a small block */

typedef struct _MISUSE {
    const char *Row;
    void (*Run)(void);
} MISUSE;

/* The rows of a file, ended by one without a name. */
extern const MISUSE PoolMisuses[];
extern const MISUSE MdlMisuses[];
extern const MISUSE IrpMisuses[];

/* A block that must be had; a breakpoint where it cannot. */
UCHAR *MisuseAllocate(POOL_TYPE Type, SIZE_T Bytes);

/* Stop with the breakpoint's own code when Condition, which prepares a row, does not hold. */
void MisuseRequire(BOOLEAN Condition);
