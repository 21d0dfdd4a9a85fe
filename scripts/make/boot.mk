# BOOTX64.EFI, the loader: a GNU-EFI application; and the disk images that carry it.
CC_BOOT      := gcc
LD_BOOT      := ld
OBJCOPY_BOOT := objcopy
EFI_INCLUDE  := /usr/include/efi
EFI_LIB      := /usr/lib

BOOT_C    := $(sort $(wildcard boot/*.c))
BOOT_OBJS := $(BOOT_C:%.c=$(BUILD)/obj/%.o)

# MS ABI for the firmware's calls alone; memcpy and memset are boot/bytes.c's own, and may not be made of themselves.
BOOT_CFLAGS := -I. -isystem $(EFI_INCLUDE) -isystem $(EFI_INCLUDE)/x86_64 -DGNU_EFI_USE_MS_ABI -std=gnu17 -O2 -g \
	-ffreestanding -fpic -fshort-wchar -fno-stack-protector -fno-strict-aliasing -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns -fcf-protection=none -mno-red-zone -mno-sse -mno-mmx \
	-maccumulate-outgoing-args -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes \
	-Wundef -Werror

$(BUILD)/obj/boot/%.o: boot/%.c scripts/make/boot.mk | $(BUILD)/tools/build
	@mkdir -p $(@D)
	$(call SAY,CC,$<)
	$(Q)$(CC_BOOT) $(BOOT_CFLAGS) -MMD -MP -c $< -o $@

# Newer versions of libefi bring a memcpy and a memset too: the first ones, the loader's own, count.
$(BUILD)/obj/boot/loader.so: $(BOOT_OBJS)
	$(call SAY,LD,$@)
	$(Q)$(LD_BOOT) -nostdlib -znocombreloc -zmuldefs -shared -Bsymbolic --no-undefined \
		-T $(EFI_LIB)/elf_x86_64_efi.lds $(EFI_LIB)/crt0-efi-x86_64.o $(BOOT_OBJS) \
		-L $(EFI_LIB) -lefi -lgnuefi -o $@

# The zero date keeps equal sources equal to the byte.
$(BUILD)/BOOTX64.EFI: $(BUILD)/obj/boot/loader.so
	$(Q)SOURCE_DATE_EPOCH=0 $(OBJCOPY_BOOT) -j .text -j .sdata -j .data -j .rodata -j .dynamic -j .dynsym -j .rel \
		-j .rela -j '.rel.*' -j '.rela.*' -j .reloc --target efi-app-x86_64 --subsystem=10 $< $@.new
	$(Q)mv $@.new $@

# $(call make_esp,IMAGE,OPTIONS): a FAT volume with the loader where firmware looks for one, and the kernel. OPTIONS are
# mformat's: its size and where in IMAGE it lies. Fixed serial number and dates.
MTOOLS_ENV := SOURCE_DATE_EPOCH=946684800 MTOOLS_SKIP_CHECK=1

define make_esp
	$(Q)$(MTOOLS_ENV) mformat -i $(1) -N 50494E46 -v PINFOLD $(2) ::
	$(Q)$(MTOOLS_ENV) mmd -i $(1) ::/EFI ::/EFI/BOOT ::/pinfold
	$(Q)$(MTOOLS_ENV) mcopy -i $(1) $(BUILD)/BOOTX64.EFI ::/EFI/BOOT/BOOTX64.EFI
	$(Q)$(MTOOLS_ENV) mcopy -i $(1) $(BUILD)/ntoskrnl.exe ::/pinfold/ntoskrnl.exe
endef

# What the emulator boots: the bare volume, FAT16 with 2 KiB clusters, 64 MiB.
$(BUILD)/esp.img: $(BUILD)/BOOTX64.EFI $(BUILD)/ntoskrnl.exe scripts/make/boot.mk | $(BUILD)/tools/build
	$(call SAY,IMG,$@)
	$(Q)rm -f $@.new
	$(call make_esp,$@.new,-C -T 131072 -h 64 -s 32 -c 4)
	$(Q)mv $@.new $@

# What a machine boots: a GPT disk of 192 MiB; its one partition, from 1 MiB up, is an ESP: FAT32, as UEFI asks.
$(BUILD)/pinfold.img: $(BUILD)/BOOTX64.EFI $(BUILD)/ntoskrnl.exe scripts/make/boot.mk | $(BUILD)/tools/image
	$(call SAY,IMG,$@)
	$(Q)rm -f $@.new
	$(Q)truncate -s 192M $@.new
	$(Q)sgdisk --clear --disk-guid=50494E46-4F4C-4400-8000-000000000001 --new=1:2048:391167 --typecode=1:EF00 \
		--change-name=1:PINFOLD --partition-guid=1:50494E46-4F4C-4400-8000-000000000002 $@.new >/dev/null
	$(call make_esp,$@.new@@1M,-F -H 2048 -T 389120 -h 64 -s 32 -c 4)
	$(Q)mv $@.new $@

-include $(BOOT_OBJS:.o=.d)
