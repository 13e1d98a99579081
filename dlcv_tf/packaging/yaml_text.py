"""Documents for Kubernetes and Compose as YAML, readable and always the same."""

import yaml

MADE = "# Made by dlcv package; change what you like, --force writes it anew.\n"


class _Dumper(yaml.SafeDumper):
    """Indents lists below their keys, and repeats what occurs twice rather than naming it."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data):
        return True


class Reset:
    """Stands for a value that a second Compose file takes away from the first."""


_Dumper.add_representer(Reset, lambda dumper, _: dumper.represent_scalar("!reset", "null"))


def text(*documents: dict, note: str = "") -> str:
    """Returns documents as one YAML file.

    Args:
        *documents: of plain values; keys keep their order.
        note: comment above them, one sentence.
    """
    parts = [
        yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=96, allow_unicode=True)
        for document in documents
    ]
    return MADE + (f"# {note}\n" if note else "") + "---\n".join(parts)
