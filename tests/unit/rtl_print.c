/*
 * The formatting engine against the host's own, on random directives that mean the same in both dialects.
 */
#include <stdio.h>

/* Taken before the kernel's names cover the host's. */
static int (*const HostSnprintf)(char *Buffer, size_t Bytes, const char *Format, ...) = snprintf;

#include "kernel/rtl/print.h"
#include "kernel/rtl/random.h"
#include "tests/lib/ktest.h"

#define ROUNDS       200000u
#define BUFFER_BYTES 96u
#define FORMAT_BYTES 32u

/* Kernel and host spell 64 bits alike with ll; `l` is left out, since it is 32 bits in one and 64 in the other. */
static const char *const HostSizes[] = { "", "h", "hh", "ll", "z" };
static const char        HostIntegers[] = "diuxXo";

static ULONG HostAppendFlags(char *Format, ULONG At, const char *Flags, ULONG64 *Seed)
{
    for (const char *flag = Flags; *flag != 0; flag++) {
        if (RtlpRandomBelow(Seed, 3) == 0) {
            Format[At++] = *flag;
        }
    }
    return At;
}

static ULONG HostAppendField(char *Format, ULONG At, ULONG64 *Seed)
{
    if (RtlpRandomBelow(Seed, 2) == 0) {
        At += (ULONG)HostSnprintf(Format + At, FORMAT_BYTES - At, "%u", RtlpRandomBelow(Seed, 25));
    }
    if (RtlpRandomBelow(Seed, 2) == 0) {
        At += (ULONG)HostSnprintf(Format + At, FORMAT_BYTES - At, ".%u", RtlpRandomBelow(Seed, 25));
    }
    return At;
}

/* Small numbers, large ones and those around the powers of two all come up. */
static ULONG64 HostNumber(ULONG64 *Seed)
{
    ULONG64 value = RtlpRandom(Seed) >> RtlpRandomBelow(Seed, 64);
    return RtlpRandomBelow(Seed, 8) == 0 ? 0 : value;
}

KTEST(host_print, integers_agree_with_the_host)
{
    char    format[FORMAT_BYTES];
    char    actual[BUFFER_BYTES];
    char    expected[BUFFER_BYTES];
    ULONG64 seed = 3;

    for (ULONG round = 0; round < ROUNDS; round++) {
        char        conversion = HostIntegers[RtlpRandomBelow(&seed, sizeof(HostIntegers) - 1)];
        bool        isSigned = conversion == 'd' || conversion == 'i';
        const char *size = HostSizes[RtlpRandomBelow(&seed, RTL_NUMBER_OF(HostSizes))];
        ULONG       at = HostAppendFlags(format, 1, isSigned ? "-+ 0" : conversion == 'u' ? "-0" : "-#0", &seed);
        format[0] = '%';
        at = HostAppendField(format, at, &seed);
        HostSnprintf(format + at, FORMAT_BYTES - at, "%s%c|%%d", size, conversion);
        ULONG64 value = HostNumber(&seed);
        int     length = _snprintf(actual, sizeof(actual), format, value, 7);
        KT_ASSERT_EQ(length, HostSnprintf(expected, sizeof(expected), format, value, 7));
        KT_ASSERT_STREQ(actual, expected);
    }
}

KTEST(host_print, strings_agree_with_the_host)
{
    char    format[FORMAT_BYTES];
    char    actual[BUFFER_BYTES];
    char    expected[BUFFER_BYTES];
    ULONG64 seed = 5;

    for (ULONG round = 0; round < ROUNDS; round++) {
        ULONG at = HostAppendFlags(format, 1, "-", &seed);
        format[0] = '%';
        at = HostAppendField(format, at, &seed);
        HostSnprintf(format + at, FORMAT_BYTES - at, "s|%%d");
        const char *text = &"the quick brown fox"[RtlpRandomBelow(&seed, 20)];
        int         length = _snprintf(actual, sizeof(actual), format, text, 7);
        KT_ASSERT_EQ(length, HostSnprintf(expected, sizeof(expected), format, text, 7));
        KT_ASSERT_STREQ(actual, expected);
    }
}

/* Junk formats with enough arguments for anything: nothing outside the buffer is touched, and the length is bounded. */
KTEST(host_print, junk_formats_stay_in_bounds)
{
    static const char letters[] = "%%%%%%-+ #0123456789.*hlIwzjtL64932diouxXpcCsSZnefgayq";
    char              format[FORMAT_BYTES];
    ULONG64           seed = 9;

    for (ULONG round = 0; round < ROUNDS; round++) {
        UNICODE_STRING counted = { .Length = 4, .MaximumLength = 4, .Buffer = (PWCH)(ULONG_PTR)L"wide" };
        ULONG          formatLength = RtlpRandomBelow(&seed, 12);
        for (ULONG i = 0; i < formatLength; i++) {
            format[i] = letters[RtlpRandomBelow(&seed, sizeof(letters) - 1)];
        }
        format[formatLength] = 0;
        /* every argument is a pointer that can be read as text, wide text or a counted string */
        SIZE_T bytes = RtlpRandomBelow(&seed, 64);
        char  *text = ExAllocatePoolWithTag(PagedPool, bytes, 0);
        int    length = _snprintf(text, bytes, format, &counted, &counted, &counted, &counted, &counted, &counted,
                                  &counted, &counted, &counted, &counted, &counted, &counted, &counted, &counted);
        ExFreePoolWithTag(text, 0);
        KT_ASSERT_TRUE(length >= -1 && length <= (int)bytes);
    }
}
