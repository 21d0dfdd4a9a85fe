/*
 * The benchmarks that `make bench` runs in the guest.
 */
#pragma once

/*
 * Print one line `# bench: NAME N VALUE` a measure, VALUE in instructions an operation with one decimal.
 *
 * => PASSIVE_LEVEL, one CPU, QEMU's -icount with shift 6; the clock interrupt is off while it measures.
 */
void KiRunBenchmarks(void);
