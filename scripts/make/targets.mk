# What users type. A `##` text makes a line of `make help`.
.PHONY: all run test debug list image lint bench ci clean

# The biggest set of tools that the goals need is installed first, in one go; the smaller checks then find all there.
GOAL_SETS := $(if $(filter ci,$(MAKECMDGOALS)),ci)
GOAL_SETS += $(if $(filter test,$(MAKECMDGOALS)),test)
GOAL_SETS += $(if $(filter lint,$(MAKECMDGOALS)),lint)
GOAL_SETS += $(if $(filter debug,$(MAKECMDGOALS)),debug)
GOAL_SETS += $(if $(filter run list bench,$(MAKECMDGOALS)),run)
GOAL_SETS += $(if $(filter image,$(MAKECMDGOALS)),image)
FIRST_SET := $(firstword $(GOAL_SETS))
ifneq ($(FIRST_SET),)
$(filter-out $(BUILD)/tools/$(FIRST_SET),$(patsubst %,$(BUILD)/tools/%,build run debug test lint image ci)): \
	| $(BUILD)/tools/$(FIRST_SET)
endif

PYTHON  := PYTHONPYCACHEPREFIX=$(BUILD)/pycache /usr/bin/python3
PINFOLD := scripts/pinfold
BOOTS   := $(BUILD)/esp.img $(BUILD)/ntoskrnl.exe

all: $(BUILD)/BOOTX64.EFI $(BOOTS) $(DRIVERS) ## build everything into build/

run: $(BOOTS) $(BUILD)/tour.sys | $(BUILD)/tools/run ## the tour: four questions answered on live page tables
	$(PINFOLD) run --cpus 4 --memory 512M --cmdline tlb=strict $(BUILD)/tour.sys

debug: $(BOOTS) $(BUILD)/tour.sys | $(BUILD)/tools/debug ## the tour stopped at the kernel's entry, with gdb attached
	$(PINFOLD) debug $(BUILD)/tour.sys

image: $(BUILD)/pinfold.img | $(BUILD)/tools/image ## a GPT disk that boots on any UEFI machine

list: $(BOOTS) | $(BUILD)/tools/run ## names of all in-kernel tests
	@$(PINFOLD) list

test: all | $(BUILD)/tools/test ## every test: on the host, in the kernel, drivers
	@$(PYTHON) scripts/lib/suite.py $(BUILD)/junit.xml tests/unit tests/host

bench: $(BOOTS) | $(BUILD)/tools/run ## instructions per operation of the free build, the same on every run
	@$(MAKE) --no-print-directory FREE=1 $(BUILD)/free/ntoskrnl.exe
	@$(PINFOLD) bench --kernel $(BUILD)/free/ntoskrnl.exe

LINT_C := $(sort $(wildcard boot/*.[ch] kernel/*.[ch] kernel/*/*.[ch] mm/*.[ch] io/*.[ch] io/*/*.[ch] tests/*/*.[ch] \
	tests/drivers/*/*.[ch]))

lint: lint-format lint-scripts lint-tidy lint-cppcheck all ## format, warnings, clang-tidy, cppcheck, layers, style

.PHONY: lint-format lint-scripts lint-tidy lint-cppcheck
lint-format: | $(BUILD)/tools/lint
	$(Q)clang-format --dry-run -Werror $(LINT_C)

lint-scripts: | $(BUILD)/tools/lint
	$(PYTHON) scripts/checklayers.py
	$(PYTHON) scripts/checkstyle.py

# One stamp a file: what did not change, its headers included, is not looked at again.
lint-tidy: $(KERNEL_C:%.c=$(BUILD)/lint/%.tidy)
$(BUILD)/lint/%.tidy: %.c $(BUILD)/obj/%.o .clang-tidy | $(BUILD)/tools/lint
	@mkdir -p $(@D)
	$(call SAY,TIDY,$<)
	$(Q)clang-tidy --quiet $< -- $(KERNEL_CFLAGS)
	@touch $@

lint-cppcheck: | $(BUILD)/tools/lint
	cppcheck --quiet --error-exitcode=1 --std=c11 --platform=win64 --inline-suppr --enable=warning,portability \
		--suppressions-list=scripts/cppcheck.txt -I. $(KERNEL_C)

ci: | $(BUILD)/tools/ci ## what .ci/run runs
	$(MAKE) lint
	$(MAKE) bench
	$(MAKE) test

clean: ## remove build/
	rm -rf $(BUILD)
