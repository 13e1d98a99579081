"""Protocol buffer messages from a descriptor set in this folder, without generated code."""

import importlib.resources
import threading

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper


class Protos:
    """The messages, enums and services of one descriptor set.

    They live in a descriptor pool of their own, so that packages with generated code for the same
    protos may be imported beside them.

    Args:
        file_name: of the set, made by `tools/build_descriptors.py`.
        packages: the protobuf packages whose messages are found by their simple names.
    """

    def __init__(self, file_name: str, packages: tuple[str, ...]):
        self._file_name = file_name
        self._packages = packages
        self._found: dict[str, object] = {}
        self._pool: descriptor_pool.DescriptorPool | None = None
        self._lock = threading.Lock()

    @property
    def pool(self) -> descriptor_pool.DescriptorPool:
        """The private pool that holds the descriptors; read on first use."""
        with self._lock:  # messages of two pools do not fit into each other
            if self._pool is None:
                self._pool = self._read()
        return self._pool

    def find(self, name: str):
        """Returns a message class or an enum by its simple name.

        Raises:
            AttributeError: if there is none.
        """
        if name not in self._found:
            self._found[name] = self._look_up(name)
        return self._found[name]

    def _read(self) -> descriptor_pool.DescriptorPool:
        data = importlib.resources.files(__package__).joinpath(self._file_name).read_bytes()
        result = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
            result.Add(file)
        return result

    def _look_up(self, name: str):
        for package in self._packages:
            full_name = f"{package}.{name}"
            try:
                return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full_name))
            except KeyError:
                pass
            try:
                return enum_type_wrapper.EnumTypeWrapper(self.pool.FindEnumTypeByName(full_name))
            except KeyError:
                pass
        raise AttributeError(f"{self._file_name} has no message or enum {name!r}")
