/*
 * What every test must leave as it found it, as far as memory goes: free frames, system PTEs, I/O PTEs.
 */
#pragma once

/* Once, before the first test. */
void KtRegisterMemoryLevels(void);
