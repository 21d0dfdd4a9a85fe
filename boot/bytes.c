/*
 * memcpy and memset, which the compiler calls for copies and clears of its own. By string instructions of eight bytes:
 * megabytes go through here, and an emulator spends the same time on a byte as on eight.
 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *Target, const void *Source, size_t ByteCount);
void *memset(void *Target, int Value, size_t ByteCount);

void *memcpy(void *Target, const void *Source, size_t ByteCount)
{
    void  *target = Target;
    size_t count = ByteCount / sizeof(uint64_t);

    __asm__ volatile("rep movsq" : "+D"(target), "+S"(Source), "+c"(count) : : "memory");
    count = ByteCount % sizeof(uint64_t);
    __asm__ volatile("rep movsb" : "+D"(target), "+S"(Source), "+c"(count) : : "memory");
    return Target;
}

void *memset(void *Target, int Value, size_t ByteCount)
{
    void    *target = Target;
    uint64_t pattern = (uint8_t)Value * 0x0101010101010101ull;
    size_t   count = ByteCount / sizeof(uint64_t);

    __asm__ volatile("rep stosq" : "+D"(target), "+c"(count) : "a"(pattern) : "memory");
    count = ByteCount % sizeof(uint64_t);
    __asm__ volatile("rep stosb" : "+D"(target), "+c"(count) : "a"(pattern) : "memory");
    return Target;
}
