/*
 * Gives the C runtime names that the kernel defines the prefix "nt_" on the host, so that they stand beside the host's
 * own, which the sanitizers and the tests themselves need. Included behind every system header. Those headers know some
 * of these names under other prototypes (no wide character has 16 bits for them), so the kernel's are declared here.
 */
#pragma once

#include <stdlib.h>
#include <wctype.h>

#define memcpy    nt_memcpy
#define memmove   nt_memmove
#define memset    nt_memset
#define memcmp    nt_memcmp
#define memchr    nt_memchr
#define strlen    nt_strlen
#define strnlen   nt_strnlen
#define strcmp    nt_strcmp
#define strncmp   nt_strncmp
#define strcpy    nt_strcpy
#define strncpy   nt_strncpy
#define strcat    nt_strcat
#define strncat   nt_strncat
#define strchr    nt_strchr
#define strrchr   nt_strrchr
#define strstr    nt_strstr
#define strspn    nt_strspn
#define strtoul   nt_strtoul
#define wcslen    nt_wcslen
#define wcsnlen   nt_wcsnlen
#define wcscmp    nt_wcscmp
#define wcsncmp   nt_wcsncmp
#define wcscpy    nt_wcscpy
#define wcsncpy   nt_wcsncpy
#define wcscat    nt_wcscat
#define wcsncat   nt_wcsncat
#define wcschr    nt_wcschr
#define wcsrchr   nt_wcsrchr
#define wcsstr    nt_wcsstr
#define wcsspn    nt_wcsspn
#define wcstoul   nt_wcstoul
#define atoi      nt_atoi
#define atol      nt_atol
#define isdigit   nt_isdigit
#define isupper   nt_isupper
#define islower   nt_islower
#define isalpha   nt_isalpha
#define isalnum   nt_isalnum
#define isxdigit  nt_isxdigit
#define isspace   nt_isspace
#define isprint   nt_isprint
#define toupper   nt_toupper
#define tolower   nt_tolower
#define towupper  nt_towupper
#define towlower  nt_towlower
#define qsort     nt_qsort
#define bsearch   nt_bsearch
#define rand      nt_rand
#define srand     nt_srand
#define sprintf   nt_sprintf
#define vsprintf  nt_vsprintf
#define swprintf  nt_swprintf
#define vswprintf nt_vswprintf

void    *memcpy(void *Destination, const void *Source, size_t Length);
void    *memmove(void *Destination, const void *Source, size_t Length);
void    *memset(void *Destination, int Fill, size_t Length);
int      memcmp(const void *First, const void *Second, size_t Length);
void    *memchr(const void *Buffer, int Value, size_t Length);
size_t   strlen(const char *String);
size_t   strnlen(const char *String, size_t MaxCount);
int      strcmp(const char *First, const char *Second);
int      strncmp(const char *First, const char *Second, size_t MaxCount);
char    *strcpy(char *Destination, const char *Source);
char    *strncpy(char *Destination, const char *Source, size_t Count);
char    *strcat(char *Destination, const char *Source);
char    *strncat(char *Destination, const char *Source, size_t Count);
char    *strchr(const char *String, int Character);
char    *strrchr(const char *String, int Character);
char    *strstr(const char *String, const char *Wanted);
size_t   strspn(const char *String, const char *Set);
ULONG    strtoul(const char *String, char **End, int Radix);
int      _stricmp(const char *First, const char *Second);
int      _strnicmp(const char *First, const char *Second, size_t MaxCount);
char    *_strupr(char *String);
char    *_strlwr(char *String);
char    *_strrev(char *String);
size_t   wcslen(const wchar_t *String);
size_t   wcsnlen(const wchar_t *String, size_t MaxCount);
int      wcscmp(const wchar_t *First, const wchar_t *Second);
int      wcsncmp(const wchar_t *First, const wchar_t *Second, size_t MaxCount);
wchar_t *wcscpy(wchar_t *Destination, const wchar_t *Source);
wchar_t *wcsncpy(wchar_t *Destination, const wchar_t *Source, size_t Count);
wchar_t *wcscat(wchar_t *Destination, const wchar_t *Source);
wchar_t *wcsncat(wchar_t *Destination, const wchar_t *Source, size_t Count);
wchar_t *wcschr(const wchar_t *String, wchar_t Character);
wchar_t *wcsrchr(const wchar_t *String, wchar_t Character);
wchar_t *wcsstr(const wchar_t *String, const wchar_t *Wanted);
size_t   wcsspn(const wchar_t *String, const wchar_t *Set);
ULONG    wcstoul(const wchar_t *String, wchar_t **End, int Radix);
int      _wcsicmp(const wchar_t *First, const wchar_t *Second);
int      _wcsnicmp(const wchar_t *First, const wchar_t *Second, size_t MaxCount);
wchar_t *_wcsupr(wchar_t *String);
wchar_t *_wcslwr(wchar_t *String);
wchar_t *_wcsrev(wchar_t *String);
int      atoi(const char *String);
LONG     atol(const char *String);
int      _wtoi(const wchar_t *String);
LONG     _wtol(const wchar_t *String);
ULONG64  _strtoui64(const char *String, char **End, int Radix);
char    *_i64toa(LONG64 Value, char *Destination, int Radix);
char    *_ui64toa(ULONG64 Value, char *Destination, int Radix);
char    *_itoa(int Value, char *Destination, int Radix);
char    *_ltoa(LONG Value, char *Destination, int Radix);
char    *_ultoa(ULONG Value, char *Destination, int Radix);
wchar_t *_i64tow(LONG64 Value, wchar_t *Destination, int Radix);
wchar_t *_ui64tow(ULONG64 Value, wchar_t *Destination, int Radix);
wchar_t *_itow(int Value, wchar_t *Destination, int Radix);
wchar_t *_ltow(LONG Value, wchar_t *Destination, int Radix);
wchar_t *_ultow(ULONG Value, wchar_t *Destination, int Radix);
int      isdigit(int Character);
int      isupper(int Character);
int      islower(int Character);
int      isalpha(int Character);
int      isalnum(int Character);
int      isxdigit(int Character);
int      isspace(int Character);
int      isprint(int Character);
int      toupper(int Character);
int      tolower(int Character);
wint_t   towupper(wint_t Character);
wint_t   towlower(wint_t Character);
void     qsort(void *Base, size_t ElementCount, size_t ElementBytes, int (*Compare)(const void *, const void *));
void    *bsearch(const void *Key, const void *Base, size_t ElementCount, size_t ElementBytes,
                 int (*Compare)(const void *, const void *));
int      rand(void);
void     srand(unsigned int Seed);
