"""Result rows as one parquet file: what a folder of results gives to `load_dataset`."""

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import load_dataset

from mubench.cards.folders import write_results_card
from mubench.cards.report.rows_table import FILE, write_rows
from mubench.trainers.evaluation.result import write_result


def test_a_results_folder_is_a_data_set_of_its_rows(demo_rows, tmp_path):
    folder = tmp_path / "results"
    for number, row in enumerate(demo_rows):
        write_result(row.model_copy(update={"run_id": f"row-{number:03d}"}), folder)
    write_results_card(folder)
    found = load_dataset(str(folder), "rows", split="train", cache_dir=str(tmp_path / "cache"))
    assert len(found) == len(demo_rows)
    lines = {line["run_id"]: line for line in found}
    for number, row in enumerate(demo_rows):
        line = lines[f"row-{number:03d}"]
        assert (line["method"], line["seed"], line["flags"]) == (row.method, row.seed, list(row.flags))
        assert line["score"] == (row.metrics["score"].value if "score" in row.metrics else None)
        assert line["low"] == (row.interval.low if row.interval else None)


def test_columns_without_values_have_their_types(new_row, tmp_path):
    schema = pq.read_schema(write_rows([new_row()], tmp_path))
    assert (schema.field("no_signal").type, schema.field("flags").type) == (pa.string(), pa.list_(pa.string()))


def test_a_file_is_replaced_in_one_step(demo_rows, tmp_path):
    first = write_rows(demo_rows, tmp_path).read_bytes()
    write_rows(demo_rows[:2], tmp_path)
    assert (tmp_path / FILE).read_bytes() != first and [path.name for path in tmp_path.iterdir()] == [FILE]
