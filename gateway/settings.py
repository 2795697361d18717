"""What an operator may set: one file and environment variables that win over it, checked whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    model_validator,
)

from gateway.adapters.files.text import read_text_file
from gateway.documents.checked import check_document, nearest
from gateway.documents.marked_yaml import (
    DocumentError,
    MarkedDocument,
    Problem,
    read_marked_yaml,
)
from gateway.setting_types import (
    Account,
    Address,
    HomePath,
    HostName,
    HttpUrl,
    ListenAddress,
    MasterKey,
    Network,
    RedisUrl,
    Region,
    is_loopback_url,
    split_list,
)

PREFIX = "GATEWAY_"
DEFAULT_FILE = Path("config/gateway.yaml")
_MAX_FILE_BYTES = 1024 * 1024
_MIB = 1024 * 1024

_Comma = BeforeValidator(split_list)
_Seconds = Annotated[float, Field(gt=0, le=86_400)]


def _says(meaning: str, default: Any = None, *, shown: str | None = None) -> Any:
    """A setting: what it means, its default, and the default in words where a value cannot say."""
    return Field(default=default, description=meaning, json_schema_extra={"shown": shown})


class Settings(BaseModel):
    """The effective settings of one process.

    Invariant: whatever is inconsistent is refused here, so nothing inside checks a setting again.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True
    )
    _sources: Mapping[str, str] = PrivateAttr(default_factory=dict)

    listen: ListenAddress = _says("Address of the data plane.", Address("127.0.0.1", 8080))
    admin_listen: ListenAddress = _says(
        "Address of the admin API, the dashboard and /metrics.", Address("127.0.0.1", 8081)
    )
    tls_cert: HomePath | None = _says("Certificate chain (PEM) of the data plane; needs tls_key.")
    tls_key: HomePath | None = _says("Private key (PEM) of the data plane.")
    admin_tls_cert: HomePath | None = _says("Certificate chain (PEM) of the admin plane.")
    admin_tls_key: HomePath | None = _says("Private key (PEM) of the admin plane.")
    hosts: Annotated[tuple[HostName, ...], _Comma] = _says(
        "Host names (without port) that are served, others are refused.",
        (),
        shown="the listen address",
    )
    trusted_fronts: Annotated[tuple[Network, ...], _Comma] = _says(
        "Addresses or networks whose X-Forwarded-Host says which host the caller signed.",
        (),
        shown="none",
    )
    workers: Annotated[int, Field(ge=1, le=256)] | None = _says(
        "Data-plane processes that share the port.", shown="number of cores"
    )
    log_level: Literal["debug", "info", "warning", "error"] = _says(
        "The least severe message that is logged.", "info"
    )

    max_body_bytes: Annotated[int, Field(ge=1024, le=1024 * _MIB)] = _says(
        "Largest request body.", 25 * _MIB
    )
    max_inflight_body_bytes: Annotated[int, Field(ge=1024)] = _says(
        "Request bodies held in memory at once, per process; beyond it calls get 503.", 256 * _MIB
    )
    max_connections: Annotated[int, Field(ge=1)] = _says(
        "Open client connections per process.", 4096
    )
    max_drains: Annotated[int, Field(ge=0)] = _says(
        "Answers read to their end after the caller hung up, at once and per process.", 256
    )
    header_timeout_s: _Seconds = _says("Time for a request's head to arrive.", 10.0)
    body_timeout_s: _Seconds = _says("Time for a request's body to arrive.", 30.0)
    keepalive_timeout_s: _Seconds = _says("How long an idle connection is kept.", 75.0)
    client_write_timeout_s: _Seconds = _says("How long a caller may stall while reading.", 60.0)
    stream_idle_timeout_s: _Seconds = _says("How long upstream may pause within a stream.", 60.0)
    drain_timeout_s: _Seconds = _says("Time for running calls after SIGTERM.", 110.0)

    region: Region | None = _says("Home region of upstream.", shown="AWS default chain")
    upstream_regions: Annotated[tuple[Region, ...], _Comma] = _says(
        "Regions that callers may sign for; the signed region selects the upstream.",
        (),
        shown="the home region",
    )
    upstream_endpoint: HttpUrl | None = _says(
        "Replaces https://bedrock-runtime.{region}.amazonaws.com (private link, tests)."
    )
    upstream_control_endpoint: HttpUrl | None = _says(
        "Replaces https://bedrock.{region}.amazonaws.com."
    )
    upstream_bearer_token: SecretStr | None = _says(
        "A Bedrock API key, used instead of AWS credentials."
    )
    upstream_connect_timeout_s: _Seconds = _says("Time to connect to upstream.", 5.0)
    upstream_read_timeout_s: _Seconds = _says("Time for upstream's first byte.", 600.0)
    home_accounts: Annotated[tuple[Account, ...], _Comma] = _says(
        "AWS accounts whose ARNs need no listing in a policy.", (), shown="none"
    )

    redis_url: RedisUrl | None = _says(
        "The ledger: redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://."
    )
    redis_timeout_ms: Annotated[int, Field(ge=1, le=10_000)] = _says(
        "Time for one ledger command.", 150
    )
    ledger_shards: Annotated[int, Field(ge=1, le=256)] = _says(
        "Parts of the ledger on a Redis Cluster; never change it while money is held.", 16
    )
    dynamodb_endpoint: HttpUrl | None = _says("DynamoDB endpoint.", shown="AWS")
    table_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,64}$")] = _says(
        "Prefix of the DynamoDB table names.", "bedrock_"
    )
    journal_max_entries: Annotated[int, Field(ge=100)] = _says(
        "Records that may wait for DynamoDB, per ledger shard.", 1_000_000
    )
    journal_max_bytes: Annotated[int, Field(ge=1024 * 1024)] = _says(
        "Redis memory that waiting records may take, per ledger shard.", 1024 * _MIB
    )
    backlog_full: Literal["closed", "open"] = _says(
        "What happens to new calls while 95 % of that is taken: refused, or admitted.", "closed"
    )
    state_dir: HomePath = _says(
        "Folder for what this host keeps.",
        Path("~/.local/state/bedrock-gateway"),
    )
    emulators: HomePath = _says(
        "Python environment with the sandbox's DynamoDB API.", Path(".venvs/emulators")
    )

    policies: HomePath = _says("Folder of the policy files.", Path("policies"))
    prices: HomePath = _says("Price file.", Path("config/prices.yaml"))
    price_overrides: HomePath | None = _says("File of own prices that win over the price file.")
    models: HomePath = _says("Model catalogue.", Path("config/models.yaml"))

    master_key: MasterKey | None = _says(
        "Seals issued secrets at rest. Needed outside the sandbox; at least 32 random bytes."
    )
    jwt_issuer: str | None = _says("Issuer (iss) of callers' JWTs; enables them.")
    jwt_audience: str | None = _says("Audience (aud) a caller's JWT must name.")
    jwt_jwks_url: HttpUrl | None = _says("Where the issuer publishes its keys.")
    jwt_key_file: HomePath | None = _says(
        "The issuer's keys in a file (a JWK Set), instead of a URL."
    )
    jwt_org_claim: str = _says("Claim that names the org.", "org")
    jwt_team_claim: str = _says("Claim that names the team.", "team")
    jwt_user_claim: str = _says("Claim that names the user.", "sub")
    admin_jwt_issuer: str | None = _says("Issuer of administrators' JWTs; enables them.")
    admin_jwt_audience: str | None = _says("Audience an administrator's JWT must name.")
    admin_jwt_jwks_url: HttpUrl | None = _says("Where that issuer publishes its keys.")
    admin_jwt_key_file: HomePath | None = _says("That issuer's keys in a file, instead of a URL.")
    admin_jwt_org_claim: str = _says("Claim that names the org an administrator reaches.", "org")
    admin_jwt_team_claim: str = _says("Claim that narrows an administrator to a team.", "team")
    admin_jwt_user_claim: str = _says("Claim that says who the administrator is.", "sub")
    admin_jwt_role_claim: str = _says("Claim that names the role: viewer to admin.", "role")

    @property
    def sources(self) -> Mapping[str, str]:
        """Where each value came from: `default`, a line of the file, or a variable."""
        return self._sources

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        for cert, key in (("tls_cert", "tls_key"), ("admin_tls_cert", "admin_tls_key")):
            if (getattr(self, cert) is None) is not (getattr(self, key) is None):
                raise ValueError(f"{cert} and {key} are set together or not at all")
        for jwt in ("jwt", "admin_jwt"):
            self._expect_whole_issuer(jwt)
        for url in (self.upstream_endpoint, self.upstream_control_endpoint):
            bare = url is not None and url.startswith("http:") and not is_loopback_url(url)
            if bare and self.upstream_bearer_token is not None:
                raise ValueError("upstream_bearer_token would travel unencrypted: use https://")
        return self

    def _expect_whole_issuer(self, jwt: str) -> None:
        """Raises: ValueError unless all of an issuer is set, or nothing."""
        issuer, audience, url, file = (
            getattr(self, f"{jwt}_{name}")
            for name in ("issuer", "audience", "jwks_url", "key_file")
        )
        if issuer is None:
            values = {"audience": audience, "jwks_url": url, "key_file": file}
            lone = [name for name, value in values.items() if value]
            if lone:
                raise ValueError(f"{jwt}_{lone[0]} is set, so {jwt}_issuer must be set too")
        elif audience is None:
            raise ValueError(f"{jwt}_issuer is set, so {jwt}_audience must be set too")
        elif (url is None) is (file is None):
            raise ValueError(f"set one of {jwt}_jwks_url and {jwt}_key_file")


