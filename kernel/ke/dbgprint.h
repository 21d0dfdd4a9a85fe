/*
 * The log: DbgPrint and the kernel's own lines.
 */
#pragma once

#include "kernel/ddk.h"
#include "kernel/rtl/print.h"

/*
 * One line of the log as it stands: test results and the bug check's block, which have no "# " before them.
 *
 * => any IRQL, any CPU; Line has no newline.
 */
void KiPrintLine(const char *Line);

/* The same, formatted, cut at KI_PRINT_BYTES. */
#define KI_PRINT_BYTES 512u
void KiPrintFormat(const char *Format, ...) RTLP_FORMAT_CHECK(1, 2);

/* Write out the lines that CPUs have begun and not ended. */
void KiFlushOutput(void);

/*
 * From here on the output lock is ignored: its holder may be the code that crashed. Flushes as KiFlushOutput does.
 *
 * => for the CPU that owns the end of the run; the others are stopped, or soon will be.
 */
void KiEnterPanicOutput(void);
