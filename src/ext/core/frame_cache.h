#ifndef EXT_CORE_FRAME_CACHE_H
#define EXT_CORE_FRAME_CACHE_H

/*
 * For a worker that begins a greenlet at each request. The interpreter gives a greenlet's frames
 * pages of their own, by mmap, and unmaps them when it ends: more work than most requests are. Once
 * this is called, a number of such blocks is kept for the next greenlet. Process-wide, for good.
 */
void frame_cache_install(void);

#endif
