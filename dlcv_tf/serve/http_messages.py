"""An HTTP request and its answer, as the protocols see them."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Request:
    """One HTTP request, whole.

    Args:
        method: `"GET"`, `"POST"`, ...
        path: as sent, percent-encoded, without the query.
        headers: names in lower case to values.
        body: inflated.
        query: what stands behind the `?`, as sent.
    """

    method: str
    path: str
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes = b""
    query: str = ""

    @property
    def content_type(self) -> str:
        """The body's media type in lower case, without parameters; "" where none is given."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def accepts(self, media_type: str) -> bool:
        """Whether the client asks for a media type by name (`*/*` does not)."""
        wanted = self.headers.get("accept", "").lower().split(",")
        return media_type in [part.partition(";")[0].strip() for part in wanted]


@dataclasses.dataclass(frozen=True)
class Answer:
    """One HTTP answer, whole.

    Args:
        body: its bytes.
        status: of HTTP.
        content_type: of the body.
        headers: further ones, names in lower case.
    """

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
