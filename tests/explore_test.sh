#!/bin/sh
# The exhaustive search finds a planted bug, with the shortest way there is, and nothing else.
set -u
cd "$(dirname "$0")/.." || exit 2

if ! tests/mutants/explore E03; then
    echo "FAILED the_search_finds_a_planted_bug"
    exit 1
fi
echo "ok the_search_finds_a_planted_bug"
