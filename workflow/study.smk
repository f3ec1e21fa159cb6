# The whole study: configurations -> trainings (by notebooks) -> exported weights -> notebooks that evaluate them, benchmarks
# -> figures and numbers in Plots/ -> report -> site.  What did not change is not run again.
#
#     make reproduce CORES=2                                      (workflow/studies/full.yaml: hours)
#     make reproduce BUDGET=0.05                                  (a twentieth of it, in a scratch project)
#     snakemake -s workflow/study.smk --cores 2 --dry-run         (what would be run, and why)
#     make smoke                                                  (workflow/studies/smoke.yaml, in a scratch project: minutes)
#
# A run directory is no output of a rule: Snakemake would remove it before it runs the rule again, and with it the
# checkpoints from which an interrupted training goes on. Nor are pretrained/ and Plots/, which are in git: a file in
# `done/` stands for what a step left there.
# Every path is quoted (`:q`), and stands where no option is looked for: it may hold any letter.
import re
import shlex
import sys
from pathlib import Path

sys.path.insert(0, workflow.basedir)
from study import read_study

DEFINITION = config.get("study", "workflow/studies/full.yaml")
STUDY = read_study(DEFINITION, config.get("budget"))
OUT, THAW = STUDY.out, shlex.join([sys.executable, "-m", "thaw"])
BENCHMARKS = {path.rpartition("/")[2].removesuffix(".py"): path for path in STUDY.benchmarks}
PYTHON, HERE = shlex.quote(sys.executable), shlex.quote(workflow.basedir)
# `python` is this one
IN_PATH = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH" PYTHONUNBUFFERED=1'
RUN = "({IN_PATH}; {params.command}) > {output:q}.txt 2>&1 && mv -- {output:q}.txt {output:q}"
PAPER = config.get("report", "yes") != "no"


def one_of(names):
    return "|".join(map(re.escape, names)) or "none"


wildcard_constraints:
    first=one_of(STUDY.first),
    last=one_of(STUDY.last),
    name=one_of(STUDY.trainings),
    own=one_of(STUDY.own),
    before=one_of(STUDY.before),
    after=one_of(STUDY.after),
    benchmark=one_of(BENCHMARKS),


rule all:
    input:
        "contents/site/index.html",


rule first:
    output:
        f"{OUT}/done/{{first}}.first",
    params:
        command=lambda wildcards: STUDY.first[wildcards.first],
    shell:
        RUN


rule train:
    input:
        lambda wildcards: STUDY.source(wildcards.name),
        first=expand(f"{OUT}/done/{{first}}.first", first=STUDY.first),
    output:
        f"{OUT}/done/{{name}}.trained",
    log:
        f"{OUT}/logs/{{name}}.train.txt",
    params:
        command=lambda wildcards: STUDY.train(wildcards.name),
        folder=lambda wildcards: STUDY.folder(wildcards.name),
    shell:
        "{THAW} {params.command} > {log:q} 2>&1 && cp -- {params.folder:q}/metrics.jsonl {output:q}"


rule export:
    input:
        f"{OUT}/done/{{name}}.trained",
    output:
        f"{OUT}/done/{{name}}.exported",
    log:
        f"{OUT}/logs/{{name}}.export.txt",
    params:
        folder=lambda wildcards: STUDY.folder(wildcards.name),
        n=STUDY.export_n,
    shell:
        "{THAW} export --replace -n {params.n} -- {params.folder:q} > {log:q} 2>&1 && cp -- {log:q} {output:q}"


rule cards:
    input:
        expand(f"{OUT}/done/{{name}}.exported", name=STUDY.trainings),
    output:
        f"{OUT}/done/cards",
    shell:
        "{PYTHON} {HERE}/cards.py && cp pretrained/README.md {output:q}"


rule before:
    input:
        "notebooks/{before}.ipynb",
    output:
        f"{OUT}/notebooks/{{before}}.ipynb",
    log:
        f"{OUT}/logs/{{before}}.txt",
    params:
        command=lambda wildcards, output: STUDY.execute(wildcards.before, STUDY.before[wildcards.before], output[0]),
    shell:
        "{THAW} {params.command} > {log:q} 2>&1"


rule after:
    input:
        "notebooks/{after}.ipynb",
        expand(f"{OUT}/done/{{name}}.exported", name=STUDY.trainings),
    output:
        f"{OUT}/notebooks/{{after}}.ipynb",
    log:
        f"{OUT}/logs/{{after}}.txt",
    params:
        command=lambda wildcards, output: STUDY.execute(wildcards.after, STUDY.after[wildcards.after], output[0]),
    shell:
        "{THAW} {params.command} > {log:q} 2>&1"


rule own:
    input:
        lambda wildcards: STUDY.source_of_own(wildcards.own),
    output:
        f"{OUT}/done/{{own}}.own",
    log:
        f"{OUT}/logs/{{own}}.own.txt",
    params:
        command=lambda wildcards: STUDY.make_own(wildcards.own),
        folder=f"{OUT}/own/{{own}}",
    shell:
        "{THAW} {params.command} > {log:q} 2>&1 && {PYTHON} {HERE}/own.py {params.folder:q} >> {log:q} 2>&1 && cp -- {log:q} {output:q}"


rule benchmark:
    input:
        lambda wildcards: BENCHMARKS[wildcards.benchmark],
        expand(f"{OUT}/done/{{name}}.exported", name=STUDY.trainings),
    output:
        f"{OUT}/done/{{benchmark}}.benchmark",
    params:
        options=lambda wildcards: STUDY.benchmarks[BENCHMARKS[wildcards.benchmark]],
    shell:
        "{PYTHON} {input[0]:q} {params.options} --record > {output:q}.txt 2>&1 && mv -- {output:q}.txt {output:q}"


rule last:
    input:
        expand(f"{OUT}/done/{{name}}.exported", name=STUDY.trainings),
    output:
        f"{OUT}/done/{{last}}.last",
    params:
        command=lambda wildcards: STUDY.last[wildcards.last],
    shell:
        RUN


rule report:
    input:
        "Report/report.tex",
        "Report/refs.bib",
        expand(f"{OUT}/done/{{name}}.trained", name=STUDY.trainings),
        expand(f"{OUT}/notebooks/{{before}}.ipynb", before=STUDY.before),
        expand(f"{OUT}/notebooks/{{after}}.ipynb", after=STUDY.after),
        expand(f"{OUT}/done/{{benchmark}}.benchmark", benchmark=BENCHMARKS),
        expand(f"{OUT}/done/{{last}}.last", last=STUDY.last),
        expand(f"{OUT}/done/{{own}}.own", own=STUDY.own),
    output:
        f"{OUT}/done/report",
    params:
        command=f"{PYTHON} {HERE}/paper.py" if PAPER else "true",  # --config report=no, where there is no LaTeX
    shell:
        "{params.command} && touch -- {output:q}"


rule site:
    input:
        f"{OUT}/done/report",
        f"{OUT}/done/cards",
    output:
        "contents/site/index.html",
    shell:
        f"{PYTHON} {shlex.quote(str(Path(workflow.basedir).resolve().parent))}/docs/site/build.py"
