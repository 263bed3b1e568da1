#!/bin/sh
# From nothing to a judged row: a mini task, its base model, and a method whose options are in a YAML file.
# The reference models are those whose evidence ships with the suite; `mubench references` trains your own.
set -e
options="$(dirname "$0")/run_scrub.yaml"

mubench build cifar10
mubench base --task cifar10 --backbone resnet
mubench scrub --config "$options"
mubench leaderboard
