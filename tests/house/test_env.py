import os
import stat
from pathlib import Path

import pytest

from synthweb import env


def test_an_odd_value_is_refused_with_its_name_and_what_is_allowed(monkeypatch):
    monkeypatch.setenv("PORT", "eighty")
    with pytest.raises(env.SettingError, match=r"PORT='eighty': expected a whole number from 1"):
        env.integer("PORT", 8000, low=1, high=65535)


def test_a_number_out_of_range_is_refused(monkeypatch):
    monkeypatch.setenv("PORT", "70000")
    with pytest.raises(env.SettingError, match="65535"):
        env.integer("PORT", 8000, low=1, high=65535)


def test_an_empty_host_is_the_default_not_all_interfaces(monkeypatch):
    monkeypatch.setenv("HOST", "")
    assert env.text("HOST", "127.0.0.1") == "127.0.0.1"


def test_a_flag_takes_words_and_refuses_others(monkeypatch):
    monkeypatch.setenv("SYNTHWEB_HTTPS", "Yes")
    assert env.flag("SYNTHWEB_HTTPS") is True
    monkeypatch.setenv("SYNTHWEB_HTTPS", "maybe")
    with pytest.raises(env.SettingError, match="SYNTHWEB_HTTPS='maybe'"):
        env.flag("SYNTHWEB_HTTPS")


def test_a_choice_names_what_is_allowed(monkeypatch):
    monkeypatch.setenv("SYNTHWEB_LOG_LEVEL", "LOUD")
    with pytest.raises(env.SettingError, match="DEBUG, INFO"):
        env.choice("SYNTHWEB_LOG_LEVEL", "INFO", ("DEBUG", "INFO"))


def test_a_secret_may_stand_in_a_file_but_not_in_both(monkeypatch, tmp_path):
    file = tmp_path / "url"
    file.write_text("postgres://u:p@db/x\n")
    monkeypatch.setenv("SYNTHWEB_PROBE_SECRET_FILE", str(file))
    assert env.secret("SYNTHWEB_PROBE_SECRET") == "postgres://u:p@db/x"
    monkeypatch.setenv("SYNTHWEB_PROBE_SECRET", "sqlite:///y")
    with pytest.raises(env.SettingError, match="both set"):
        env.secret("SYNTHWEB_PROBE_SECRET")


def test_pairs_are_read_and_half_a_pair_is_refused(monkeypatch):
    monkeypatch.setenv("SYNTHWEB_PROBE", "a/b=c/d, e=f")
    assert env.pairs("SYNTHWEB_PROBE") == {"a/b": "c/d", "e": "f"}
    for wrong in ("a", "a=", "=b", "a=a"):
        monkeypatch.setenv("SYNTHWEB_PROBE", wrong)
        with pytest.raises(env.SettingError, match="SYNTHWEB_PROBE"):
            env.pairs("SYNTHWEB_PROBE")


def test_an_unreadable_secret_file_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SYNTHWEB_PROBE_SECRET_FILE", str(tmp_path / "missing"))
    with pytest.raises(env.SettingError, match=r"SYNTHWEB_PROBE_SECRET_FILE=.*missing"):
        env.secret("SYNTHWEB_PROBE_SECRET")


def test_a_kept_secret_is_made_once_and_for_us_alone(tmp_path):
    file = tmp_path / "secrets" / "key"
    first = env.kept_secret("SYNTHWEB_NO_SUCH_SECRET", file)
    assert len(first) >= 60
    assert env.kept_secret("SYNTHWEB_NO_SUCH_SECRET", file) == first
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["key"]


def test_only_settings_and_the_bootstrap_read_the_environment():
    root = Path(__file__).resolve().parents[2]
    allowed = {"synthweb/env.py"}
    readers = {
        str(path.relative_to(root))
        for folder in ("synthweb", "apps")
        for path in (root / folder).rglob("*.py")
        if "os.environ[" in path.read_text() or "environ.get(" in path.read_text()
    }
    assert readers <= allowed
