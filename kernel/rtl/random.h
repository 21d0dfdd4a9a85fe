/*
 * Random numbers that a seed repeats: for tests, shuffles and placement. Not for secrets.
 */
#pragma once

#include "kernel/ddk.h"

/*
 * The next of 2^64 numbers, all different, that *State stands for; any state is a good one.
 *
 * => any IRQL; the caller serialises use of one State.
 */
ULONG64 RtlpRandom(ULONG64 *State);

/* A number in [0, Limit), each equally likely to within 2^-32. Limit is not 0. */
ULONG RtlpRandomBelow(ULONG64 *State, ULONG Limit);
