"""Request bodies in YAML, read as if they were JSON: a date stays a string."""

from typing import Any

import yaml

from holdfast.embedded.apiserver.errors import bad_request


class _Loader(yaml.SafeLoader):
    """Safe YAML without dates: Kubernetes reads YAML as if it were JSON."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse(data: bytes) -> Any:
    """The value of a body; 400 when it cannot be read."""
    try:
        return yaml.load(data, Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise bad_request(f"the request body is neither valid JSON nor valid YAML: {error}") from None
