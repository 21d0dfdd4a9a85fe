/*
 * Calendar time in NT's units. Pure.
 */
#pragma once

#include <stdint.h>

typedef struct _BL_CALENDAR {
    uint32_t Year;
    uint32_t Month; /* 1 to 12 */
    uint32_t Day;   /* 1 to 31 */
    uint32_t Hour;
    uint32_t Minute;
    uint32_t Second;
    uint32_t Nanosecond;
    int32_t  ZoneMinutes; /* what is to be added to reach UTC */
} BL_CALENDAR;

/*
 * The time in units of 100 ns since 1601-01-01 UTC.
 *
 * => 0 when a field is out of its range: the clock was never set.
 */
uint64_t BlSystemTime(const BL_CALENDAR *Calendar);
