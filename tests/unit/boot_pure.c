/*
 * The loader's smaller pure parts: text, memory runs, calendar.
 */
#include "boot/clock.h"
#include "boot/runs.h"
#include "boot/text.h"
#include "tests/lib/ktest.h"

static bool BpAppend(char *Line, SIZE_T Capacity, const char *Text)
{
    BL_BYTES bytes = { .Base = (const uint8_t *)Text, .ByteCount = BlTextBytes(Text) };

    return BlAppendWords(Line, Capacity, &bytes);
}

KTEST(boot_text, formats)
{
    char buffer[40];

    BlFormat(buffer, sizeof(buffer), "%s=%u 0x%lx %c %lu%%", "name", 0u, UINT64_MAX, 'x', (uint64_t)1234567890123);
    KT_EXPECT_STREQ(buffer, "name=0 0xFFFFFFFFFFFFFFFF x 12345678901");
    BlFormat(buffer, 1, "%s", "gone");
    KT_EXPECT_STREQ(buffer, "");
}

KTEST(boot_text, words)
{
    KT_EXPECT_TRUE(BlTextHasWord("a nokaslr b", "nokaslr"));
    KT_EXPECT_TRUE(BlTextHasWord("nokaslr", "nokaslr"));
    KT_EXPECT_FALSE(BlTextHasWord("nokaslrs xnokaslr nokasl", "nokaslr"));
    KT_EXPECT_FALSE(BlTextHasWord("", "nokaslr"));
}

KTEST(boot_text, joining)
{
    char line[12] = "";

    KT_EXPECT_TRUE(BpAppend(line, sizeof(line), " \r\n"));
    KT_EXPECT_STREQ(line, "");
    KT_EXPECT_TRUE(BpAppend(line, sizeof(line), "a\tb\r\n"));
    KT_EXPECT_STREQ(line, "a b");
    KT_EXPECT_TRUE(BpAppend(line, sizeof(line), "1234567"));
    KT_EXPECT_STREQ(line, "a b 1234567");
    KT_EXPECT_FALSE(BpAppend(line, sizeof(line), "x"));
    KT_EXPECT_STREQ(line, "a b 1234567");
}

KTEST(boot_runs, sorted_united_merged)
{
    LOADER_MEMORY_RUN runs[] = {
        { .BasePage = 0x100, .PageCount = 0x10, .Type = LoaderMemoryFree },
        { .BasePage = 0, .PageCount = 0xA0, .Type = LoaderMemoryFree },
        { .BasePage = 0x110, .PageCount = 0x20, .Type = LoaderMemoryFree },
        { .BasePage = 0x130, .PageCount = 0, .Type = LoaderMemoryDevice },
        { .BasePage = 0x140, .PageCount = 0x20, .Type = LoaderMemoryFree },
        { .BasePage = 0x150, .PageCount = 0x20, .Type = LoaderMemoryFirmware },
        { .BasePage = 0x170, .PageCount = 0x01, .Type = LoaderMemoryFirmware },
    };

    KT_ASSERT_EQ(BlNormalizeRuns(runs, RTL_NUMBER_OF(runs)), 3);
    KT_EXPECT_EQ(runs[0].BasePage, 1);
    KT_EXPECT_EQ(runs[0].PageCount, 0x9F);
    KT_EXPECT_EQ(runs[1].BasePage, 0x100);
    KT_EXPECT_EQ(runs[1].PageCount, 0x30);
    KT_EXPECT_EQ(runs[2].BasePage, 0x140);
    KT_EXPECT_EQ(runs[2].PageCount, 0x31);
    KT_EXPECT_EQ(runs[2].Type, LoaderMemoryFirmware);
}

KTEST(boot_runs, page_zero_alone_vanishes)
{
    LOADER_MEMORY_RUN runs[] = { { .BasePage = 0, .PageCount = 1, .Type = LoaderMemoryFree } };

    KT_EXPECT_EQ(BlNormalizeRuns(runs, 1), 0);
}

KTEST(boot_clock, known_moments)
{
    BL_CALENDAR unixEpoch = { .Year = 1970, .Month = 1, .Day = 1 };
    BL_CALENDAR leapDay = { .Year = 2000, .Month = 2, .Day = 29, .Hour = 12, .Nanosecond = 100 };
    BL_CALENDAR later = { .Year = 2000, .Month = 3, .Day = 1, .Hour = 1, .ZoneMinutes = -60 };

    KT_EXPECT_EQ(BlSystemTime(&unixEpoch), 116444736000000000ull);
    KT_EXPECT_EQ(BlSystemTime(&leapDay), (11644473600ull + 951825600ull) * 10000000 + 1);
    KT_EXPECT_EQ(BlSystemTime(&later), (11644473600ull + 951868800ull) * 10000000);
}

KTEST(boot_clock, nonsense_is_zero)
{
    BL_CALENDAR calendar = { .Year = 2023, .Month = 2, .Day = 29 };

    KT_EXPECT_EQ(BlSystemTime(&calendar), 0);
    calendar = (BL_CALENDAR){ .Year = 2023, .Month = 13, .Day = 1 };
    KT_EXPECT_EQ(BlSystemTime(&calendar), 0);
    calendar = (BL_CALENDAR){ 0 };
    KT_EXPECT_EQ(BlSystemTime(&calendar), 0);
}
