/*
 * Bug checks by name, and what their parameters are in words (the debugger reference's pages bug-check-0x....md).
 */
#pragma once

#include "kernel/ddk.h"

typedef struct _KI_BUG_NAME {
    ULONG       Code;
    const char *Name;
    const char *Parameters[4]; /* NULL: reserved */
} KI_BUG_NAME;

/* The row of Code, or NULL. */
const KI_BUG_NAME *KiFindBugName(ULONG Code);
