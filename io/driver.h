/*
 * Running the drivers of a boot: load, DriverEntry, DriverUnload, leak report, each a KTAP result.
 */
#pragma once

#include "boot/loaderblock.h"
#include "kernel/ddk.h"

/*
 * Load the files "drivers/NAME.sys" of the block in their order and run each DriverEntry; then, in reverse order, run
 * each DriverUnload and report what was left behind. The results go to the log as one KTAP report of four results a
 * driver: load, DriverEntry, unload, leaks.
 *
 * => PASSIVE_LEVEL, on a system thread; once.
 * => the number of results that are not ok.
 */
ULONG IopRunDrivers(const LOADER_BLOCK *Block);
