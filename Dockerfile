# docker build -t thaw .                          JupyterLab and the shipped weights
# docker build --build-arg LATEX=1 -t thaw .      with LaTeX too (600 MB more), for make report
# docker run --rm -p 8888:8888 thaw               prints an address with a token; choose one by -e JUPYTER_TOKEN=...
# docker run --name thaw thaw make play           samples, then: docker cp thaw:/app/contents/. contents
FROM python:3.11-slim-bookworm

ARG LATEX=0
# Debian keeps one version of a package in a release: a pinned one is gone after the next fix, and the build with it.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends make \
    && if [ "$LATEX" = 1 ]; then apt-get install -y --no-install-recommends \
        latexmk texlive-latex-extra texlive-science lmodern poppler-utils; fi \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 thaw \
    && mkdir /app && chown thaw:thaw /app

USER 1000
WORKDIR /app
# The requirements first: they change less often than the code.
COPY --chown=1000:1000 requirements.txt requirements-docs.txt requirements-inception.txt requirements-trackers.txt pyproject.toml README.md Makefile ./
COPY --chown=1000:1000 src/thaw/__init__.py src/thaw/__init__.py
RUN make .venv/.installed-docs && rm -rf "$HOME/.cache"
COPY --chown=1000:1000 . .
# The time stamps tell make that nothing is left to install, also without a network.
RUN .venv/bin/python -m pip install --quiet --no-deps -e . && touch .venv/.installed .venv/.installed-docs

EXPOSE 8888
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD [".venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8888/api', timeout=4)"]
CMD ["make", "lab", "LAB=--ip=0.0.0.0 --no-browser"]