SECRETS = frozenset({"upstream_bearer_token", "redis_url", "master_key"})
"""Settings whose values are never shown."""


def variable(key: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + key.upper()


def load_settings(environ: Mapping[str, str], file: Path | None = None) -> Settings:
    """The effective settings: variables win over the file, the file over the defaults.

    `file` None: `config/gateway.yaml` if it is there. An empty variable counts as not set.
    Raises: DocumentError with everything that is wrong and where each of it stands.
    """
    document = _read(file)
    known = {variable(key): key for key in Settings.model_fields}
    problems = [
        Problem(f"environment variable {name}", None, f"unknown: {nearest(name, known)}")
        for name in environ
        if name.startswith(PREFIX) and name not in known
    ]
    overriding = {key: environ[name] for name, key in known.items() if environ.get(name, "") != ""}
    merged = MarkedDocument(
        file=document.file,
        value={**document.value, **overriding},
        marks=document.marks,
        key_marks=document.key_marks,
        origins={key: f"environment variable {variable(key)}" for key in overriding},
    )
    try:
        settings = check_document(merged, Settings, hidden=SECRETS)
    except DocumentError as exc:
        problems += exc.problems
    if problems:
        raise DocumentError(problems)
    settings._sources = {  # noqa: SLF001 - set once, here, before anybody sees the value
        key: _source(merged, key) for key in Settings.model_fields
    }
    return settings


def _source(document: MarkedDocument, key: str) -> str:
    if key in document.origins:
        return document.origins[key]
    if key in document.value:
        return f"{document.file} line {document.mark((key,)).line}"
    return "default"


def _read(file: Path | None) -> MarkedDocument:
    if file is None and not DEFAULT_FILE.exists():
        return MarkedDocument(file=str(DEFAULT_FILE), value={}, marks={}, key_marks={})
    path = file or DEFAULT_FILE
    document = read_marked_yaml(read_text_file(path, max_bytes=_MAX_FILE_BYTES), str(path))
    return document if document.value is not None else replace(document, value={})
