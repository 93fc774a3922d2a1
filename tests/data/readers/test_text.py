"""Strict lines and numbers."""

from __future__ import annotations

import pytest

from tfalign.data.readers.report import ReadingReport
from tfalign.data.readers.text import is_number, leading_numbers, parse_numbers, read_lines


@pytest.mark.parametrize("token", ["1", "-1.5", "+0.25", "1e3", "2.5E-2"])
def test_numbers_agree_with_float(token):
    assert is_number(token)
    assert parse_numbers([token], "f:1") == [float(token)]


@pytest.mark.parametrize("token", ["", "1_000", "٣", "0x1F", "1.", ".5", "1,5", "abc", "--3"])
def test_what_float_might_take_is_refused(token):
    with pytest.raises(ValueError, match="f:1: coordinates must be decimal numbers"):
        parse_numbers([token], "f:1")


@pytest.mark.parametrize("token", ["nan", "NaN", "-inf", "1e999"])
def test_not_finite_is_named_so(token):
    with pytest.raises(ValueError, match="f:1: coordinates must be finite") as caught:
        parse_numbers(["1", token], "f:1")
    assert caught.value.problem.kind == "not-finite"


def test_leading_numbers():
    assert leading_numbers(["1", "nan", "a.jpg", "2"]) == 2
    assert leading_numbers(["1", "2"]) == 2


def test_lines_have_numbers_and_lose_byte_order_mark_and_carriage_return(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\n  two\t\n\xc3\xa9")
    lines = list(read_lines(path, ReadingReport()))
    assert lines == [(f"{path}:1", "one"), (f"{path}:3", "two"), (f"{path}:4", "é")]


@pytest.mark.parametrize("bad", [b"caf\xe9", b"a\x00b", "a".encode("utf-16")])
def test_wrong_encoding_names_the_line_or_skips_it(tmp_path, bad):
    path = tmp_path / "a.txt"
    path.write_bytes(b"one\n" + bad + b"\nthree\n")
    with pytest.raises(ValueError, match=r"a\.txt:2: lines must"):
        list(read_lines(path, ReadingReport()))
    report = ReadingReport("skip")
    assert [text for _, text in read_lines(path, report)] == ["one", "three"]
    assert report.counts == {"wrong-encoding": 1}


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        list(read_lines(tmp_path / "none.txt", ReadingReport("skip")))
    with pytest.raises(ValueError, match="must be readable"):
        list(read_lines(tmp_path, ReadingReport("skip")))
