/*
 * Calendar to count of days, by the Gregorian rules throughout.
 */
#include "boot/clock.h"

#include <stdbool.h>

#define EPOCH_YEAR         1601u
#define LAST_YEAR          9999u
#define DAYS_PER_YEAR      365u
#define MINUTES_PER_DAY    1440
#define SECONDS_PER_MINUTE 60
#define TICKS_PER_SECOND   10000000
#define TICK_NANOSECONDS   100u

static bool IsLeapYear(uint32_t Year)
{
    return (Year % 4 == 0 && Year % 100 != 0) || Year % 400 == 0;
}

static uint32_t DaysInMonth(uint32_t Year, uint32_t Month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

    return days[Month - 1] + (Month == 2 && IsLeapYear(Year) ? 1u : 0u);
}

static bool IsValid(const BL_CALENDAR *Calendar)
{
    return Calendar->Year > EPOCH_YEAR && Calendar->Year <= LAST_YEAR && Calendar->Month >= 1 &&
           Calendar->Month <= 12 && Calendar->Day >= 1 &&
           Calendar->Day <= DaysInMonth(Calendar->Year, Calendar->Month) && Calendar->Hour < 24 &&
           Calendar->Minute < 60 && Calendar->Second < 60 && Calendar->Nanosecond < 1000000000u &&
           Calendar->ZoneMinutes >= -MINUTES_PER_DAY && Calendar->ZoneMinutes <= MINUTES_PER_DAY;
}

uint64_t BlSystemTime(const BL_CALENDAR *Calendar)
{
    if (!IsValid(Calendar)) {
        return 0;
    }
    uint32_t past = Calendar->Year - EPOCH_YEAR; /* whole years; the epoch follows one that divides by 400 */
    int64_t  days = past * DAYS_PER_YEAR + past / 4 - past / 100 + past / 400 + Calendar->Day - 1;
    for (uint32_t month = 1; month < Calendar->Month; month++) {
        days += DaysInMonth(Calendar->Year, month);
    }
    int64_t minutes = days * MINUTES_PER_DAY + Calendar->Hour * 60 + Calendar->Minute + Calendar->ZoneMinutes;
    int64_t seconds = minutes * SECONDS_PER_MINUTE + Calendar->Second;
    return (uint64_t)(seconds * TICKS_PER_SECOND) + Calendar->Nanosecond / TICK_NANOSECONDS;
}
