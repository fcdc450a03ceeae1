#include "proc/children/reason.h"

static const char *const names[REASON_COUNT] = {
    [REASON_NONE] = "none",
    [REASON_MAX_REQUESTS] = "max_requests",
    [REASON_MAX_LIFETIME] = "max_lifetime",
    [REASON_MAX_RSS] = "max_rss",
    [REASON_MAX_RSS_HARD] = "max_rss_hard",
    [REASON_TIMEOUT] = "timeout",
    [REASON_REQUEST_TIMEOUT] = "request_timeout",
    [REASON_BOOT_TIMEOUT] = "boot_timeout",
    [REASON_RELOAD] = "reload",
    [REASON_SCALE] = "scale",
    [REASON_DRAIN] = "drain",
    [REASON_STOP] = "stop",
    [REASON_OUT_OF_MEMORY] = "out_of_memory",
    [REASON_SIGNAL] = "signal",
    [REASON_BOOT_FAILED] = "boot_failed",
    [REASON_FAILED] = "failed",
    [REASON_EXITED] = "exited",
};

const char *reason_name(enum reason reason)
{
    return names[reason < REASON_COUNT ? reason : REASON_NONE];
}
