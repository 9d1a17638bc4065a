"""The cache: clients, routers and storage servers, over protosocket or gRPC."""
