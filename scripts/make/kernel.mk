# ntoskrnl.exe: a PE32+ image, linked by GNU ld with linker.ld. With FREE=1 the free build, assertions compiled out, in
# build/free/: what `make bench` measures. Everything else uses the checked build.
KERNEL_OUT := $(BUILD)$(if $(FREE),/free)

KERNEL_C    := $(sort $(wildcard kernel/*.c kernel/*/*.c mm/*.c io/*.c io/ldr/*.c io/tracker/*.c tests/lib/*.c \
	tests/rtl/*.c tests/ke/*.c tests/mm/*.c tests/io/*.c))
KERNEL_ASM  := $(sort $(wildcard kernel/amd64/*.asm tests/ke/*.asm))
KERNEL_OBJS := $(KERNEL_C:%.c=$(KERNEL_OUT)/obj/%.o) $(KERNEL_ASM:%.asm=$(KERNEL_OUT)/obj/%.obj) \
	$(KERNEL_OUT)/obj/gen/bindings.o

$(KERNEL_OUT)/obj/%.o: %.c scripts/make/flags.mk | $(BUILD)/tools/build
	@mkdir -p $(@D)
	$(call SAY,CC,$<)
	$(Q)$(CC_KERNEL) $(KERNEL_CFLAGS) -MMD -MP -c $< -o $@

$(KERNEL_OUT)/obj/%.obj: %.asm | $(BUILD)/tools/build
	@mkdir -p $(@D)
	$(call SAY,NASM,$<)
	$(Q)$(NASM) $(NASM_FLAGS) -I ./ -MD $(@:.obj=.d) -MP $< -o $@

# io/exports.def is the one list of exports: it makes the binding tables and the image's export directory.
$(BUILD)/gen/bindings.c $(BUILD)/gen/ntoskrnl.def &: io/exports.def scripts/exports.py | $(BUILD)/tools/build
	@mkdir -p $(BUILD)/gen
	$(Q)/usr/bin/python3 scripts/exports.py io/exports.def $(BUILD)/gen/bindings.c $(BUILD)/gen/ntoskrnl.def

$(KERNEL_OUT)/obj/gen/bindings.o: $(BUILD)/gen/bindings.c
	@mkdir -p $(@D)
	$(call SAY,CC,$<)
	$(Q)$(CC_KERNEL) $(KERNEL_CFLAGS) -MMD -MP -c $< -o $@

# Written aside and renamed: a run that has the old image open keeps it.
$(KERNEL_OUT)/ntoskrnl.exe: $(KERNEL_OBJS) linker.ld $(BUILD)/gen/ntoskrnl.def
	$(call SAY,LD,$@)
	$(Q)$(LD_KERNEL) -T linker.ld -e KiSystemStartup --subsystem native --image-base 0x140000000 --dynamicbase \
		--nxcompat --enable-reloc-section --no-insert-timestamp -Map $(KERNEL_OUT)/ntoskrnl.map \
		-o $@.new $(KERNEL_OBJS) $(BUILD)/gen/ntoskrnl.def
	$(Q)mv $@.new $@

-include $(addsuffix .d,$(basename $(KERNEL_OBJS)))
