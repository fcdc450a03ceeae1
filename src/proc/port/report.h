#ifndef PROC_PORT_REPORT_H
#define PROC_PORT_REPORT_H

#include "base/writer.h"

#include <stdbool.h>
#include <stdint.h>

struct arbiter;

/*
 * The master's reports on its workers. Nothing here waits for one of them. `now` is in ms of
 * CLOCK_MONOTONIC.
 */

/* Figures in the text format of OpenMetrics 1.0. */
void report_metrics(const struct arbiter *arbiter, struct writer *out, int64_t now);

/* The workers as JSON. */
void report_workers(const struct arbiter *arbiter, struct writer *out, int64_t now);

/* Whether new requests are welcome; a line that says so, or why not. */
bool report_ready(const struct arbiter *arbiter, struct writer *out);

#endif
