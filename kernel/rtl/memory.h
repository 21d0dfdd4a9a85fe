/*
 * Moving, filling and comparing memory: the mem* names that the compiler and drivers call, and the Rtl* names that
 * the driver kit declares as macros over them but that ntoskrnl.exe exports as functions too (hence the parentheses:
 * they keep the macros from expanding).
 */
#pragma once

#include "kernel/ddk.h"

VOID NTAPI(RtlMoveMemory)(VOID *Destination, const VOID *Source, SIZE_T Length);
VOID NTAPI(RtlCopyMemory)(VOID *Destination, const VOID *Source, SIZE_T Length);
VOID NTAPI(RtlFillMemory)(VOID *Destination, SIZE_T Length, UCHAR Fill);
VOID NTAPI(RtlZeroMemory)(VOID *Destination, SIZE_T Length);
