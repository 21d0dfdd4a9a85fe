# The tools that a target needs, checked (and installed, see scripts/tools.sh) before anything is built.
# One file per set in build/tools/; delete build/ and the check runs again.
BUILD := build

$(BUILD)/tools/%: scripts/tools.sh
	@mkdir -p $(BUILD)/tools
	@sh scripts/tools.sh $*
	@touch $@
