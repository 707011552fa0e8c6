/* Traces in files. Errors are told on standard error, with file, line and cause. */
#ifndef WW_TRACE_FILE_H
#define WW_TRACE_FILE_H

#include "trace.h"

enum { TRACE_BYTES_MAX = 64 << 20 };

enum trace_loaded { TRACE_LOADED, TRACE_UNREADABLE, TRACE_MALFORMED };

enum trace_loaded trace_load(struct trace *trace, const char *path);
bool trace_save(const struct trace *trace, const char *path, enum trace_style style);

#endif
