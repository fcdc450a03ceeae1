# Everything is built below $(BUILD) and installed in the virtual environment $(VENV); both may be
# set, as may PYTHON, the Python to build for; without it that of $(VENV) stays.
VENV ?= .venv
ifndef PYTHON
PYTHON := $(shell tools/find_python.sh $(VENV))
endif
BUILD ?= build
BIND ?= 127.0.0.1:8000
APP ?= hello
TIME ?= 60
SOAK ?= 3600
RELOADS ?= 1000
COUNT ?= 5000
# Tests wait more than they compute.
JOBS ?= 6
WERROR ?= false
SANITIZE ?= none
PORTABLE ?= false
STACKS ?= watched
SELECT ?=
ARGS ?=
APPS ?=
CASES ?=
# How many of the worker classes each test runs with, gthread among them: see
# tests/helpers/sample.py. Before a release: 9, which is all.
WORKERS ?= 3
# The packages that tests need: testing, or testing-core for those without frameworks.
TESTING ?= testing

export PIP_DISABLE_PIP_VERSION_CHECK = 1

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
ifeq ($(VERSION),)
$(error no usable Python: make PYTHON=/path/to/python3)
endif

BIN = $(VENV)/bin
WITH_PATH = PATH="$(abspath $(BIN)):$$PATH"
PIP = $(WITH_PATH) $(BIN)/python -m pip
MESON = $(WITH_PATH) $(BIN)/meson
READY = $(VENV)/.ready-$(VERSION)
INSTALLED = $(VENV)/.installed
SOURCES = $(shell find src gunicorn packaging -type f ! -name '*.pyc') \
          meson.build meson.options pyproject.toml tools/package_files.py

SETUP = -Dwerror=$(WERROR)
ifeq ($(PORTABLE),true)
SETUP += -Dportable=true
endif
ifneq ($(SANITIZE),none)
SETUP += -Db_sanitize=$(SANITIZE) -Db_lto=false -Db_lundef=false -Dbuildtype=debugoptimized
endif
# Greenlets copy stacks, of which AddressSanitizer then believes that frames are where others are.
ifeq ($(STACKS),unwatched)
SETUP += -Dc_args=--param=asan-stack=0
endif
PIP_SETUP = $(foreach option,$(SETUP),--config-settings=setup-args=$(option))

# What is built without Python: many programs, each linked in no time.
PLAIN_SETUP = -Dextension=false -Dbuildtype=debugoptimized -Db_lto=false

# The wheel that is installed here; the tests of installing have it, too.
BUILT = $(BUILD)/installed

# An interpreter without the sanitizer needs its library loaded first. Python's own leaks at exit
# are not ours to report; its allocator is bypassed so that each object is watched. A worker that is
# told to end at once waits for none of its threads: a leak only to a sanitizer. ThreadSanitizer would
# sleep for a second at each exit, longer than graceful_timeout leaves to a worker in some tests.
#
# A worker that crashes is to die of the signal, as tests of that want it. Every wait of the tests has
# four times as long.
PATIENT = GUNICORN_TEST_TIMEOUT=60 PYTEST_TIMEOUT=1200
ifneq ($(filter address%,$(SANITIZE)),)
WATCHED = $(PATIENT) LD_PRELOAD="$$(cc -print-file-name=libasan.so) $$(cc -print-file-name=libubsan.so)" \
          ASAN_OPTIONS=detect_leaks=0:handle_segv=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONMALLOC=malloc
endif
ifneq ($(filter thread%,$(SANITIZE)),)
WATCHED = $(PATIENT) LD_PRELOAD="$$(cc -print-file-name=libtsan.so)" \
          TSAN_OPTIONS="die_after_fork=0 report_thread_leaks=0 handle_segv=0 atexit_sleep_ms=0 suppressions=$(abspath tools/tsan.supp) print_suppressions=0 history_size=7"
endif

