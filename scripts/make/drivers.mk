# Drivers under test: tests/drivers/NAME/*.c makes NAME.sys and tests/tour/*.c makes tour.sys. They see the driver kit's
# headers and import libraries alone, as a driver built anywhere else does.
DRIVER_FOLDERS := $(patsubst %/,%,$(sort $(dir $(wildcard tests/drivers/*/*.c tests/tour/*.c))))
DRIVERS        := $(patsubst %,$(BUILD)/%.sys,$(notdir $(DRIVER_FOLDERS)))
DRIVER_LIBS    := /usr/x86_64-w64-mingw32/lib

define DRIVER_RULE
$(BUILD)/$(notdir $(1)).sys: $(patsubst %.c,$(BUILD)/obj/%.o,$(sort $(wildcard $(1)/*.c)))
DRIVER_OBJS += $(patsubst %.c,$(BUILD)/obj/%.o,$(wildcard $(1)/*.c))
endef
DRIVER_OBJS :=
$(foreach folder,$(DRIVER_FOLDERS),$(eval $(call DRIVER_RULE,$(folder))))

$(DRIVER_OBJS): $(BUILD)/obj/%.o: %.c scripts/make/flags.mk | $(BUILD)/tools/build
	@mkdir -p $(@D)
	$(call SAY,CC,$<)
	$(Q)$(CC_KERNEL) $(DRIVER_CFLAGS) -MMD -MP -c $< -o $@

# Clang makes global copies of two inline functions of the driver kit in every object: any one of them will do.
$(DRIVERS): scripts/make/drivers.mk
	$(call SAY,LD,$@)
	$(Q)$(LD_KERNEL) -shared --subsystem native -e DriverEntry --dynamicbase --nxcompat --enable-reloc-section \
		--no-insert-timestamp --allow-multiple-definition -o $@ $(filter %.o,$^) -L$(DRIVER_LIBS) -lntoskrnl -lhal

-include $(DRIVER_OBJS:.o=.d)
