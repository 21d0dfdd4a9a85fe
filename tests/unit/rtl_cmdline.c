/*
 * The kernel's command line.
 */
#include "kernel/rtl/cmdline.h"

#include "kernel/rtl/print.h"
#include "tests/lib/ktest.h"

KTEST(host_cmdline, defaults)
{
    KT_EXPECT_NULL(RtlpParseCommandLine("  \t "));
    KT_EXPECT_NULL(KiOptions.TestGlobs);
    KT_EXPECT_FALSE(KiOptions.HasSeed || KiOptions.CheckAll || KiOptions.Bench || KiOptions.ListTests);
    KT_EXPECT_EQ(KiOptions.TlbMode, KiTlbDeferred);
    KT_EXPECT_EQ(KiOptions.SystemPteCount, 0);
}

KTEST(host_cmdline, every_word)
{
    KT_EXPECT_NULL(RtlpParseCommandLine("nokaslr seed=0x10 sysptes=512 tlb=strict check=all trackptes=3 "
                                        "tracklockedpages=1 failalloc=7 test=mm_*,rtl_print"));
    KT_EXPECT_TRUE(KiOptions.NoKaslr && KiOptions.HasSeed && KiOptions.CheckAll && KiOptions.TrackLockedPages);
    KT_EXPECT_EQ(KiOptions.Seed, 16);
    KT_EXPECT_EQ(KiOptions.SystemPteCount, 512);
    KT_EXPECT_EQ(KiOptions.TlbMode, KiTlbStrict);
    KT_EXPECT_EQ(KiOptions.TrackPtes, 3);
    KT_EXPECT_EQ(KiOptions.FailAllocation, 7);
    KT_EXPECT_STREQ(KiOptions.TestGlobs, "mm_*,rtl_print");
}

KTEST(host_cmdline, last_purpose_wins)
{
    KT_EXPECT_NULL(RtlpParseCommandLine("test=a list"));
    KT_EXPECT_NULL(KiOptions.TestGlobs);
    KT_EXPECT_TRUE(KiOptions.ListTests);
    KT_EXPECT_NULL(RtlpParseCommandLine("list bench tlb=strict tlb=deferred"));
    KT_EXPECT_TRUE(KiOptions.Bench && !KiOptions.ListTests);
    KT_EXPECT_EQ(KiOptions.TlbMode, KiTlbDeferred);
}

KTEST(host_cmdline, names_the_first_bad_word)
{
    static const char *const bad[] = {
        "frob",      "seed", "seed=",    "seed=1x",    "seed=0x",     "seed=18446744073709551616",
        "sysptes=0", "tlb=", "tlb=lazy", "check=some", "trackptes=2", "tracklockedpages=2",
        "test=",     "test", "list=1",   "=",          "=5",          "failalloc=-1",
    };

    for (ULONG i = 0; i < RTL_NUMBER_OF(bad); i++) {
        char line[64];
        RtlpFormat(line, sizeof(line), RtlpUtf8, " nokaslr %s other", bad[i]);
        KT_EXPECT_STREQ(RtlpParseCommandLine(line), bad[i]);
    }
    KT_EXPECT_NULL(RtlpParseCommandLine("seed=18446744073709551615"));
    KT_EXPECT_EQ(KiOptions.Seed, MAXULONG64);
}

KTEST(host_cmdline, overlong_words_are_cut)
{
    char line[2000];

    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = 0;
    const char *unknown = RtlpParseCommandLine(line);
    KT_ASSERT_NOT_NULL(unknown);
    KT_EXPECT_EQ(strlen(unknown), 511);
    memcpy(line, "test=", 5);
    KT_EXPECT_NOT_NULL(RtlpParseCommandLine(line));
}

KTEST(host_cmdline, globs)
{
    KT_EXPECT_TRUE(KtMatches("*", "mm_pool", "frees"));
    KT_EXPECT_TRUE(KtMatches("mm_pool", "mm_pool", "frees"));
    KT_EXPECT_TRUE(KtMatches("mm_*", "mm_pool", "frees"));
    KT_EXPECT_TRUE(KtMatches("x,mm_pool.f?ees", "mm_pool", "frees"));
    KT_EXPECT_TRUE(KtMatches("*.*ee*s", "mm_pool", "frees"));
    KT_EXPECT_FALSE(KtMatches("mm_poo", "mm_pool", "frees"));
    KT_EXPECT_FALSE(KtMatches("", "mm_pool", "frees"));
    KT_EXPECT_FALSE(KtMatches(",,", "mm_pool", "frees"));
    KT_EXPECT_FALSE(KtMatches("frees", "mm_pool", "frees"));
}
