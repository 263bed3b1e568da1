"""Names of lines: the arguments that distinguish them."""

from mubench.cards.leaderboard import tables


def test_a_line_is_named_by_what_differs_from_the_defaults_whatever_other_lines_have(new_row):
    plain = {"learning_rate": 0.003, "lora_rank": None}
    lines = [(plain, "default"), ({**plain, "lora_rank": 8}, "custom"), ({**plain, "learning_rate": 0.02}, "tuned")]
    (table,) = tables([new_row(arguments=arguments, tuned=tuned) for arguments, tuned in lines])
    names = {entry.name for entry in table.entries}
    assert names == {"scrub", "scrub lora_rank=8 (custom)", "scrub learning_rate=0.02 (tuned)"}


def test_floats_in_names_are_short_unless_two_lines_would_share_a_name(new_row):
    product = 0.003 * 0.1
    assert str(product) == "0.00030000000000000003"
    rows = [
        new_row(arguments={"gamma": gamma}, tuned=tuned) for gamma, tuned in ((1.5, "default"), (product, "custom"))
    ]
    assert {entry.name for entry in tables(rows)[0].entries} == {"scrub", "scrub gamma=0.0003 (custom)"}
    names = {entry.name for entry in tables([*rows, new_row(arguments={"gamma": 0.0003}, tuned="custom")])[0].entries}
    assert names == {"scrub", "scrub gamma=0.0003 (custom)", f"scrub gamma={product} (custom)"}


def test_arguments_make_lines_and_name_them(new_row):
    rows = [new_row(arguments={"gamma": g, "beta": 1}, run_id=f"r{g}", tuned=t, score=s)
            for g, t, s in ((0.5, "default", 0.3), (0.9, "tuned", 0.6))]  # fmt: skip
    assert [entry.name for entry in tables(rows)[0].entries] == ["scrub gamma=0.9 (tuned)", "scrub"]
    earlier = new_row(arguments={"gamma": 0.7, "beta": 1}, run_id="r0.7", score=0.1)
    names = [entry.name for entry in tables([*rows, earlier])[0].entries]
    assert names == ["scrub gamma=0.9 (tuned)", "scrub gamma=0.5", "scrub gamma=0.7"]
