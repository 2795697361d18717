"""Seeded defects of the outbox: each has to be found by a unit test, or the tests are weak.

`python -m tests.mutants.outbox_mutants` seeds each defect in a copy of the house, runs the tests of
the outbox there, and says which defects they did not find (`NUMBER…` runs some).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
TESTS = (
    "tests/unit/adapters/outbox",
    "tests/unit/workers/test_outbox_replayer.py",
    "tests/unit/compose/test_outbox.py",
    "tests/unit/proxy/test_settle.py",
)
PYTEST = (
    sys.executable, "-m", "pytest", "-q", "-x", "-W", "error", "--timeout", "30",
    "-p", "no:cacheprovider",
)  # fmt: skip

# (file, find, replace), replaced once.
MUTANTS: tuple[tuple[str, str, str], ...] = (
    (
        "adapters/outbox/record.py",
        "zlib.crc32(memoryview(data)[start : start + size], size) != crc",
        "False",
    ),
    (
        "adapters/outbox/record.py",
        "if charge > MAX_NANO_USD or rank not in (1, 2, 3):",
        "if rank not in (1, 2, 3):",
    ),
    (
        "adapters/outbox/record.py",
        "return _encode(Kind.INTENT, worst",
        "return _encode(Kind.POST, worst",
    ),
    (
        "adapters/outbox/record.py",
        "following = _next_note_at(data, at + 1)",
        "following = None",
    ),
    (
        "adapters/outbox/record.py",
        "if not any(tail):\n        return True",
        "if not any(tail):\n        return False",
    ),
    (
        "adapters/outbox/segment.py",
        "if written != len(note):",
        "if False:",
    ),
    (
        "adapters/outbox/segment.py",
        "os.ftruncate(self._fd, offset)",
        "pass",
    ),
    (
        "adapters/outbox/segment.py",
        "acked.add(name)\n",
        "pass\n",
    ),
    (
        "adapters/outbox/segment.py",
        "words.pop(name, None)",
        "pass",
    ),
    (
        "adapters/outbox/segment.py",
        " or (note.kind is Kind.INTENT and _is_finished(words, name))",
        "",
    ),
    (
        "adapters/outbox/segment.py",
        "            self.is_dirty = False\n            os.fdatasync(self._fd)",
        "            os.fdatasync(self._fd)\n            self.is_dirty = False",
    ),
    (
        "adapters/outbox/segment.py",
        "return sorted(path for",
        "return list(path for",
    ),
    (
        "adapters/outbox/folder.py",
        "    if not _is_same(path / _LOCK, fd):\n        os.close(fd)\n        return None\n",
        "",
    ),
    (
        "adapters/outbox/folder.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
    ),
    (
        "adapters/outbox/folder.py",
        "for path in segments_in(self.path):",
        "for path in reversed(segments_in(self.path)):",
    ),
    (
        "adapters/outbox/open_notes.py",
        "if self.segments[0].open_notes:\n                break",
        "if False:\n                break",
    ),
    (
        "adapters/outbox/open_notes.py",
        "while self.segments and self.segments[0] is not current:",
        "while self.segments:",
    ),
    (
        "adapters/outbox/open_notes.py",
        "word.first.open_notes -= 1\n        return True",
        "return True",
    ),
    (
        "adapters/outbox/open_notes.py",
        "word.first.open_notes += 1",
        "pass",
    ),
    (
        "adapters/outbox/segment_log.py",
        'self._turn_off("cannot write a note", error)',
        "pass",
    ),
    (
        "adapters/outbox/segment_log.py",
        "self.notes.put(name, *written, len(copy))",
        "pass",
    ),
    (
        "adapters/outbox/segment_log.py",
        "self.notes.unpin(oldest)",
        "pass",
    ),
    (
        "adapters/outbox/segment_log.py",
        "if self.notes.find(name) is not word or word.segment is not oldest:",
        "if False:",
    ),
    (
        "adapters/outbox/segment_log.py",
        "if not len(self.notes):",
        "if True:",
    ),
    (
        "adapters/outbox/segment_log.py",
        "                self._missed.append(note)\n        if was",
        "                pass\n        if was",
    ),
    (
        "adapters/outbox/segment_log.py",
        (
            "        for note in missed:\n"
            "            if self.append(note) is None:\n"
            "                self._missed.append(note)\n"
        ),
        "",
    ),
    (
        "adapters/outbox/segment_log.py",
        "segment.probe(self._bounds.probe_bytes)",
        "pass",
    ),
    (
        "adapters/outbox/segment_log.py",
        (
            "if self._is_at_bound:\n"
            "            self._turn_off(_AT_BOUND, None)\n"
            "            return\n"
            "        self._full"
        ),
        "self._full",
    ),
    (
        "adapters/outbox/segment_log.py",
        "self._pause_s = min(_LONGEST_PAUSE_S, 2 * self._pause_s)",
        "pass",
    ),
    (
        "adapters/outbox/segment_log.py",
        "            self._given_up += given_up\n            if",
        "            if",
    ),
    (
        "adapters/outbox/segment_log.py",
        '            if self.is_writing:\n                self._turn_off("cannot sync',
        '            if False:\n                self._turn_off("cannot sync',
    ),
    (
        "adapters/outbox/writer.py",
        "if self._log.append(note) is None:",
        "if False:",
    ),
    (
        "adapters/outbox/writer.py",
        "self._owed[request_id] = None\n        return True",
        "return True",
    ),
    (
        "adapters/outbox/writer.py",
        "if not self._notes.close(request_id):\n            return",
        "self._notes.close(request_id)",
    ),
    (
        "adapters/outbox/writer.py",
        "self._notes.put(request_id, *written, len(note))",
        "pass",
    ),
    (
        "adapters/outbox/writer.py",
        "if self._notes.find(name) is not word or word.place != place:",
        "if False:",
    ),
    (
        "adapters/outbox/adoption.py",
        "if not self._owed:\n                await",
        "if True:\n                await",
    ),
    (
        "adapters/outbox/adoption.py",
        "            self._folder.release()\n\n    def _dispose",
        "            pass\n\n    def _dispose",
    ),
    (
        "adapters/outbox/adoption.py",
        "if self._left.damaged:",
        "if False:",
    ),
    (
        "workers/outbox_replayer.py",
        "if not await self._brought(ending):",
        "if await self._brought(ending) is None:",
    ),
    (
        "workers/outbox_replayer.py",
        "outbox.ack(ending.request_id)\n",
        "pass\n",
    ),
    (
        "workers/outbox_replayer.py",
        "return False  # whoever",
        "return True  # whoever",
    ),
    (
        "workers/outbox_replayer.py",
        "outbox.postpone(ending.request_id)",
        "pass",
    ),
    (
        "workers/outbox_replayer.py",
        "await self._bring_all(outbox) and arrived",
        "arrived and await self._bring_all(outbox)",
    ),
    (
        "workers/outbox_replayer.py",
        "await self._sleep(-self._allowed / rate)",
        "pass",
    ),
    (
        "workers/outbox_replayer.py",
        "await self._ledger.void(ending.request_id)",
        "await self._ledger.post(ending)",
    ),
    (
        "workers/outbox_replayer.py",
        "            await self._adopt()\n",
        "            pass\n",
    ),
    (
        "workers/outbox_replayer.py",
        "await self._bring_all(self._own, is_last=True)",
        "pass",
    ),
    (
        "proxy/settle.py",
        "is_noted = self.outbox.intent(worst_case(self.admitted, self.shorten))",
        "is_noted = True",
    ),
    (
        "proxy/settle.py",
        "is_noted = self._outbox.finish(ending)",
        "is_noted = False",
    ),
    (
        "proxy/settle.py",
        "self._outbox.ack(ending.request_id)\n",
        "pass\n",
    ),
    (
        "proxy/settle.py",
        "if not (is_noted and self._outbox.defer(ending.request_id)):",
        "if True:",
    ),
    (
        "proxy/settle.py",
        "charge=terms.hold_nano_usd",
        "charge=0",
    ),
    (
        "proxy/settle.py",
        "rank=Rank.CONSERVATIVE,",
        "rank=Rank.MEASURED,",
    ),
    (
        "proxy/settle.py",
        (
            "if self._outbox.finish(ending) and self._outbox.defer(request_id):\n"
            "                return"
        ),
        "pass",
    ),
    (
        "adapters/outbox/open_notes.py",
        "if len(found) == segment.open_notes:",
        "if len(found) == 1:",
    ),
    (
        "adapters/outbox/segment_log.py",
        "folder, self._has_new_name = self._folder if self._has_new_name else None, False",
        "folder = None",
    ),
    (
        "adapters/outbox/folder.py",
        "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "pass",
    ),
    (
        "adapters/outbox/segment_log.py",
        "        self._given_up += self.notes.given_up(self._current)\n",
        "",
    ),
)


def mutated(file: str, find: str, replace: str) -> str:
    """The text of the file with the defect in it."""
    text = (REPOSITORY / "gateway" / file).read_text(encoding="utf-8")
    if text.count(find) != 1:
        raise ValueError(f"{file} holds {find!r} {text.count(find)} times, expected once")
    return text.replace(find, replace)


def is_found(house: Path, mutant: tuple[str, str, str]) -> bool:
    """Whether the tests fail with the defect."""
    file = house / "gateway" / mutant[0]
    sound = file.read_text(encoding="utf-8")
    file.write_text(mutated(*mutant), encoding="utf-8")
    try:
        return bool(
            subprocess.run(
                [*PYTEST, *TESTS], cwd=house, capture_output=True, check=False
            ).returncode
        )
    finally:
        file.write_text(sound, encoding="utf-8")


def main(numbers: list[int]) -> int:
    missed = []
    chosen = numbers or range(len(MUTANTS))
    with tempfile.TemporaryDirectory() as folder:
        house = Path(folder)
        for name in ("gateway", "tests"):
            shutil.copytree(REPOSITORY / name, house / name)
        for name in ("config", "pyproject.toml"):
            (house / name).symlink_to(REPOSITORY / name)
        for number in chosen:
            if not is_found(house, MUTANTS[number]):
                missed.append(number)
                print(f"{number} not found: {MUTANTS[number]}", flush=True)  # noqa: T201 - its report
    print(f"{len(chosen) - len(missed)} of {len(chosen)} defects were found")  # noqa: T201 - its report
    return len(missed)


if __name__ == "__main__":
    sys.exit(main([int(number) for number in sys.argv[1:]]))
