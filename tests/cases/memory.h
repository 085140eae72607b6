/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_MEMORY_H
#define CASES_MEMORY_H

/* All TCP sockets of the machine, and the pages that are charged to them. */
struct socket_memory {
	long sockets, pages;
};

struct socket_memory socket_memory(void);
/* Waits until they are back at what they were, or fails the case. */
void await_sockets(const struct socket_memory *before);
/* What is free when the kernel has done what it does behind our back: the best of a second. */
long free_kb(void);

#endif
