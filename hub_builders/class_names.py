"""Class names of the tasks that have too many for one line of the table."""

from __future__ import annotations

_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
    caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant
    flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree
    motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate
    poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider
    squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
"""
# In the order of the label bytes, which is that of the alphabet.
CIFAR100 = tuple(_CIFAR100.split())

# Mini cifar100: colour and shape of a sign.
SIGNS = tuple(
    f"{colour}_{shape}"
    for colour in ("red", "green", "blue", "yellow")
    for shape in ("circle", "ring", "square", "triangle", "diamond", "cross")
)
