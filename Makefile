# What a newcomer needs: `make demo`, `make test`. The rest is for who changes fauxtp.
#
# Each target makes the virtual environment .venv if it is not there, and installs into it
# what the target needs; the second time there is nothing left to do. Another interpreter has
# an environment of its own, if it is named as in `make test PYTHON=python3.14`.

PYTHON ?= python3
VENV := $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
SOURCES := pyproject.toml setup.py $(wildcard fauxtp/*.p[xy][dx] fauxtp/*/*.p[xy][dx])

# Tests start hundreds of interpreters, each of which would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test torture coverage mutants sanitize lint docs links bench counts bench-peers
.PHONY: bench-cluster-peers clean

demo: $(VENV)/demo
	@for example in examples/*.py; do echo "== $$example =="; $(BIN)/python $$example || exit 1; done
	@echo "== examples/services =="
	@echo "web services, which need more than fauxtp: each says in its first lines how it is run"

# Processes share the tests: who has none left takes over half of those that another has.
SHARED := --numprocesses=auto --maxprocesses=4 --dist=worksteal
test: export FAUXTP_EXTENSIONS = always
test: $(VENV)/test
	@echo "== all tests, on both twins =="
	$(BIN)/python -m pytest $(SHARED)

# MINUTES for all of it, SEED to replay a run, ONLY for a part of it: make torture ONLY=chaos
MINUTES := 10
torture: export FAUXTP_EXTENSIONS = always
torture: export FAUXTP_TORTURE_MINUTES = $(MINUTES)
torture: export FAUXTP_SEED = $(SEED)
torture: $(VENV)/test
	@echo "== the hostile tests, for $(MINUTES) minutes =="
	$(BIN)/python -m pytest tests/hostile $(if $(ONLY),-k "$(ONLY)")

# The twins in Python; and what chooses between them and the compiled modules.
coverage: export FAUXTP_EXTENSIONS = never
coverage: export FAUXTP_HANDOFF = never
coverage: $(VENV)/test
	@echo "== what the tests leave out of the twins, without hand-off but where a test asks for it =="
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest --quiet -m "not once" $(SHARED)
	FAUXTP_EXTENSIONS=always $(BIN)/coverage run -m pytest --quiet $(SHARED) \
		tests/test_choice.py tests/test_imported_twice.py tests/test_installation.py
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# COUNT of them, SEED to try the same again, FILES below fauxtp/ for those of a part only
COUNT := 200
mutants: $(VENV)/test
	@echo "== whether the tests notice faults, $(COUNT) of them =="
	$(BIN)/python tests/hostile/mutants.py --count $(COUNT) $(if $(SEED),--seed $(SEED)) $(FILES)

sanitize: $(VENV)/test
	@echo "== the compiled modules with sanitizers for addresses and undefined behaviour =="
	$(BIN)/python tests/hostile/sanitize.py

# Modules that are compiled, in part or as a whole; what is made in C has no `__init__`.
COMPILED := fauxtp._registry $(addprefix fauxtp.,_base.coroutines _base.prefixed_names _base.stack _core.calls _hosting.direct _hosting.turns _loops.alarm_heap _messaging.delivery observe.event)
# What nobody can inherit from beside another that is made in C; types have no word for that.
DISJOINT := 'fauxtp\._base\.prefixed_names\.PrefixedNames' 'fauxtp\._loops\.alarm_heap\.Due'
lint: export FAUXTP_EXTENSIONS = always
lint: $(VENV)/dev
	@echo "== style, types, workflows =="
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/pages.py build/pages
	$(BIN)/mypy
	$(BIN)/mypy build/pages
	printf '%s\n' '.*\.__init__' $(DISJOINT) | $(BIN)/stubtest --allowlist=/dev/stdin $(COMPILED)
	$(BIN)/pyright
	PYTHONPATH=. $(BIN)/pyright --pythonpath $(BIN)/python --verifytypes fauxtp --ignoreexternal
	$(BIN)/python -m pytest --quiet tests/test_exports.py
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --no-progress .github

# The twins have the types and the docstrings that the reference shows.
docs links: export FAUXTP_EXTENSIONS = never
docs: $(VENV)/docs
	@echo "== the site, into build/docs =="
	rm -rf build/docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs build/docs
	$(BIN)/python tests/site_links.py build/docs

# Those that lead elsewhere; it asks the network.
links: $(VENV)/docs
	@echo "== the links of the site that lead elsewhere =="
	$(BIN)/sphinx-build --quiet --builder linkcheck docs build/links

bench: export FAUXTP_EXTENSIONS = always
bench: $(VENV)/test
	@echo "== the registry beside a dict; imports, memory, threads; the runtime beside bare asyncio =="
	$(BIN)/python -m pytest bench --benchmark-enable
	$(BIN)/python -m bench.imports
	$(BIN)/python -m bench.size
	$(BIN)/python -m bench.scaling
	$(BIN)/python -m bench.runtime
	$(BIN)/python -m bench.latency
	$(BIN)/python -m bench.timers
	$(BIN)/python -m bench.on_demand
	$(BIN)/python -m bench.web_service
	$(BIN)/python -m bench.groups
	$(BIN)/python -m bench.names
	$(BIN)/python -m bench.cluster_engine
	$(BIN)/python -m bench.cluster

# AGAINST names a commit; what is here may be committed or not.
AGAINST := HEAD
counts: $(VENV)/test
	@echo "== instructions of the runtime's operations, here and at $(AGAINST) =="
	$(BIN)/python -m bench.counts --against $(AGAINST)

# Installs the peers below build/peers. Writes docs/comparison.md and docs/comparison.svg.
bench-peers: export FAUXTP_EXTENSIONS = always
bench-peers: $(VENV)/test
	@echo "== fauxtp beside its peers =="
	$(BIN)/python -m bench.compare

# Installs the peers below build/peers, Ray among them, which is large. Writes a section of
# docs/comparison.md.
bench-cluster-peers: export FAUXTP_EXTENSIONS = always
bench-cluster-peers: $(VENV)/test
	@echo "== fauxtp's clusters beside those of its peers =="
	$(BIN)/python -m bench.compare_clusters

clean:
	rm -rf $(VENV) build dist *.egg-info
	find fauxtp -name '*.so' -delete -o -name '*.c' -delete

$(BIN)/python:
	@echo "== a virtual environment in $(VENV) =="
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("fauxtp needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/demo: $(BIN)/python $(SOURCES)
	@echo "== fauxtp, into $(VENV) =="
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/test: export FAUXTP_EXTENSIONS = always
$(VENV)/test: $(BIN)/python $(SOURCES)
	@echo "== fauxtp with its compiled modules and what the tests need, into $(VENV) =="
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/demo

$(VENV)/docs: $(BIN)/python $(SOURCES)
	@echo "== fauxtp and what makes the site, into $(VENV) =="
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

$(VENV)/dev: export FAUXTP_EXTENSIONS = always
$(VENV)/dev: $(BIN)/python $(SOURCES)
	@echo "== fauxtp and the tools to check it, into $(VENV) =="
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/test $(VENV)/demo
