# One image for web, worker and ticker; TRAIN=1 adds torch (CPU) and the training packages.
FROM python:3.12-slim AS build
WORKDIR /app
RUN python -m venv /app/.venv
COPY requirements requirements
RUN .venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements/web.lock
ARG TRAIN=0
ARG TORCH="torch==2.13.0+cpu --index-url https://download.pytorch.org/whl/cpu"
RUN if [ "$TRAIN" = 1 ]; then \
      .venv/bin/pip install --no-cache-dir --no-deps $TORCH && \
      .venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements/train.lock; \
    fi

FROM python:3.12-slim
RUN useradd --create-home --uid 10001 synthweb && mkdir /data && chown synthweb /data
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY . .
USER synthweb
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    SYNTHWEB_HOME=/data \
    SYNTHWEB_INSTALL_TRAIN=0
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s CMD python -c \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"
CMD ["python", "-m", "synthweb.server"]
