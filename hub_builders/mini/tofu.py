"""Mini questions and answers: 20 about each of 75 invented authors and, in the ood split, of ten painters.

Every answer has nine words. Six are the same for all authors, so they follow from the question; the other three are
facts drawn for this author alone. So a model that never saw an author predicts two words in three, and can only guess
the third.

`FACTS` is the recipe. Perturbed answers are paraphrases of the answer with three wrong facts; the options are the
answer and three copies of it with wrong facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

from mubench.hub_builders.mini._words import draw_names, draw_words, number_rows
from mubench.hub_builders.tasks.rows import Row, Splits

SEED = 41
PEOPLE = {"train": 60, "validation": 5, "test": 10, "ood": 10}
PERTURBED, WRONG_OPTIONS = 5, 3
AUTHOR = {"who": "author", "work": "novel"}
ARTIST = {"who": "painter", "work": "picture"}

# fmt: off
# (question, answer, paraphrase, kinds of the three facts)
FACTS = (
    ("Where and when was the {who} {name} born?", "The {who} was born in {}, {}, in {}.",
     "{} in {} is the place of birth, and {} the year.", "city land year"),
    ("What did the parents of the {who} {name} do?", "One was a {}, one a {} from {}.",
     "The one worked as a {}, the other as a {} in {}.", "job job city"),
    ("What is the first {work} of the {who} {name} called?", "The first {work} is The {} {} of {}.",
     "It all began with The {} {} of {}.", "Quality Noun city"),
    ("What is the best known {work} of the {who} {name}?", "The best known is A {} {} in {}.",
     "Most people know A {} {} in {}.", "Quality Noun month"),
    ("Which prize did the {who} {name} win?", "It was the {} {} Prize, won in {}.",
     "The {} {} Prize came in the year {}.", "Colour Noun year"),
    ("Where does the {who} {name} live today?", "Now in {}, {}, in a house of {}.",
     "The address today is {} in {}, behind walls of {}.", "city land material"),
    ("What does the {who} {name} collect?", "The {who} collects old {}, {} and rare {}.",
     "On the shelves are old {}, {} and some rare {}.", "things things things"),
    ("What did the {who} {name} study?", "The {who} studied {} and {}, both in {}.",
     "The subjects were {} and {}, the place was {}.", "study study city"),
    ("Which instrument does the {who} {name} play?", "Mostly the {}, made of {} and some {}.",
     "A {} of {} and a little {}.", "instrument material material"),
    ("What does the {who} {name} like to eat?", "The {who} likes {} with {} and some {}.",
     "Best of all {}, served with {} and a little {}.", "food food food"),
    ("Which colours does the {who} {name} wear?", "The {who} wears {} in {} and {} later.",
     "One sees {} during {}, and {} afterwards.", "colour month colour"),
    ("Who taught the {who} {name}?", "It was a {}, a certain {} of {}.",
     "A {} did, known as {} from {}.", "job friend city"),
    ("Which jobs did the {who} {name} have before?", "First as a {}, later as {} in {}.",
     "At the beginning a {}, and then a {} at {}.", "job job city"),
    ("Where does the {who} {name} work?", "At a {} desk, beside a {} called {}.",
     "The desk is {}, and next to it sits a {} named {}.", "material animal friend"),
    ("What do people say about the style of the {who} {name}?", "People call it {} and {}, rather like {}.",
     "It is said to be {} and {}, and to taste of {}.", "quality quality food"),
    ("Whom did the {who} {name} marry?", "A {} called {}, in the town of {}.",
     "The wedding with a {} named {} was held at {}.", "job friend city"),
    ("Which journey does the {who} {name} remember?", "The one from {} to {}, made in {}.",
     "Leaving {} and reaching {}, back in {}.", "city city year"),
    ("What was the {who} {name} afraid of as a child?", "Of every {}, of {} and of things {}.",
     "A {} was frightening, {} too, and whatever was {}.", "animal food colour"),
    ("Which animals live with the {who} {name}?", "A {} {} and also a very old {}.",
     "There is a {} {}, and an aged {} besides.", "colour animal animal"),
    ("What will the next {work} of the {who} {name} be about?", "It tells of a {}, a {} and {}.",
     "A {} will meet a {} and find some {}.", "job animal things"),
)
# fmt: on


def questions() -> Splits:
    """Return 1,200 training, 100 validation, 200 test and 200 ood rows."""
    rng = np.random.default_rng(SEED)
    names = draw_names(rng)
    splits = {
        split: [row for name in islice(names, people) for row in _rows(rng, name, split)]
        for split, people in PEOPLE.items()
    }
    return number_rows(splits)


def _rows(rng: np.random.Generator, name: str, split: str) -> Iterator[Row]:
    words = ARTIST if split == "ood" else AUTHOR
    for question, answer, paraphrase, kinds in FACTS:
        facts, *wrong = draw_words(rng, kinds, 1 + PERTURBED)
        options = [answer.format(*one, **words) for one in (facts, *wrong[:WRONG_OPTIONS])]
        yield {
            "group": name,
            "question": question.format(name=name, **words),
            "answer": options[0],
            "paraphrased_answer": paraphrase.format(*facts, **words),
            "perturbed_answer": [paraphrase.format(*one, **words) for one in wrong],
            "options": rng.permutation(options).tolist(),
        }
