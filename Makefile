# SPDX-License-Identifier: Apache-2.0
# Short names for what people do; CMake does the work (CMakePresets.json).

PREFIX ?= /usr/local
BUILD := build/release
PEERS := build/peers-venv
CTEST := ctest -j $(shell nproc)

help:
	@echo 'make demo      install what is missing, build, classify the bundled images'
	@echo 'make test      the same set-up, then every test, and those that read files under sanitizers as well'
	@echo 'make build     the same set-up, then build into $(BUILD)'
	@echo 'make install   copy the library, the command and the bundled model to PREFIX ($(PREFIX))'
	@echo 'make bench     build, measure everything (half an hour; needs python3-venv), rewrite docs/performance.md'
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
	$(CTEST) --preset release
	cmake --preset asan
	cmake --build --preset asan --target file_tests
	$(CTEST) --preset asan -L files --no-tests=error

# Layers, models, other runtimes, and then the report. Leave the machine alone meanwhile.
bench: build $(PEERS)/installed
	mkdir -p build/bench
	$(BUILD)/bin/bench_kernels --benchmark_repetitions=5 --benchmark_min_time=0.1 \
	  --benchmark_report_aggregates_only=true --benchmark_out_format=json --benchmark_out=build/bench/kernels.json
	$(PEERS)/bin/python bench/bench_model.py
	$(PEERS)/bin/python bench/peers/run.py
	$(PEERS)/bin/python bench/report.py

$(PEERS)/installed: bench/peers/requirements.txt
	python3 -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --requirement bench/peers/requirements.txt
	touch $@

install: build
	cmake --install $(BUILD) --prefix '$(PREFIX)'

clean:
	rm -rf build

.PHONY: help setup build demo test bench install clean
