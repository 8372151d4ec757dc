"""config.toml and the environment, checked once into one frozen value; every problem is listed at once.

Plain pydantic is enough here: the overlay of `BT_NODE_SECTION__KEY` variables is a few lines, which remember where
each value came from, so that a problem names the line or the variable to mend. (Importing pydantic-settings costs
another 60 ms, an eighth of the time that `bt-node jobs list` may take to start.)
"""

from __future__ import annotations

import difflib
import json
import re
import tomllib
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from bt_node.domain.errors import ConfigError

DEFAULT_FILE = Path("config.toml")
ENVIRONMENT_PREFIX = "BT_NODE_"

_DATABASE_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg", "postgres")
_SQLITE_FILE = "sqlite:///"

# ---------------------------------------------------------------- kinds of values


def _ae_title(value: str) -> str:
    # PS3.5 Table 6.2-1, VR AE: at most 16 bytes of the default repertoire, no backslash, no control characters.
    if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", value) or value != value.strip():
        raise ValueError("an AE title has 1 to 16 ASCII characters, no backslash, no space at its ends")
    return value


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise ValueError('use "auto", "cpu", "cuda" or "cuda:1"')
    return value


def _window(value: str) -> str:
    clock = r"([01]\d|2[0-3]):[0-5]\d"
    if value and (not re.fullmatch(f"{clock}-{clock}", value) or len(set(value.split("-"))) == 1):
        raise ValueError('use two different times of day, like "20:00-06:00", or "" for always')
    return value


_CRON_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of month", 1, 31), ("month", 1, 12), ("day of week", 0, 6))
_CRON_TERM = re.compile(r"(?:\*|(?P<first>\d+|[a-z]{3})(?:-(?P<last>\d+|[a-z]{3}))?)(?:/[1-9]\d*)?", re.IGNORECASE)


def _cron(value: str) -> str:
    fields = value.split()
    if fields and len(fields) != len(_CRON_FIELDS):
        raise ValueError(f"a cron expression has 5 fields (minute hour day month weekday), this has {len(fields)}")
    for text, (name, low, high) in zip(fields, _CRON_FIELDS, strict=False):
        for term in text.split(","):
            match = _CRON_TERM.fullmatch(term)
            numbers = [int(part) for part in match.groups() if part and part.isdigit()] if match else [-1]
            if not all(low <= number <= high for number in numbers):
                raise ValueError(f"{term!r} is not a cron term for the {name} ({low} to {high})")
    return value


def _database_url(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in _DATABASE_SCHEMES:
        raise ValueError("use sqlite:///path/to/file.db or postgresql://user:password@host/database")
    if scheme == "sqlite" and rest.strip("/") in ("", ":memory:"):
        raise ValueError("listener and worker are two processes, so SQLite needs a file: sqlite:///path/to/file.db")
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value, re.IGNORECASE)
    except re.error as wrong:
        raise ValueError(f"not a regular expression: {wrong}") from None
    return value


def _rule_name(value: str) -> str:
    # It stands in quotes in reasons and reports.
    if not re.fullmatch(r"[\x20\x21\x23-\x7e]{1,64}", value) or value != value.strip():
        raise ValueError('a name of a rule has 1 to 64 ASCII characters, no ", no space at its ends')
    return value


def _limits(value: tuple[float, float] | None) -> tuple[float, float] | None:
    if value and value[0] > value[1]:
        raise ValueError("the lower limit stands first, like [5, 15]")
    return value


def _web_root(value: str) -> str:
    if value and not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s?#]*)?", value):
        raise ValueError(
            "use the root of a DICOMweb service, like https://pacs.example/dicom-web, without user or password"
        )
    return value.rstrip("/")


