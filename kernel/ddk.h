/*
 * The only gate to the driver kit's headers.
 *
 * The types, macros and prototypes of the driver interface are mingw-w64's, never ours: they are the outside
 * witness that the interface is right. This file includes them in the one order that works and adds what
 * those headers lack, each piece beside the name of the document that it follows.
 */
#pragma once

#include <intrin.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* clang 14 emits these two DDK inlines as external definitions; under another name, unused, they vanish. */
#define InterlockedBitTestAndSet   DdkInterlockedBitTestAndSet
#define InterlockedBitTestAndReset DdkInterlockedBitTestAndReset
#include <ntifs.h>
#include <bugcodes.h>
#undef InterlockedBitTestAndSet
#undef InterlockedBitTestAndReset

#include "kernel/ddkext.h"
