/* The whole test harness: claims, expectations, and a main. Not a framework.
 *
 *     TEST(follower_rejects_append_with_gap)
 *     {
 *         EXPECT(!accepted);
 *         EXPECT_EQUAL(replica.match, 3);
 *     }
 *     TEST_MAIN()
 *
 * A test's name is the claim it proves. A failed expectation is printed with its place and ends the test; the others go
 * on. `x_test NAME` runs the tests whose name contains NAME. Exit status: 0 all passed, 1 otherwise. */
#ifndef WW_TEST_H
#define WW_TEST_H

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/base.h"

struct test {
    const char *name;
    void (*run)(void);
    struct test *next;
};

static struct test *test_first;
static struct test **test_last = &test_first;
static jmp_buf test_failed;

#define TEST(claim) \
    static void test_##claim(void); \
    __attribute__((constructor)) static void test_register_##claim(void) \
    { \
        static struct test test = { .name = #claim, .run = test_##claim }; \
        *test_last = &test; \
        test_last = &test.next; \
    } \
    static void test_##claim(void)

#define EXPECT(condition) \
    do { \
        if (!(condition)) \
            test_fail(__FILE__, __LINE__, #condition); \
    } while (0)

/* Integers, signed or not; both sides are shown. */
#define EXPECT_EQUAL(actual, expected) \
    test_equal(__FILE__, __LINE__, #actual, (long long)(actual), #expected, (long long)(expected))

/* NUL-terminated strings. */
#define EXPECT_TEXT(actual, expected) test_text(__FILE__, __LINE__, #actual, actual, expected)

static inline _Noreturn void test_fail(const char *file, int line, const char *text)
{
    printf("%s:%d: does not hold: %s\n", file, line, text);
    longjmp(test_failed, 1);
}

static inline void test_equal(const char *file, int line, const char *left, long long actual, const char *right,
                              long long expected)
{
    if (actual == expected)
        return;
    printf("%s:%d: %s is %lld, expected %s = %lld\n", file, line, left, actual, right, expected);
    longjmp(test_failed, 1);
}

static inline void test_text(const char *file, int line, const char *left, const char *actual, const char *expected)
{
    if (strcmp(actual, expected) == 0)
        return;
    printf("%s:%d: %s is \"%s\", expected \"%s\"\n", file, line, left, actual, expected);
    longjmp(test_failed, 1);
}

/* Weak: a test that links a driver with its own hook gets that one. */
__attribute__((weak)) _Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    printf("%s:%d: assertion failed: %s\n", file, line, expression);
    fflush(stdout);
    abort();
}

static inline bool test_holds(const struct test *test)
{
    if (setjmp(test_failed) != 0)
        return false;
    test->run();
    return true;
}

static inline int test_main(int argc, char **argv)
{
    int failed = 0;
    int run = 0;
    for (const struct test *test = test_first; test; test = test->next) {
        if (argc > 1 && !strstr(test->name, argv[1]))
            continue;
        const bool holds = test_holds(test);
        printf("%s %s\n", holds ? "ok" : "FAILED", test->name);
        fflush(stdout);
        failed += !holds;
        run++;
    }
    return failed || run == 0 ? 1 : 0;
}

#define TEST_MAIN() \
    int main(int argc, char **argv) { return test_main(argc, argv); }

#endif
