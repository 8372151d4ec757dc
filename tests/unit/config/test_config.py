"""Checking the configuration: all problems at once, each with the line or the variable to mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from bt_node.config import Config, load_config
from bt_node.domain.errors import ConfigError


@pytest.fixture
def problems(tmp_path: Path):
    """What load_config says about a text, without the folder's name."""

    def of(text: str, environ: dict[str, str] | None = None) -> list[str]:
        file = tmp_path / "config.toml"
        file.write_text(text)
        with pytest.raises(ConfigError) as caught:
            load_config(file, environ or {})
        return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return of


def _load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Config:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load_config(file, environ or {})


# ---------------------------------------------------------------- problems


def test_all_problems_are_listed_together_each_with_its_line(problems):
    text = """[listener]
prot = 11112
ae_title = "THIS_IS_MUCH_TOO_LONG"

[schedule]
cron = "0 22 * *"
[device]
name = "gpu"
"""
    found = problems(text)
    assert [problem.split(": ")[0] for problem in found] == [
        "config.toml:3", "config.toml:2", "config.toml:6", "config.toml:8",
    ]  # fmt: skip
    assert found[1] == "config.toml:2: unknown key listener.prot; did you mean port?"


def test_an_unknown_table_is_named_with_the_nearest_known_one(problems):
    assert problems("[listner]\nport = 1\n") == ["config.toml:1: unknown key listner; did you mean listener?"]


def test_a_key_that_resembles_nothing_gets_the_list_of_known_keys(problems):
    (problem,) = problems("[device]\nfoobar = 1\n")
    assert (
        problem == "config.toml:2: unknown key device.foobar; known here: name, threads, precision, memory_limit_mib"
    )


def test_a_problem_in_the_second_destination_names_its_line(problems):
    text = """[[destinations]]
name = "a"
ae_title = "A"
host = "h"

[[destinations]] # the second
name = "b"
ae_title = "B"
host = "h"
port = 0
"""
    (problem,) = problems(text)
    assert problem.startswith("config.toml:10: destinations[1].port: must be greater than or equal to 1")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('ae_title = "A"\nhost = "h"\nurl = "https://pacs/dicom-web"', "either ae_title and host (DICOM), or url"),
        ('url = "https://ann:geheim@pacs/dicom-web"', "without user or password"),
        ('url = "https://pacs/dicom-web"\nproof = "commitment"', "DICOMweb has no storage commitment"),
        ('url = "https://pacs"\ntoken_file = "a"\nlogin_file = "b"', "exclude each other"),
        ('url = "http://pacs"\ntoken_file = "a"', "begins with https://"),
        ('ae_title = "A"\nhost = "h"\nlogin_file = "b"', "begins with https://"),
    ],
)
def test_a_destination_is_one_thing_and_whole(problems, lines: str, words: str):
    (problem,) = problems(f'[[destinations]]\nname = "a"\n{lines}\n')
    assert words in problem


def test_files_of_a_destination_lie_beside_the_configuration(tmp_path: Path):
    file = tmp_path / "config.toml"
    file.write_text('[[destinations]]\nname = "a"\nurl = "https://pacs/dicom-web/"\ntoken_file = "secrets/token"\n')
    (destination,) = load_config(file, {}).destinations
    assert (destination.url, destination.token_file) == ("https://pacs/dicom-web", tmp_path / "secrets" / "token")
    assert destination.login_file is None


def test_a_missing_key_of_a_destination_names_the_line_of_its_table(problems):
    text = '[[destinations]]\nname = "a"\nae_title = "A"\nhost = "h"\n[[destinations]]\nname = "b"\nhost = "h"\n'
    (problem,) = problems(text)
    assert problem.startswith("config.toml:5: destinations[1]: ae_title is missing: a destination has either ")


def test_two_destinations_of_one_name_are_refused(problems):
    table = '[[destinations]]\nname = "a"\nae_title = "A"\nhost = "h"\n'
    assert problems(table + table) == [
        "config.toml:1: destinations: each needs a name of its own; more than one is called a"
    ]


def test_a_key_with_dots_and_an_inline_table_have_lines_too(problems):
    found = problems('listener.port = 70000\ndevice = { name = "gpu" }\n')
    assert [problem.split(": ")[:2] for problem in found] == [
        ["config.toml:1", "listener.port"],
        ["config.toml:2", "device.name"],
    ]


def test_broken_toml_names_its_line(problems):
    (problem,) = problems("[listener]\nport = \n")
    assert problem.startswith("config.toml:2: not valid TOML: ")


