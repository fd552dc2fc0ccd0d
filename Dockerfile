# syntax=docker/dockerfile:1
ARG BASE=python:3.12.12-slim-bookworm

FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src
# What changes least comes first, so that a change of code does not install everything again.
COPY requirements/production.txt requirements/build.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-deps --require-hashes --only-binary :all: --requirement requirements/build.txt
RUN python -m venv /opt/duewatch \
    && /opt/duewatch/bin/pip install --no-deps --require-hashes --only-binary :all: --requirement requirements/production.txt
COPY pyproject.toml README.md LICENSE NOTICE duewatch.py ./
COPY app app
COPY agents agents
COPY messages messages
COPY features features
COPY store store
COPY scoring scoring
COPY policy policy
COPY decisions decisions
COPY replay replay
COPY samples samples
COPY telemetry telemetry
RUN /opt/build/bin/hatchling build -t wheel -d /tmp/wheel \
    && /opt/duewatch/bin/pip install --no-deps --no-index /tmp/wheel/*.whl

FROM ${BASE}
LABEL org.opencontainers.image.title="duewatch" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --user-group --home-dir /var/lib/duewatch --create-home --shell /usr/sbin/nologin duewatch
COPY --from=build /opt/duewatch /opt/duewatch
# The kernels are compiled at the first start for the processor that runs them; a volume here keeps them.
ENV PATH=/opt/duewatch/bin:$PATH PYTHONUNBUFFERED=1 NUMBA_CACHE_DIR=/var/lib/duewatch/kernels
USER 10001:10001
WORKDIR /var/lib/duewatch
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["duewatch"]
CMD ["worker"]
