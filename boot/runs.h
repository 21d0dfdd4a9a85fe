/*
 * Putting a list of memory runs into the order that loaderblock.h promises. Pure.
 */
#pragma once

#include "boot/loaderblock.h"

/*
 * Sort Runs by BasePage in place, drop empty ones, make them disjoint and merge neighbours of one type. Firmware whose
 * map contradicts itself is met with caution: runs that overlap become one, of the higher type (the enum goes from
 * usable to not to be touched). A free page 0 is dropped, so that page number 0 can stand for "none".
 *
 * => how many runs remain, at most RunCount.
 */
uint32_t BlNormalizeRuns(LOADER_MEMORY_RUN *Runs, uint32_t RunCount);