def test_a_file_that_is_not_there_or_not_text_is_said_so(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load_config(tmp_path / "none.toml", {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read: not UTF-8"):
        load_config(tmp_path / "binary.toml", {})


@pytest.mark.parametrize("title", ["", " BT", "BT ", "A" * 17, "A\\B", "TUMÖR", "A\tB"])
def test_a_title_outside_the_standards_repertoire_is_refused(problems, title: str):
    text = title.replace("\\", "\\\\").replace("\t", "\\t")
    (problem,) = problems(f'[listener]\nae_title = "{text}"\n')
    assert "an AE title has 1 to 16 ASCII characters" in problem


@pytest.mark.parametrize("title", ["A", "A" * 16, "BT-NODE 1", "x/y_z.1"])
def test_a_title_inside_the_standards_repertoire_is_taken(tmp_path: Path, title: str):
    assert _load(tmp_path, f'[listener]\nae_title = "{title}"\n').listener.ae_title == title


@pytest.mark.parametrize("port", [-1, 65536, '"x"', 1.5])
def test_a_port_that_does_not_exist_is_refused(problems, port: object):
    assert problems(f"[listener]\nport = {port}\n")[0].startswith("config.toml:2: listener.port: must be")


@pytest.mark.parametrize("host", ["*", "198.51.100.0/24"])
def test_a_source_that_is_asked_needs_one_place_to_ask(problems, tmp_path: Path, host: str):
    text = f'[[sources]]\nae_title = "PACS"\nhost = "{host}"\nquery_port = 104\n'
    (said,) = problems(text)
    assert said.endswith(f'sources[0]: query_port needs a query_host, because host = "{host}" is not one address')
    (source,) = _load(tmp_path, f'{text}query_host = "pacs.example.org"\nquery_ae_title = "PACS_FIND"\n').sources
    assert (source.query_host, source.query_port, source.query_ae_title) == ("pacs.example.org", 104, "PACS_FIND")
    (said,) = problems(f'{text}query_ae_title = "TOO_LONG_FOR_A_TITLE"')
    assert "sources[0].query_ae_title: an AE title has" in said


def test_cron_and_window_exclude_each_other(problems):
    text = '[schedule]\ncron = "0 22 * * *"\nwindow = "20:00-06:00"\n'
    assert problems(text) == [
        "config.toml:1: schedule: cron and window exclude each other: keep one and leave the other empty"
    ]


@pytest.mark.parametrize(
    "cron", ["0 22 * *", "60 * * * *", "* * * * 7", "* * 0 * *", "a b c d e", "*/0 * * * *", "1- * * * *"]
)
def test_a_cron_that_means_nothing_is_refused(problems, cron: str):
    assert problems(f'[schedule]\ncron = "{cron}"\n')[0].startswith("config.toml:2: schedule.cron: ")


@pytest.mark.parametrize("cron", ["", "0 22 * * mon-fri", "*/15 0-6,20-23 1 jan,jul *"])
def test_a_cron_of_five_fields_is_taken(tmp_path: Path, cron: str):
    assert _load(tmp_path, f'[schedule]\ncron = "{cron}"\n').schedule.cron == cron


@pytest.mark.parametrize("window", ["20-06", "24:00-06:00", "06:00-06:00", "20:00 - 06:00"])
def test_a_window_that_is_no_window_is_refused(problems, window: str):
    assert "use two different times of day" in problems(f'[schedule]\nwindow = "{window}"\n')[0]


@pytest.mark.parametrize("value", ["inf", "nan", "0", "-1"])
def test_a_pause_is_a_finite_time(problems, value: str):
    assert problems(f"[delivery]\ntimeout_seconds = {value}\n")[0].startswith(
        "config.toml:2: delivery.timeout_seconds"
    )


def test_pauses_must_grow(problems):
    (problem,) = problems("[delivery]\nfirst_pause_seconds = 60\nmax_pause_seconds = 30\n")
    assert problem == "config.toml:1: delivery: max_pause_seconds is below first_pause_seconds"


@pytest.mark.parametrize("url", ["mysql://h/x", "book.db", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_two_processes_cannot_share_is_refused(problems, url: str):
    assert problems(f'[database]\nurl = "{url}"\n')[0].startswith("config.toml:2: database.url: ")


@pytest.mark.parametrize("release", ["../elsewhere", "/etc", ""])
def test_a_release_is_a_folder_of_the_models_folder(problems, release: str):
    assert problems(f'[models]\nsegmenter = "{release}"\n')[0].startswith("config.toml:2: models.segmenter: ")


# ---------------------------------------------------------------- environment


def test_a_variable_overrides_the_file(tmp_path: Path):
    config = _load(
        tmp_path, "[listener]\nport = 1\n", {"BT_NODE_LISTENER__PORT": "104", "BT_NODE_DEVICE__NAME": "cpu"}
    )
    assert (config.listener.port, config.device.name) == (104, "cpu")


def test_a_list_is_overridden_as_json(tmp_path: Path):
    peers = '[{"name": "pacs", "ae_title": "ORTHANC", "host": "orthanc", "port": 4242}]'
    config = _load(
        tmp_path, '[[destinations]]\nname = "x"\nae_title = "X"\nhost = "h"\n', {"BT_NODE_DESTINATIONS": peers}
    )
    assert [peer.name for peer in config.destinations] == ["pacs"]


def test_a_problem_of_a_variable_names_the_variable(problems):
    environ = {
        "BT_NODE_LISTENER__PORT": "x",
        "BT_NODE_SOURCES": "[",
        "BT_NODE_STORGE__SPOOL": "/x",
        "BT_NODE_DEVICE__GPU": "1",
    }
    found = problems("[listener]\nport = 104\n", environ)
    assert [problem.split(": ")[0] for problem in found] == [
        "BT_NODE_SOURCES", "BT_NODE_LISTENER__PORT", "BT_NODE_DEVICE__GPU", "BT_NODE_STORGE__SPOOL",
    ]  # fmt: skip
    assert found[-1].endswith("unknown key storge; did you mean storage?")


def test_variables_of_others_are_left_alone(tmp_path: Path):
    others = {"BT_NODE_REQUIRE_PEERS": "1", "BT_NODE_SHARED_DATA": "/x", "PATH": "/bin", "LISTENER__PORT": "1"}
    assert _load(tmp_path, "", others).listener.port == 11112


# ---------------------------------------------------------------- values


def test_relative_paths_start_at_the_files_folder(tmp_path: Path):
    config = _load(tmp_path, '[storage]\nspool = "a/spool"\n[database]\nurl = "sqlite:///b/book.db"\n')
    assert config.storage.spool == tmp_path / "a" / "spool"
    assert config.models.folder == tmp_path / "models"
    assert config.database.url == f"sqlite:///{tmp_path}/b/book.db"


def test_absolute_paths_stay(tmp_path: Path):
    config = _load(tmp_path, '[storage]\nspool = "/srv/spool"\n[database]\nurl = "sqlite:////srv/book.db"\n')
    assert config.storage.spool == Path("/srv/spool")
    assert config.database.url == "sqlite:////srv/book.db"


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}).storage.spool == tmp_path / "var" / "spool"
    (tmp_path / "config.toml").write_text("[listener]\nport = 104\n")
    assert load_config(None, {}).listener.port == 104


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValidationError):
        Config().listener.port = 1


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://node:gehe@im:x@db/book",
        "postgresql://node:geheim@/book?host=/s",
        "postgres://db/book?user=n&password=geheim",
    ],
)
def test_a_database_password_is_never_shown(tmp_path: Path, url: str):
    config = _load(tmp_path, f'[database]\nurl = "{url}"\n')
    for shown in (repr(config), str(config.database), config.database.safe_url):
        assert "gehe" not in shown
        assert "***" in shown
    assert config.database.url == url


