# Mutants of one C file, made mechanically. usage: awk -f mutate.awk FILE prints them, a line each: NAME, tab, line of
# the file; awk -v make=NAME -f mutate.awk FILE prints the file with that change in it.
#
# A name is FILE.FUNCTION.KIND.N: the Nth place in that function where the kind has something to change.
#
#   guard     `if (...) return/continue/break;` goes
#   negate    the condition of an `if` is turned around
#   relation  `<` and `<=`, `>` and `>=` change places
#   logic     `&&` and `||` change places
#   offset    1 is no longer added or taken away
#   persist   a statement goes that brings something to the disk: a call of the log, of the superblock or of the data
#             device, or an assignment to what the superblock holds
#   reorder   two calls, one behind the other, that may emit effects (they are handed the output) change places
#
# Nothing is changed within an ASSERT. All lines keep their numbers, so that a change without an effect gives the same
# object file. What it knows of C is tokens, brackets, and how clang-format lays a function out.

{ line[NR] = $0 }

END {
    base = FILENAME
    sub(/.*\//, "", base)
    sub(/\.c$/, "", base)
    tokenize()
    scan()
    if (make != "")
        for (row = 1; row <= NR; row++) print line[row]
}

# ---- tokens: text, row, column; without comments and lines of the preprocessor ----

function tokenize(    row, rest, column, long, comment, directive) {
    for (row = 1; row <= NR; row++) {
        rest = line[row]
        column = 1
        if (directive || (!comment && rest ~ /^ *#/)) {
            directive = rest ~ /\\$/
            continue
        }
        while (rest != "") {
            if (comment) {
                long = index(rest, "*/")
                comment = long == 0
                long = comment ? length(rest) : long + 1
            } else if (substr(rest, 1, 2) == "/*") {
                comment = 1
                long = 2
            } else if (match(rest, /^ +/)) {
                long = RLENGTH
            } else {
                if (!match(rest, /^([A-Za-z_0-9]+|"([^"\\]|\\.)*"|'([^'\\]|\\.)*'|->|\+\+|--|<<=|>>=|<<|>>|[-+*\/%&|^<>=!]=|&&|\|\|)/))
                    RLENGTH = 1
                long = RLENGTH
                text[++tokens] = substr(rest, 1, long)
                at_row[tokens] = row
                at_column[tokens] = column
            }
            rest = substr(rest, long + 1)
            column += long
        }
    }
}

# ---- where something can be changed ----

function scan(    i, depth) {
    for (i = 1; i <= tokens; i++) {
        if (depth == 0 && text[i] == "(" && named == "" && text[i - 1] ~ /^[a-z]/)
            named = text[i - 1]
        if (depth == 0 && text[i] == ";")
            named = ""
        if (text[i] == "{" && (depth > 0 || (text[i - 1] == ")" && named != "")))
            depth++
        else if (text[i] == "{")
            i = closing(i)
        else if (text[i] == "}" && --depth == 0)
            named = ""
        else if (depth > 0 && text[i] ~ /^(STATIC_)?ASSERT/)
            i = closing(i + 1)
        else if (depth > 0)
            look(i)
    }
}

function look(i,    end, other) {
    if (text[i] == "if") {
        end = leaves(closing(i + 1) + 1)
        if (end && text[end + 1] != "else" && found("guard", i))
            replace_all(i, end, ";")
        if (found("negate", i)) {
            replace(closing(i + 1), "))")
            replace(i + 1, "(!(")
        }
    }
    if (text[i] ~ /^[<>]=?$/ && found("relation", i))
        replace(i, length(text[i]) == 1 ? text[i] "=" : substr(text[i], 1, 1))
    if (text[i] ~ /^(&&|\|\|)$/ && found("logic", i))
        replace(i, text[i] == "&&" ? "||" : "&&")
    if (text[i] ~ /^[-+]$/ && text[i + 1] ~ /^1[uUlL]*$/ && text[i - 1] ~ /^[A-Za-z_0-9)\]]/ && found("offset", i))
        replace(i + 1, "0")
    if (text[i] == "for")
        header = closing(i + 1)
    if (!begins(i))
        return
    end = ends(i)
    if (persists(i, end) && found("persist", i))
        replace_all(i, end, ";")
    other = end + 1
    if (text[i - 1] ~ /^[;{}]$/ && emits(i, end) && begins(other) && emits(other, ends(other)) && found("reorder", i))
        swap(i, end, other, ends(other))
}

# Counts the place; true: it is the one to be changed.
function found(kind, i,    name) {
    name = base "." named "." kind
    name = name "." ++count[name]
    if (make == "")
        print name "\t" at_row[i]
    return make == name
}

function closing(i,    depth) {
    for (; i <= tokens; i++) {
        depth += text[i] ~ /^[({]$/
        depth -= text[i] ~ /^[)}]$/
        if (depth == 0)
            return i
    }
    return tokens
}

# The end of a statement: the next `;` that is in no bracket.
function ends(i) {
    while (i < tokens && text[i] != ";")
        i = (text[i] ~ /^[({]$/ ? closing(i) : i) + 1
    return i
}

# If what begins there only leaves: its last token.
function leaves(i,    end) {
    if (text[i] ~ /^(return|continue|break)$/)
        return ends(i)
    if (text[i] != "{" || text[i + 1] !~ /^(return|continue|break)$/)
        return 0
    end = ends(i + 1) + 1
    return text[end] == "}" ? end : 0
}

# A statement that is a call or an assignment; none in the head of a loop.
function begins(i) {
    return i > header && text[i] ~ /^[a-z]/ && text[i] !~ /^(if|else|for|while|do|switch|case|default|return|continue|break|const|struct|enum|static|bool|u?int[0-9]*_t|size_t)$/ \
        && text[i - 1] ~ /^([;{})]|else)$/ && text[i + 1] ~ /^(\(|->|\.|\[|=)$/
}

function words(i, end,    all) {
    for (; i <= end; i++) all = all " " text[i]
    return all
}

function persists(i, end,    all) {
    all = words(i, end)
    return all ~ /^ (superblock_(renew|fill|submit|flush)|wal_(append|repair|truncate|flush|seal|seal_cut|follow|submit[a-z_]*|emit[a-z_]*|head_[a-z_]*)|checkpoint_(flush|begin|write|submit|name|forget)[a-z_]*|[a-z_]*_(write|writes|persist|mend)|map_(set|put|write|place)[a-z_]*) \(/ \
        || all ~ /^[^=(]* stored [.=][^=]*/ || all ~ /^[^=(]* stored [^=]* [|&^+-]?= / || all ~ /^ (writer|superblock) -> due =/
}

function emits(i, end,    all) {
    all = words(i, end)
    return all ~ /^ [a-z_]+ \(.*[ (&]output [,)]/ && all !~ /^ output_event /
}

# ---- changes; from the end of a line to its beginning, or columns would move ----

function replace(i, by) {
    line[at_row[i]] = substr(line[at_row[i]], 1, at_column[i] - 1) by \
        substr(line[at_row[i]], at_column[i] + length(text[i]))
}

function replace_all(i, end, by,    k) {
    for (k = end; k > i; k--) replace(k, "")
    replace(i, by)
}

# The second one goes in front of the first one, and leaves its lines empty.
function swap(i, end, other, last,    moved) {
    moved = words(other, last)
    replace_all(other, last, "")
    line[at_row[i]] = substr(line[at_row[i]], 1, at_column[i] - 1) substr(moved, 2) " " \
        substr(line[at_row[i]], at_column[i])
}
