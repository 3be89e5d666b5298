# Speechmill's commands for people. Each is idempotent; `make demo` and `make test` work on a fresh machine.
PYTHON := .venv/bin/python
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install:  ## system packages and .venv, as far as they are missing
	@infra/install.sh run

demo: install  ## make a one-minute film, dub it into Spanish, say where the results are
	@$(PYTHON) infra/demo.py

# Hundreds of commands and runs are started: none is to compile everything anew, whatever the variable says elsewhere.
test: install-test lint  ## the whole suite, real servers included
	PYTHONDONTWRITEBYTECODE= $(PYTHON) -m pytest -n 2 --dist loadgroup

install-test:
	@infra/install.sh test

lint: install-test  ## ruff, mypy, the rooms' import rules, shell scripts, containers
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	bash -n infra/*.sh .ci/run
	.venv/bin/yamllint --strict -c infra/yamllint.yaml infra/compose.yaml infra/docker infra/prometheus infra/grafana infra/helm/speechmill/*.yaml
	.venv/bin/check-jsonschema -q --builtin-schema vendor.compose-spec infra/compose.yaml
	.venv/bin/check-jsonschema -q --check-metaschema infra/helm/speechmill/values.schema.json
	.venv/bin/check-jsonschema -q --schemafile infra/helm/speechmill/values.schema.json infra/helm/speechmill/values.yaml
	.venv/bin/hadolint -c infra/docker/hadolint.yaml infra/docker/Dockerfile

bench: install-test  ## the benchmark tables, as ratios within one run
	@failed=0; for table in dubbing episode drop on_queue production; do \
		PYTHONPATH=. $(PYTHON) bench/$$table.py || failed=1; done; exit $$failed

bench-mimo: install-test  ## MiMo-Audio on this machine's CPU, batch by batch, beside a plain loop
	@$(PYTHON) bench/mimo_cpu.py

soak: install-test  ## ten minutes of jobs, twice, while everything is killed at random; MINUTES=10 SEED=…
	$(PYTHON) -m pytest tests/soak -m soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

.PHONY: help install install-test demo test lint bench bench-mimo soak
