# One image, three jobs: `bt-node db upgrade`, `bt-node serve listener`, `bt-node serve worker`.
# `make containers` builds it and runs compose.yaml with it; docs/deployment.md.
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/bt-node

# Dependencies first: this layer changes only when the pins do. The index decides between the CPU and the CUDA
# build of the same torch pin (add --index-url https://download.pytorch.org/whl/cpu for a CPU-only image).
# Headers and test suites of the libraries go in the same step, or they would stay in its layer.
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY bt_node/__init__.py bt_node/__init__.py
RUN pip install --constraint constraints.txt --editable . \
 && cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
 && rm -rf torch/include torch/test torch/lib/*.a \
 && find . -type d -name tests -path '*/tests' -prune -exec rm -rf {} +

COPY bt_node/ bt_node/
COPY alembic/ alembic/
COPY models/ models/
COPY deploy/container/config.toml /etc/bt-node/config.toml

# The node needs no rights beyond its own folder, which holds all that it writes: a volume, since it has patient data.
RUN useradd --system --uid 10001 --home-dir /var/lib/bt-node --create-home bt-node \
 && install -d -o bt-node -g bt-node -m 0700 /var/lib/bt-node
USER bt-node
VOLUME /var/lib/bt-node
EXPOSE 11112

ENTRYPOINT ["bt-node", "--config", "/etc/bt-node/config.toml"]
CMD ["serve", "all"]
