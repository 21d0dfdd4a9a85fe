/*
 * The C runtime that drivers import from the kernel, in the "C" locale: bytes above 0x7F are no letters. Wide letters
 * are those of RtlUpcaseUnicodeChar. Results follow Microsoft's library where it is more precise than the standard.
 *
 * => pure, but for rand's state; any IRQL at which the strings may be touched.
 */
#include "kernel/rtl/crt.h"

#include "kernel/rtl/print.h"
#include "kernel/rtl/unicode.h"

#define RAND_MAX_VALUE 0x7FFFu

static ULONG RtlpRandState = 1; /* of rand; racing callers may get equal numbers, which rand permits */

static inline bool RtlpInRange(int Character, int First, int Last)
{
    return Character >= First && Character <= Last;
}

static inline bool RtlpIsSpace(int Character)
{
    return Character == ' ' || RtlpInRange(Character, '\t', '\r');
}

/* The value of 0-9, a-z or A-Z as a digit; MAXULONG for anything else. */
static ULONG RtlpDigitValue(int Character)
{
    if (RtlpInRange(Character, '0', '9')) {
        return (ULONG)(Character - '0');
    }
    if (RtlpInRange(Character | 0x20, 'a', 'z')) {
        return (ULONG)((Character | 0x20) - 'a' + 10);
    }
    return MAXULONG;
}

int __cdecl isdigit(int Character)
{
    return RtlpInRange(Character, '0', '9');
}

int __cdecl isupper(int Character)
{
    return RtlpInRange(Character, 'A', 'Z');
}

int __cdecl islower(int Character)
{
    return RtlpInRange(Character, 'a', 'z');
}

int __cdecl isalpha(int Character)
{
    return isupper(Character) || islower(Character);
}

int __cdecl isalnum(int Character)
{
    return isalpha(Character) || isdigit(Character);
}

int __cdecl isxdigit(int Character)
{
    return RtlpDigitValue(Character) < 16;
}

int __cdecl isspace(int Character)
{
    return RtlpIsSpace(Character);
}

int __cdecl isprint(int Character)
{
    return RtlpInRange(Character, ' ', '~');
}

int __cdecl toupper(int Character)
{
    return islower(Character) ? Character - 'a' + 'A' : Character;
}

int __cdecl tolower(int Character)
{
    return isupper(Character) ? Character - 'A' + 'a' : Character;
}

wint_t __cdecl towupper(wint_t Character)
{
    return RtlUpcaseUnicodeChar(Character);
}

wint_t __cdecl towlower(wint_t Character)
{
    return RtlDowncaseUnicodeChar(Character);
}

#define CRT_CHAR         char
#define CRT_VALUE        unsigned char
#define CRT_ARGUMENT     int
#define CRT_NAME(Name)   str##Name
#define CRT_NAME_(Name)  _str##Name
#define CRT_TO(Name)     Name##a
#define CRT_UPPER(Value) toupper(Value)
#define CRT_LOWER(Value) tolower(Value)
#include "kernel/rtl/crttext.inc"
#undef CRT_CHAR
#undef CRT_VALUE
#undef CRT_ARGUMENT
#undef CRT_NAME
#undef CRT_NAME_
#undef CRT_TO
#undef CRT_UPPER
#undef CRT_LOWER

#define CRT_CHAR         wchar_t
#define CRT_VALUE        USHORT
#define CRT_ARGUMENT     wchar_t
#define CRT_NAME(Name)   wcs##Name
#define CRT_NAME_(Name)  _wcs##Name
#define CRT_TO(Name)     Name##w
#define CRT_UPPER(Value) towupper(Value)
#define CRT_LOWER(Value) towlower(Value)
#include "kernel/rtl/crttext.inc"

int __cdecl atoi(const char *String)
{
    return (int)_strnumber(String, NULL, 10);
}

LONG __cdecl atol(const char *String)
{
    return (LONG)_strnumber(String, NULL, 10);
}

int __cdecl _wtoi(const wchar_t *String)
{
    return (int)_wcsnumber(String, NULL, 10);
}

LONG __cdecl _wtol(const wchar_t *String)
{
    return (LONG)_wcsnumber(String, NULL, 10);
}

ULONG64 __cdecl _strtoui64(const char *String, char **End, int Radix)
{
    return _strnumber(String, End, Radix);
}

void __cdecl srand(unsigned int Seed)
{
    RtlpRandState = Seed;
}

/* The generator of Microsoft's library, so that a driver's sequence for a seed is the one that it knows. */
int __cdecl rand(void)
{
    RtlpRandState = RtlpRandState * 214013 + 2531011;
    return (int)((RtlpRandState >> 16) & RAND_MAX_VALUE);
}

static void RtlpSwapElements(UCHAR *First, UCHAR *Second, size_t ElementBytes)
{
    for (size_t i = 0; i < ElementBytes; i++) {
        UCHAR byte = First[i];
        First[i] = Second[i];
        Second[i] = byte;
    }
}

/*
 * Heapsort: no recursion, no allocation and no quadratic case, on a kernel stack. As the standard allows, elements
 * that compare equal end in any order.
 */
void __cdecl qsort(void *Base, size_t ElementCount, size_t ElementBytes,
                   int(__cdecl *Compare)(const void *, const void *))
{
    UCHAR *base = Base;
    size_t heapCount = ElementCount;
    size_t root = ElementCount / 2;

    while (heapCount > 1) {
        if (root > 0) {
            root--; /* still building the heap, from its last parent down to the top */
        } else {
            heapCount--; /* the heap stands: its greatest element goes behind it */
            RtlpSwapElements(base, base + heapCount * ElementBytes, ElementBytes);
        }
        for (size_t parent = root, child; (child = 2 * parent + 1) < heapCount; parent = child) {
            UCHAR *greatest = base + child * ElementBytes;
            if (child + 1 < heapCount && Compare(greatest, greatest + ElementBytes) < 0) {
                child++;
                greatest += ElementBytes;
            }
            if (Compare(base + parent * ElementBytes, greatest) >= 0) {
                break;
            }
            RtlpSwapElements(base + parent * ElementBytes, greatest, ElementBytes);
        }
    }
}

void *__cdecl bsearch(const void *Key, const void *Base, size_t ElementCount, size_t ElementBytes,
                      int(__cdecl *Compare)(const void *, const void *))
{
    const UCHAR *base = Base;

    for (size_t low = 0, high = ElementCount; low < high;) {
        size_t       middle = low + (high - low) / 2;
        const UCHAR *element = base + middle * ElementBytes;
        int          order = Compare(Key, element);
        if (order == 0) {
            return (void *)(ULONG_PTR)element;
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}
