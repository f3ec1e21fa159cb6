# docker build -t thaw . && docker run --name thaw thaw
# docker cp thaw:/app/contents ./contents
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 thaw \
    && mkdir /app && chown thaw:thaw /app

USER 1000
WORKDIR /app
# The requirements first: they change less often than the code.
COPY --chown=1000:1000 requirements.txt requirements-inception.txt requirements-trackers.txt pyproject.toml README.md Makefile ./
COPY --chown=1000:1000 src/thaw/__init__.py src/thaw/__init__.py
RUN make .venv/.installed
COPY --chown=1000:1000 . .
RUN .venv/bin/python -m pip install --quiet --no-deps -e . && touch .venv/.installed
CMD ["make", "play"]
