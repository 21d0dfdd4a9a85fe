/*
 * What a failing check prints, and how test names are matched. Also built for the host, where the same tests run.
 *
 * Locking and IRQL: the failure count is atomic and each report is one line of the log, so checks may fail on any CPU
 * at any IRQL.
 */
#include "tests/lib/ktcheck.h"

#include "kernel/ke/dbgprint.h"

#define REPORT_BYTES 400u

KT_STATE KtState;

void KtReport(const char *File, ULONG Line, const char *Format, ...)
{
    char    text[REPORT_BYTES];
    va_list arguments;

    va_start(arguments, Format);
    RtlpVFormat(text, sizeof(text), RtlpUtf8, Format, arguments);
    va_end(arguments);
    InterlockedIncrement(&KtState.FailureCount);
    KiPrintFormat("# %s:%lu: %s", File, Line, text);
}

void KtReportValues(const char *File, ULONG Line, const char *Text, ULONG64 Actual, const char *Mark, ULONG64 Expected)
{
    KtReport(File, Line, "%s: got 0x%llX (%lld), expected %s0x%llX (%lld)", Text, Actual, (LONG64)Actual, Mark,
             Expected, (LONG64)Expected);
}

bool KtCheckStatus(const char *File, ULONG Line, const char *Text, NTSTATUS Actual, NTSTATUS Expected)
{
    if (Actual != Expected) {
        KtReport(File, Line, "%s: got status 0x%08lX, expected 0x%08lX", Text, (ULONG)Actual, (ULONG)Expected);
    }
    return Actual == Expected;
}

bool KtCheckString(const char *File, ULONG Line, const char *Text, const char *Actual, const char *Expected)
{
    if (Actual == NULL || strcmp(Actual, Expected) != 0) {
        KtReport(File, Line, "%s: got \"%s\", expected \"%s\"", Text, Actual, Expected);
        return false;
    }
    return true;
}

bool KtCheckMemory(const char *File, ULONG Line, const char *Text, const void *Actual, const void *Expected,
                   SIZE_T Bytes)
{
    const UCHAR *actual = Actual;
    const UCHAR *expected = Expected;
    SIZE_T       equal = RtlCompareMemory(actual, expected, Bytes);

    if (equal != Bytes) {
        KtReport(File, Line, "%s: got 0x%02X at byte %llu of %llu, expected 0x%02X", Text, actual[equal],
                 (ULONG64)equal, (ULONG64)Bytes, expected[equal]);
    }
    return equal == Bytes;
}

void KtSkip(const char *Why)
{
    KtState.SkipReason = Why;
}

/* Match GlobBytes characters of Glob against all of Text. A star that fails later is stretched by one and retried. */
static bool KtGlobMatches(const char *Glob, SIZE_T GlobBytes, const char *Text)
{
    SIZE_T      at = 0;
    SIZE_T      starAt = SIZE_MAX;
    const char *starText = NULL;

    while (*Text != 0) {
        if (at < GlobBytes && Glob[at] == '*') {
            starAt = at++;
            starText = Text;
        } else if (at < GlobBytes && (Glob[at] == '?' || Glob[at] == *Text)) {
            at++;
            Text++;
        } else if (starText != NULL) {
            at = starAt + 1;
            Text = ++starText;
        } else {
            return false;
        }
    }
    while (at < GlobBytes && Glob[at] == '*') {
        at++;
    }
    return at == GlobBytes;
}

bool KtMatches(const char *Globs, const char *Suite, const char *Name)
{
    char full[128];

    RtlpFormat(full, sizeof(full), RtlpUtf8, "%s.%s", Suite, Name);
    for (const char *glob = Globs; *glob != 0;) {
        SIZE_T bytes = 0;
        while (glob[bytes] != 0 && glob[bytes] != ',') {
            bytes++;
        }
        if (bytes != 0 && (KtGlobMatches(glob, bytes, full) || KtGlobMatches(glob, bytes, Suite))) {
            return true;
        }
        glob += bytes + (glob[bytes] == ',');
    }
    return false;
}
