/*
 * SplitMix64: a counter that steps by an odd constant, so it visits all 2^64 states, and a mixing function that makes
 * neighbouring states unlike (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
 */
#include "kernel/rtl/random.h"

#define STEP          0x9E3779B97F4A7C15ull /* 2^64 over the golden ratio, odd */
#define FIRST_FACTOR  0xBF58476D1CE4E5B9ull
#define SECOND_FACTOR 0x94D049BB133111EBull

/* nf-ntifs-rtlrandomex.md: results lie in [0, MAXLONG - 1]. */
#define RANDOM_LIMIT ((ULONG)MAXLONG)

ULONG64 RtlpRandom(ULONG64 *State)
{
    ULONG64 value = *State += STEP;

    value = (value ^ (value >> 30)) * FIRST_FACTOR;
    value = (value ^ (value >> 27)) * SECOND_FACTOR;
    return value ^ (value >> 31);
}

ULONG RtlpRandomBelow(ULONG64 *State, ULONG Limit)
{
    return (ULONG)(((RtlpRandom(State) >> 32) * Limit) >> 32);
}

/* The seed is the low half of a state, which alone already steps through all its 2^32 values. */
ULONG NTAPI RtlRandomEx(PULONG Seed)
{
    ULONG64 state = *Seed;
    ULONG64 value = RtlpRandom(&state);

    *Seed = (ULONG)state;
    return (ULONG)(value >> 32) % RANDOM_LIMIT;
}

ULONG NTAPI RtlRandom(PULONG Seed)
{
    return RtlRandomEx(Seed);
}
