"""Lists of SHA-256 sums, as programs write them."""

import pytest

from mubench.hub_builders.utils.checksums import SUMS, read_sums


@pytest.mark.parametrize("line", ["{}  a b.txt\n", "{} *./a b.txt\n", "{}  ./a b.txt\r\n", "no sum\r\n{}  a b.txt"])
def test_a_list_of_another_program_is_read(tmp_path, line):
    (tmp_path / SUMS).write_bytes(line.format("ab" * 32).encode())
    assert read_sums(tmp_path / SUMS) == {"a b.txt": "ab" * 32}
