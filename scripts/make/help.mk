# help: each documented target carries `## text` behind its colon line in targets.mk.
.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' scripts/make/help.mk scripts/make/targets.mk | expand -t 24
