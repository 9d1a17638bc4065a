"""Message types by name, from ``.proto`` files or from the descriptor sets that protoc writes."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError, Message

from protosocket.errors import OptionError

__all__ = ["Schema", "load_schema"]


class Schema:
    """The messages of some files and of all that these import."""

    def __init__(self, files: Sequence[FileDescriptorProto]) -> None:
        self._pool = descriptor_pool.DescriptorPool()
        self._files = {file.name: file for file in files}
        self._added: set[str] = set()
        for name in list(self._files):
            self._add(name)
        self._names = sorted(
            name
            for file in self._files.values()
            for name in _names(file.package, [message.name for message in file.message_type], file)
        )

    def message(self, name: str) -> type[Message]:
        """The class of messages called ``name``, with or without its package; ``OptionError`` for no one."""
        found = [known for known in self._names if known == name or known.endswith(f".{name}")]
        exact = [known for known in found if known == name]
        if len(exact or found) != 1:
            what = "more than one message is" if found else "no message is"
            choice = ", ".join(found or self._names)
            raise OptionError(f"{what} called {name!r}; there are: {choice}")
        return message_factory.GetMessageClass(self._pool.FindMessageTypeByName((exact or found)[0]))

    def method(self, path: str) -> tuple[type[Message], type[Message]] | None:
        """The classes of a method's requests and answers, from ``/package.Service/Method``."""
        service, _, name = path.removeprefix("/").rpartition("/")
        try:
            method = self._pool.FindServiceByName(service).FindMethodByName(name)
        except KeyError:
            return None
        if method is None:
            return None
        get_class = message_factory.GetMessageClass
        return get_class(method.input_type), get_class(method.output_type)

    def _add(self, name: str) -> None:
        """Add a file after those it imports."""
        if name in self._added:
            return
        self._added.add(name)
        file = self._files.get(name)
        if file is None:
            file = FileDescriptorProto()
            try:
                descriptor_pool.Default().FindFileByName(name).CopyToProto(file)
            except KeyError:
                text = f"{name} is imported and not in the descriptor set: use protoc --include_imports"
                raise OptionError(text) from None
        for imported in file.dependency:
            self._add(imported)
        try:
            self._pool.Add(file)
        except TypeError as error:
            raise OptionError(f"{name} cannot be used: {error}") from error


def load_schema(paths: Sequence[Path], includes: Sequence[Path] = ()) -> Schema:
    """The messages of ``paths``: ``.proto`` files, anything else is a descriptor set.

    Imports of ``.proto`` files are looked for in ``includes`` and in the files' own folders. They are
    compiled by grpcio-tools where it is installed, else by the program protoc. Raises ``OptionError`` for
    what cannot be read or compiled.
    """
    files: dict[str, FileDescriptorProto] = {}
    for path in paths:
        if path.suffix == ".proto":
            content, what = _compile(path, includes), f"what protoc made of {path}"
        else:
            try:
                content, what = path.read_bytes(), str(path)
            except OSError as error:
                raise OptionError(f"cannot read {path}: {error.strerror}") from error
        try:
            found = FileDescriptorSet.FromString(content).file
        except DecodeError as error:
            raise OptionError(f"{what} is no descriptor set (protoc --descriptor_set_out)") from error
        for file in found:
            files.setdefault(file.name, file)
    return Schema(list(files.values()))


def _compile(path: Path, includes: Sequence[Path]) -> bytes:
    if importlib.util.find_spec("grpc_tools") is not None:
        compiler = [sys.executable, "-m", "grpc_tools.protoc"]
    elif (protoc := shutil.which("protoc")) is not None:
        compiler = [protoc]
    else:
        raise OptionError(
            f"{path} cannot be compiled here: install grpcio-tools or protoc, or give a descriptor set "
            f"that protoc --include_imports --descriptor_set_out=FILE made of it"
        )
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "set"
        paths = [f"--proto_path={include}" for include in (*includes, path.parent)]
        done = subprocess.run(
            [*compiler, *paths, "--include_imports", f"--descriptor_set_out={output}", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise OptionError(f"protoc refuses {path}: {done.stderr.strip()}")
        return output.read_bytes()


def _names(scope: str, names: Sequence[str], file: FileDescriptorProto) -> list[str]:
    """The full names of a file's messages, nested ones too."""
    prefix = f"{scope}." if scope else ""
    found = [prefix + name for name in names]
    waiting = [(prefix + message.name, message) for message in file.message_type]
    while waiting:
        outer, message = waiting.pop()
        for nested in message.nested_type:
            if not nested.options.map_entry:
                found.append(f"{outer}.{nested.name}")
                waiting.append((f"{outer}.{nested.name}", nested))
    return found
