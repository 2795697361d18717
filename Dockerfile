# Two stages: the first installs pinned, hashed wheels; the second is what runs. No compiler, no
# pip and no tests in the result. Run it with a read-only root and a volume for the state folder:
#   docker run --read-only --tmpfs /tmp -v state:/var/lib/bedrock-gateway \
#     -v ./policies:/app/policies:ro -e GATEWAY_REDIS_URL=… -e GATEWAY_MASTER_KEY=… -p 8080:8080 …
FROM python:3.12-slim AS build
WORKDIR /build
COPY requirements/runtime.txt ./
RUN python -m venv --without-pip /opt/gateway \
    && python -m pip --python /opt/gateway/bin/python install --no-cache-dir --no-input \
       --disable-pip-version-check --only-binary :all: --require-hashes -r runtime.txt
COPY gateway /app/gateway
# Compiled here, since nothing can be written there; unchecked, so that no file time matters.
RUN /opt/gateway/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/gateway

FROM python:3.12-slim
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin gateway \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/bedrock-gateway \
    && install --directory --mode 0755 /app/policies
WORKDIR /app
COPY --from=build /opt/gateway /opt/gateway
COPY --from=build /app/gateway /app/gateway
COPY config /app/config
COPY scripts/healthcheck /app/scripts/healthcheck
COPY LICENSE /app/LICENSE
ENV PATH=/opt/gateway/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GATEWAY_LISTEN=0.0.0.0:8080 \
    GATEWAY_STATE_DIR=/var/lib/bedrock-gateway
USER 10001:10001
VOLUME /var/lib/bedrock-gateway
EXPOSE 8080
# Docker's own default, written down: the gateway drains on SIGTERM, then the journal is flushed
# (give it GATEWAY_DRAIN_TIMEOUT_S and 50 s, by default 160 s: --stop-timeout).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "/app/scripts/healthcheck"]
ENTRYPOINT ["python", "-m", "gateway"]
CMD ["serve"]
