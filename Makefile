# SPDX-License-Identifier: Apache-2.0
# Short names for what people do; CMake does the work (CMakePresets.json).

PREFIX ?= /usr/local
BUILD := build/release

help:
	@echo 'make demo      install what is missing, build, classify the bundled images'
	@echo 'make test      the same set-up, then every test, and those that read files under sanitizers as well'
	@echo 'make build     the same set-up, then build into $(BUILD)'
	@echo 'make install   copy the library, the command and the bundled model to PREFIX ($(PREFIX))'
	@echo 'make clean     remove build/'

setup:
	@cmake/setup.sh

$(BUILD)/build.ninja: | setup
	cmake --preset release

build: setup $(BUILD)/build.ninja
	cmake --build --preset release

demo: build
	$(BUILD)/bin/convmixer classify share/images

test: build
	cmake --preset asan
	cmake --build --preset asan
	ctest --preset asan -L files
	ctest --preset release

install: build
	cmake --install $(BUILD) --prefix '$(PREFIX)'

clean:
	rm -rf build

.PHONY: help setup build demo test install clean
