#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

/* That of a second stays in its place for DATES seconds, whichever thread has made it: no variable
 * of the thread is needed, which costs a call in a shared library. */
enum { DATES = 64 };

struct date {
    _Atomic(time_t) made_for; /* the second after it; 0: none */
    char text[64];
};

static void make_date(struct date *date, time_t second)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct tm tm;
    pthread_mutex_lock(&lock);
    if (atomic_load_explicit(&date->made_for, memory_order_relaxed) != second + 1) {
        gmtime_r(&second, &tm);
        snprintf(date->text, sizeof(date->text), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour,
                 tm.tm_min, tm.tm_sec);
        atomic_store_explicit(&date->made_for, second + 1, memory_order_release);
    }
    pthread_mutex_unlock(&lock);
}

const char *clock_date(void)
{
    static struct date dates[DATES];
    struct timespec now;
    clock_gettime(SYSTEM_REALTIME_COARSE, &now);
    struct date *date = &dates[(unsigned long)now.tv_sec % DATES];
    if (atomic_load_explicit(&date->made_for, memory_order_acquire) != now.tv_sec + 1)
        make_date(date, now.tv_sec);
    return date->text;
}
