# One doorway for chores. `make run` serves, `make test` runs everything that CI runs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SUDO   := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
APT    := $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get
CODE   := src tests bench
ARGS   ?=

.PHONY: help run test check format bench docs fuzz constraints clean

help:
	@echo "make run     serve on http://localhost:8042 and DICOM port 4242, data in ./AmonsulStorage"
	@echo "make test    everything CI runs: check, then all tests (ARGS=... is handed to pytest)"
	@echo "make check   formatting, lint, types, layers"
	@echo "make format  rewrite the sources in the house format"
	@echo "make bench   measure against Debian's Orthanc (ARGS='--rows system' …), or a large index (ARGS=million)"
	@echo "make docs    print the generated pages of docs/ again"
	@echo "make fuzz    run every fuzz target (SECONDS_EACH=60)"

run: $(VENV)/run.stamp
	$(BIN)/amonsul serve $(ARGS)

test: check $(VENV)/system.stamp $(VENV)/viewer.stamp
	$(BIN)/pytest $(ARGS)

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

bench: $(VENV)/dev.stamp
	@command -v Orthanc >/dev/null && command -v storescu >/dev/null || \
	  { $(APT) update && $(APT) install -y --no-install-recommends orthanc orthanc-dicomweb dcmtk; }
	$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/dev.stamp
	$(BIN)/amonsul docs docs

SECONDS_EACH ?= 60
fuzz: $(VENV)/dev.stamp
	@for target in tests/fuzz/fuzz_*.py; do \
	  echo "== $$target"; $(BIN)/python $$target -max_total_time=$(SECONDS_EACH) || exit 1; done

constraints: $(VENV)/dev.stamp
	$(BIN)/pip freeze --exclude-editable | grep -v -i '^\(pip\|setuptools\|wheel\)==' > constraints.txt

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build

# The environment. A stamp names what was installed into it, so that an edit of pyproject.toml brings it up to date.

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; say which with make PYTHON=python3.x"; exit 1; }
	$(PYTHON) -m venv $(VENV) || \
	  { $(APT) update && $(APT) install -y --no-install-recommends python3-venv && $(PYTHON) -m venv --clear $(VENV); }

$(VENV)/run.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/dev.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/run.stamp

# Programs that the tests talk to: DCMTK's tools, dicom3tools, a PostgreSQL server, Orthanc (both started by the tests themselves), and
# a hardware token in software with the tool that puts certificates into it, a browser, and npm to fetch what it shows.
# Debian starts a service of what it installs; Orthanc's would sit on the ports of `make run`.
$(VENV)/system.stamp: Makefile | $(VENV)/bin/python
	@command -v storescu >/dev/null && command -v dciodvfy >/dev/null && ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
	  { $(APT) update && $(APT) install -y --no-install-recommends dcmtk dicom3tools postgresql; }
	@command -v p11tool >/dev/null && ls /usr/lib/softhsm/libsofthsm2.so >/dev/null 2>&1 || \
	  { $(APT) update && $(APT) install -y --no-install-recommends softhsm2 gnutls-bin; }
	@command -v chromium >/dev/null && command -v npm >/dev/null || \
	  { $(APT) update && $(APT) install -y --no-install-recommends chromium npm; }
	@ls /usr/share/orthanc/plugins/libOrthancDicomWeb.so >/dev/null 2>&1 || \
	  { $(APT) update && $(APT) install -y --no-install-recommends orthanc orthanc-dicomweb && \
	    { $(SUDO) service orthanc stop || true; } && \
	    { ! command -v systemctl >/dev/null || $(SUDO) systemctl disable orthanc || true; }; }
	@touch $@

# A DICOMweb viewer as its authors built it, through which the tests look at this server; without what it needs for
# segmentation by neural networks, which is most of it.
$(VENV)/viewer.stamp: tests/e2e/viewer.sha512 | $(VENV)/system.stamp
	@rm -rf $(VENV)/viewer && mkdir -p $(VENV)/viewer
	cd $(VENV)/viewer && npm pack --silent @ohif/app@3.13.2 && sha512sum --check --quiet $(CURDIR)/$< && \
	  tar -xzf ohif-app-3.13.2.tgz --strip-components=2 --exclude=package/dist/ort package/dist && rm ohif-app-3.13.2.tgz
	@touch $@
