"""The data plane of one process, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from gateway.adapters.bedrock.credentials import UpstreamCredentials
from gateway.adapters.bedrock.upstream import BedrockUpstream, UpstreamOptions, open_session
from gateway.adapters.files.host_channel import HostChannel
from gateway.adapters.files.prices import read_catalogue
from gateway.adapters.key_directory import CachingKeyDirectory
from gateway.adapters.outbox.writer import OutboxWriter
from gateway.adapters.redis.breaker import BreakerState
from gateway.adapters.redis.ledger import HOLD_TTL_MS
from gateway.adapters.system import RandomIds, SystemClock
from gateway.admission.control_ports import StopKnowledge
from gateway.authn.ports import KeyDirectory
from gateway.bedrock.exchange import Upstream
from gateway.compose.backlog import closing, open_backlog, shortening
from gateway.compose.control import heed, host_stops, open_control_watch, open_trips
from gateway.compose.guarded_ledger import GuardedLedger, open_guarded_ledger
from gateway.compose.host import worker_count
from gateway.compose.identity import open_authenticator
from gateway.compose.outbox import open_outbox
from gateway.compose.refusals import open_refusals
from gateway.compose.rules import LiveRules, open_rules
from gateway.compose.stores import open_key_directory
from gateway.domain.clock import Clock
from gateway.domain.ids import Ids
from gateway.domain.observer import Observer
from gateway.proxy.accept import Accept, AcceptBounds, BodyBudget
from gateway.proxy.admit import Admit
from gateway.proxy.admit_locally import LocalAdmission
from gateway.proxy.authenticate import Authenticate
from gateway.proxy.browse import Browse
from gateway.proxy.drain import Calls, Drains
from gateway.proxy.forward import Forward
from gateway.proxy.handler import Handler, Stages
from gateway.proxy.health import Health
from gateway.proxy.identify import Identify, Profiles
from gateway.proxy.refusals import NotingAdmit
from gateway.proxy.relay import Relay, RelayBounds
from gateway.proxy.running_calls import RunningCalls
from gateway.proxy.server import DataPlaneServer, ServerBounds
from gateway.proxy.settle import Settle
from gateway.settings import Settings
from gateway.workers.backlog_watcher import BacklogWatcher
from gateway.workers.control_watch import ControlWatch
from gateway.workers.emergency_trips import EmergencyTrips
from gateway.workers.refusal_writer import RefusalWriter

_LONGEST_DRAIN_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DataPlane:
    """What serves, and what has to be drained before the process may end."""

    server: DataPlaneServer
    calls: Calls
    ledger: GuardedLedger
    outbox: OutboxWriter
    watch: ControlWatch
    running: RunningCalls


@asynccontextmanager
async def open_data_plane(
    settings: Settings,
    observer: Observer,
    *,
    clock: Clock | None = None,
    ids: Ids | None = None,
    stops: StopKnowledge | None = None,
) -> AsyncIterator[DataPlane]:
    """A data plane while the context lives, not listening yet. `stops` None: it has its own."""
    clock, ids = clock or SystemClock(), ids or RandomIds()
    async with _open_parts(settings, observer, clock) as parts:
        watch, calls = parts.watch, Calls()
        running = RunningCalls(stops or watch)
        heed(watch, running, parts.rules, parts.keys, observer)
        local = _local_admission(settings, stops or watch, parts.outbox, clock)
        handler = Handler(
            _make_stages(settings, parts, calls, local, observer, clock),
            calls,
            Health(lambda: not calls.is_draining, lambda: _troubles(parts)),
            BodyBudget(settings.max_inflight_body_bytes),
            running,
            observer=observer,
            clock=clock,
            ids=ids,
            write_timeout_s=settings.client_write_timeout_s,
        )
        yield DataPlane(
            server=DataPlaneServer(handler, _server_bounds(settings), ids),
            calls=calls,
            ledger=parts.ledger,
            outbox=parts.outbox,
            watch=watch,
            running=running,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What a data plane stands on, open."""

    ledger: GuardedLedger
    keys: CachingKeyDirectory
    authenticate: Authenticate
    upstream: Upstream
    rules: LiveRules
    watch: ControlWatch
    trips: EmergencyTrips
    outbox: OutboxWriter
    backlog: BacklogWatcher
    refusals: RefusalWriter


@asynccontextmanager
async def _open_parts(
    settings: Settings, observer: Observer, clock: Clock
) -> AsyncIterator[_Parts]:
    async with AsyncExitStack() as stack:
        opened = stack.enter_async_context
        ledger = await opened(open_guarded_ledger(settings, observer))
        keys = await opened(open_key_directory(settings, clock, observer))
        watch = await opened(open_control_watch(settings, observer, clock))
        yield _Parts(
            ledger=ledger,
            keys=keys,
            authenticate=await opened(_open_authenticate(settings, keys, clock)),
            upstream=await opened(_open_upstream(settings, clock)),
            rules=await opened(open_rules(settings, observer)),
            watch=watch,
            trips=await opened(open_trips(settings, watch, observer, clock)),
            outbox=await opened(open_outbox(settings, ledger, observer, clock)),
            backlog=await opened(open_backlog(settings)),
            refusals=await opened(open_refusals(settings, observer)),
        )


