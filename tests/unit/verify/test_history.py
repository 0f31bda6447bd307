"""The history on disk: what was recorded is read back, also after a crash; what is not a history is refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from ha_verify.history import HistoryError, Recorder, read_history


def test_what_was_recorded_is_read_back(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.record("info", "run", "run", {"scenario": "kill-leader", "seed": 7})
    recorder.record("invoke", 0, "write", {"value": "a", "intended_ns": 1})
    recorder.record("fail", 0, "write", None, "not connected: Connection refused")
    recorder.close()

    read = read_history(recorder.path)

    assert list(read) == list(recorder.history())
    assert read.run == {"scenario": "kill-leader", "seed": 7}
    assert [operation.outcome for operation in read.operations("write")] == ["fail"]


def test_an_operation_without_a_completion_is_unknown(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.record("invoke", 0, "write", {"value": "a"})
    recorder.record("invoke", 1, "read", {"path": "/"})
    recorder.record("ok", 1, "read", {"status": 200})

    write, read = recorder.history().operations("write", "read")

    assert (write.outcome, read.outcome) == ("info", "ok")


def test_parts_of_a_table_are_put_together(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    for rows in ([[1, "a"], [2, "b"]], [[3, "c"]]):
        recorder.record("info", "observer", "table", {"table": "jobs", "columns": ["id", "kind"], "rows": rows})

    assert recorder.history().rows("jobs") == [
        {"id": 1, "kind": "a"},
        {"id": 2, "kind": "b"},
        {"id": 3, "kind": "c"},
    ]


def test_a_killed_recorder_leaves_every_event_it_returned_from(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    program = (
        "import os, sys, pathlib\n"
        "from ha_verify.history import Recorder\n"
        "recorder = Recorder(pathlib.Path(sys.argv[1]))\n"
        "for number in range(100):\n"
        "    recorder.record('invoke', number, 'read', {'path': '/'})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(path)], check=False)

    assert killed.returncode == -9
    assert [event.process for event in read_history(path)] == list(range(100))


def test_a_last_line_that_was_cut_short_is_dropped(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    for number in range(3):
        recorder.record("invoke", number, "read", {"path": "/"})
    recorder.close()
    text = recorder.path.read_text()

    for cut in range(1, len(text.splitlines()[-1]) + 1):
        recorder.path.write_text(text[:-cut])
        assert [event.process for event in read_history(recorder.path)] == [0, 1]


@pytest.mark.parametrize("line", ["{", "[]", "3", '{"index": 0}', '{"index":0,"surprise":1}'])
def test_an_error_names_the_line_that_is_not_an_event(tmp_path: Path, line: str) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    recorder.record("info", "run", "phase", "load")
    recorder.close()
    recorder.path.write_text(f"{recorder.path.read_text()}{line}\n")

    with pytest.raises(HistoryError, match=r"history\.jsonl, line 2 is not an event"):
        read_history(recorder.path)


def test_an_error_names_the_line_with_an_unknown_type(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"index":0,"type":"done","process":0,"f":"read","value":null,"time":0,"wall":0.0}\n')

    with pytest.raises(HistoryError, match="line 1: the type is 'done'"):
        read_history(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"missing\.jsonl can not be read"):
        read_history(tmp_path / "missing.jsonl")


def test_a_history_is_never_written_over(tmp_path: Path) -> None:
    Recorder(tmp_path / "history.jsonl").close()

    with pytest.raises(FileExistsError):
        Recorder(tmp_path / "history.jsonl")