AeTitle = Annotated[str, AfterValidator(_ae_title)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Host = Annotated[str, Field(min_length=1, pattern=r"^\S+$")]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
RuleName = Annotated[str, AfterValidator(_rule_name)]
Regex = Annotated[str, AfterValidator(_pattern)]
OptionalFile = Annotated[Path | None, BeforeValidator(lambda value: value or None)]  # "" is none
Limits = Annotated[tuple[float, float] | None, AfterValidator(_limits)]


class _Table(BaseModel):
    """One table of config.toml: frozen, and unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


# ---------------------------------------------------------------- the tables


def _both_or_none(certificate: str, private_key: str) -> None:
    if bool(certificate) != bool(private_key):
        raise ValueError("certificate and private_key go together")


class ListenerTls(_Table):
    """The listener's TLS; without a certificate there is none. Paths of PEM files; relative to this file's folder."""

    certificate: str = ""
    private_key: str = ""
    client_ca: str = ""
    require_client_certificate: bool = True

    @model_validator(mode="after")
    def _whole(self) -> ListenerTls:
        _both_or_none(self.certificate, self.private_key)
        if self.certificate and self.require_client_certificate and not self.client_ca:
            raise ValueError("client_ca is missing: it says whose client certificates are taken")
        if self.client_ca and not self.certificate:
            raise ValueError("client_ca without a certificate would leave the listener without TLS")
        return self


class PeerTls(_Table):
    """TLS to a peer: who signs its certificate, and what we show."""

    ca: Annotated[str, Field(min_length=1)]
    certificate: str = ""
    private_key: str = ""
    check_host_name: bool = True

    @model_validator(mode="after")
    def _whole(self) -> PeerTls:
        _both_or_none(self.certificate, self.private_key)
        return self


class Listener(_Table):
    """How the node is reached by C-STORE and C-ECHO."""

    ae_title: AeTitle = "BT_NODE"
    host: Host = "0.0.0.0"  # noqa: S104 - a PACS node is there to be reached; [[sources]] says by whom
    port: Annotated[int, Field(ge=0, le=65535)] = 11112
    accept_unknown_sources: bool = False
    max_associations: Count = 20
    max_associations_per_source: Count = 10
    association_timeout_seconds: Seconds = 30
    network_timeout_seconds: Seconds = 60
    max_pdu_bytes: Annotated[int, Field(ge=4096, le=1048576)] = 131072
    max_object_mib: Count = 2048
    tls: ListenerTls = ListenerTls()


class Source(_Table):
    """A peer that may send to this node; host "*" means from any address.

    With a `query_port` it is asked by C-FIND how many images a study has, at `query_host` and `query_ae_title` (where
    they are empty: at `host` and `ae_title`). With a `report_port` it gets reports of storage commitment there.
    """

    ae_title: AeTitle
    host: Host = "*"
    query_port: Annotated[int, Field(ge=0, le=65535)] = 0
    query_host: str = ""
    query_ae_title: Annotated[str, AfterValidator(lambda title: title and _ae_title(title))] = ""
    query_tls: PeerTls | None = None
    report_port: Annotated[int, Field(ge=0, le=65535)] = 0

    @model_validator(mode="after")
    def _one_place_to_ask(self) -> Source:
        for key in ("query_port", "report_port"):
            if getattr(self, key) and not self.query_host and (self.host == "*" or "/" in self.host):
                raise ValueError(f'{key} needs a query_host, because host = "{self.host}" is not one address')
        return self


class Destination(_Table):
    """A peer that gets the results; `name` is the word for it in the job book and the CLI.

    By C-STORE to `ae_title` at `host` and `port`, or by STOW-RS to the DICOMweb root `url`.
    """

    name: Name
    ae_title: Annotated[str, AfterValidator(lambda title: title and _ae_title(title))] = ""
    host: Annotated[str, Field(pattern=r"^\S*$")] = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 104
    tls: PeerTls | None = None
    url: Annotated[str, AfterValidator(_web_root)] = ""
    proof: Literal["auto", "commitment", "query", "none"] = "auto"
    token_file: OptionalFile = None
    login_file: OptionalFile = None

    @model_validator(mode="after")
    def _one_way(self) -> Destination:
        lacks = "" if self.url else " and ".join(key for key in ("ae_title", "host") if not getattr(self, key))
        if lacks or (self.url and (self.ae_title or self.host)):
            either = "a destination has either ae_title and host (DICOM), or url (DICOMweb)"
            raise ValueError(f"{lacks} is missing: {either}" if lacks else either)
        if self.url and self.proof == "commitment":
            raise ValueError('DICOMweb has no storage commitment: use proof = "query", "auto" or "none"')
        if self.token_file and self.login_file:
            raise ValueError("token_file and login_file exclude each other")
        if (self.token_file or self.login_file) and not re.match(
            r"https://|http://(localhost|127\.0\.0\.1)\b", self.url
        ):
            raise ValueError("token_file and login_file are for a url that begins with https://")
        return self


class Storage(_Table):
    """Where received and made objects lie, and how long."""

    spool: Path = Path("var/spool")
    min_free_mib: Annotated[int, Field(ge=0)] = 2048
    retention_days: Annotated[float, Field(ge=0)] = 30


class Database(_Table):
    """Where the job book lies. The URL may hold a password: show `safe_url`, never `url`."""

    url: Annotated[str, AfterValidator(_database_url)] = "sqlite:///var/bt-node.db"
    password_file: str = ""

    @model_validator(mode="after")
    def _one_password(self) -> Database:
        if self.password_file and not re.match(r"postgres[^:]*://[^:/@]+@", self.url):
            raise ValueError("password_file needs a URL with a user and no password: postgresql://user@host/database")
        return self

    def with_password(self, password: str) -> Database:
        """The same with the password of the file in the URL."""
        quoted = urllib.parse.quote(password, safe="")
        return self.model_copy(update={"url": self.url.replace("@", f":{quoted}@", 1)})

    @property
    def safe_url(self) -> str:
        """The URL with its password replaced, for logs and screens."""
        in_authority = re.sub(r"(?<=://)([^:/@]*):.*@", r"\1:***@", self.url)
        return re.sub(r"(?<=[?&]password=)[^&]*", "***", in_authority)

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        yield "url", self.safe_url


class Completeness(_Table):
    """When a study counts as complete, and what becomes of one that lacks a sequence."""

    quiet_seconds: Annotated[float, Field(ge=0)] = 30
    stale_association_seconds: Seconds = 300
    require_all_roles: bool = True
    wait_minutes: Annotated[float, Field(ge=0)] = 10
    expect_whole_study: bool = True
    ask_attempts: Count = 3
    ask_pause_seconds: Seconds = 30
    ask_timeout_seconds: Seconds = 20


class RuleMatch(_Table):
    """Which series a rule means: all conditions that are given must fit. Texts ignore case; limits are included."""

    manufacturer: str = ""
    station: str = ""
    description: Regex = ""
    protocol: Regex = ""
    te_ms: Limits = None
    tr_ms: Limits = None
    ti_ms: Limits = None

    @model_validator(mode="after")
    def _says_something(self) -> RuleMatch:
        if not any(getattr(self, key) for key in type(self).model_fields):
            raise ValueError(f"a rule needs at least one condition of {', '.join(type(self).model_fields)}")
        return self


class RoleRule(_Table):
    """A site's own rule: series that match get this role, or none at all. Rules come before all built-in ones."""

    name: RuleName
    match: RuleMatch
    role: Literal["T1", "T1C", "T2", "FLAIR"] | None = None
    exclude: bool = False

    @model_validator(mode="after")
    def _one_outcome(self) -> RoleRule:
        if (self.role is None) == (not self.exclude):
            raise ValueError('a rule has either role = "T1", "T1C", "T2" or "FLAIR", or exclude = true')
        return self


class Roles(_Table):
    """How the four sequences are chosen at this site."""

    prefer: Literal["3d", "2d", "none"] = "3d"
    rules: tuple[RoleRule, ...] = ()


def _each_once(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value or len(set(value)) < len(value):
        raise ValueError('name one sequence or more, each once, like ["T1C", "FLAIR"]')
    return value


class Results(_Table):
    """On which series the outline is drawn, and whether a study without an answer gets a report that says so."""

    segment_on: Annotated[tuple[Literal["T1", "T1C", "T2", "FLAIR"], ...], AfterValidator(_each_once)] = ("T1C",)
    not_answered_report: bool = False


class FollowUp(_Table):
    """Whether a study is compared with the same patient's former one, and the key that patients are known by."""

    enabled: bool = True
    key_file: Path = Path("var/follow-up.key")


class Schedule(_Table):
    """When the worker works, and how often it looks."""

    cron: Annotated[str, AfterValidator(_cron)] = ""
    window: Annotated[str, AfterValidator(_window)] = ""
    sweep_seconds: Seconds = 5
    claim_seconds: Seconds = 2
    deliver_seconds: Seconds = 5
    lease_seconds: Annotated[float, Field(ge=10)] = 60
    max_attempts: Count = 3
    retry_pause_seconds: Seconds = 60
    stage_timeout_minutes: Annotated[float, Field(gt=0)] = 30
    reconcile_minutes: Annotated[float, Field(gt=0)] = 10
    scrub_mib_per_minute: Annotated[float, Field(ge=0)] = 60

    @model_validator(mode="after")
    def _one_timetable(self) -> Schedule:
        if self.cron and self.window:
            raise ValueError("cron and window exclude each other: keep one and leave the other empty")
        return self


class Delivery(_Table):
    """How results are sent again when a destination does not take them."""

    first_pause_seconds: Seconds = 30
    max_pause_seconds: Seconds = 1800
    give_up_hours: Seconds = 72
    timeout_seconds: Seconds = 60
    proof_timeout_seconds: Seconds = 600

    @model_validator(mode="after")
    def _pauses_grow(self) -> Delivery:
        if self.max_pause_seconds < self.first_pause_seconds:
            raise ValueError("max_pause_seconds is below first_pause_seconds")
        return self


def _brain(name: object) -> object:
    """Releases of our own found the brain until 0.1; their names in an older file mean the same."""
    return "deepbet" if isinstance(name, str) and name.startswith("bt-brain-") else name


class Models(_Table):
    """Which model releases answer; each is a folder below `folder`."""

    folder: Path = Path("models")
    segmenter: Name = "bt-segmenter-0.2"
    classifier: Name = "bt-classifier-0.3"
    brain: Annotated[Literal["deepbet", ""], BeforeValidator(_brain)] = "deepbet"


class Device(_Table):
    """What the networks run on."""

    name: Annotated[str, AfterValidator(_device)] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    precision: Literal["auto", "float32"] = "auto"
    memory_limit_mib: Annotated[int, Field(ge=0)] = 0


class Logging(_Table):
    """How much is logged."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


def _differ_in_name(destinations: tuple[Destination, ...]) -> tuple[Destination, ...]:
    names = [destination.name for destination in destinations]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each needs a name of its own; more than one is called {', '.join(twice)}")
    return destinations


class Config(_Table):
    """The whole configuration. `Config()` holds the defaults; `load_config` also makes paths absolute."""

    listener: Listener = Listener()
    sources: tuple[Source, ...] = ()
    destinations: Annotated[tuple[Destination, ...], AfterValidator(_differ_in_name)] = ()
    storage: Storage = Storage()
    database: Database = Database()
    completeness: Completeness = Completeness()
    roles: Roles = Roles()
    results: Results = Results()
    follow_up: FollowUp = FollowUp()
    schedule: Schedule = Schedule()
    delivery: Delivery = Delivery()
    models: Models = Models()
    device: Device = Device()
    logging: Logging = Logging()


# ---------------------------------------------------------------- loading


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the file, lay `BT_NODE_SECTION__KEY` variables of `environ` over it, check all of it.

    Args:
        path: the TOML file. None means `config.toml` in the current folder, or the defaults where there is none.
        environ: usually `os.environ`. `BT_NODE_LISTENER__PORT=104` sets one key; `BT_NODE_SOURCES`,
            `BT_NODE_DESTINATIONS` and `BT_NODE_ROLES__RULES` replace a list, as JSON. Other `BT_NODE_…` names without
            `__` are not ours.

    Returns:
        The configuration; spool, models folder, key and SQLite file are absolute, relative to the file's folder.

    Raises:
        ConfigError: with all problems, each with `file:line` or the variable to mend.
    """
    file = _Text.read(path)
    overlay = _Overlay.read(environ)
    problems = [*file.problems, *overlay.problems]
    try:
        config = Config.model_validate(overlay.laid_over(file.values))
    except ValidationError as invalid:
        problems += [_worded(error, file, overlay) for error in invalid.errors(include_url=False)]
        raise ConfigError(problems) from None
    if problems:
        raise ConfigError(problems)
    return _anchored(config, file.folder)


_Where = tuple[str | int, ...]


class _Text(NamedTuple):
    """What the file says, and on which line it says it."""

    name: str
    folder: Path
    values: dict[str, Any]
    lines: dict[_Where, int]
    problems: list[str]

    @classmethod
    def read(cls, path: Path | None) -> _Text:
        if path is None and not DEFAULT_FILE.exists():
            return cls("defaults", Path.cwd(), {}, {}, [])
        path = path or DEFAULT_FILE
        name, folder = str(path), path.absolute().parent
        try:
            text = path.read_text(encoding="utf-8")
            return cls(name, folder, tomllib.loads(text), _lines_of_keys(text), [])
        except (OSError, UnicodeDecodeError) as failure:
            reason = failure.strerror if isinstance(failure, OSError) else "not UTF-8"
            return cls(name, folder, {}, {}, [f"{name}: cannot be read: {reason}"])
        except tomllib.TOMLDecodeError as failure:
            return cls(name, folder, {}, {}, [_syntax_problem(name, str(failure))])


def _syntax_problem(name: str, message: str) -> str:
    found = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", message)
    line = f":{found[1]}" if found and found[1] else ""
    return f"{name}{line}: not valid TOML: {message[: found.start()] if found else message}"


_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([\w\"'.\- ]+?)\s*=")


def _lines_of_keys(text: str) -> dict[_Where, int]:
    """Line number (from 1) of each key and table header, arrays of tables counted from 0."""
    lines: dict[_Where, int] = {}
    table: _Where = ()
    tables_in: dict[_Where, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            name = tuple(part.strip(" \"'") for part in header[2].split("."))
            table = _counted(name, tables_in)
            if header[1] == "[[":
                lines.setdefault(name, number)
                table = (*name, tables_in.get(name, 0))
                tables_in[name] = tables_in.get(name, 0) + 1
            lines[table] = number
        elif key := _KEY.match(line):
            lines[table + tuple(part.strip(" \"'") for part in key[1].split("."))] = number
    return lines


def _counted(name: tuple[str, ...], tables_in: Mapping[_Where, int]) -> _Where:
    """The place of [a.b.c], where [[a.b]] stands above it: inside the last one of these."""
    for length in range(len(name) - 1, 0, -1):
        if name[:length] in tables_in:
            return (*name[:length], tables_in[name[:length]] - 1, *name[length:])
    return name


class _Overlay(NamedTuple):
    """What the environment says, and which variable says it."""

    values: dict[_Where, Any]
    variables: dict[_Where, str]
    problems: list[str]

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> _Overlay:
        overlay = cls({}, {}, [])
        for variable in sorted(environ):
            where = _place_of(variable)
            if where is None:
                continue
            overlay.variables[where] = variable
            try:
                overlay.values[where] = json.loads(environ[variable]) if where in _LISTS else environ[variable]
            except json.JSONDecodeError as failure:
                overlay.problems.append(f"{variable}: not valid JSON: {failure}")
        return overlay

    def laid_over(self, values: Mapping[str, Any]) -> dict[str, Any]:
        merged = dict(values)
        for where, value in self.values.items():
            _lay(merged, where, value)
        return merged


def _lay(table: dict[str, Any], where: _Where, value: Any) -> None:
    """Set one key in copies of the tables that it lies in; where one is no table, the file's mistake is reported."""
    name, *deeper = (str(part) for part in where)
    if not deeper:
        table[name] = value
    elif isinstance(table.get(name, {}), dict):
        table[name] = dict(table.get(name, {}))
        _lay(table[name], tuple(deeper), value)


# Lists, which the environment gives as JSON: ("sources",), ("roles", "rules").
_LISTS: set[_Where] = {
    *((name,) for name, field in Config.model_fields.items() if get_args(field.annotation)),
    *(
        (name, key)
        for name, table in Config.model_fields.items()
        for key, field in getattr(table.annotation, "model_fields", {}).items()
        if get_origin(field.annotation) is tuple
    ),
}


def _place_of(variable: str) -> _Where | None:
    """BT_NODE_LISTENER__PORT is ("listener", "port"); BT_NODE_SOURCES is ("sources",); others are not ours."""
    if not variable.upper().startswith(ENVIRONMENT_PREFIX):
        return None
    where: _Where = tuple(variable[len(ENVIRONMENT_PREFIX) :].lower().split("__"))
    return where if len(where) > 1 or where in _LISTS else None


# ---------------------------------------------------------------- problems, worded for the person who mends them


def _worded(error: ErrorDetails, file: _Text, overlay: _Overlay) -> str:
    where = error["loc"]
    key = _dotted(where)
    origin = _origin(where, file, overlay)
    if error["type"] == "extra_forbidden":
        return f"{origin}: unknown key {key}{_suggestion(where)}"
    if error["type"] == "missing":
        return f"{origin}: {key} is missing"
    message = error["msg"].removeprefix("Value error, ")
    message = re.sub(r"^(Input|String) should ", "must ", message)
    given = error["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float) and where[:1] != ("database",) else ""
    return f"{origin}: {f'{key}: ' if key else ''}{message}{shown}"


def _dotted(where: _Where) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).removeprefix(".")


def _origin(where: _Where, file: _Text, overlay: _Overlay) -> str:
    for variable_at, variable in overlay.variables.items():
        if where[: len(variable_at)] == variable_at or (where == variable_at[:1] and where not in file.lines):
            return variable
    for length in range(len(where), 0, -1):
        if line := file.lines.get(where[:length]):
            return f"{file.name}:{line}"
    return file.name


def _suggestion(where: _Where) -> str:
    *parents, wrong = where
    table: Any = Config
    for parent in parents:
        if isinstance(parent, str):
            annotation = table.model_fields[parent].annotation
            table = get_args(annotation)[0] if get_args(annotation) else annotation
    near = difflib.get_close_matches(str(wrong), table.model_fields, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(table.model_fields)}"


# ---------------------------------------------------------------- paths


def _anchored(config: Config, folder: Path) -> Config:
    """Make every path absolute, relative to the configuration file's folder, and read the database's password.

    Raises:
        ConfigError: the password's file cannot be read.
    """
    url = config.database.url
    if url.startswith(_SQLITE_FILE):
        url = f"{_SQLITE_FILE}{folder / url.removeprefix(_SQLITE_FILE)}"

    def at(path: str) -> str:
        return path and str(folder / Path(path).expanduser())

    def tls_at(tls: PeerTls | None) -> PeerTls | None:
        paths = ("ca", "certificate", "private_key")
        return tls and tls.model_copy(update={name: at(getattr(tls, name)) for name in paths})

    listener_tls = config.listener.tls
    paths = {name: at(getattr(listener_tls, name)) for name in ("certificate", "private_key", "client_ca")}
    database = config.database.model_copy(update={"url": url, "password_file": at(config.database.password_file)})
    tables = {
        "listener": config.listener.model_copy(update={"tls": listener_tls.model_copy(update=paths)}),
        "storage": config.storage.model_copy(update={"spool": folder / config.storage.spool.expanduser()}),
        "models": config.models.model_copy(update={"folder": folder / config.models.folder.expanduser()}),
        "follow_up": config.follow_up.model_copy(
            update={"key_file": folder / config.follow_up.key_file.expanduser()}
        ),
        "database": _with_its_password(database),
    }
    peers = {
        "sources": tuple(each.model_copy(update={"query_tls": tls_at(each.query_tls)}) for each in config.sources),
        "destinations": tuple(_anchored_destination(folder, each, tls_at(each.tls)) for each in config.destinations),
    }
    # What nobody named stays out of `model_fields_set`: an empty list may be meant, a missing one is forgotten.
    return config.model_copy(update={**tables, **{name: listed for name, listed in peers.items() if listed}})


def _with_its_password(database: Database) -> Database:
    if not database.password_file:
        return database
    try:
        password = Path(database.password_file).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) else "not UTF-8"
        raise ConfigError([f"database.password_file: {database.password_file} cannot be read: {reason}"]) from None
    if not password:
        raise ConfigError([f"database.password_file: {database.password_file} is empty"])
    return database.with_password(password)


def _anchored_destination(folder: Path, destination: Destination, tls: PeerTls | None) -> Destination:
    files = {key: getattr(destination, key) for key in Destination.model_fields if key.endswith("_file")}
    anchored = {key: folder / file.expanduser() for key, file in files.items() if file}
    return destination.model_copy(update={**anchored, "tls": tls})
