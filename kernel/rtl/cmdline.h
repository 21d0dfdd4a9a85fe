/*
 * The kernel's command line: what a run is asked to do.
 */
#pragma once

#include "kernel/ddk.h"

typedef enum _KI_TLB_MODE {
    KiTlbDeferred, /* frees of system PTEs are flushed in batches */
    KiTlbStrict,   /* every unmap flushes before it returns */
} KI_TLB_MODE;

/* Constant once the boot processor has parsed the command line. The first three exclude each other: the last wins. */
typedef struct _KI_OPTIONS {
    const char *TestGlobs;        /* test=GLOBS: run the in-kernel tests that match; NULL: do not */
    bool        ListTests;        /* list: print their names */
    bool        Bench;            /* bench: run the benchmarks */
    bool        NoKaslr;          /* nokaslr: for the loader, which places the kernel */
    bool        CheckAll;         /* check=all: walk every structure after each operation */
    bool        HasSeed;          /* seed=N */
    bool        TrackLockedPages; /* tracklockedpages=1 */
    KI_TLB_MODE TlbMode;          /* tlb=deferred|strict */
    ULONG       TrackPtes;        /* trackptes=0|1|3 */
    ULONG64     Seed;             /* valid with HasSeed */
    ULONG64     SystemPteCount;   /* sysptes=N; 0: the default */
    ULONG64     FailAllocation;   /* failalloc=K: the Kth allocation fails; 0: none does */
} KI_OPTIONS;

extern KI_OPTIONS KiOptions;

/*
 * Set KiOptions to the defaults, changed by the words of CommandLine; of equal words the last counts.
 *
 * => once, at boot (or from a host test); keeps no pointer into CommandLine.
 * => NULL, or the first word that is unknown or has a bad value, cut to fit and NUL-terminated.
 */
const char *RtlpParseCommandLine(const char *CommandLine);
