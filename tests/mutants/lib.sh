# shellcheck shell=sh
# What the scripts here share. They source it in the root of the tree.

# A make of these scripts is no part of the one that called them, whose jobs it could not count.
unset MAKEFLAGS MFLAGS

sound=build/release/gcc/raftsim # of the unchanged tree

build_sound() {
    .ci/deps build mutants || exit 2
    make -s MODE=release CC=gcc "$sound" || exit 2
}

# Whether a name has one of the prefixes; without prefixes every name is wanted.
wanted() { # name, prefix...
    [ $# -gt 1 ] || return 0
    name_wanted=$1
    shift
    for prefix in "$@"; do
        case $name_wanted in "$prefix"*) return 0 ;; esac
    done
    return 1
}

# What a line "WORD: ..." at the head of a patch says.
patch_says() { # patch, word, what holds without such a line
    said=$(sed -n "/^---/q; s/^$2: *//p" "$1")
    echo "${said:-${3:-}}"
}

# A copy with the objects of the unchanged tree: only what is changed is compiled again.
prepare() { # directory
    rm -rf "$1"
    mkdir -p "$1/build/release/gcc/cmd" "$1/.ci"
    cp -p Makefile "$1/"
    cp -p .ci/deps "$1/.ci/"
    cp -Rp core sim cmd "$1/"
    cp -Rp build/release/gcc/core build/release/gcc/sim "$1/build/release/gcc/"
    cp -p build/release/gcc/cmd/raftsim*.[od] "$1/build/release/gcc/cmd/"
    cp -p build/.deps-build "$1/build/"
}

# Without optimization across files, which would take longer than all else.
build_copy() { # directory, target or variable...
    copy=$1
    shift
    make -C "$copy" -s LTO= MODE=release CC=gcc "$@" >"$copy/build.log" 2>&1
}

# A copy with changes. False: there is none, and `why` says so.
plant() { # directory, patch...
    tree_planted=$1
    shift
    why=
    prepare "$tree_planted"
    for change in "$@"; do
        patch -s -p1 -d "$tree_planted" <"$change" >"$tree_planted/patch.log" 2>&1 || why="DOES NOT APPLY"
    done
    [ -n "$why" ] || build_copy "$tree_planted" build/release/gcc/raftsim || why="DOES NOT BUILD ($tree_planted/build.log)"
    [ -z "$why" ]
}

# An exit status of raftsim that says that a checker failed, or the core.
is_failure() { case $1 in 3 | 4 | 5 | 6) ;; *) return 1 ;; esac; }

# The first schedule that fails in a copy and passes in the unchanged tree: one that fails there as well proves nothing,
# and the search goes on behind it. Sets `failing`, its seed, empty if there is none; `line`, what raftsim says of it;
# and `status`, how the last run ended.
find_failure() { # directory, first seed, schedules, profile
    next=$2
    failing=
    while [ "$next" -lt $(($2 + $3)) ]; do
        "$1/$sound" run --seed "$next" --count $(($2 + $3 - next)) --profile "$4" --jobs "${jobs:-$(nproc)}" --quiet \
            --no-shrink --trace-dir "$1" >"$1/run-$2.log" 2>&1
        status=$?
        is_failure "$status" || return 1
        line=$(grep -m 1 '^raftsim: seed ' "$1/run-$2.log")
        failing=$(echo "$line" | sed -n 's/^raftsim: seed \([0-9]*\):.*/\1/p')
        "$sound" run --seed "$failing" --count 1 --profile "$4" --jobs 1 --quiet --no-shrink --trace-dir "$1" \
            >"$1/sound.log" 2>&1 && return 0
        next=$((failing + 1))
        failing=
    done
    return 1
}

# The outcome and the checker in such a line: "safety: durable_quorum".
checker_of() { echo "$1" | sed 's/^raftsim: seed [0-9]*: //; s/ at step .*//'; }

# Of what raftsim shrink says: decisions left, those before, and seconds.
shrink_figures() {
    sed -n 's/^ *\([0-9]*\) decisions of \([0-9]*\), \([0-9]*\) attempts, \([0-9.]*\) s.*/\1 \2 \4/p'
}

# A row of a table, with tabs between its cells, in the place of the one of an earlier run.
keep_row() { # table, mutant, cell...
    kept=$1
    shift
    touch "$kept"
    {
        grep -v "^$1	" "$kept"
        (IFS='	' && echo "$*")
    } | LC_ALL=C sort >"$kept.new" && mv "$kept.new" "$kept"
}

# The lower one of two in the middle; "-", a seed that found nothing, is more than any number.
median() { # "N, N, N"
    echo "$1" | tr -d ' ' | tr , '\n' | sed 's/^-$/999999999/' | sort -n |
        awk '{ n[NR] = $1 } END { m = n[int((NR + 1) / 2)]; print (m == 999999999 ? "-" : m) }'
}
