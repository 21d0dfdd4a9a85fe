/*
 * The command line is a row of words divided by blanks: NAME, or NAME=VALUE. One table says what each word sets.
 */
#include "kernel/rtl/cmdline.h"

#define WORD_BYTES_MAX 512u /* of a test= pattern or of a word to report, its NUL included */

KI_OPTIONS KiOptions;

static char RtlpTestGlobs[WORD_BYTES_MAX];
static char RtlpUnknownWord[WORD_BYTES_MAX];

/* The characters of a word or a part of it. */
typedef struct _RTLP_SPAN {
    const char *Text;
    SIZE_T      Bytes;
} RTLP_SPAN;

/*
 * Act on one word.
 *
 * => false when Value is not one that the word takes. Value.Text is NULL where the word has no '='.
 */
typedef bool RTLP_OPTION_ROUTINE(KI_OPTIONS *Options, RTLP_SPAN Value);

static bool RtlpSpanEquals(RTLP_SPAN Span, const char *Text)
{
    return Span.Text != NULL && Span.Bytes == strlen(Text) && memcmp(Span.Text, Text, Span.Bytes) == 0;
}

/* Destination takes WORD_BYTES_MAX bytes; what does not fit is cut. */
static void RtlpCopySpan(RTLP_SPAN Span, char *Destination)
{
    SIZE_T copied = min(Span.Bytes, WORD_BYTES_MAX - 1);

    memcpy(Destination, Span.Text, copied);
    Destination[copied] = 0;
}

/* Decimal, or hexadecimal after 0x; the whole span, within 64 bits. */
static bool RtlpParseNumber(RTLP_SPAN Span, ULONG64 *Number)
{
    ULONG   radix = 10;
    ULONG64 value = 0;

    if (Span.Bytes > 2 && Span.Text[0] == '0' && (Span.Text[1] | 0x20) == 'x') {
        radix = 16;
        Span.Text += 2;
        Span.Bytes -= 2;
    }
    for (SIZE_T i = 0; i < Span.Bytes; i++) {
        ULONG character = (UCHAR)Span.Text[i];
        ULONG lower = character | 0x20;
        ULONG digit = character - '0' < 10 ? character - '0' : lower - 'a' < 6 ? lower - 'a' + 10 : MAXULONG;

        if (digit >= radix || value > (MAXULONG64 - digit) / radix) {
            return false;
        }
        value = value * radix + digit;
    }
    *Number = value;
    return Span.Bytes != 0;
}

/* What the run is for; forgets what an earlier word said about that. */
static void RtlpSetPurpose(KI_OPTIONS *Options, KI_OPTIONS Purpose)
{
    Options->TestGlobs = Purpose.TestGlobs;
    Options->ListTests = Purpose.ListTests;
    Options->Bench = Purpose.Bench;
}

static bool RtlpSetTest(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    if (Value.Bytes == 0 || Value.Bytes >= sizeof(RtlpTestGlobs)) {
        return false;
    }
    RtlpCopySpan(Value, RtlpTestGlobs);
    RtlpSetPurpose(Options, (KI_OPTIONS){ .TestGlobs = RtlpTestGlobs });
    return true;
}

static bool RtlpSetList(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    RtlpSetPurpose(Options, (KI_OPTIONS){ .ListTests = true });
    return Value.Text == NULL;
}

static bool RtlpSetBench(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    RtlpSetPurpose(Options, (KI_OPTIONS){ .Bench = true });
    return Value.Text == NULL;
}

static bool RtlpSetNoKaslr(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    Options->NoKaslr = true;
    return Value.Text == NULL;
}

static bool RtlpSetSeed(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    Options->HasSeed = true;
    return RtlpParseNumber(Value, &Options->Seed);
}

static bool RtlpSetSystemPtes(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    return RtlpParseNumber(Value, &Options->SystemPteCount) && Options->SystemPteCount != 0;
}

static bool RtlpSetTlb(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    Options->TlbMode = RtlpSpanEquals(Value, "strict") ? KiTlbStrict : KiTlbDeferred;
    return Options->TlbMode == KiTlbStrict || RtlpSpanEquals(Value, "deferred");
}

static bool RtlpSetCheck(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    Options->CheckAll = true;
    return RtlpSpanEquals(Value, "all");
}

static bool RtlpSetTrackPtes(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    ULONG64 level;

    if (!RtlpParseNumber(Value, &level) || (level != 0 && level != 1 && level != 3)) {
        return false;
    }
    Options->TrackPtes = (ULONG)level;
    return true;
}

static bool RtlpSetTrackLockedPages(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    Options->TrackLockedPages = RtlpSpanEquals(Value, "1");
    return Options->TrackLockedPages || RtlpSpanEquals(Value, "0");
}

static bool RtlpSetFailAllocation(KI_OPTIONS *Options, RTLP_SPAN Value)
{
    return RtlpParseNumber(Value, &Options->FailAllocation);
}

static const struct {
    const char          *Name;
    RTLP_OPTION_ROUTINE *Routine;
} RtlpOptions[] = {
    { "test", RtlpSetTest },
    { "list", RtlpSetList },
    { "bench", RtlpSetBench },
    { "nokaslr", RtlpSetNoKaslr },
    { "seed", RtlpSetSeed },
    { "sysptes", RtlpSetSystemPtes },
    { "tlb", RtlpSetTlb },
    { "check", RtlpSetCheck },
    { "trackptes", RtlpSetTrackPtes },
    { "tracklockedpages", RtlpSetTrackLockedPages },
    { "failalloc", RtlpSetFailAllocation },
};

static bool RtlpApplyWord(KI_OPTIONS *Options, RTLP_SPAN Word)
{
    RTLP_SPAN name = Word;
    RTLP_SPAN value = { .Text = NULL };

    for (SIZE_T i = 0; i < Word.Bytes; i++) {
        if (Word.Text[i] == '=') {
            name.Bytes = i;
            value = (RTLP_SPAN){ .Text = Word.Text + i + 1, .Bytes = Word.Bytes - i - 1 };
            break;
        }
    }
    for (SIZE_T i = 0; i < RTL_NUMBER_OF(RtlpOptions); i++) {
        if (RtlpSpanEquals(name, RtlpOptions[i].Name)) {
            return RtlpOptions[i].Routine(Options, value);
        }
    }
    return false;
}

static bool RtlpIsBlank(char Character)
{
    return Character == ' ' || (Character >= '\t' && Character <= '\r');
}

const char *RtlpParseCommandLine(const char *CommandLine)
{
    const char *next = CommandLine;

    KiOptions = (KI_OPTIONS){ .TestGlobs = NULL };
    for (;;) {
        while (RtlpIsBlank(*next)) {
            next++;
        }
        RTLP_SPAN word = { .Text = next };
        while (*next != 0 && !RtlpIsBlank(*next)) {
            next++;
        }
        word.Bytes = (SIZE_T)(next - word.Text);
        if (word.Bytes == 0) {
            return NULL;
        }
        if (!RtlpApplyWord(&KiOptions, word)) {
            RtlpCopySpan(word, RtlpUnknownWord);
            return RtlpUnknownWord;
        }
    }
}
