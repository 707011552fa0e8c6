/* What every file of the core may use: fixed-width integers, assertions, small arithmetic.
 *
 * The core is freestanding: no libc beyond mem*, no allocation, no clock, no errno. `make purity` proves it by
 * compiling against the compiler's own headers only and by reading the symbols of the archive. */
#ifndef WW_BASE_H
#define WW_BASE_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* <string.h> is not a freestanding header; these four are what a freestanding compiler may call anyway. */
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "stored and wire formats are little-endian structs; a big-endian host needs conversions first"
#endif

/* A failed assertion is a bug. The driver supplies the hook: raftd logs and aborts, raftsim names seed and step. */
_Noreturn void core_assert_failed(const char *expression, const char *file, int line);

/* On in every build. The expression has no side effects. */
#define ASSERT(expression) ((expression) ? (void)0 : core_assert_failed(#expression, __FILE__, __LINE__))
#define STATIC_ASSERT(expression, message) _Static_assert(expression, message)
#define UNREACHABLE() core_assert_failed("unreachable", __FILE__, __LINE__)

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline uint64_t u64_min(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t u64_max(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline uint32_t u32_min(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t u32_max(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* How many bits are set. Not the compiler's builtin, which may be a call into its library. */
static inline uint32_t bits_count(uint32_t bits)
{
    uint32_t count = 0;
    for (; bits != 0; bits &= bits - 1)
        count++;
    return count;
}

/* Rounds up to a multiple of a power of two. */
static inline uint64_t u64_round_up(uint64_t value, uint64_t power) { return (value + power - 1) & ~(power - 1); }

/* count > 0. */
static inline bool bytes_are_zero(const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    return at[0] == 0 && memcmp(at, at + 1, count - 1) == 0;
}

/* A Raft log position. Term and index travel together: either alone names nothing. Both 0 is "before the log". */
struct log_id {
    uint64_t term;
    uint64_t index;
};

static inline bool log_id_equal(struct log_id a, struct log_id b) { return a.term == b.term && a.index == b.index; }

/* Raft 3.6.1: the log with the later last term is more up to date; with equal terms, the longer one. */
static inline int log_id_compare(struct log_id a, struct log_id b)
{
    if (a.term != b.term)
        return a.term < b.term ? -1 : 1;
    if (a.index != b.index)
        return a.index < b.index ? -1 : 1;
    return 0;
}

/* Bytes borrowed from somebody else; never owned, never stored in state. */
struct slice {
    const uint8_t *bytes;
    uint32_t count;
};

#endif
