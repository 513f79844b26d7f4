"""Files and environment variables become one checked configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from amonsul.config.kinds import ConfigurationError, Json
from amonsul.config.reader import Configuration, defaults, load
from amonsul.config.table import OPTIONS
from amonsul.config.writer import commented_defaults


def write(folder: Path, name: str, content: Json) -> Path:
    file = folder / name
    file.write_text(json.dumps(content))
    return file


def read(content: Json, folder: Path) -> Configuration:
    return load([write(folder, "orthanc.json", content)], {})


def test_without_files_every_option_has_its_default() -> None:
    configuration = load([], {})
    assert configuration.number("HttpPort") == 8042
    assert configuration.text("DicomAet") == "ORTHANC"
    assert not configuration.is_set("HttpBindAddresses")
    assert configuration.warnings == ()


def test_every_default_is_of_the_kind_of_its_option() -> None:
    for path, option in OPTIONS.items():
        if option.default is not None:
            option.kind.check(option.default, path)
        if option.example is not None:
            option.kind.check(option.example, path)


def test_the_written_defaults_read_back_as_the_same(tmp_path: Path) -> None:
    file = tmp_path / "written.json"
    file.write_text(commented_defaults())
    configuration = load([file], {})
    assert configuration.warnings == ()
    assert {path: configuration.value(path) for path in OPTIONS} == {p: defaults().value(p) for p in OPTIONS}


def test_the_written_defaults_need_nothing_but_the_comments_removed(tmp_path: Path) -> None:
    lines = [line for line in commented_defaults().splitlines() if not line.lstrip().startswith("//")]
    assert json.loads("\n".join(lines))["DicomWeb"]["Root"] == "/dicom-web/"


def test_later_files_win_and_free_names_are_merged(tmp_path: Path) -> None:
    first = write(tmp_path, "a.json", {"Name": "first", "HttpPort": 1, "DicomModalities": {"a": ["A", "h", 1]}})
    second = write(tmp_path, "b.json", {"Name": "second", "DicomModalities": {"b": ["B", "h", 2]}})
    configuration = load([first, second], {})
    assert configuration.text("Name") == "second"
    assert configuration.number("HttpPort") == 1
    assert set(configuration.table("DicomModalities")) == {"a", "b"}


def test_the_files_of_a_folder_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    write(tmp_path, "20-later.json", {"Name": "later"})
    write(tmp_path, "10-earlier.json", {"Name": "earlier", "DicomAet": "EARLIER"})
    (tmp_path / "notes.txt").write_text("not JSON")
    configuration = load([tmp_path], {})
    assert (configuration.text("Name"), configuration.text("DicomAet")) == ("later", "EARLIER")


@pytest.mark.parametrize(
    ("variable", "text", "path", "value"),
    [
        ("ORTHANC__NAME", "My server", "Name", "My server"),
        ("ORTHANC__NAME", "123", "Name", "123"),
        ("ORTHANC__NAME", '"quoted"', "Name", "quoted"),
        ("ORTHANC__DICOM_AET", "PACS", "DicomAet", "PACS"),
        ("ORTHANC__HTTP_PORT", "8043", "HttpPort", 8043),
        ("orthanc__http_port", "8043", "HttpPort", 8043),
        ("ORTHANC__STORE_MD5_FOR_ATTACHMENTS", "false", "StoreMD5ForAttachments", False),
        ("ORTHANC__DICOM_WEB__ROOT", "/dw/", "DicomWeb.Root", "/dw/"),
        ("ORTHANC__DICOM_WEB", '{"Root": "/dw/"}', "DicomWeb.Root", "/dw/"),
        ("ORTHANC__POSTGRESQL__HOST", "db", "PostgreSQL.Host", "db"),
        ("ORTHANC__POSTGRESQL__PASSWORD", "1234", "PostgreSQL.Password", "1234"),
        ("ORTHANC__REGISTERED_USERS", '{"a": "b"}', "RegisteredUsers", {"a": "b"}),
        ("ORTHANC__REGISTERED_USERS__a", "b", "RegisteredUsers", {"a": "b"}),
        ("ORTHANC__DICOM_MODALITIES__x", '["X", "h", 104]', "DicomModalities", {"x": ["X", "h", 104]}),
        ("ORTHANC_JSON", '{"HttpPort": 1, /* one */ }', "HttpPort", 1),
    ],
)
def test_environment_variables_are_options(variable: str, text: str, path: str, value: Json) -> None:
    configuration = load([], {variable: text, "PATH": "/bin", "ORTHANC_OTHER": "x"})
    assert configuration.value(path) == value
    assert not [warning for warning in configuration.warnings if "unknown" in warning]


def test_the_environment_wins_over_the_files(tmp_path: Path) -> None:
    file = write(tmp_path, "a.json", {"HttpPort": 1})
    assert load([file], {"ORTHANC_JSON": '{"HttpPort": 2}'}).number("HttpPort") == 2
    assert load([file], {"ORTHANC_JSON": '{"HttpPort": 2}', "ORTHANC__HTTP_PORT": "3"}).number("HttpPort") == 3


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ({"HttpPrt": 1}, "unknown option HttpPrt; did you mean HttpPort?"),
        ({"RemoteAccessEnabled": True}, "unknown option RemoteAccessEnabled; did you mean RemoteAccessAllowed?"),
        ({"httpport": 1}, "did you mean HttpPort?"),
        ({"DicomWeb": {"Roots": "/"}}, "unknown option DicomWeb.Roots; did you mean DicomWeb.Root?"),
        ({"Zzzzzzzz": 1}, "unknown option Zzzzzzzz"),
        (
            {"DicomModalities": {"ct": {"AET": "CT", "Host": "ct", "Port": 104, "AllowStor": False}}},
            "unknown option DicomModalities.ct.AllowStor; did you mean DicomModalities.ct.AllowStore?",
        ),
    ],
)
def test_an_unknown_name_is_a_warning_with_the_nearest_known_one(content: Json, hint: str, tmp_path: Path) -> None:
    (warning,) = read(content, tmp_path).warnings
    assert warning.startswith(str(tmp_path / "orthanc.json"))
    assert hint in warning


def test_an_unknown_variable_is_a_warning_too() -> None:
    (warning,) = load([], {"ORTHANC__HTTP_PRT": "1"}).warnings
    assert warning == "environment variable ORTHANC__HTTP_PRT: unknown option HttpPrt; did you mean HttpPort?"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"HttpPort": "8042"}, 'HttpPort: came "8042", wanted a whole number from 0 to 65535'),
        ({"HttpPort": 65536}, "HttpPort: came 65536, wanted"),
        ({"HttpPort": True}, "HttpPort: came true, wanted"),
        ({"HttpPort": 80.5}, "HttpPort: came 80.5, wanted"),
        ({"HttpServerEnabled": "yes"}, 'HttpServerEnabled: came "yes", wanted true or false'),
        ({"DicomAet": "SEVENTEEN_LETTERS"}, "DicomAet: came"),
        ({"OverwriteInstances": "Sometimes"}, 'wanted one of "Never", "Always", "IfChanged"'),
        ({"OverwriteInstances": 1}, 'wanted one of "Never", "Always", "IfChanged", or true or false'),
        ({"DicomModalities": {"x": ["A", "host", "port"]}}, r'DicomModalities.x\[2\]: came "port", wanted'),
        ({"DicomModalities": {"x": ["A", "host"]}}, r"DicomModalities.x: came"),
        ({"DicomModalities": {"x": {"AET": "A", "Host": "h"}}}, "wanted an object with the field Port"),
        ({"DicomModalities": {"x": {"AET": "A", "Host": "h", "Port": 1, "AllowEcho": 1}}}, r"x\.AllowEcho: came 1"),
        ({"ExtraMainDicomTags": {"Image": []}}, "ExtraMainDicomTags.Image: came"),
        ({"ExtraMainDicomTags": {"Study": [1]}}, r"ExtraMainDicomTags.Study\[0\]: came 1, wanted a string"),
        ({"DicomWeb": []}, "DicomWeb: came \\[\\], wanted an object with options"),
        ({"Dictionary": {"no tag": ["DA", "Name"]}}, "Dictionary.no tag"),
        ([], "wanted an object with options"),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_error_that_says_where(content: Json, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        read(content, tmp_path)
    assert caught.value.details.startswith(str(tmp_path / "orthanc.json"))


def test_passwords_are_not_shown_in_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read({"RegisteredUsers": {"alice": 918273}}, tmp_path)
    assert "918273" not in caught.value.details
    assert "RegisteredUsers.alice" in caught.value.details


def test_an_error_of_a_variable_names_the_variable() -> None:
    with pytest.raises(ConfigurationError, match="environment variable ORTHANC__HTTP_PORT: HttpPort: came"):
        load([], {"ORTHANC__HTTP_PORT": "many"})


def test_options_without_effect_are_told_once_if_set(tmp_path: Path) -> None:
    content: Json = {"ExecuteLuaEnabled": True, "WebDavEnabled": False, "StableAge": 60, "Warnings": {}}
    (warning,) = read(content, tmp_path).warnings
    assert warning.endswith("does not act on yet: ExecuteLuaEnabled, WebDavEnabled")


def test_files_that_cannot_be_read_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.json: No such file"):
        load([tmp_path / "nowhere.json"], {})
    (tmp_path / "latin.json").write_bytes(b'{"Name": "\xe9"}')
    with pytest.raises(ConfigurationError, match="not UTF-8 at byte 10"):
        load([tmp_path / "latin.json"], {})


def test_a_byte_order_mark_is_no_part_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_bytes(b'\xef\xbb\xbf{"Name": "x"}')
    assert load([tmp_path / "bom.json"], {}).text("Name") == "x"


def test_relative_paths_count_from_the_file_that_gives_them(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    file = write(tmp_path / "sub", "a.json", {"StorageDirectory": "data"})
    assert load([file], {}).path("StorageDirectory") == tmp_path / "sub" / "data"
    assert load([], {}).path("StorageDirectory") == Path.cwd() / "AmonsulStorage"


def test_null_means_not_set(tmp_path: Path) -> None:
    assert not read({"HttpBindAddresses": None}, tmp_path).is_set("HttpBindAddresses")
