# `make` lists the targets. Nothing but a Python >= 3.11 with venv is needed to begin.
.DEFAULT_GOAL := help
.PHONY: help demo test check clean venv lock format bench bench-peers chaos simulate anyio-suite

BIN := .venv/bin
SAMPLE := examples/bookkeeping/sample/2026Q2
STORE := sqlite:///demo.db
CREW := examples.bookkeeping.crew:crew
UV_VENV := .cache/uv

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## install what is needed, process a quarter of bookkeeping, say where to look
	@echo "== 1/2 environment"
	@.ci/bootstrap demo
	@echo "== 2/2 a quarter of bookkeeping: exports and receipts in, VAT overview out"
	@rm -rf demo demo.db demo.db-* demo.db.*
	@$(BIN)/casework run $(CREW) $(SAMPLE) --store $(STORE) --out demo
	@echo
	@echo "The overview:            $(CURDIR)/demo/overview.html"
	@echo "What waits for a person: $(BIN)/casework review list --store $(STORE)"
	@echo "All cases:               $(BIN)/casework cases --store $(STORE)"
	@echo "The story of one case:   $(BIN)/casework show CASE --store $(STORE)"
	@echo "Evidence that is late:   $(BIN)/casework deliver CASE FILE --store $(STORE)"
	@echo "Is the log whole?        $(BIN)/casework verify --store $(STORE)"

test: venv ## run every test
	@$(BIN)/python -m pytest

check: venv ## lint, format, types and layers
	@echo "== ruff check";       $(BIN)/ruff check .
	@echo "== ruff format";      $(BIN)/ruff format --check .
	@echo "== mypy, the houses"; $(BIN)/mypy
	@echo "== mypy, the rest";   $(BIN)/mypy tests benchmarks examples .ci/check_pyright.py
	@echo "== pyright";          $(BIN)/python .ci/check_pyright.py
	@echo "== layers";           $(BIN)/lint-imports --no-cache
	@echo "== check passed"

format: venv ## rewrite the sources as the linter wants them
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

venv: ## make .venv with every tool
	@.ci/bootstrap dev

bench: venv ## run every benchmark, print the tables, write plots and figures (12 minutes; QUICK=1: two)
	@$(BIN)/python benchmarks/run_all.py $(if $(QUICK),--quick) $(ONLY)

bench-peers: venv ## make the environments of the frameworks that the benchmarks compare with
	@$(BIN)/python benchmarks/peers.py

chaos: venv ## kill, stop, cut off and freeze real processes at full size, print what was found (15 minutes)
	@PYTHONPATH=benchmarks $(BIN)/python -m tests.support.chaos_main $(ONLY) $(if $(JSON),--json $(JSON))

simulate: venv ## run 1,000 seeds of a crew (CREW=, SEEDS=); fails when one breaks, or a point is never hit (4 to 10 minutes)
	@timeout --signal=INT 1800 $(BIN)/casework simulate $(CREW) --seeds $(or $(SEEDS),1000) --jobs $(or $(JOBS),2) --all-points

anyio-suite: venv ## run anyio's own tests on the simulation's loop (fetches their sources once)
	@$(BIN)/python .ci/anyio_suite.py

lock: ## write the pinned requirements anew (needs the registry)
	@test -x $(UV_VENV)/bin/uv || { python3 -m venv $(UV_VENV) && $(UV_VENV)/bin/pip install --quiet uv; }
	@echo "hatchling>=1.27" > $(UV_VENV)/build.in
	@$(UV_VENV)/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" --no-annotate \
		--extra pdf --extra otlp --extra serve -o .ci/lock/demo.txt pyproject.toml $(UV_VENV)/build.in
	@$(UV_VENV)/bin/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 \
		--custom-compile-command "make lock" --no-annotate --constraints .ci/lock/demo.txt \
		--all-extras --group dev -o .ci/lock/dev.txt pyproject.toml
	@echo "locked: see .ci/lock"

clean: ## remove what the targets above made
	rm -rf .venv .cache demo demo.db demo.db-* demo.db.* build dist
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
