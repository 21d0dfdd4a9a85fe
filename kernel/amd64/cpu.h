/*
 * Control registers, flags, model-specific registers and exception vectors, named as the SDM names them.
 */
#pragma once

/* SDM 3A 2.5: control registers */
#define X86_CR0_MP         0x00000002ull
#define X86_CR0_EM         0x00000004ull
#define X86_CR0_NE         0x00000020ull
#define X86_CR0_WP         0x00010000ull /* supervisor writes obey read-only pages */
#define X86_CR4_PGE        0x00000080ull
#define X86_CR4_OSFXSR     0x00000200ull
#define X86_CR4_OSXMMEXCPT 0x00000400ull
#define X86_CR4_UMIP       0x00000800ull
#define X86_CR4_FSGSBASE   0x00010000ull
#define X86_CR4_SMEP       0x00100000ull
#define X86_CR4_SMAP       0x00200000ull

/* SDM 1 3.4.3: RFLAGS */
#define X86_EFLAGS_TF 0x00000100ull
#define X86_EFLAGS_IF 0x00000200ull
#define X86_EFLAGS_DF 0x00000400ull
#define X86_EFLAGS_AC 0x00040000ull

/* SDM 4: MSRs */
#define X86_MSR_APIC_BASE      0x0000001Bu
#define X86_MSR_PAT            0x00000277u
#define X86_MSR_EFER           0xC0000080u
#define X86_MSR_FS_BASE        0xC0000100u
#define X86_MSR_GS_BASE        0xC0000101u
#define X86_MSR_KERNEL_GS_BASE 0xC0000102u
#define X86_EFER_SCE           0x001ull
#define X86_EFER_NXE           0x800ull

/* SDM 2A CPUID */
#define X86_CPUID_7_EBX_SMEP 0x00000080u
#define X86_CPUID_7_EBX_SMAP 0x00100000u
#define X86_CPUID_7_ECX_UMIP 0x00000004u

/* SDM 3A 6.3.1: exceptions */
#define X86_TRAP_DE  0
#define X86_TRAP_DB  1
#define X86_TRAP_NMI 2
#define X86_TRAP_BP  3
#define X86_TRAP_OF  4
#define X86_TRAP_BR  5
#define X86_TRAP_UD  6
#define X86_TRAP_NM  7
#define X86_TRAP_DF  8
#define X86_TRAP_TS  10
#define X86_TRAP_NP  11
#define X86_TRAP_SS  12
#define X86_TRAP_GP  13
#define X86_TRAP_PF  14
#define X86_TRAP_MF  16
#define X86_TRAP_AC  17
#define X86_TRAP_MC  18
#define X86_TRAP_XM  19
