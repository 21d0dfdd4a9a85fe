/*
 * The C runtime names that drivers import from ntoskrnl.exe: the str*, wcs*, is*, to* and number routines, qsort,
 * bsearch and rand. Their prototypes are those of the mingw-w64 headers, reached through the gate.
 */
#pragma once

#include "kernel/ddk.h"
