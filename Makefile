# Commands of the project. Python 3.11 or newer and make are all they need.
PYTHON ?= python3
# Only where state_dir is not the default one.
STATE_DIR ?=
# More words for ansible-playbook: make deploy ARGS="-e replicas=5 -e http_port=9080"
ARGS ?=
REPLICAS ?= 3
SHAPE ?= steady
TARGET ?= local
SCENARIO ?= all

BIN := $(CURDIR)/.venv/bin
INSTALLED := .venv/installed
KUBERNETES_BIN := $(CURDIR)/.cache/kubernetes/bin
PLAY = cd playbooks && PATH="$(BIN):$$PATH" LC_ALL=C.UTF-8 $(BIN)/ansible-playbook $(if $(STATE_DIR),-e state_dir="$(STATE_DIR)")
STATE := $(or $(STATE_DIR),$(CURDIR)/.state/local)

# What a person has set up for other work must not leak in.
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deploy
deploy: $(INSTALLED) ## Run three replicas behind a load balancer, or bring them up to date
	@$(PLAY) $(ARGS) deploy.yml

.PHONY: status
status: $(INSTALLED) ## Print what runs; fails unless every replica is ready and one leads
	@$(PLAY) $(ARGS) status.yml

.PHONY: scale
scale: $(INSTALLED) ## Change the number of replicas while they serve: make scale REPLICAS=1
	@$(PLAY) -e replicas=$(REPLICAS) $(ARGS) scale.yml

.PHONY: logs
logs: ## Follow all logs
	@tail -n 20 -F $(STATE)/logs/*.log

.PHONY: token
token: $(INSTALLED) ## Print a bearer token for writes
	@CATALOG_CONFIG_FILE="$(STATE)/config/catalog.yaml" \
	CATALOG_DATABASE_DSN_FILE="$(STATE)/secrets/database_dsn" \
	CATALOG_AUTH_SECRET_FILE="$(STATE)/secrets/auth_secret" $(BIN)/catalog-server token

.PHONY: down
down: $(INSTALLED) ## Stop everything and keep the data
	@$(PLAY) $(ARGS) down.yml

.PHONY: destroy
destroy: $(INSTALLED) ## Stop everything and delete the data
	@$(PLAY) $(ARGS) destroy.yml

.PHONY: test
test: $(INSTALLED) ## Run every test but those of chaos and end to end
	$(BIN)/pytest --numprocesses 2 --dist loadfile --durations 10 --ignore tests/chaos --ignore tests/e2e $(ARGS) tests

.PHONY: chaos
chaos: $(INSTALLED) ## Run every scenario in its short form, and find every sabotaged server
	$(BIN)/pytest --numprocesses 3 --dist loadgroup --durations 10 $(ARGS) tests/chaos

.PHONY: kubernetes-tools
kubernetes-tools: $(INSTALLED) ## Find kind, kubectl and helm, or build them with Go
	@$(PLAY) -i inventories/kind $(ARGS) kubernetes-tools.yml

.PHONY: etcd
etcd: $(INSTALLED) ## Find etcd, or build it with Go: postgresql_failover=automatic needs it
	@$(PLAY) $(ARGS) etcd.yml

.PHONY: image
image: $(INSTALLED) ## Build the container images: the server, and a database for trials
	@$(PLAY) $(ARGS) image.yml

.PHONY: docker-engine
docker-engine: $(INSTALLED) ## Start a Docker engine where none answers, as root on Debian
	@$(PLAY) $(ARGS) docker-engine.yml

.PHONY: kind-node-image
kind-node-image: $(INSTALLED) ## Get the image of a cluster's nodes, or build it, ahead of make kind
	@$(PLAY) -i inventories/kind $(ARGS) kind-node-image.yml

.PHONY: kind
kind: $(INSTALLED) ## Create a Kubernetes cluster of four nodes in Docker, with three zones
	@$(PLAY) -i inventories/kind $(ARGS) kind.yml

.PHONY: kind-down
kind-down: $(INSTALLED) ## Delete that cluster
	@$(PLAY) -i inventories/kind $(ARGS) kind-down.yml

.PHONY: e2e
e2e: $(INSTALLED) ## Test the chart and the playbooks on a kind cluster of their own
	$(BIN)/pytest --durations 20 --junit-xml .state/e2e.xml $(ARGS) tests/e2e

.PHONY: verify
verify: $(INSTALLED) ## Deploy, break and judge, into report/index.html: make verify TARGET=kind SCENARIO=kill-leader
	@PATH="$(BIN):$$PATH" LC_ALL=C.UTF-8 $(BIN)/ha-verify run $(SCENARIO) --target $(TARGET) --report report $(ARGS)

.PHONY: dr-drill
dr-drill: $(INSTALLED) ## Destroy the database under load, follow the runbook, measure what is lost and for how long
	@$(MAKE) --no-print-directory verify SCENARIO=dr-drill

.PHONY: load
load: $(INSTALLED) ## Load the deployment against its objectives: make load SHAPE=steady, ramp, spike or soak
	@token="$$($(MAKE) --silent token)" && CATALOG_TOKEN="$$token" $(BIN)/python -m load $(SHAPE) $(ARGS)

.PHONY: bench
bench: $(INSTALLED) ## Measure jobs per second, pick-up latency and requests per second
	$(BIN)/python -m bench $(ARGS)

.PHONY: lint
lint: $(INSTALLED) ## Check format, style, types, the import contract and the playbooks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict .
	PATH="$(BIN):$$PATH" LC_ALL=C.UTF-8 ANSIBLE_CONFIG=playbooks/ansible.cfg $(BIN)/ansible-lint --strict
	@PATH="$(KUBERNETES_BIN):$$PATH"; \
	if command -v helm >/dev/null; then helm lint --strict --quiet helm/catalog-server --set postgresql.enabled=true && \
	  helm lint --strict --quiet helm/postgresql-ha; \
	else echo "The charts are not checked: helm is missing. Get it: make kubernetes-tools"; fi

.PHONY: format
format: $(INSTALLED) ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: lock
lock: $(INSTALLED) ## Choose new versions of all dependencies and write both locks
	env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --extra deploy --extra verify --extra dev \
	  --allow-unsafe --strip-extras --output-file requirements.lock pyproject.toml
	env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --upgrade --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --constraint requirements.lock \
	  --allow-unsafe --strip-extras --output-file server/requirements.lock pyproject.toml

.PHONY: clean
clean: ## Remove the virtual environment and caches; the deployment's data stays
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Services that do not run as root read the environment too, hence the umask.
$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "Installing into .venv from requirements.lock ..."
	@umask 022 && $(PYTHON) -m venv --clear .venv
	@umask 022 && $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements.lock
	@umask 022 && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  --no-build-isolation -e .
	@touch $(INSTALLED)
