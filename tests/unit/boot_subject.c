/*
 * A kernel in little, for tests/unit/boot_image.c: linked with linker.ld it has every kind of section, relocations,
 * symbols and debug information.
 */
int BootSubjectData = 42;
int BootSubjectZeroes[5000];

int *BootSubjectPointers[] = { &BootSubjectData, &BootSubjectZeroes[4999] };

int KiSystemStartup(int (*Next)(int), int Index);

/* Calls, so that it has a frame and thereby unwind data. */
int KiSystemStartup(int (*Next)(int), int Index)
{
    return Next(Index) + *BootSubjectPointers[Index];
}
