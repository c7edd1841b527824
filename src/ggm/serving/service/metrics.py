"""What the service counts, for Prometheus."""

from __future__ import annotations

from typing import Final

from ggm.errors import MissingDependencyError

try:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from prometheus_client.platform_collector import PlatformCollector
    from prometheus_client.process_collector import ProcessCollector
except ImportError as error:
    raise MissingDependencyError("the service needs prometheus-client: pip install 'ggm[serve]'") from error

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counters of one service. No label holds what a user sent."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        own = self.registry
        self.requests = Counter(
            "ggm_requests", "Requests that were answered.", ("route", "method", "status"), registry=own
        )
        self.request_seconds = Histogram(
            "ggm_request_seconds",
            "From the first byte to the last.",
            ("route",),
            buckets=_SECONDS,
            registry=own,
        )
        self.refusals = Counter("ggm_refusals", "Requests that were refused.", ("code",), registry=own)
        self.received_bytes = Counter("ggm_received_bytes", "Of the bodies of requests.", registry=own)
        self.places = Gauge("ggm_places_taken", "Videos that are here now.", registry=own)
        self.most_places = Gauge("ggm_places", "Videos that may be here at once.", registry=own)
        self.batches = Histogram(
            "ggm_batch_size",
            "Videos that the model took at once.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=own,
        )
        self.stages = Histogram(
            "ggm_stage_seconds",
            "Of a video, or of the batch it was in.",
            ("stage",),
            buckets=_SECONDS,
            registry=own,
        )
        self.bad_videos = Counter(
            "ggm_bad_videos", "Videos that couldn't be used.", ("reason",), registry=own
        )
        self.decoder_deaths = Counter(
            "ggm_decoder_deaths", "Decoding processes that ended before their time.", registry=own
        )
        self.pool_hashtags = Gauge("ggm_pool_hashtags", "Hashtags in the pool.", registry=own)
        self.pool_changes = Counter("ggm_pool_changes", "Changes of the pool.", ("kind",), registry=own)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)