def test_a_wrong_database_url_is_refused_without_showing_its_password(problems):
    (problem,) = problems('[database]\nurl = "mysql://node:geheim@db/book"\n')
    assert "geheim" not in problem


# ---------------------------------------------------------------- TLS and the database's password


def test_the_environment_reaches_a_table_inside_a_table(tmp_path: Path):
    environ = {"BT_NODE_LISTENER__TLS__REQUIRE_CLIENT_CERTIFICATE": "false"}
    config = _load(tmp_path, "[listener]\nport = 4\n", environ)
    assert (config.listener.port, config.listener.tls.require_client_certificate) == (4, False)


def test_a_variable_for_a_table_that_is_no_table_leaves_the_file_s_own_mistake(problems):
    found = problems("listener = 3\n", {"BT_NODE_LISTENER__TLS__CLIENT_CA": "x"})
    assert len(found) == 1
    assert "listener" in found[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[listener.tls]\ncertificate = "a"\n', "certificate and private_key go together"),
        ('[listener.tls]\ncertificate = "a"\nprivate_key = "b"\n', "client_ca is missing"),
        ('[listener.tls]\nclient_ca = "a"\n', "would leave the listener without TLS"),
        ('[database]\npassword_file = "a"\n', "needs a URL with a user and no password"),
        (
            '[database]\nurl = "postgresql://u:p@h/d"\npassword_file = "a"\n',
            "needs a URL with a user and no password",
        ),
    ],
)
def test_halves_of_tls_and_two_passwords_are_refused(problems, text: str, said: str):
    (problem,) = problems(text)
    assert said in problem
    assert ":p@" not in problem


def test_paths_of_tls_start_at_the_file_s_folder(tmp_path: Path):
    text = """
[listener.tls]
certificate = "a.pem"
private_key = "/etc/a.key"
client_ca = "ca.pem"
[[destinations]]
name = "x"
ae_title = "X"
host = "h"
tls = { ca = "pacs.pem" }
"""
    config = _load(tmp_path, text)
    assert config.listener.tls.certificate == f"{tmp_path}/a.pem"
    assert config.listener.tls.private_key == "/etc/a.key"
    assert config.destinations[0].tls.ca == f"{tmp_path}/pacs.pem"
    assert config.destinations[0].tls.certificate == ""


def test_the_password_comes_from_its_file_and_is_never_shown(tmp_path: Path):
    (tmp_path / "secret").write_text("ge@heim/:%\n")
    config = _load(tmp_path, '[database]\nurl = "postgresql://node@db/book"\npassword_file = "secret"\n')
    assert config.database.url == "postgresql://node:ge%40heim%2F%3A%25@db/book"
    assert config.database.safe_url == "postgresql://node:***@db/book"
    assert "heim" not in repr(config)


def test_a_password_file_that_cannot_be_read_is_named(problems):
    (problem,) = problems('[database]\nurl = "postgresql://node@db/book"\npassword_file = "none"\n')
    assert problem == "database.password_file: none cannot be read: No such file or directory"
