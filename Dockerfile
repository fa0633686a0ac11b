FROM python:3.11.15-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src

# First what changes least: every package is checked against the hashes of a lock, those that build included.
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/waybill && /opt/waybill/bin/pip install --require-hashes --requirement requirements.lock
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes --requirement requirements-build.lock

COPY pyproject.toml README.md ./
COPY service service
COPY publishers publishers
COPY consumers consumers
COPY schemas schemas
COPY sql sql
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /dist \
    && /opt/waybill/bin/pip install --no-index --no-deps /dist/*.whl

FROM python:3.11.15-slim-bookworm
# A number, so that an orchestrator can check that it is not root. The folder exists and is the user's, so that a new
# volume mounted there is too.
RUN groupadd --system --gid 10001 waybill \
    && useradd --system --uid 10001 --gid waybill --no-create-home --home-dir /var/lib/waybill waybill \
    && install --directory --owner waybill --group waybill /var/lib/waybill /var/lib/waybill/sandbox
COPY --from=build /opt/waybill /opt/waybill
ENV PATH=/opt/waybill/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/waybill
EXPOSE 8080
# No HEALTHCHECK: one image runs the API, the relay and the workers, and each is checked differently.
ENTRYPOINT ["waybill"]
