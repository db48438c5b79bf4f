# Every target sets up what it needs: a machine needs only Python 3.11 to 3.13 and make.
PYTHON ?= python3
MINUTES ?= 10
RUNS ?= 3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo test expected bench bench-peers soak lint audit package samples docs lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv, find or fetch Terraform, find its AWS provider
	@$(PYTHON) scripts/bootstrap.py

demo: setup ## Bring up the local stack, upload sample inputs, show the predictions
	@$(BIN)/python scripts/demo.py

test: setup ## Run every test: Python, Terraform, end to end
	@$(BIN)/python scripts/run_tests.py

expected: setup ## Rewrite the files that tests compare with, and show the difference
	@$(BIN)/python scripts/expected.py

bench: setup ## Measure cold starts, warm calls and memory against baselines
	@$(BIN)/modelctl bench

bench-peers: setup ## Measure BentoML, MLServer and TensorFlow in a handler next to our functions; RUNS=3, JSON=--json
	@$(BIN)/python scripts/bench_peers.py --runs $(RUNS) $(JSON)

soak: setup ## Look for faults that the tests have missed, for MINUTES=10 per open-ended part; PARTS="functions …" selects parts
	@$(BIN)/python scripts/soak.py $(MINUTES) $(PARTS)

lint: setup ## Check style, types, Terraform and security rules
	@$(BIN)/python scripts/lint.py

audit: setup ## Check the locked packages for known vulnerabilities
	@$(BIN)/python scripts/audit.py

package: setup ## Build the layers and the functions' code into build/packages
	@$(BIN)/modelctl package

samples: setup ## Retrain the sample models into models/
	@$(BIN)/python scripts/train_samples.py

docs: setup ## Regenerate the tables of the docs and the values on the registry module's page
	@$(BIN)/python scripts/docs.py

lock: setup ## Resolve the dependencies into the lock files
	@$(BIN)/python scripts/lock.py

clean: ## Take the local stack down and remove everything that was built
	@if [ -x $(BIN)/modelctl ]; then $(BIN)/modelctl down; fi
	rm -rf .venv .local build .pytest_cache .mypy_cache .ruff_cache .hypothesis terraform/.terraform
	find scripts functions tests -name __pycache__ -type d -prune -exec rm -rf {} +
