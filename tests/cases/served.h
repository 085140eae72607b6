/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CASES_SERVED_H
#define CASES_SERVED_H

#include <stddef.h>

#include "test.h"

/* A stream of that many bytes in the mode, and by the method, of the case. */
void stream(const struct test *t, size_t size);
/* The same in the simplest mode: is splice served now? */
void expect_served(void);
/* Is it the stock kernel's, which doesn't see what is queued? */
void expect_not_served(void);
/* The result of splice where bytes are queued. */
void expect_splice_gives(ssize_t want, const char *whose);

#endif
