"""Asks an Antfly cluster how it is. It is well when it says so itself."""

import http.client

from holdfast.core.calls import AntflyHealth
from holdfast.core.report import Report
from holdfast.movers.antfly import AntflyError, Client, Refused, mover_error, patiently
from holdfast.movers.context import Context, MoverError, log

HEALTHY = "healthy"
PATIENCE = 5.0
"""Seconds for a server that is just coming up."""


def run(call: AntflyHealth, context: Context) -> Report:
    """Report a failure unless the server answers that it is healthy."""
    client = Client(call.server, context)
    try:
        found = patiently(client.health, context, PATIENCE)
    except Refused as error:
        if error.status not in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
            raise mover_error(error) from error
        log(f"{client.name} answers, and wants to know who asks: it is taken for healthy")
        return Report(AntflyHealth.MOVER)
    except AntflyError as error:
        raise mover_error(error) from error
    log(f"{client.name} is {found.health}")
    if found.health != HEALTHY:
        said = f": {found.message}" if found.message else ""
        raise MoverError("Unhealthy", f"{client.name} says that it is {found.health}{said}")
    return Report(AntflyHealth.MOVER)
