# Everything a user types. `make help` lists the targets.
#
# Where a ROS 2 is sourced, it is used; otherwise ROS 2 is installed from PyPI into .venv (no root, 750 MB).
# Variables: ROS_DISTRO=kilted or jazzy (from PyPI), BAG=path, CAMERAS=2 (demo), TEACH=1 (demo), PYTHON=python3, TORCH=torch==2.13.0,
# PYTEST="more arguments of pytest", BENCH and SOAK="more arguments".

SHELL := bash
.SHELLFLAGS := -e -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build demo webcam test fuzz check bench soak lint docs clean distclean FORCE

PYTHON ?= python3
TORCH ?= torch==2.13.0

# A sourced ROS 2 is a prefix outside this directory that holds rclpy.
SOURCED := $(firstword $(wildcard $(addsuffix /share/ament_index/resource_index/packages/rclpy, \
             $(filter-out $(CURDIR)/%,$(subst :, ,$(AMENT_PREFIX_PATH))))))
ifndef SOURCED
  ROS_DISTRO ?= kilted
endif
include tools/distribution.mk
ifndef SOURCED
  ifeq ($(filter $(ROS_DISTRO),$(ON_PYPI)),)
    $(error ROS 2 $(ROS_DISTRO) is not sourced, and PyPI has no wheels of it, only of $(ON_PYPI): source its setup.bash)
  endif
endif

VENV := .venv
LINT := .lint
WEBCAM := .webcam
DOCS := .docs
# One stamp a kind of environment: another kind (a ROS 2 sourced later, say) makes .venv anew.
READY := $(VENV)/$(if $(SOURCED),sourced,pypi)-$(ROS_DISTRO).ready
TEST_READY := $(VENV)/test.ready
BUILT := install/.built
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install -qq -c $(VENV)/constraints.txt
# The nodes that we start do not talk to the rest of the network.
IN_ENV := source ./env.sh && $(LOCAL_ONLY)

# Three test files at a time, as tests over DDS wait more than they compute: each claims a DDS domain of its own. Plugins that a ROS 2 brings are left out.
RUN_TESTS = PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 python -m pytest -p xdist.plugin -n 3 --dist loadfile

# setuptools 80 removed commands that ament_cmake_python calls.
COLCON := colcon-core colcon-cmake colcon-ros colcon-bash colcon-zsh colcon-output 'setuptools<80'

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

build: $(BUILT) ## Install ROS 2 if none is sourced, and build this package into install/

demo: $(BUILT) ## See it work: a played scene through the live nodes, a bag of yours with BAG=path, or a lesson with TEACH=1
	@$(IN_ENV) python -m usdrl_ros.demo$(if $(TEACH),.teach) $(if $(BAG),--bag "$(BAG)") $(if $(CAMERAS),--cameras $(CAMERAS))

webcam: $(WEBCAM)/ready ## See yourself recognised: a webcam, or VIDEO=file.mp4; OUTPUT=out.mp4 writes it annotated
	@$(WEBCAM)/bin/python -m usdrl_ros.demo.webcam $(if $(VIDEO),--video "$(VIDEO)") $(if $(OUTPUT),--output "$(OUTPUT)")

test: $(BUILT) $(TEST_READY) ## Run the whole test suite
	@$(IN_ENV) $(RUN_TESTS) $(PYTEST)

fuzz: $(BUILT) $(TEST_READY) ## Try odd messages and files for minutes (FUZZ=2000 of each kind)
	@$(IN_ENV) USDRL_FUZZ=$(or $(FUZZ),2000) python -m pytest -q --hypothesis-show-statistics test/sources/test_fuzz.py test/bags/test_fuzz_files.py

bench: $(BUILT) $(TEST_READY) ## Measure the speed of engines, steps and messages (minutes; BENCH="arguments")
	@$(IN_ENV) python -m bench.inference $(BENCH)

soak: $(BUILT) $(TEST_READY) ## Watch the node for an hour of stream at ten times real time (SOAK="arguments")
	@$(IN_ENV) python -m bench.soak $(SOAK)

docs: $(DOCS)/ready ## Build the documentation as a site, into site/
	@$(DOCS)/bin/python tools/reference.py
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --quiet
	@echo 'site/index.html; with its search: python3 -m http.server --directory site'

lint: $(LINT)/ready ## Check style (ruff), types (mypy) and the layers of imports (import-linter); needs no ROS
	@$(LINT)/bin/ruff check --quiet .
	@$(LINT)/bin/ruff format --quiet --check .
	@$(LINT)/bin/mypy
	@$(LINT)/bin/lint-imports --no-logo

