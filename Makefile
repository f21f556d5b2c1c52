# Needs only make, python3 (3.11 or newer) and python3-venv; ops/setup.sh makes the rest.
PYTHON_BIN := .venv/bin/python
CONFIG ?= config/orderbooks.yaml
TYPED := workers tests/venue tests/demo tests/remotes

.DEFAULT_GOAL := help
.PHONY: help env env-dev report clients demo run ctl config rivals test crash power-cuts stream-faults soak vps-rehearsal vm-rehearsal sentry-e2e drill k8s-check image-check offload-crash check format bench docs lock clean
.NOTPARALLEL:

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

env: # what running needs
	@ops/setup.sh

env-dev: # and what testing needs
	@ops/setup.sh dev

demo: env ## see it work in a minute: a venue on this machine, recorded, broken, and the proof
	@$(PYTHON_BIN) -m tests.demo $(ARGS)

run: env ## record, in the foreground, until Ctrl-C
	@.venv/bin/orderbooks up $(ARGS)

ctl: env ## supervisorctl of what runs: make ctl ARGS="status"
	@.venv/bin/orderbooks ctl $(ARGS)

config: env ## check the settings file (CONFIG=…) as the workers read it
	@$(PYTHON_BIN) -m workers.edge.settings_file check $(CONFIG)

report: ## add what draws the pictures of `orderbooks quality`
	@ops/setup.sh report

clients: # the official clients, in an environment of their own
	@ops/setup.sh clients

rivals: # what the streamer is measured against, in an environment of its own
	@ops/setup.sh rivals

# Four files at once on two cores, for most tests wait for processes; a file stays with one
# worker and its fixtures, and the files come in their order: the long ones are not the last.
test: env-dev clients ## run all tests; some of them: make test ARGS="-k books"
	@$(PYTHON_BIN) -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: env-dev ## style, types, and the laws of the code
	@$(PYTHON_BIN) -m ruff check .
	@$(PYTHON_BIN) -m ruff format --check --quiet .
	@$(PYTHON_BIN) -m mypy --strict $(TYPED)
	@$(PYTHON_BIN) -m pytest tests/test_layers.py tests/test_shape.py tests/test_used.py

format: env-dev ## put the code into its one form
	@$(PYTHON_BIN) -m ruff check --fix --quiet .
	@$(PYTHON_BIN) -m ruff format --quiet .

crash: env-dev ## kill and starve the spool at every step; about 12 minutes
	@$(PYTHON_BIN) -m tests.crash $(ARGS)

offload-crash: env-dev ## kill the uploader and rclone 200 times; about 8 minutes
	@$(PYTHON_BIN) -m tests.crash.offload $(ARGS)

power-cuts: env-dev ## cut the power at every write of the spool's disk, as root; about five minutes
	@$(PYTHON_BIN) -m tests.crash.power $(ARGS)

stream-faults: env-dev ## faults of the market channel and deaths in full flow; about five minutes
	@$(PYTHON_BIN) -m tests.stream_campaign $(ARGS)

soak: env-dev ## a day of windows in 24 minutes, with faults; ARGS=hour: a real hour without
	@$(PYTHON_BIN) -m tests.soak $(ARGS)

vps-rehearsal: env-dev ## docs/VPS_DEPLOYMENT.md in a systemd of its own, as root; about 18 minutes
	@$(PYTHON_BIN) -m tests.vps $(ARGS)

vm-rehearsal: env-dev ## the same in a virtual machine, its power cut again and again; about 30 minutes
	@$(PYTHON_BIN) -m tests.vps.vm $(ARGS)

sentry-e2e: env-dev ## every alert, told to a real Sentry-compatible server; about a minute
	@ops/setup.sh sentry
	@$(PYTHON_BIN) -m tests.sentry $(ARGS)

drill: env-dev ## practise the pages of docs/OPERATIONS.md; about six minutes
	@$(PYTHON_BIN) -m tests.drills $(ARGS)

k8s-check: env-dev ## ops/k8s against the schemas of Kubernetes; needs kubectl
	@ops/setup.sh k8s
	@$(PYTHON_BIN) -m pytest -rs tests/ops/test_k8s.py $(ARGS)

image-check: env-dev ## ops/k8s/Containerfile built and run without an engine, as root; about 5 minutes
	@$(PYTHON_BIN) -m tests.image $(ARGS)

bench: env-dev clients rivals ## measure what the collector can do on this machine
	@$(PYTHON_BIN) -m tests.bench $(ARGS)

docs: env ## make the generated pages anew
	@$(PYTHON_BIN) -m workers.edge.settings_file page >docs/.page && mv docs/.page docs/SETTINGS.md
	@$(PYTHON_BIN) -m workers.edge.settings_file schema >docs/.page && mv docs/.page docs/orderbooks.schema.json
	@$(PYTHON_BIN) -m tests.made_tables

LOCK := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header
lock: ## choose package versions anew (needs uv; UPGRADE=--upgrade takes the newest)
	@command -v uv >/dev/null || { echo "lock: uv is missing; install it (pip install uv)" >&2; exit 1; }
	@$(LOCK) $(UPGRADE) -o requirements.lock
	@$(LOCK) $(UPGRADE) --group report -c requirements.lock -o requirements-report.lock
	@$(LOCK) $(UPGRADE) --group dev --group report -c requirements-report.lock -o requirements-dev.lock
	@$(subst pyproject.toml,tests/venue_tests/clients.in,$(LOCK)) $(UPGRADE) -o requirements-clients.lock
	@$(subst pyproject.toml,tests/bench/rivals.in,$(LOCK)) $(UPGRADE) -o requirements-rivals.lock
	@$(subst pyproject.toml,tests/sentry/bugsink.in,$(LOCK)) $(UPGRADE) -o requirements-sentry.lock
	@$(subst pyproject.toml,tests/ops/k8s.in,$(LOCK)) $(UPGRADE) -o requirements-k8s.lock

clean: ## remove the environment and caches; never data
	@rm -rf .venv .venv-clients .venv-sentry .venv-k8s .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
