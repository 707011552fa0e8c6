#!/bin/sh
# A claim for each row of the CTRL experiment, on a part of its cases: `make ctrl` runs all of them.
exec "${BIN:-build/release/gcc}/tests/ctrl" --claims --rounds 1 --stride "${CTRL_STRIDE:-17}"