def _make_stages(  # noqa: PLR0917 - what the stages share
    settings: Settings,
    parts: _Parts,
    calls: Calls,
    local: LocalAdmission,
    observer: Observer,
    clock: Clock,
) -> Stages:
    rules, ledger, refused = parts.rules, parts.ledger, parts.refusals.take
    shorten = shortening(lambda: parts.backlog.level)
    settle = Settle(
        ledger,
        parts.outbox,
        calls,
        observer,
        clock,
        shorten=shorten,
        left=local.left,
        released=refused,
    )
    admit = Admit(
        rules.current,
        ledger,
        clock,
        refresh=rules.refresh,
        release=settle.release,
        hold_ttl_ms=HOLD_TTL_MS,
        is_journal_full=closing(settings, lambda: parts.backlog.level),
        shorten=shorten,
        local=local,
        heard=parts.trips.heard,
    )
    identify = Identify(read_catalogue(settings.models), Profiles(parts.upstream, clock))
    return Stages(
        accept=Accept(_accept_bounds(settings), clock),
        authenticate=parts.authenticate,
        identify=identify,
        admit=NotingAdmit(admit, rules.current, clock, refused),
        forward=Forward(parts.upstream),
        relay=_make_relay(settings, clock),
        settle=settle,
        browse=Browse(rules.current, identify, parts.upstream),
    )


@asynccontextmanager
async def _open_authenticate(
    settings: Settings, keys: KeyDirectory, clock: Clock
) -> AsyncIterator[Authenticate]:
    home = home_region(settings)
    async with open_authenticator(settings, keys, clock, home_region=home) as authenticator:
        yield Authenticate(authenticator, clock, home_region=home)


def _make_relay(settings: Settings, clock: Clock) -> Relay:
    return Relay(
        RelayBounds(idle_timeout_s=settings.stream_idle_timeout_s),
        Drains(clock, most=settings.max_drains, limit_s=_LONGEST_DRAIN_S),
        clock,
    )


def _local_admission(
    settings: Settings, stops: StopKnowledge, outbox: OutboxWriter, clock: Clock
) -> LocalAdmission:
    """What decides while the ledger is away. Each process has its part of this host's limits."""
    return LocalAdmission(
        HostChannel(stops, host_stops(settings), settings.state_dir, clock),
        outbox,
        clock,
        workers=worker_count(settings),
        owed=outbox.__len__,
    )


def _troubles(parts: _Parts) -> tuple[str, ...]:
    """What does not work, though this process serves what it can."""
    trouble = parts.rules.trouble
    said = {
        "the ledger is away": parts.ledger.state is not BreakerState.CLOSED,
        "the outbox cannot write": not parts.outbox.is_writing,
        f"the rules are old: {trouble}": trouble != "",
    }
    return tuple(trouble for trouble, is_so in said.items() if is_so)


@asynccontextmanager
async def _open_upstream(settings: Settings, clock: Clock) -> AsyncIterator[Upstream]:
    options = UpstreamOptions(
        runtime_endpoint=settings.upstream_endpoint,
        control_endpoint=settings.upstream_control_endpoint,
        connect_timeout_s=settings.upstream_connect_timeout_s,
        head_timeout_s=settings.upstream_read_timeout_s,
    )
    token = settings.upstream_bearer_token
    credentials = UpstreamCredentials(clock) if token is None else None
    async with open_session(options) as session:
        try:
            yield BedrockUpstream(
                session,
                options,
                credentials=credentials,
                bearer_token=token.get_secret_value() if token is not None else None,
                clock=clock,
            )
        finally:
            if credentials is not None:
                await credentials.close()


def _server_bounds(settings: Settings) -> ServerBounds:
    return ServerBounds(
        header_timeout_s=settings.header_timeout_s,
        keepalive_timeout_s=settings.keepalive_timeout_s,
        max_connections=settings.max_connections,
    )


def _accept_bounds(settings: Settings) -> AcceptBounds:
    return AcceptBounds(
        hosts=served_hosts(settings),
        trusted_fronts=settings.trusted_fronts,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.body_timeout_s,
    )


def served_hosts(settings: Settings) -> frozenset[str]:
    """The Host names that are served; empty where any is (listening everywhere, none named)."""
    if settings.hosts:
        return frozenset(host.lower() for host in settings.hosts)
    host = settings.listen.host
    if host in ("127.0.0.1", "::1", "localhost"):
        return frozenset({"127.0.0.1", "::1", "localhost"})
    return frozenset() if host in ("0.0.0.0", "::") else frozenset({host.lower()})  # noqa: S104 - compared, not bound


def home_region(settings: Settings) -> str:
    """The region of calls whose credential names none. Raises: ValueError if nobody says."""
    region = settings.region
    if region is None:
        raise ValueError("no home region: set GATEWAY_REGION (or AWS_REGION)")
    return region
