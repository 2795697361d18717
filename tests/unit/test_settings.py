"""Settings: defaults, the file, the environment; whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.documents.marked_yaml import DocumentError
from gateway.setting_types import Address
from gateway.settings import PREFIX, SECRETS, Settings, load_settings, variable

KEY = "q2Vn0r8mXb7dKfLw5sTyUzHgE4cJ1aPiNo9vR3tBxQY="


@pytest.fixture(autouse=True)
def _nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def settings_file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "gateway.yaml"
        path.write_text(text)
        return path

    return write


def problems_of(environ, file=None) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        load_settings(environ, file)
    return sorted(str(caught.value).splitlines(), reverse=True)


def test_without_anything_the_defaults_are_safe():
    settings = load_settings({})
    assert settings.listen == Address("127.0.0.1", 8080)
    assert settings.admin_listen == Address("127.0.0.1", 8081)
    assert settings.redis_url is None
    assert settings.master_key is None
    assert settings.max_body_bytes == 25 * 1024 * 1024
    assert settings.jwt_issuer is None
    assert set(settings.sources.values()) == {"default"}


def test_variables_win_over_the_file_and_the_file_over_the_defaults(settings_file):
    file = settings_file("workers: 2\nlisten: 0.0.0.0:80\n")
    settings = load_settings({"GATEWAY_WORKERS": "3", "HOME": "/nowhere"}, file)
    assert settings.workers == 3
    assert settings.listen == Address("0.0.0.0", 80)
    assert settings.sources["workers"] == "environment variable GATEWAY_WORKERS"
    assert settings.sources["listen"] == f"{file} line 2"
    assert settings.sources["region"] == "default"


def test_the_file_of_the_working_folder_is_read_if_it_is_there(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "gateway.yaml").write_text("workers: 7\n")
    assert load_settings({}).workers == 7


def test_a_file_that_is_named_must_be_there(tmp_path):
    assert "cannot be read" in problems_of({}, tmp_path / "absent.yaml")[0]


def test_a_file_of_comments_is_a_file_of_defaults(settings_file):
    assert load_settings({}, settings_file("# nothing\n")) == load_settings({})


def test_an_empty_variable_counts_as_not_set(settings_file):
    file = settings_file("workers: 2\n")
    assert load_settings({"GATEWAY_WORKERS": "", "GATEWAY_REGION": ""}, file).workers == 2


def test_unknown_keys_and_variables_name_the_nearest_known_one(settings_file):
    assert problems_of({"GATEWAY_LISTN": "x"}, settings_file("wrokers: 1\n")) == [
        "environment variable GATEWAY_LISTN: unknown: did you mean 'GATEWAY_LISTEN'?",
        f"{Path.cwd() / 'gateway.yaml'}:1:1: unknown key 'wrokers': did you mean 'workers'?",
    ]


def test_an_error_names_the_line_or_the_variable(settings_file):
    file = settings_file("# a comment\nlog_level: loud\n")
    assert problems_of({"GATEWAY_WORKERS": "many"}, file) == [
        (
            "environment variable GATEWAY_WORKERS: workers: input should be a valid integer, "
            "unable to parse string as an integer, got 'many'"
        ),
        f"{file}:2:12: log_level: expected 'debug', 'info', 'warning' or 'error', got 'loud'",
    ]


def test_lists_are_written_with_commas_in_a_variable_and_as_lists_in_the_file(settings_file):
    file = settings_file("hosts: [a.example, b.example]\n")
    settings = load_settings({"GATEWAY_HOME_ACCOUNTS": "111111111111, 222222222222"}, file)
    assert settings.hosts == ("a.example", "b.example")
    assert settings.home_accounts == ("111111111111", "222222222222")


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"GATEWAY_TLS_CERT": "c.pem"}, "tls_cert and tls_key are set together or not at all"),
        (
            {"GATEWAY_ADMIN_TLS_KEY": "k.pem"},
            "admin_tls_cert and admin_tls_key are set together or not at all",
        ),
        ({"GATEWAY_JWT_AUDIENCE": "a"}, "jwt_audience is set, so jwt_issuer must be set too"),
        ({"GATEWAY_JWT_ISSUER": "i"}, "jwt_issuer is set, so jwt_audience must be set too"),
        (
            {"GATEWAY_JWT_ISSUER": "i", "GATEWAY_JWT_AUDIENCE": "a"},
            "set one of jwt_jwks_url and jwt_key_file",
        ),
        (
            {
                "GATEWAY_UPSTREAM_BEARER_TOKEN": "t",
                "GATEWAY_UPSTREAM_ENDPOINT": "http://bedrock.example",
            },
            "upstream_bearer_token would travel unencrypted",
        ),
    ],
)
def test_settings_that_contradict_one_another_are_refused(environ, problem):
    assert problem in problems_of(environ)[0]


def test_an_unencrypted_upstream_is_fine_on_this_machine_itself():
    settings = load_settings(
        {
            "GATEWAY_UPSTREAM_BEARER_TOKEN": "t",
            "GATEWAY_UPSTREAM_ENDPOINT": "http://127.0.0.1:9000/",
        }
    )
    assert settings.upstream_endpoint == "http://127.0.0.1:9000"


def test_a_secret_is_neither_in_an_error_nor_in_the_text_of_the_settings():
    bad = {variable(key): "hunter2" for key in SECRETS - {"upstream_bearer_token"}}
    assert "hunter2" not in "".join(problems_of(bad))
    good = {
        "GATEWAY_MASTER_KEY": KEY,
        "GATEWAY_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0",
        "GATEWAY_UPSTREAM_BEARER_TOKEN": "hunter2",
    }
    settings = load_settings(good)
    assert "hunter2" not in repr(settings) + str(settings)
    assert KEY not in repr(settings)
    assert settings.redis_url.get_secret_value() == good["GATEWAY_REDIS_URL"]


def test_settings_never_change():
    with pytest.raises(ValidationError):
        load_settings({}).workers = 3


def test_every_setting_has_a_variable_and_says_what_it_means():
    for key, field in Settings.model_fields.items():
        assert variable(key) == PREFIX + key.upper()
        assert field.description
        assert field.description.endswith(".")


def test_numbers_of_the_file_may_have_a_point(settings_file):
    assert load_settings({}, settings_file("header_timeout_s: 2.5\n")).header_timeout_s == 2.5


def test_a_home_folder_is_resolved(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_settings({}).state_dir == tmp_path / ".local/state/bedrock-gateway"
