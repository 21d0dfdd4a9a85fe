# Compilers and flags. The reasons stand in docs/decisions/.

# One short line a step; V=1 shows the commands.
Q   := $(if $(V),,@)
SAY  = $(if $(V),,@printf '  %-4s  %s\n' $1 '$2')

CC_KERNEL  ?= clang
LD_KERNEL  := x86_64-w64-mingw32-ld
NASM       := nasm
DDK        := /usr/share/mingw-w64/include/ddk
CRT        := /usr/x86_64-w64-mingw32/include

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wthread-safety -Wmissing-prototypes -Wstrict-prototypes -Wundef -Werror

# What only assertions read is unused where they are compiled out.
ifneq ($(FREE),)
WARNINGS += -Wno-unused-parameter -Wno-unused-variable -Wno-unused-function -Wno-unused-but-set-variable
endif

# The interface is compiled as Windows 10 headers give it; clang targets the mingw-w64 ABI, which is Microsoft's. Newer
# clangs find mingw-w64's C headers by themselves only beside its gcc, and warn of a header that those include.
TARGET_FLAGS := --target=x86_64-w64-windows-gnu -fms-extensions -isystem $(DDK) -idirafter $(CRT) \
	-D_WIN32_WINNT=0x0A00 -DNTDDI_VERSION=0x0A000000 -DWINVER=0x0A00 -D_CLANG_DISABLE_CRT_DEPRECATION_WARNINGS

# No SSE, MMX or red zone in code that runs on any stack; unwind data for every function, or no stack is exact.
KERNEL_CFLAGS := $(TARGET_FLAGS) -I. -std=gnu17 -O2 -g -gdwarf-4 -D_NTOSKRNL_ -D_NTSYSTEM_ -D_NTHALDLL_ \
	-D_CRTIMP= -DDBG=$(if $(FREE),0,1) -ffreestanding -fno-builtin -fno-strict-aliasing -mno-sse -mno-mmx \
	-mno-red-zone -mno-stack-arg-probe -fasynchronous-unwind-tables -Wframe-larger-than=1024 $(WARNINGS) $(EXTRA_CFLAGS)

# Unwind tables relocate across sections by design; nasm 2.16.01 has no warning for that, and so not its name.
NASM_FLAGS := -f win64 -w+all -w-unknown-warning -w-reloc-abs-dword -w-reloc-rel-dword -Werror

DRIVER_CFLAGS := $(TARGET_FLAGS) -std=gnu17 -O2 -g -gdwarf-4 -fasynchronous-unwind-tables -mno-stack-arg-probe \
	-Wall -Wextra -Werror $(EXTRA_CFLAGS)
