/* Any bytes as a trace: they are read, or refused with a line and a cause; what was read is written and read again to
 * the same text. */
#include <stdlib.h>
#include <string.h>

#include "../sim/trace.h"

_Noreturn void core_assert_failed(const char *expression, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expression);
    abort();
}

static char *text_of(const struct trace *trace, size_t *bytes)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, bytes);
    if (file == NULL)
        abort();
    trace_print(trace, file, TRACE_WHOLE);
    fclose(file);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct trace first, second;
    uint32_t line;
    const char *cause = NULL;
    size_t bytes, again_bytes;
    if (!trace_parse(&first, (const char *)data, size, &line, &cause)) {
        ASSERT(cause != NULL && line >= 1);
        return 0;
    }
    char *text = text_of(&first, &bytes);
    if (!trace_parse(&second, text, bytes, &line, &cause)) {
        fprintf(stderr, "line %u: %s\n%s", line, cause, text);
        abort();
    }
    char *again = text_of(&second, &again_bytes);
    ASSERT(bytes == again_bytes && memcmp(text, again, bytes) == 0);
    free(text);
    free(again);
    return 0;
}
