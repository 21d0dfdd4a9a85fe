; The first instructions of every processor but the boot one: from real mode at CS:0 (a page below 640 KiB, where
; kernel/ke/smp.c copies this) to 64-bit mode, on the tables and the stack that the parameter block names. Position
; independent: EBX holds the page's physical address. The parameter block's layout is KI_AP_PARAMETERS in smp.c.

section .rdata rdata align=16
global KiApStartCode
global KiApStartBytes

%define PARAMETERS    0x200
%define P_ROOT        (PARAMETERS + 0x00)
%define P_STACK       (PARAMETERS + 0x08)
%define P_PROCESSOR   (PARAMETERS + 0x10)
%define P_ENTRY       (PARAMETERS + 0x18)
%define P_GDTR        (PARAMETERS + 0x20)
%define P_FAR32       (PARAMETERS + 0x28)
%define P_FAR64       (PARAMETERS + 0x30)
%define P_GDT         (PARAMETERS + 0x40)

KiApStartCode:
bits 16
    cli
    cld
    mov ax, cs
    mov ds, ax
    xor ebx, ebx
    mov bx, ax
    shl ebx, 4
    o32 lgdt [P_GDTR]
    mov eax, cr0
    or eax, 1                   ; PE
    mov cr0, eax
    jmp dword far [P_FAR32]
bits 32
protected:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov eax, 0x20               ; CR4.PAE
    mov cr4, eax
    mov eax, [ebx + P_ROOT]
    mov cr3, eax
    mov ecx, 0xC0000080         ; EFER: SCE, LME, NXE
    mov eax, 0x901
    xor edx, edx
    wrmsr
    mov eax, 0x80010033         ; CR0: PG, WP, NE, ET, MP, PE
    mov cr0, eax
    jmp far [ebx + P_FAR64]
bits 64
in_64_bit_mode:
    mov rsp, [rbx + P_STACK]
    mov rcx, [rbx + P_PROCESSOR]
    mov rax, [rbx + P_ENTRY]
    push 0                      ; the return address of the outermost frame
    jmp rax
    times PARAMETERS - ($ - KiApStartCode) db 0
    dq 0, 0, 0, 0               ; root, stack, processor, entry
    dw 31                       ; GDT limit
    dd 0                        ; GDT base, filled at run time
    dw 0
    dd protected - KiApStartCode ; far pointers, relocated at run time
    dw 0x08, 0
    dd in_64_bit_mode - KiApStartCode
    dw 0x18, 0
    dq 0
    dq 0                        ; GDT: null, 32-bit code, data, 64-bit code
    dq 0x00CF9B000000FFFF
    dq 0x00CF93000000FFFF
    dq 0x00209B0000000000
KiApStartCodeEnd:
KiApStartBytes: dd KiApStartCodeEnd - KiApStartCode
