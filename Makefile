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

# Configured each time: that takes a second, and sees what has been installed since.
build: setup
	cmake --preset release
	cmake --build --preset release

demo: build
	$(BUILD)/bin/convmixer classify share/images

test: build
	ctest --preset release
	cmake --preset asan
	cmake --build --preset asan --target file_tests
	ctest --preset asan -L files --no-tests=error

install: build
	cmake --install $(BUILD) --prefix '$(PREFIX)'

clean:
	rm -rf build

.PHONY: help setup build demo test install clean
