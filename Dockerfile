# The service in two stages: wheels are built where compilers are, and run where nothing is but Python.
# Build: docker build -t triagedesk .   Run: see compose.yaml (read-only root, no capabilities, one volume).
FROM python:3.13-slim AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/triagedesk
COPY requirements-service.lock ./
RUN /opt/triagedesk/bin/pip install --require-hashes -r requirements-service.lock
COPY pyproject.toml README.md ./
COPY src ./src
COPY prompts ./prompts
RUN python -m venv /opt/build && /opt/build/bin/pip install "hatchling>=1.27" \
 && /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/triagedesk/bin/pip install --no-deps /wheels/triagedesk-*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin triagedesk \
 && install -d -o triagedesk -g triagedesk /data
COPY --from=build /opt/triagedesk /opt/triagedesk
ENV PATH=/opt/triagedesk/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TRIAGEDESK_CACHE_DIR=/data/cache \
    TRIAGEDESK_SERVICE_DATABASE_URL=sqlite:////data/triagedesk.db
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
# Listens beyond loopback only where a key exists: docker compose run --rm service triagedesk keys create NAME --scope suggest
CMD ["triagedesk", "serve", "--host", "0.0.0.0", "--port", "8080"]
