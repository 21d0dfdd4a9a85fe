/*
 * Exports that are names only: Windows has them, drivers import them, and this kernel does not carry them out. Such a
 * driver loads; the call ends in bug check 0x1E, KMODE_EXCEPTION_NOT_HANDLED, with STATUS_NOT_IMPLEMENTED, the caller's
 * address and the routine's name, and the caller is blamed. io/exports.def lists them, scripts/exports.py makes one
 * function of each.
 */
#pragma once

#include "kernel/ddk.h"

/* Any IRQL. */
DECLSPEC_NORETURN void LdrpStopAtStub(const char *Name, const void *Caller);

/* The function behind the name; not declared elsewhere, since nothing but the tables refers to it. */
#define LDRP_STUB(Name)                           \
    DECLSPEC_NORETURN void LdrpStub_##Name(void); \
    DECLSPEC_NORETURN void LdrpStub_##Name(void)  \
    {                                             \
        LdrpStopAtStub(#Name, _ReturnAddress());  \
    }
