# Everything a user does. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= configs/ddpm/default.yaml
EPOCHS ?=
RUN ?=
MINUTES ?=
SEED ?=
N ?=
OUT ?=
SET ?=
SMOKE ?=
BUDGET ?=
DATA ?= mnist
DEGRADATION ?= examples/swirl.py
SWEEP ?= workflow/sweeps/default.yaml
CORES ?= 2
LAB ?=
KERNELS := --KernelManager.transport_encryption=auto  # or each kernel greets with a warning about its local sockets

# The value of a variable as one word for the shell, just as it was typed, with spaces, quotes and dollars; and as YAML,
# between spaces, since Snakemake takes quotes off the ends.
quoted = '$(subst ','\'',$(1))'
typed = $(call quoted,$(value $(1)))
yaml = $(call quoted, '$(subst ','',$(value $(1)))' )
# An option of a command, where the variable behind it is set.
option = $(if $(value $(1)),--$(2)=$(call typed,$(1)))
ifneq ($(words $(VENV)),1)
$(error VENV is "$(VENV)", and make can name no file with a space)
endif

.DEFAULT_GOAL := help
.PHONY: help play lab app train study speedrun sweep reproduce smoke site recipe speed test lint hooks lock report numbers cards release banner showcase features clean
export OMP_NUM_THREADS ?= 1

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(call typed,PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Thaw needs Python 3.11 or newer; set PYTHON=/path/to/python3"; exit 1; }
	@$(call typed,PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python cannot make virtual environments; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing the pinned requirements into $(VENV) (some minutes, once)"
	@test -x $(BIN)/python || $(call typed,PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.installed-app: $(VENV)/.installed requirements-app.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-app.txt
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed requirements-docs.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt requirements-inception.txt requirements-trackers.txt requirements-app.txt requirements-docs.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

play: $(VENV)/.installed ## sample from the shipped weights: executed notebook, grids, GIFs, scores
	@$(BIN)/python -m thaw play

lab: $(VENV)/.installed ## open JupyterLab on the notebooks
	@$(BIN)/python -m jupyterlab $(if $(filter 0,$(shell id -u)),--allow-root) --notebook-dir=. $(KERNELS) $(LAB) notebooks/load_and_play.ipynb

app: $(VENV)/.installed-app ## the same without code, as an app in the browser
	@$(BIN)/python -m voila --progressive_rendering=True --show_tracebacks=False $(KERNELS) notebooks/load_and_play.ipynb

train: $(VENV)/.installed ## retrain, e.g. make train CONFIG=configs/ddpm/default.yaml EPOCHS=20
	@$(BIN)/python -m thaw train --config=$(call typed,CONFIG) $(if $(EPOCHS),--epochs=$(call typed,EPOCHS)) $(if $(value RUN),--run=$(call typed,RUN))

study: $(VENV)/.installed ## a paper of your own degradation, e.g. make study DEGRADATION=examples/swirl.py MINUTES=25
	@$(BIN)/python -m thaw study $(call typed,DEGRADATION) $(call option,MINUTES,minutes) $(call option,DATA,data) $(call option,OUT,out) $(call option,SET,set) $(if $(value SMOKE),--smoke)

speedrun: $(VENV)/.installed ## ten minutes of training from nothing: a hot and a warm model, their digits and scores
	@$(BIN)/python benchmarks/speedrun.py $(call option,MINUTES,minutes) $(call option,SEED,seed) $(call option,DATA,data) $(call option,N,n) $(call option,OUT,out) $(call option,SET,set) $(if $(value SMOKE),--smoke)

sweep: $(VENV)/.installed-dev ## many trainings as one workflow, to a report; e.g. make sweep SWEEP=workflow/sweeps/smoke.yaml
	@$(BIN)/python -m snakemake --cores $(call typed,CORES) --config sweep=$(call yaml,SWEEP)

reproduce: $(VENV)/.installed-dev ## retrain everything, and make all figures, numbers, report and site again (many hours); BUDGET=0.05: a twentieth, in contents/budget/project
	@$(if $(value BUDGET),$(BIN)/python workflow/scratch.py contents/budget/project,)
	@$(BIN)/python -m snakemake -s workflow/study.smk --cores $(call typed,CORES) --rerun-incomplete $(if $(value BUDGET),--directory contents/budget/project --config budget=$(call typed,BUDGET),)

smoke: $(VENV)/.installed-dev ## the same on tiny settings, in minutes, in contents/smoke/project: is every step in order?
	@$(BIN)/python workflow/scratch.py contents/smoke/project
	@$(BIN)/python -m snakemake -s workflow/study.smk --cores $(call typed,CORES) --directory contents/smoke/project --config study=workflow/studies/smoke.yaml

site: $(VENV)/.installed-docs ## the study as pages: gallery, notebooks, report, weights, numbers, manual: contents/site/index.html
	@$(BIN)/python docs/site/build.py

recipe: $(VENV)/.installed-dev ## the search behind the recipe: run every trial without a log (hours), write benchmarks/recipe.md
	@$(BIN)/python benchmarks/recipe/work.py
	@$(BIN)/python benchmarks/recipe/table.py

test: $(VENV)/.installed-dev ## run the tests and the linter, CORES processes side by side
	@$(BIN)/python -m ruff check --quiet .
	@$(BIN)/python -m ruff format --quiet --check .
	@$(BIN)/python -m pytest -n $(call typed,CORES) --dist worksteal

lint: $(VENV)/.installed-dev ## format the code and the notebooks, strip outputs
	@$(BIN)/python -m ruff check --fix .
	@$(BIN)/python -m ruff format .
	@$(BIN)/python -m nbstripout --keep-id notebooks/0*.ipynb

hooks: $(VENV)/.installed-dev ## check every commit: ruff, stripped notebooks, whitespace
	@$(BIN)/python -m pre_commit install

lock: $(VENV)/.installed ## write the exact versions of all packages into requirements.lock (minutes, installs nothing)
	@$(BIN)/python workflow/lock.py

speed: $(VENV)/.installed-dev ## measure forward passes, sampling and training, side by side
	@$(BIN)/python benchmarks/speed.py
	@$(BIN)/python benchmarks/training.py
	@$(BIN)/python benchmarks/export.py

showcase: $(VENV)/.installed ## after new weights: execute load_and_play in place, draw the README's picture
	@$(BIN)/python -m thaw notebook load_and_play --out contents/showcase.ipynb
	@mv contents/showcase.ipynb notebooks/load_and_play.ipynb
	@rm contents/showcase.html
	@$(BIN)/python workflow/banner.py

features: $(VENV)/.installed ## train the feature network that scores a data set; e.g. make features DATA=fashion REPLACE=1
	@$(BIN)/python -m thaw features $(if $(REPLACE),--replace) --data=$(call typed,DATA)
	@$(BIN)/python -m thaw features $(if $(REPLACE),--replace) --data=$(call typed,DATA) --real

report: $(VENV)/.installed ## build Report/report.pdf from Plots/ (needs LaTeX)
	@$(BIN)/python workflow/paper.py

numbers: $(VENV)/.installed ## write Report/numbers.tex, the numbers of Plots/ for LaTeX, as make report does
	@$(BIN)/python workflow/numbers_tex.py

cards: $(VENV)/.installed ## after an export: write pretrained/README.md, what each file is
	@$(BIN)/python workflow/cards.py

release: $(VENV)/.installed-dev ## put what the notebooks showed when they were last executed into notebooks/, to be committed
	@$(BIN)/python workflow/release.py

banner: $(VENV)/.installed ## draw Plots/readme.png, the README's picture, from the shipped weights
	@$(BIN)/python workflow/banner.py

clean: ## remove what training and playing left behind (not .venv)
	rm -rf contents/.site contents/runs contents/load_and_play contents/smoke contents/sweeps contents/latents contents/paths contents/play_browser .snakemake
