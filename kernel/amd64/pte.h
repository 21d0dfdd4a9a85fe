/*
 * Page-table entry bits, named as the SDM names them (Intel SDM 3A, 4-level paging).
 */
#pragma once

#define X86_PTE_P     0x001ull              /* present */
#define X86_PTE_RW    0x002ull              /* writable */
#define X86_PTE_US    0x004ull              /* user */
#define X86_PTE_PWT   0x008ull              /* write-through; PAT index bit 0 */
#define X86_PTE_PCD   0x010ull              /* cache disable; PAT index bit 1 */
#define X86_PTE_A     0x020ull              /* accessed */
#define X86_PTE_D     0x040ull              /* dirty */
#define X86_PTE_PAT   0x080ull              /* PAT index bit 2 in a 4 KiB entry */
#define X86_PTE_PS    0x080ull              /* maps a large page, in upper entries */
#define X86_PTE_G     0x100ull              /* global */
#define X86_PTE_NX    0x8000000000000000ull /* execute disable; reserved unless EFER.NXE */
#define X86_PTE_FRAME 0x000FFFFFFFFFF000ull

#define X86_PAGE_SHIFT 12
#define X86_PF_P       0x01ull /* page-fault error code: the translation was present */
#define X86_PF_W       0x02ull /* a write */
#define X86_PF_U       0x04ull /* from CPL 3 */
#define X86_PF_RSVD    0x08ull /* a reserved bit was set */
#define X86_PF_I       0x10ull /* an instruction fetch */
