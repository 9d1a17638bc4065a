from protosocket.cache import protosocket_cache_pb2 as _protosocket_cache_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
