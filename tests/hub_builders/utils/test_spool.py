import gc
import warnings

from mubench.hub_builders.utils.spool import Spool, read_bytes


def test_blobs_read_back_in_any_order_and_equal_the_bytes_they_hold():
    spool = Spool()
    parts = [bytes([i]) * (i * 1_000) for i in range(5)]
    blobs = [spool.append(part) for part in parts]
    assert [read_bytes(blob) for blob in reversed(blobs)] == parts[::-1]
    blobs.append(spool.append(b"late"))
    assert read_bytes(blobs[4]) == parts[4] and read_bytes(blobs[5]) == b"late" and read_bytes(b"plain") == b"plain"
    assert blobs[1] == parts[1] == Spool().append(parts[1]) and blobs[1] != blobs[2]
    assert {blob: len(blob) for blob in blobs}[blobs[3]] == 3_000 and len({*blobs, *parts}) == 6


def test_a_spool_closes_with_its_last_blob():
    blob = Spool().append(b"held")
    gc.collect()
    assert read_bytes(blob) == b"held"
    file = blob.spool._file
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del blob
        gc.collect()
    assert file.closed
