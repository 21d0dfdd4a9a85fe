# Pinfold: everything is built into build/, with no step that downloads anything but Debian packages.
# `make help` lists the targets; docs/ tells the rest.

MAKEFLAGS += --no-builtin-rules
SHELL     := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:
.DEFAULT_GOAL := all

include scripts/make/help.mk
include scripts/make/tools.mk
include scripts/make/flags.mk
include scripts/make/boot.mk
include scripts/make/kernel.mk
include scripts/make/drivers.mk
include scripts/make/targets.mk
