/*
 * Per-CPU windows: a few kernel pages of each processor through which it reaches a frame that nothing else maps.
 *
 * There is no direct map of RAM, so whoever fills, copies or edits a frame by number opens a window. A window's entry
 * is written and cleared by its own CPU alone, at DISPATCH_LEVEL, so closing it costs one local INVLPG and no
 * shootdown.
 */
#pragma once

#include "mm/pfn.h"

/* Who uses which window; two may be open at a time, one number never twice. */
typedef enum _MI_WINDOW {
    MiWindowZero = 0, /* filling a frame, flushing it from the caches */
    MiWindowTable0,   /* a page table of another address space, by level */
    MiWindowTable1,
    MiWindowTable2,
    MiWindowTable3,
    MiWindowTest,     /* tests, and whoever peeks at one frame */
    MiWindowCopyFrom, /* copying one frame to another */
    MiWindowCopyTo,
    MI_WINDOWS_PER_CPU,
} MI_WINDOW;

#define MI_WINDOW_BYTES 0x200000ull /* of all processors, from the base of MI_REGION_CPU_WINDOWS: what one table maps */

/*
 * Map a frame at this CPU's window number Window, with the frame's cache attribute; the address comes back.
 *
 * => IRQL == DISPATCH_LEVEL until the matching MiUnmapWindow; the window is closed.
 */
void *MiMapFrameInWindow(PFN_NUMBER Frame, ULONG Window);
void  MiUnmapWindow(ULONG Window);

/* Fill a frame with zeroes. IRQL <= DISPATCH_LEVEL. */
void MiZeroFrame(PFN_NUMBER Frame);
