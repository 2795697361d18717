# Two commands: `make demo` shows it, `make test` proves it. Both set up what they need, once.
VENV := .venv
ENVIRONMENTS := .venvs
CLIENTS := $(patsubst requirements/client-%.txt,client-%,$(wildcard requirements/client-*.txt))
# Claude Code is a caller too, where npm is there to install it.
CLIENTS += $(if $(shell command -v npm),client-claude-code)
PYTHON_BIN := $(VENV)/bin/python
# Tests run in parallel: one more than there are cores, since many wait, and no wider than 4.
PYTEST := $(PYTHON_BIN) -m pytest -p tests.plugins.no_skips
PARALLEL := -n $(shell n=$$(getconf _NPROCESSORS_ONLN); [ $$n -ge 4 ] && echo 4 || echo $$((n + 1)))
CODE := gateway tests scripts

# Histories to live through, first:end, and how many steps each has.
SEEDS ?= 0:200
STEPS ?= 200

.PHONY: simulate mutants help demo test check format lint types floors unit chaos emergency bench bench-ledger lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the gateway on embedded parts, with traffic to look at; no account needed"
	@echo "make test    everything, from nothing"
	@echo "make check   format, lint, types, floors, unit tests: under a minute"
	@echo "make chaos   kills, partitions, slow and lying peers, at length; prints the three books"
	@echo "make emergency  200 emergency stops, measured from outside; prints the distribution"
	@echo "make bench   what the gateway costs per call"
	@echo "make bench-ledger  Redis's processor time for one reserve and one post"
	@echo "make simulate SEEDS=0:1000   the ledger's laws in simulated histories (docs/simulation.md)"
	@echo "make mutants which seeded defects the quick tests find (half an hour)"
	@echo "make lock    pin the requirements anew (needs uv)"
	@echo "make clean   remove environments and caches"

demo: $(VENV)/.runtime $(ENVIRONMENTS)/emulators/.installed
	$(VENV)/bin/bedrock-gateway demo $(DEMO_FLAGS)

test: $(VENV)/.dev $(ENVIRONMENTS)/emulators/.installed $(ENVIRONMENTS)/emulator-moto/.installed $(ENVIRONMENTS)/tool-schemathesis/.installed $(CLIENTS:%=$(ENVIRONMENTS)/%/.installed)
	@# What failed is run once more, alone: a busy machine's pause is no defect, a real one stays.
	$(PYTEST) $(PARALLEL) || $(PYTEST) -p no:randomly --last-failed --last-failed-no-failures none

check: format lint types floors unit

format: $(VENV)/.dev
	$(PYTHON_BIN) -m ruff format --check $(CODE)

lint: $(VENV)/.dev
	$(PYTHON_BIN) -m ruff check $(CODE)

types: $(VENV)/.dev
	$(PYTHON_BIN) -m mypy

floors: $(VENV)/.dev
	$(VENV)/bin/lint-imports

unit: $(VENV)/.dev $(ENVIRONMENTS)/emulators/.installed
	@# What starts a DynamoDB API or whole commands is left to `make test`: this must stay quick.
	$(PYTEST) $(PARALLEL) --quiet -p tests.plugins.quick_laws tests/unit tests/architecture \
	    --ignore=tests/unit/adapters/dynamodb --ignore=tests/unit/cli --ignore=tests/unit/sandbox

chaos: $(VENV)/.dev $(ENVIRONMENTS)/emulators/.installed
	CHAOS=long $(PYTEST) -p no:randomly tests/chaos $(CHAOS_FLAGS)

emergency: $(VENV)/.dev $(ENVIRONMENTS)/emulators/.installed
	CHAOS=long $(PYTEST) -p no:randomly tests/chaos/test_emergency_stop.py

bench: $(VENV)/.dev $(ENVIRONMENTS)/emulators/.installed
	$(PYTHON_BIN) tests/benchmarks/bench.py

bench-ledger: $(VENV)/.dev
	$(PYTHON_BIN) tests/benchmarks/ledger_cpu.py

simulate: $(VENV)/.dev
	$(PYTHON_BIN) -m tests.simulation.run $(SEEDS) --steps $(STEPS)

mutants: $(VENV)/.dev $(ENVIRONMENTS)/emulators/.installed
	$(PYTHON_BIN) -m tests.mutants.ledger_mutants
	$(PYTHON_BIN) -m tests.mutants.examine

lock:
	scripts/lock

clean:
	rm -rf $(VENV) $(ENVIRONMENTS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find gateway tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made again when its lock file changes. The development lock holds the runtime.
$(VENV)/.runtime: requirements/runtime.txt scripts/setup scripts/install-command
	scripts/setup $(VENV) $<
	scripts/install-command $(VENV)
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	scripts/setup $(VENV) $<
	@touch $@

# What cannot be installed is not tested, and tests/clients says so above its results.
$(ENVIRONMENTS)/client-claude-code/.installed: $(addprefix tests/clients/claude_code/,package.json package-lock.json .npmrc)
	mkdir -p $(@D)
	cp $^ $(@D)
	npm ci --prefix $(@D) --no-audit --no-fund --loglevel=error && touch $@ || rm -rf $(@D)/node_modules

$(ENVIRONMENTS)/%/.installed: requirements/%.txt scripts/setup
	scripts/setup $(ENVIRONMENTS)/$* $<
	@touch $@
