# One command each. `make demo` and `make test` work in a fresh clone with Python 3.11.
PYTHON ?= python3.11
VENV   := .venv
RUN    := $(VENV)/bin
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# A file each, so that what its tests share is made once; the slow ones (e2e) come first. Three processes for two cores,
# because many tests wait for other programs.
WORKERS ?= --numprocesses 3 --dist loadfile --no-loadscope-reorder
PEERS  := orthanc orthanc-dicomweb dcmtk postgresql dcm2niix pixelmed-apps default-jre-headless

PODMAN := podman buildah runc netavark aardvark-dns iptables debootstrap
AUDIT  := .venv-audit

.PHONY: help demo test check audit peers bench viewer containers format clean

help:
	@echo "make demo    install, start a node and a fake PACS, send a phantom study, show what came back"
	@echo "make peers   install the programs that the tests talk to (apt: $(PEERS))"
	@echo "make test    linters, types, import contracts and the whole test suite (WORKERS= for one process)"
	@echo "make audit   known vulnerabilities of the pinned dependencies (needs pypi.org; not part of the tests)"
	@echo "make viewer  OHIF in a browser draws our outlines in the right place (apt: chromium, npm)"
	@echo "make containers   the image is built and compose.yaml run with podman (apt: $(PODMAN)); needs root, and minutes"
	@echo "make bench   the figures of bench/README.md"

# Plain pip: other installers resolve torch to gigabytes of CUDA even where there is no GPU.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/.installed
	$(RUN)/bt-node demo

check: $(VENV)/.installed
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

test: check
	$(RUN)/pytest $(WORKERS) --durations 15 $(PYTEST_ARGS)

# In an environment of its own, so that the node's stays as pinned. --strict: what could not be looked up is a failure.
audit:
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	$(AUDIT)/bin/pip-audit --strict --disable-pip --no-deps --requirement constraints.txt

peers:
	$(SUDO) apt-get update -qq
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(PEERS)

var/ohif/package/dist:
	mkdir -p var/ohif
	cd var/ohif && npm pack --silent @ohif/app@3.13.2 && tar -xzf ohif-app-3.13.2.tgz && rm ohif-app-3.13.2.tgz

viewer: $(VENV)/.installed
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends chromium npm orthanc orthanc-dicomweb
	$(RUN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,viewer]"
	$(MAKE) var/ohif/package/dist
	BT_NODE_REQUIRE_PEERS=1 $(RUN)/pytest tests/viewer

containers: $(VENV)/.installed
	DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $(PODMAN)
	$(SUDO) $(RUN)/pytest -s tests/containers

bench: $(VENV)/.installed
	$(RUN)/python -m bench

format: $(VENV)/.installed
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

clean:
	rm -rf $(VENV) $(AUDIT) var demo-output
