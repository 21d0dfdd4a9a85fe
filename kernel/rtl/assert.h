/*
 * Breakpoints and failed assertions of checked drivers. RtlAssert and DbgBreakPointWithStatus are the driver kit's; its
 * DbgBreakPoint is a macro, while ntoskrnl.exe exports a function.
 */
#pragma once

#include "kernel/ddk.h"

VOID NTAPI KiExportDbgBreakPoint(VOID);
