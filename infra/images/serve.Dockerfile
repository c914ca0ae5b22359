# The image of the service, `animatic serve` and the nodes of a RayService: what train.Dockerfile installs, without what only jobs
# use. `make image VARIANT=serve` builds it from the tracked files of a commit; docs/clusters.md has the arguments.
#
#   VARIANT     cuda: torch from PyPI, with CUDA's libraries as wheels; only the driver comes from the host
#               cpu: torch without CUDA, several GB smaller; the same versions
#   BASE_IMAGE  give it with a digest, python:3.11-slim-bookworm@sha256:…, for a build that can be repeated
#   REVISION    the commit; part of the version that the service reports
ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG VARIANT=cuda

FROM ${BASE_IMAGE} AS builder
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_PYTHON_DOWNLOADS=never \
    VIRTUAL_ENV=/opt/animatic
WORKDIR /src
COPY requirements.lock pyproject.toml ./
# The locked uv, then an environment at the path where the last stage has it.
RUN --mount=type=cache,target=/root/.cache/pip \
    awk '/^[^ ]/ {wanted = /^uv==/} wanted' requirements.lock > /tmp/uv.txt \
    && python -m pip install --root-user-action=ignore --require-hashes --no-deps --requirement /tmp/uv.txt \
    && uv venv --python "$(command -v python)" /opt/animatic
# Training, ingest, evaluation and trackers are not part of the service. A dependency that is added to the project is installed here
# until it is added to this list; a test runs the service without those that are on it.
RUN mkdir /tmp/serve \
    && sed -E '/^ +"(deepspeed|imageio-ffmpeg|matplotlib|mlflow|transformers|wandb|webdataset)[^a-z][^"]*",$/d' \
        pyproject.toml > /tmp/serve/pyproject.toml

# What is left, in the versions and with the digests of the lock.
FROM builder AS environment-cuda
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --require-hashes --constraints requirements.lock --requirement /tmp/serve/pyproject.toml

# The same with the CPU builds of PyTorch's index, as in train.Dockerfile: these two packages are pinned by version, all others also by
# digest.
FROM builder AS environment-cpu
RUN --mount=type=cache,target=/root/.cache/uv \
    awk '/^[^ ]/ {wanted = !/^(torch|torchvision)==/} wanted' requirements.lock > /tmp/others.txt \
    && awk '/^(torch|torchvision)==/ {print $1}' requirements.lock > /tmp/torch.txt \
    && uv pip install --torch-backend cpu --constraints /tmp/others.txt \
        --requirement /tmp/serve/pyproject.toml --requirement /tmp/torch.txt

# hadolint ignore=DL3006
FROM environment-${VARIANT} AS package
ARG REVISION=""
WORKDIR /src
COPY . .
RUN sed -i "s/^version = \"\([^\"+]*\)\"/version = \"\1${REVISION:++git.$REVISION}\"/" pyproject.toml \
    && uv pip install --no-deps --no-build-isolation .

FROM ${BASE_IMAGE}
ARG REVISION=""
ARG VERSION=""
LABEL org.opencontainers.image.title="animatic-serve" \
      org.opencontainers.image.description="The service of image-animation models: an HTTP API on Ray Serve" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# tini reaps the processes that Ray leaves and passes signals on; KubeRay's probe of workers calls wget. Security updates of the base's
# release would break pinned versions.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --no-install-recommends --yes tini wget \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 animatic \
    && useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash animatic \
    && install --directory --owner 1000 --group 1000 /work /work/runs
# Owned by root: the service cannot change the code that it runs.
COPY --from=package /opt/animatic /opt/animatic
ENV PATH=/opt/animatic/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0
USER 1000:1000
WORKDIR /work
EXPOSE 8000
ENTRYPOINT ["tini", "--"]
CMD ["animatic", "serve"]
