# One image, three jobs: `bt-node db upgrade`, `bt-node serve listener`, `bt-node serve worker`.
# docs/deployment.md says how these steps were tried without a Docker engine.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/bt-node

# Dependencies first: this layer changes only when the pins do. The index decides between the CPU and the CUDA
# build of the same torch pin (add --index-url https://download.pytorch.org/whl/cpu for a CPU-only image).
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bt_node/__init__.py bt_node/__init__.py
RUN pip install --constraint constraints.txt --editable .

COPY bt_node/ bt_node/
COPY alembic/ alembic/
COPY models/ models/
COPY config.toml ./

# The node needs no rights beyond its own folder; the spool holds patient data and is a volume.
RUN useradd --system --uid 10001 --home-dir /var/lib/bt-node --create-home bt-node \
 && install -d -o bt-node -g bt-node -m 0700 /var/lib/bt-node/spool
USER bt-node
ENV BT_NODE_STORAGE__SPOOL=/var/lib/bt-node/spool \
    BT_NODE_DATABASE__URL=sqlite:////var/lib/bt-node/jobs.sqlite
VOLUME /var/lib/bt-node
EXPOSE 11112

ENTRYPOINT ["bt-node", "--config", "/opt/bt-node/config.toml"]
CMD ["serve", "all"]
