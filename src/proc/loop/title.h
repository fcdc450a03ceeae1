#ifndef PROC_LOOP_TITLE_H
#define PROC_LOOP_TITLE_H

/*
 * The title of this process as ps(1) shows it: written over the memory that held the command line
 * and the environment when the process began. The first call moves the environment that still lies
 * there. Longer titles are cut. The name that killall(1) goes by is left as it is. Does nothing
 * where that memory cannot be found.
 */
void title_set(const char *title);

#endif