# The tests that are about them, by their names.
GREENLETS = gevent or eventlet or greenlet

# CI has the sanitizers watch these beside the C tests, each time with threads: bytes of clients and
# applications under the first two, hand-overs between threads and processes under the third.
MEMORY = $(patsubst %,tests/server/test_%.py,connection http1 limits wsgi_answers wsgi_environ wsgi_files wsgi_input) \
         tests/attack/test_reentrant_application.py
RACES = $(patsubst %,tests/server/test_%.py,concurrency deadlines slow_clients standby stopping) \
        tests/process/test_dispatch.py tests/attack/test_memory_budget.py \
        tests/server/test_http2.py tests/attack/test_hostile_http2.py::test_half_closes

.PHONY: help run build test test-control unit pytest tls tls-system compare asan tsan sanitized valgrind autobahn faults fuzz portable cross testssl soak siege scribble side-by-side bench instructions picture lint format wheel wheels cross-wheels sdist wheel-test deploy-check docs clean
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

$(READY):
	tools/prerequisites.sh $(PYTHON) build
	rm -rf $(BUILD)/wheel $(BUILD)/unit
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install -q --upgrade pip 'meson-python>=0.17' 'meson>=1.3' ninja
	touch $@

$(INSTALLED): $(READY) $(SOURCES)
	rm -rf $(BUILT)
	$(PIP) wheel -q --no-build-isolation --no-deps --config-settings=build-dir=$(BUILD)/wheel $(PIP_SETUP) \
	    -w $(BUILT) .
	$(PIP) install -q --force-reinstall --no-deps $(BUILT)/*.whl
	touch $@

$(VENV)/.testing: $(INSTALLED)
	$(PIP) install -q --no-compile "$$(echo $(BUILT)/*.whl)[$(TESTING)]"
	touch $@

$(VENV)/.lint: $(READY) tools/lint-requirements.txt
	$(PIP) install -q -r tools/lint-requirements.txt
	touch $@

$(VENV)/.cross: $(READY) tools/cross-requirements.txt
	$(PIP) install -q -r tools/cross-requirements.txt
	touch $@

$(VENV)/.release: $(READY) tools/release-requirements.txt
	$(PIP) install -q -r tools/release-requirements.txt
	touch $@

build: $(INSTALLED) ## Build the server and install it in .venv

run: build ## Build, and serve an example on 127.0.0.1:8000 (BIND=, APP=hello or chat)
	test ! -f examples/$(APP)/requirements.txt || $(PIP) install -q -r examples/$(APP)/requirements.txt
	@echo
	@echo "The example application: http://$(BIND)/"
	@echo "Try it:  curl http://$(BIND)/     or open that address in a browser; Ctrl-C ends it."
	@echo
	exec $(BIN)/gunicorn -c examples/$(APP)/gunicorn.conf.py --chdir examples/$(APP) \
	    --bind $(BIND) $(ARGS) $(APP):app

test: unit pytest ## Build, and run all the tests

unit: $(READY) ## Build, and run the C tests
	tools/prerequisites.sh $(PYTHON) build test
	test -f $(BUILD)/unit/build.ninja || \
	    $(MESON) setup $(BUILD)/unit $(PLAIN_SETUP) -Dtests=enabled $(SETUP)
	$(MESON) test -C $(BUILD)/unit --print-errorlogs

pytest: $(VENV)/.testing ## Build, and run the tests in Python (SELECT="tests/server -k sync")
	tools/prerequisites.sh $(PYTHON) build pytest
	GUNICORN_WHEEL="$$(echo $(abspath $(BUILT))/*.whl)" $(WATCHED) $(BIN)/pytest -n $(JOBS) --dist worksteal --workers $(WORKERS) $(SELECT) $(ARGS)

tls: $(VENV)/.testing ## Run the behaviour tests over TLS
	$(WATCHED) $(BIN)/pytest -n $(JOBS) --tls $(ARGS) tests/server

tls-system: $(VENV)/.testing ## Run the tests of TLS with the system's OpenSSL in place of Python's
	GUNICORN_OPENSSL=system $(BIN)/pytest -n $(JOBS) $(ARGS) tests/server/test_tls.py tests/server/test_tls_certificates.py \
	    tests/config/test_certificates.py tests/attack/test_hostile_tls.py

compare: $(VENV)/.testing ## Compare with gunicorn, and ASGI with uvicorn: COUNT=5000 requests, configurations, signals
	test -f $(BUILD)/unit/build.ninja || $(MESON) setup $(BUILD)/unit $(PLAIN_SETUP) $(SETUP)
	$(MESON) compile -C $(BUILD)/unit parse_cli
	test -x $(VENV)-original/bin/gunicorn || { $(PYTHON) -m venv --clear $(VENV)-original && \
	    $(VENV)-original/bin/pip install -q gunicorn==27.0.1; }
	$(BIN)/python tests/differential/compare_http1.py --gunicorn $(VENV)-original \
	    --cli $(BUILD)/unit/tests/differential/parse_cli --count $(COUNT)
	GUNICORN_ORIGINAL=$(abspath $(VENV)-original/bin/gunicorn) \
	GUNICORN_REFERENCE=$(abspath $(VENV)-original) GUNICORN_DIFFERENTIAL_COUNT=$(COUNT) \
	    $(BIN)/pytest -n $(JOBS) --timeout 1800 $(ARGS) tests/compare \
	    tests/server/test_differential.py tests/config/test_print_config.py tests/config/test_names.py

deploy-check: $(VENV)/.testing ## Run the files of deploy/, and check those that cannot run here
	tools/prerequisites.sh $(PYTHON) build pytest
	$(BIN)/pytest $(ARGS) tests/deploy

asan: ## Run all the tests with AddressSanitizer and UBSan, or those of SELECT= without greenlets
	$(MAKE) test VENV=$(VENV)-asan BUILD=$(BUILD)/asan SANITIZE=address,undefined JOBS=2 \
	    SELECT="-k 'not ($(GREENLETS))' $(SELECT)"
	$(if $(SELECT),,$(MAKE) pytest VENV=$(VENV)-asan-greenlets BUILD=$(BUILD)/asan-greenlets \
	    SANITIZE=address,undefined STACKS=unwatched JOBS=2 SELECT="-k '$(GREENLETS)'")

tsan: ## Run all the tests with ThreadSanitizer
	$(MAKE) test VENV=$(VENV)-tsan BUILD=$(BUILD)/tsan SANITIZE=thread JOBS=2

sanitized: ## Run the C tests and a chosen part of the others with each sanitizer
	$(MAKE) test VENV=$(VENV)-asan BUILD=$(BUILD)/asan SANITIZE=address,undefined TESTING=testing-core \
	    SELECT="$(MEMORY) -k gthread"
	$(MAKE) test VENV=$(VENV)-tsan BUILD=$(BUILD)/tsan SANITIZE=thread TESTING=testing-core \
	    SELECT="$(RACES) -k gthread"

valgrind: $(VENV)/.testing ## Run the engine without Python under valgrind
	tools/prerequisites.sh $(PYTHON) build test valgrind
	test -f $(BUILD)/unit/build.ninja || $(MESON) setup $(BUILD)/unit $(PLAIN_SETUP) -Dtests=enabled
	$(MESON) compile -C $(BUILD)/unit echo
	ECHO=$(abspath $(BUILD)/unit/src/demo/echo) $(BIN)/pytest -n 2 $(ARGS) tests/faults/test_valgrind.py

autobahn: $(INSTALLED) ## Run Autobahn's WebSocket cases, SERVER=gunicorn or echo (CASES="1.* 7.*", PYTHON2=)
	tools/prerequisites.sh $(PYTHON) build
	test -f $(BUILD)/unit/build.ninja || $(MESON) setup $(BUILD)/unit $(PLAIN_SETUP) -Dtests=enabled
	$(MESON) compile -C $(BUILD)/unit echo
	$(BIN)/python tools/autobahn.py $(if $(filter echo,$(SERVER)),$(BUILD)/unit/src/demo/echo,$(BIN)/gunicorn) \
	    $(BUILD)/autobahn $(foreach case,$(CASES),'$(case)')

faults: $(VENV)/.testing ## Have each call of the system fail, with every error, at several places
	FAULTS=all $(BIN)/pytest -n 2 $(ARGS) tests/faults/test_refused.py

fuzz: $(VENV)/.testing ## Run each fuzz target for TIME=60 seconds
	tools/prerequisites.sh $(PYTHON) build fuzz
	test -f $(BUILD)/fuzz/build.ninja || CC=$$(tools/find_clang.sh) $(MESON) setup $(BUILD)/fuzz \
	    -Dfuzz=true -Db_lto=false -Db_lundef=false -Dbuildtype=debugoptimized
	$(MESON) compile -C $(BUILD)/fuzz
	tools/run_fuzz.sh $(BUILD)/fuzz $(TIME) $(BIN)/python

portable: ## Run the C tests without the calls that only Linux has
	$(MAKE) unit BUILD=$(BUILD)/portable PORTABLE=true

cross: $(VENV)/.cross ## Compile the C code for other platforms (ARGS="aarch64-linux-musl")
	tools/prerequisites.sh $(PYTHON) build
	$(WITH_PATH) $(BIN)/python tools/cross_compile.py $(BUILD)/cross $(ARGS)

testssl: $(VENV)/.testing ## Have testssl.sh try all it knows against TLS
	tools/prerequisites.sh $(PYTHON) testssl
	TESTSSL=1 $(BIN)/pytest tests/server/test_testssl.py -k gthread

.PHONY: h2spec
h2spec: $(VENV)/.testing ## Have h2spec (by Go) check HTTP/2 of each worker class
	tools/prerequisites.sh $(PYTHON) build
	$(BIN)/python tools/h2spec.py $(BUILD)/h2spec $(ARGS)

test-control: $(VENV)/.testing ## The control socket over RELOADS=1000 reloads
	CONTROL_RELOADS=$(RELOADS) $(BIN)/pytest --timeout=0 -k leaks $(ARGS) tests/process/test_control.py

soak: $(VENV)/.testing ## Random signals, kills, reloads and upgrades under load, SOAK=3600 seconds
	$(BIN)/python tests/process/soak.py --seconds $(SOAK) $(ARGS)

siege: $(VENV)/.testing ## All attacks at once beside an honest client, SOAK=3600 seconds
	$(BIN)/python tests/attack/siege.py --seconds $(SOAK) $(ARGS)

scribble: $(VENV)/.testing ## A worker writes over all that it shares, for TIME=60 seconds
	ATTACK_SECONDS=$(TIME) $(BIN)/pytest -n 2 $(ARGS) tests/attack/test_hostile_worker.py

side-by-side: $(INSTALLED) ## Published applications on gunicorn and on this (APPS="wagtail trac")
	tools/prerequisites.sh $(PYTHON) build
	$(BIN)/python tools/side_by_side $(BUILT)/*.whl $(APPS) $(ARGS)

bench: $(INSTALLED) ## Compare with nginx and other Python servers (ARGS=--help)
	tools/prerequisites.sh $(PYTHON) build bench
	$(PIP) install -q 'gevent>=24.10.1' eventlet tornado uvloop fastapi
	$(BIN)/python bench/run.py $(ARGS)

.PHONY: bench-gateways
bench-gateways: $(INSTALLED) ## Compare what uwsgi, FastCGI and PROXY headers cost beside HTTP
	tools/prerequisites.sh $(PYTHON) build
	$(BIN)/python bench/gateways.py $(ARGS)

.PHONY: bench-websocket
bench-websocket: $(INSTALLED) ## Compare what WebSockets cost in ASGI servers (ARGS=--help)
	tools/prerequisites.sh $(PYTHON) build
	$(BIN)/python bench/websocket.py $(ARGS)

instructions: $(INSTALLED) ## Count the instructions of a request (ARGS="--against OTHER/.venv")
	tools/prerequisites.sh $(PYTHON) build valgrind
	test -f $(BUILD)/release/build.ninja || $(MESON) setup $(BUILD)/release -Dextension=false
	$(MESON) compile -C $(BUILD)/release echo
	$(BIN)/python bench/instructions.py --echo $(BUILD)/release/src/demo/echo $(ARGS)

picture: ## Draw a benchmark's result: RESULT=bench/results/….json into docs/bench.svg
	test -x $(VENV)-plot/bin/python || { $(PYTHON) -m venv --clear $(VENV)-plot && \
	    $(VENV)-plot/bin/pip install -q 'matplotlib==3.10.*'; }
	$(VENV)-plot/bin/python bench/plot.py $(RESULT) docs/bench.svg

docs: ## Build the site from docs/ in build/site; a broken link is an error
	test -x $(VENV)-docs/bin/sphinx-build || { $(PYTHON) -m venv --clear $(VENV)-docs && \
	    $(VENV)-docs/bin/pip install -q -r tools/docs-requirements.txt; }
	$(VENV)-docs/bin/sphinx-build -q -n -W --keep-going -d build/site-cache docs build/site

lint: $(VENV)/.lint ## Check the layers, the words, the layout, and the Python code with its types
	$(BIN)/python tools/check_layers.py
	$(BIN)/python tools/check_words.py
	git ls-files '*.c' '*.h' | xargs $(BIN)/clang-format --dry-run --Werror
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.lint ## Lay out the C and the Python code
	git ls-files '*.c' '*.h' | xargs $(BIN)/clang-format -i
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

MAKE_SHIM = $(BIN)/python tools/make_shim.py "$$(sed -n "s/^  version: '\(.*\)',/\1/p" meson.build)" dist

# A wheel says by its tag which C library it needs: the one of this machine or newer.
wheel: $(VENV)/.release ## Build a wheel for this Python in dist/
	rm -rf $(BUILD)/raw
	$(PIP) wheel -q --no-build-isolation --no-deps --config-settings=build-dir=$(BUILD)/wheel \
	    -w $(BUILD)/raw .
	$(WITH_PATH) $(BIN)/auditwheel repair -w dist $(BUILD)/raw/*.whl
	$(MAKE_SHIM)

# One machine builds all; each Python in an environment of its own.
wheels: $(VENV)/.cross ## Build wheels for glibc and musl, x86-64 and aarch64, in dist/ by ziglang
	tools/prerequisites.sh $(PYTHON) build wheels
	tools/wheel_sources.sh $(BUILD)/wheels/sources
	tools/list_pythons.sh newest | while read -r version python; do \
	    $(MAKE) cross-wheels PYTHON=$$python VENV=$(VENV)-wheels-$$version ZIG_PYTHON=$(abspath $(BIN)/python) </dev/null || exit; \
	done
	$(MAKE_SHIM)

cross-wheels: $(VENV)/.release
	$(WITH_PATH) $(BIN)/python tools/cross_wheels.py $(BUILD)/wheels/sources $(BUILD)/wheels dist $(ARGS)

sdist: $(VENV)/.release ## Pack the sources of the last commit in dist/
	$(WITH_PATH) $(BIN)/python -m build -q --sdist --no-isolation -o dist .

wheel-test: ## Build and try a wheel for each Python of this machine, and the sdist
	tools/try_wheels.sh

clean: ## Remove what was built, the virtual environments included
	rm -rf build build-* dist .venv .venv-*
