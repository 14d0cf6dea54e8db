"""YAML as people write settings by hand, and as ``args.yaml`` holds them: plain values, no aliases, no tags, no key twice.

YAML can also say a value again by its name, which lets 300 bytes unpack to gigabytes, and give values types of their own. Settings
need neither. Of a key that stands twice PyYAML takes the last one without a word.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from orthoforge.errors import ConfigError

LARGEST_BYTES = 500_000
"""Of a file. The longest that we write, of a run on hundreds of places, has some ten thousand."""
DEEPEST = 20
_LONGEST_NUMBER = 40  # characters; 2**63 has 19 digits


def read_yaml(path: Path) -> Any:
    """What a YAML file holds, as plain values. ``ConfigError`` for one that cannot be read, is too large, or holds others."""
    try:
        with open(path, "rb") as file:
            payload = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    if len(payload) > LARGEST_BYTES:
        raise ConfigError(f"{path}: is larger than {LARGEST_BYTES // 1000} kB; a file of settings has a few. Is it another file?")
    try:
        return yaml.load(payload.decode("utf-8"), _PlainLoader)  # a SafeLoader
    # The dates and numbers of YAML's text are made by Python's own types, which raise their own errors.
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error


def dump_yaml(values: Mapping[str, Any]) -> str:
    """YAML in the order given."""
    return yaml.dump(dict(values), Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=130)


class _PlainLoader(yaml.SafeLoader):
    """Refuses what plain settings have no need of."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _refused(event.start_mark, f"*{event.anchor} repeats a value by its name; write the value out")
        if getattr(event, "tag", None) is not None:
            raise _refused(event.start_mark, f"{event.tag} gives a value a type of its own; leave it out")
        if self._depth >= DEEPEST:
            raise _refused(event.start_mark, f"lists within lists, more than {DEEPEST} deep")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _refused(key.start_mark, f"`{key.value:.60}` stands here a second time; keep one of them")
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        if len(node.value) > _LONGEST_NUMBER:
            raise _refused(node.start_mark, f"a number of {len(node.value)} characters")
        is_whole = node.tag == "tag:yaml.org,2002:int"
        return self.construct_yaml_int(node) if is_whole else self.construct_yaml_float(node)


for _kind in ("int", "float"):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _PlainLoader.construct_number)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _refused(mark: Any, what: str) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)