check: lint $(BUILT) $(TEST_READY) ## What to run before each commit: lint and the quick tests (about a minute)
	@$(IN_ENV) $(RUN_TESTS) -m "not slow" test

clean: ## Remove what was built
	rm -rf build install log demo_out site

distclean: clean ## Remove the virtual environment as well
	rm -rf $(VENV) $(LINT) $(WEBCAM) $(DOCS)

$(READY): requirements/run.txt tools/distribution.mk tools/environment.py
	@test -e $@ || rm -rf $(VENV) build install log
ifdef SOURCED
	@echo "Using the sourced ROS 2 $(ROS_DISTRO); installing what it lacks into $(VENV)"
	@$(PYTHON) tools/environment.py check
	@$(PYTHON) -c 'import rclpy' \
	  || { echo '$(PYTHON) cannot import the sourced rclpy: try PYTHON=/usr/bin/python3' >&2; false; }
	@$(PYTHON) -m venv --system-site-packages $(VENV)
	@# The sourced messages' C extensions work with their own major version of numpy only.
	@$(PYTHON) -c 'import numpy; print(f"numpy<{int(numpy.__version__.split(chr(46))[0]) + 1}")' > $(VENV)/constraints.txt
	@$(PIP) -r requirements/run.txt
	@command -v colcon > /dev/null || $(PIP) $(COLCON)
else
	@echo "Installing ROS 2 $(ROS_DISTRO) from PyPI into $(VENV) (once, about a minute)"
	@$(PYTHON) tools/environment.py check wheels
	@$(PYTHON) -m venv $(VENV)
	@# What colcon asks of setuptools holds for what the tests bring in later, too.
	@echo 'setuptools<80' > $(VENV)/constraints.txt
	@$(PIP) -r requirements/run.txt $(WHEELS) $(COLCON)
	@$(VENV)/bin/python tools/environment.py mend
endif
	@touch $@

$(TEST_READY): $(READY) requirements/train.txt requirements/test.txt
	@echo "Installing $(TORCH) and the other needs of the tests into $(VENV) (once, some minutes)"
	@$(PIP) $(TORCH)
	@$(PIP) -r requirements/test.txt
	@touch $@

# The install space links to the sources, so that an edit of Python, config or launch files is live. What was added or
# removed needs a build, which this list triggers.
build/files: FORCE | $(READY)
	@mkdir -p build
	@find usdrl_ros config launch msg cmake -type f -not -path '*/__pycache__/*' | sort > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(BUILT): $(READY) build/files $(wildcard msg/* srv/* action/*) CMakeLists.txt package.xml cmake/executable.py.in
	@source $(VENV)/bin/activate \
	  && $(if $(SOURCED),,export AMENT_PREFIX_PATH=$$VIRTUAL_ENV CMAKE_PREFIX_PATH=$$VIRTUAL_ENV &&) \
	    colcon --log-level error build --merge-install --symlink-install --event-handlers console_direct- \
	    --cmake-args -DBUILD_TESTING=OFF -DPython3_EXECUTABLE=$$VIRTUAL_ENV/bin/python
	@find install -xtype l -delete
	@touch $@

# MediaPipe asks for an old numpy and for packages that its pose does not use, so it gets an environment of its own, and of
# its requirements those that are needed.
$(WEBCAM)/ready: requirements/run.txt requirements/webcam.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || { echo \
	  'MediaPipe 0.10.21, which brings its model, needs Python 3.10 to 3.12: make webcam PYTHON=python3.12' >&2; false; }
	@echo "Installing MediaPipe into $(WEBCAM) (once, about a minute)"
	@$(PYTHON) -m venv $(WEBCAM)
	@$(WEBCAM)/bin/python -m pip --disable-pip-version-check install -qq -r requirements/webcam.txt
	@$(WEBCAM)/bin/python -m pip --disable-pip-version-check install -qq --no-deps mediapipe==0.10.21
	@touch $@

$(DOCS)/ready: requirements/docs.txt requirements/run.txt
	@$(PYTHON) -m venv $(DOCS)
	@$(DOCS)/bin/python -m pip --disable-pip-version-check install -qq -r $<
	@touch $@

# An environment of its own: it must not touch .venv, nor what a sourced ROS 2 has built.
$(LINT)/ready: requirements/lint.txt
	@$(PYTHON) -m venv $(LINT)
	@$(LINT)/bin/python -m pip --disable-pip-version-check install -qq -r $<
	@touch $@
