"""`/metrics`: for Prometheus."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from server.api.services import Services

router = APIRouter(tags=["server"])
EXAMPLE = (
    "# HELP quorum_solves_running Solves at work.\n"
    "# TYPE quorum_solves_running gauge\n"
    "quorum_solves_running 1.0\n"
)


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
            "description": "The metrics, in Prometheus's text format or OpenMetrics.",
        }
    },
)
async def metrics(request: Request) -> Response:
    """Print the metrics: engine, kernels, queue, solves, votes, tokens, budgets, journal."""
    services: Services = request.state.services
    registry = services.meter.registry
    try:
        body, content_type = _encoded(registry, request.headers.get("accept", ""))
    except (TypeError, ValueError):
        # The library compares the version in `Accept` with numbers, whatever it is.
        body, content_type = _encoded(registry, "")
    return Response(body, headers={"Content-Type": content_type})


def _encoded(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type
