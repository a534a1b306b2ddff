# Posthorn in a container: the binary, the certificates of authorities, and nobody's rights.
#
#   docker build -t posthorn .
#   docker run -v posthorn:/var/lib/posthorn -p 25:25 -p 993:993 -p 443:443 posthorn
#
# compose.yaml has two of them over one database.

FROM rust:1.95.0-bookworm AS build
# bindgen reads RocksDB's header with libclang.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libclang-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# The web console: compiled for the browser, and put into the binary.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    rustup target add wasm32-unknown-unknown \
    && POSTHORN_CACHE=/console cargo run --quiet --package xtask -- wasm > /console-folder
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    POSTHORN_CONSOLE_DIR="$(cat /console-folder)" cargo build --release --locked --package posthorn --bin posthorn \
    && install -D -m 0755 target/release/posthorn /out/posthorn

FROM debian:12.12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10025 posthorn \
    && useradd --uid 10025 --gid 10025 --no-create-home --home-dir /var/lib/posthorn --shell /usr/sbin/nologin posthorn \
    && install -d -m 0700 -o posthorn -g posthorn /var/lib/posthorn
COPY --from=build /out/posthorn /usr/local/bin/posthorn
USER 10025:10025
WORKDIR /var/lib/posthorn
VOLUME /var/lib/posthorn
EXPOSE 25 465 587 143 993 110 995 4190 443
STOPSIGNAL SIGTERM
# The first start waits for its database, and makes its search index.
HEALTHCHECK --interval=10s --timeout=5s --start-period=90s --retries=3 \
    CMD ["/usr/local/bin/posthorn", "--data", "/var/lib/posthorn", "health"]
ENTRYPOINT ["/usr/local/bin/posthorn"]
CMD ["serve", "--data", "/var/lib/posthorn"]
